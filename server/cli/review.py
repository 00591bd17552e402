"""`aqe review`: what a change brought that should be mended, with evidence."""

from __future__ import annotations

import datetime
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from aqe.engine.budget import parse_budget
from aqe.engine.errors import Cancelled, UserError
from aqe.engine.project import locate
from aqe.engine.terminal import page
from aqe.server.cli.interrupts import working
from aqe.server.cli.output import (
    BudgetOption,
    JsonOption,
    ProjectOption,
    PythonOption,
    SeedOption,
    json_object,
    keep_result,
    print_json,
    project_at,
)

if TYPE_CHECKING:
    from aqe.agents.review import Finding, ReviewReport, ReviewRequest
    from aqe.agents.review.decisions import Decision

FORMATS = ("text", "json", "sarif", "github")


def command(
    since: Annotated[
        str | None, typer.Option("--since", metavar="REF", help="Review what changed since REF (else since HEAD).")
    ] = None,
    base: Annotated[
        str | None, typer.Option("--base", metavar="DIR", help="The version before, a folder; no git is needed.")
    ] = None,
    head: Annotated[str | None, typer.Option("--head", metavar="DIR", help="The version after, with --base.")] = None,
    message: Annotated[
        str | None,
        typer.Option("--message", metavar="FILE", help="What the author says about it (else the commits' messages)."),
    ] = None,
    form: Annotated[
        str, typer.Option("--format", metavar="FORMAT", help="text, json, sarif or github (workflow annotations).")
    ] = "text",
    accept: Annotated[
        list[str] | None, typer.Option("--accept", metavar="ID", help="Remember that a finding is right.")
    ] = None,
    dismiss: Annotated[
        list[str] | None, typer.Option("--dismiss", metavar="ID", help="Remember that a finding is none.")
    ] = None,
    reason: Annotated[str, typer.Option("--reason", metavar="TEXT", help="Why, kept with --accept or --dismiss.")] = "",
    gate: Annotated[bool, typer.Option("--gate", help="Exit 1 if an error or a warning is shown.")] = False,
    bandit: Annotated[bool, typer.Option("--bandit", help="Ask bandit too; needs the extra.")] = False,
    verbose: Annotated[bool, typer.Option("--verbose", "-v", help="List all that was not executed.")] = False,
    budget: BudgetOption = None,
    seed: SeedOption = 0,
    python: PythonOption = None,
    project: ProjectOption = None,
    json: JsonOption = False,
) -> int:
    """Show what a change brought: at most ten findings, the most certain first, or that there is nothing.

    Both versions of each changed function run on the same inputs in the sandbox, tests that may reach the change run
    for its branches, and rules, test smells and copied code are looked at. Only what is new is shown.
    """
    shown = chosen_format(form, json)
    root = _root(head, project)
    if accept or dismiss:
        _tell_decisions(_remember(root, accept or [], dismiss or [], reason), json=shown == "json")
        return 0
    if reason:
        raise UserError("--reason says why a finding is decided.", code="usage", fix="Add --dismiss ID or --accept ID.")
    from aqe.agents.review import ReviewRequest

    request = ReviewRequest(
        project=str(root),
        since=since,
        base=base,
        head=head,
        message=None if message is None else _read(message, root),
        budget_s=ReviewRequest.budget_s if budget is None else parse_budget(budget),
        seed=seed,
        python=python,
        bandit=bandit,
        cwd=str(Path.cwd()),
    )
    try:
        report = reviewed(request)
    except Cancelled:
        raise Cancelled("The review was ended; nothing is reported.", code="cancelled") from None
    return report_findings(report, "review", root, shown, verbose=verbose, gate=gate)


def reviewed(request: ReviewRequest) -> ReviewReport:
    """What the agent found, with a progress on the terminal. Raises `Cancelled`."""
    from aqe.agents.registry import AGENTS, run_agent

    with working() as (progress, cancel):
        report: ReviewReport = run_agent(AGENTS["review"], request, progress=progress, cancel=cancel)
    return report


