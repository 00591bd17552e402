"""`aqe privacy`: what would leave, what left, and to whom it may go."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from aqe.engine.errors import GateFailed, UserError
from aqe.engine.terminal import one_line
from aqe.server.cli.lines import LinesOption, answer_lines, with_id
from aqe.server.cli.memory_lines import refuse_beside_lines
from aqe.server.cli.output import JsonOption, ProjectOption, kept_where, new_group, print_json, project_at
from aqe.server.counting import counted

if TYPE_CHECKING:
    from aqe.engine.privacy.consent import Consent
    from aqe.engine.privacy.controls import ControlsReport
    from aqe.engine.providers.configured import Recipient
    from aqe.engine.settings import Settings

app = new_group("See what would leave this machine, what left, and to whom it may go.")
consent_app = typer.Typer(no_args_is_help=True, help="Say to which provider text may go, and for what.")
app.add_typer(consent_app, name="consent")

ProviderArgument = Annotated[str, typer.Argument(metavar="PROVIDER", help="Its name in [tool.aqe.providers.NAME].")]


@app.command()
def scan(
    paths: Annotated[
        list[str] | None, typer.Argument(metavar="[PATHS]...", help="Files, folders, or - for stdin.")
    ] = None,
    gate: Annotated[
        bool, typer.Option("--gate", help="Exit 1 when something is found, or a file cannot be read.")
    ] = False,
    jsonl: LinesOption = False,
    json: JsonOption = False,
    project: ProjectOption = None,
) -> None:
    """Find secrets and personal data: their places and classes, never their text.

    Without PATHS the project, as far as git does not ignore it; a folder that is named is scanned whole, but for
    virtual environments and folders of tools in it. With --jsonl, which takes no PATHS, each line holds `text`
    and may hold id and path; its answer has the id and `spans`, a list of [start, end, class] in characters, end
    exclusive.
    """
    from aqe.engine.privacy.scanning import ScanReport, scan_paths, scan_text
    from aqe.engine.project import locate

    root = project_at(project)
    if jsonl:
        refuse_beside_lines(PATHS=paths or None)
        _scan_lines(kept_where(root), gate=gate)
        return
    if paths == ["-"]:
        report = ScanReport(1, tuple(scan_text(sys.stdin.buffer.read().decode("utf-8", "replace"), "-")), ())
    else:
        report = scan_paths([locate(path, root) for path in paths] if paths else [root], whole=bool(paths))
    if json:
        print_json("privacy-scan", report, project=kept_where(root))
    else:
        for found in report.findings:
            print(f"{one_line(found.path)}:{found.line}:{found.column}: {found.kind}")
        for name in report.skipped:
            print(f"{one_line(name)}: not scanned, it is binary, too large or cannot be read", file=sys.stderr)
        if gate and report.unread:
            some = "file that was" if len(report.unread) == 1 else "files that were"
            print(f"The gate does not pass {len(report.unread)} {some} not looked at.", file=sys.stderr)
        count = len(report.findings)
        print(f"{count or 'nothing'} found in {report.files} file{'' if report.files == 1 else 's'}", file=sys.stderr)
    if gate and (report.findings or report.unread):
        raise typer.Exit(1)


@app.command("audit")
def audit_log(
    limit: Annotated[
        int | None, typer.Option("--limit", metavar="N", min=1, help="Only the last N entries (else all).")
    ] = None,
    json: JsonOption = False,
    project: ProjectOption = None,
) -> None:
    """List the audit log, oldest first: what left, when, to whom, what for. It never holds the text itself."""
    from aqe.engine.memory import rfc3339
    from aqe.engine.memory.opening import open_to_read
    from aqe.engine.privacy.audit import entries

    root = project_at(project)
    with open_to_read(root) as store:
        found = entries(store, newest=limit)
    if json:
        shown = [{**vars(entry), "at": rfc3339(entry.at)} for entry in found]
        print_json("privacy-audit", {"entries": shown}, project=kept_where(root))
        return
    for entry in found:
        out = ", ".join(f"{count} {kind}" for kind, count in entry.spans.items())
        left = f"{entry.bytes} bytes sha256 {entry.payload_sha256[:12]}" if entry.bytes else "nothing left"
        if entry.event.startswith("consent"):
            left = "-"
        taken = f"; taken out: {out}" if out else ""
        about = f"{entry.event}  {entry.recipient}  {entry.purpose}"
        print(one_line(f"{entry.number}  {rfc3339(entry.at)}  {about}  {left}{taken}"))
    print(f"{counted(len(found), 'entry', 'entries')}", file=sys.stderr)


@app.command()
def verify(
    head: Annotated[
        str | None, typer.Option("--head", metavar="NUMBER:HASH", help="A head that an earlier check printed.")
    ] = None,
    json: JsonOption = False,
    project: ProjectOption = None,
) -> None:
    """Check the audit log: no entry changed, taken out, moved or cut off; exit 1 when it is broken.

    Whoever can write the database can also write a new log from its beginning. Keep the printed head elsewhere and
    give it with --head, and that is found too, up to that entry.
    """
    from aqe.engine.memory.opening import open_to_read
    from aqe.engine.privacy import audit

    root = project_at(project)
    known = None if head is None else audit.parse_head(head)
    with open_to_read(root) as store:
        found = audit.verify(store, known=known)
    now = f"{found.entries}:{found.head}" if found.head else ""
    if json:
        shown = {"intact": found.intact, "entries": found.entries, "head": now, "problem": found.problem}
        print_json("privacy-verify", shown, project=kept_where(root))
        if not found.intact:
            raise typer.Exit(1)
    elif not found.intact:
        raise audit.broken_log(found.problem)
    else:
        print(f"intact: {counted(found.entries, 'entry', 'entries')}" + (f", head {now}" if now else ""))


@app.command("report")
def report_of_controls(
    gate: Annotated[bool, typer.Option("--gate", help="Exit 1 when a control did not hold.")] = False,
    json: JsonOption = False,
    project: ProjectOption = None,
) -> None:
    """Show the privacy controls in force with the checks that are run now, what left so far, and what is not covered.

    It is evidence for somebody's judgement, not a verdict: nothing here says that a project is compliant.
    """
    from aqe.engine.memory.opening import open_to_read
    from aqe.engine.privacy.controls import report_controls
    from aqe.engine.settings import load_settings

    root = project_at(project)
    with open_to_read(root) as store:
        found = report_controls(root, load_settings(root), store)
    if json:
        print_json("privacy-report", found, project=kept_where(root))
    else:
        print("\n".join(_report_lines(found)))
    if gate and found.failed:
        raise GateFailed(
            f"{len(found.failed)} of the privacy checks did not hold, the first: {found.failed[0].what}.",
            code="privacy-check-failed",
            fix="The report shows each with what was seen.",
        )


@consent_app.command("grant")
def grant_consent(
    provider: ProviderArgument,
    purpose: Annotated[
        str, typer.Option("--purpose", metavar="NAME", help="query, complete or embed (* is all).")
    ] = "*",
    json: JsonOption = False,
    project: ProjectOption = None,
) -> None:
    """Allow this project's text to go to a provider, redacted.

    The consent is for the provider's address and the variable of its key as they are now, and for you on this machine.
    """
    from aqe.engine.memory import open_store
    from aqe.engine.privacy import consent
    from aqe.engine.settings import load_settings

    root = project_at(project)
    settings = load_settings(root)
    to = _recipient(settings, provider)
    with open_store(root, settings=settings) as store:
        given = consent.grant(store, to, purpose, mode=settings.privacy.mode)
    if json:
        print_json("privacy-consent-grant", _consent_object(given, ""), project=root)
    else:
        print(f"{to.label} may be sent text of this project for {_words(given.purpose)}")


@consent_app.command("revoke")
def revoke_consent(
    provider: ProviderArgument,
    purpose: Annotated[
        str | None, typer.Option("--purpose", metavar="NAME", help="Only for this (else all of the provider's).")
    ] = None,
    json: JsonOption = False,
    project: ProjectOption = None,
) -> None:
    """Take a consent back."""
    from aqe.engine.memory import open_store
    from aqe.engine.privacy import consent
    from aqe.engine.settings import load_settings

    root = project_at(project)
    settings = load_settings(root)
    with open_store(root, settings=settings) as store:
        gone = consent.revoke(store, provider, purpose, mode=settings.privacy.mode)
    if json:
        print_json("privacy-consent-revoke", {"provider": provider, "revoked": gone}, project=root)
    else:
        print(f"{gone} consent{'' if gone == 1 else 's'} of {provider} taken back")


@consent_app.command("list")
def list_consents(json: JsonOption = False, project: ProjectOption = None) -> None:
    """List the consents with address and key variable, and why one does not count."""
    from aqe.engine.memory.opening import open_to_read
    from aqe.engine.privacy.consent import consents, flaw
    from aqe.engine.providers.configured import recipient_of, shown
    from aqe.engine.settings import load_settings

    root = project_at(project)
    now = {name: recipient_of(name, table) for name, table in load_settings(root).providers.items()}
    with open_to_read(root) as store:
        found = [_consent_object(given, flaw(given, now.get(given.provider))) for given in consents(store)]
    if json:
        print_json("privacy-consent-list", {"consents": found}, project=kept_where(root))
        return
    for given in found:
        provider, purpose, address, key = (
            shown(str(given[name])) for name in ("provider", "purpose", "address", "key_env")
        )
        print(f"{provider}  {purpose}  {address or '-'}  key of {key or '-'}  since {given['granted_at']}")
        if not given["counts"]:
            print(f"  does not count: {given['why']}")


def _scan_lines(project: Path | None, *, gate: bool) -> None:
    """Answer `aqe privacy scan --jsonl`; with `gate` it exits 1 when a line holds something."""
    found = 0

    def spans_of(line: Mapping[str, Any]) -> dict[str, Any]:
        nonlocal found
        told = _spans(line)
        found += len(told["spans"])
        return told

    answer_lines(project, "privacy-scan", spans_of, keys=("id", "text", "path"))
    if gate and found:
        raise typer.Exit(1)


def _spans(line: Mapping[str, Any]) -> dict[str, Any]:
    from aqe.engine.privacy import scan as scan_one

    text, path = line.get("text"), line.get("path")
    if not isinstance(text, str):
        raise UserError("The line has no text.", code="bad-text", fix='Give {"id": ..., "text": "..."}.')
    if path is not None and not isinstance(path, str):
        raise UserError("The path of the line is not a string.", code="bad-line", fix="Give a string, or leave it out.")
    return with_id(line, {"spans": [[span.start, span.end, span.kind] for span in scan_one(text, path)]})


def _recipient(settings: Settings, provider: str) -> Recipient:
    """The provider of the settings that a consent is to be for. Raises `UserError` (no-such-provider, bad-argument)."""
    from difflib import get_close_matches

    from aqe.engine.providers.configured import is_loopback, recipient_of

    table = settings.providers.get(provider)
    if table is None:
        near = get_close_matches(provider, settings.providers, n=1, cutoff=0.5)
        fix = f"Did you mean {near[0]!r}?" if near else f"Add the table [tool.aqe.providers.{provider}] first."
        raise UserError(f"The settings name no provider {provider!r}.", code="no-such-provider", fix=fix)
    if is_loopback(table.base_url):
        raise UserError(
            f"{provider!r} is on this machine, where no consent is asked.",
            code="bad-argument",
            fix="Nothing needs to be done.",
        )
    return recipient_of(provider, table)


def _report_lines(found: ControlsReport) -> Iterator[str]:
    """The report for a reader: each control, its checks and facts, then what left and what is not covered."""
    yield f"Privacy controls of {found.project} at {found.at}"
    for control in found.controls:
        yield f"\n{control.name}: {control.state}"
        for check in control.checks:
            yield f"  {'held' if check.held else 'DID NOT HOLD'}: {check.what}: {check.result}"
        yield from (f"  {fact}" for fact in control.facts)
    yield "\nwhat left so far" + ("" if found.left else ": nothing")
    for one in found.left:
        out = ", ".join(f"{count} {kind}" for kind, count in one.taken_out.items())
        taken = f"; taken out: {out}" if out else ""
        span = f"{one.first_at} to {one.last_at}"
        yield f"  {one.event} {one.recipient} for {one.purpose}: {one.times} times, {one.bytes} bytes, {span}{taken}"
    yield f"  head of the audit log: {found.head or '-'}"
    yield "\nnot covered"
    yield from (f"  {one}" for one in found.not_covered)


def _consent_object(given: Consent, flaw: str) -> dict[str, Any]:
    from aqe.engine.memory import rfc3339
    from aqe.engine.privacy.audit import END_OF_TIME

    return {
        "provider": given.provider,
        "purpose": given.purpose,
        "granted_at": rfc3339(min(max(given.granted_at, 0), END_OF_TIME - 1)),  # a clone may bring any number
        "address": given.address,
        "key_env": given.key_env,
        "counts": not flaw,
        "why": flaw,
    }


def _words(purpose: str) -> str:
    return "any purpose" if purpose == "*" else purpose