def report_findings(report: ReviewReport, command: str, root: Path, form: str, *, verbose: bool, gate: bool) -> int:
    """Keep and print the findings of `command`; returns the exit status: 1 where `gate` sees more than notes."""
    keep_result(root, command, json_object(command, report))
    write(report, command, form, verbose=verbose, project=root)
    if gate and any(one.severity != "note" for one in report.findings):
        return 1
    return 4 if report.partial else 0


def write(report: ReviewReport, command: str, form: str, *, verbose: bool, project: Path) -> None:
    """Print a report in one of `FORMATS`; what is made for other services goes without secrets and personal data,
    unless the privacy mode is off."""
    from aqe.engine.results import json_text

    if form == "text":
        from aqe.agents.review.text import text_of

        sys.stdout.write(text_of(report, verbose=verbose))
    elif form == "github":
        from aqe.agents.review.sarif import annotations_of

        sys.stdout.write(annotations_of(_shared(report, project)))
    elif form == "sarif":
        from aqe.agents.review.sarif import sarif_of

        sys.stdout.write(json_text(sarif_of(_shared(report, project)), indent=2) + "\n")
    else:
        sys.stdout.write(json_text(json_object(command, report)) + "\n")


def _shared(report: ReviewReport, project: Path) -> ReviewReport:
    """The report with its findings and notes as they may be passed on."""
    from aqe.engine.privacy.structure import redacted
    from aqe.engine.settings import load_settings

    if load_settings(project).privacy.mode == "off":
        return report
    told = redacted([[one.message, *one.evidence] for one in report.findings] + [[*report.notes]])
    findings = tuple(
        replace(one, message=message, evidence=tuple(evidence))
        for one, (message, *evidence) in zip(report.findings, told, strict=False)
    )
    return replace(report, findings=findings, notes=tuple(told[-1]))


def chosen_format(form: str, json: bool) -> str:
    """The format that the options ask for. Raises `UserError` (usage)."""
    if form not in FORMATS:
        raise UserError(f"{form!r} is no format.", code="usage", fix=f"Give one of {', '.join(FORMATS)}.")
    if json and form not in ("text", "json"):
        raise UserError(f"--json and --format {form} exclude each other.", code="usage", fix="Give one of them.")
    return "json" if json else form


def _root(head: str | None, project: Path | None) -> Path:
    """The project: what was named, else the head's folder, else found from here."""
    if project is None and head is not None and Path(head).is_dir():
        return Path(head).resolve()
    return project_at(project)


def _read(message: str, root: Path) -> str:
    path = locate(message, root)
    try:
        return path.read_text(encoding="utf-8", errors="replace")
    except OSError as error:
        raise UserError(
            f"The message {message!r} cannot be read: {error.strerror or type(error).__name__}.",
            code="no-such-path",
            fix="Name a text file.",
        ) from error


def _remember(root: Path, accept: list[str], dismiss: list[str], reason: str) -> tuple[Decision, ...]:
    """Write the decisions; returns them."""
    from aqe.agents.review.decisions import Verdict, decide

    verdicts: list[tuple[str, Verdict]] = [(one, "accepted") for one in accept]
    verdicts += [(one, "dismissed") for one in dismiss]
    both = sorted(set(accept) & set(dismiss))
    if both:
        raise UserError(f"{both[0]} is both accepted and dismissed.", code="usage", fix="Give each id once.")
    today = datetime.datetime.now(datetime.UTC).date()
    return decide(root, verdicts, shown_before(root), reason, today)


def _tell_decisions(made: Sequence[Decision], *, json: bool) -> None:
    from aqe.agents.review.decisions import FILE
    from aqe.server.cli.objects import DecisionsShown

    if json:
        print_json("review-decisions", DecisionsShown(list(made), FILE))
    else:
        sys.stdout.write(page(f"{one.verdict} {one.id}: {one.rule} in {one.path} ({FILE})" for one in made))


def shown_before(root: Path) -> list[Finding]:
    """The findings of the last review and the last audit."""
    from aqe.agents.review import Finding
    from aqe.engine.results import read_result

    found = []
    for command in ("audit", "review"):
        try:
            rows: list[dict[str, Any]] = read_result(root, command)["findings"]
        except (UserError, KeyError, TypeError):
            continue
        fields = Finding.__dataclass_fields__
        found += [Finding(**{key: row[key] for key in fields if key in row}) for row in rows]
    return found
