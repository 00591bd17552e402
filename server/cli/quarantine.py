"""`aqe quarantine`: tests whose failure does not fail `pytest --aqe-quarantine`, in aqe-quarantine.toml."""

from __future__ import annotations

import datetime
import re
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from aqe.engine.errors import UserError
from aqe.server.cli.output import JsonOption, ProjectOption, kept_where, new_group, print_json, project_at

if TYPE_CHECKING:
    from collections.abc import Iterable

    from aqe.agents.flaky import Quarantined

app = new_group("Keep, list and release tests whose failure does not fail `pytest --aqe-quarantine`.")

TestsArgument = Annotated[list[str], typer.Argument(metavar="NODEID...", help="As pytest prints it: PATH::NAME.")]


@dataclass(frozen=True)
class QuarantinedShown:
    """One test in quarantine; dates are ISO 8601, `expires` empty where it has no end."""

    id: str
    reason: str
    since: str
    expires: str
    expired: bool


@dataclass(frozen=True)
class QuarantineShown:
    """The tests that a command added, lists or released, and the file that holds them."""

    tests: tuple[QuarantinedShown, ...]
    file: str


@app.command()
def add(
    tests: TestsArgument,
    reason: Annotated[str, typer.Option("--reason", metavar="TEXT", help="Why, for whoever reads it next.")],
    expires: Annotated[
        str | None,
        typer.Option("--expires", metavar="DATE", help="Its last day, like 2026-01-31, or days from now, like 14d."),
    ] = None,
    json: JsonOption = False,
    project: ProjectOption = None,
) -> None:
    """Put tests into quarantine. One that is there gets the new reason and date; comments in the file stay."""
    from aqe.agents.flaky import add_quarantined
    from aqe.agents.flaky.node_ids import doubt

    if not reason.strip():
        raise UserError("The reason is empty.", code="bad-argument", fix="Say in a few words why, with --reason.")
    root, today = project_at(project), datetime.date.today()
    last = None if expires is None else _day(expires, today)
    added = add_quarantined(root, tests, reason=" ".join(reason.split()), today=today, expires=last)
    for why in filter(None, (doubt(root, entry.id) for entry in added)):
        print(f"Warning: {why}", file=sys.stderr)
    _show("quarantine-add", added, root, today, json=json, verb="Quarantined")


@app.command("list")
def list_(json: JsonOption = False, project: ProjectOption = None) -> None:
    """Show the tests in quarantine, since when, until when and why."""
    from aqe.agents.flaky import read_quarantine

    root = project_at(project)
    _show("quarantine-list", read_quarantine(root), root, datetime.date.today(), json=json, verb="")


@app.command()
def release(tests: TestsArgument, json: JsonOption = False, project: ProjectOption = None) -> None:
    """Take tests out of quarantine: their failures count again."""
    from aqe.agents.flaky import release_quarantined

    root = project_at(project)
    released = release_quarantined(root, tests)
    _show("quarantine-release", released, root, datetime.date.today(), json=json, verb="Released")


def _day(text: str, today: datetime.date) -> datetime.date:
    """The day that `2026-01-31` or `14d` means."""
    days = re.fullmatch(r"(\d{1,4})d", text.strip())
    try:
        return today + datetime.timedelta(int(days[1])) if days else datetime.date.fromisoformat(text.strip())
    except ValueError:
        raise UserError(
            f"{text!r} is not a day.", code="bad-argument", fix="Write it like 2026-01-31, or 14d for in 14 days."
        ) from None


def _show(
    command: str, entries: Iterable[Quarantined], root: Path, today: datetime.date, *, json: bool, verb: str
) -> None:
    from aqe.agents.flaky.quarantine import FILE

    shown = tuple(
        QuarantinedShown(
            entry.id,
            entry.reason,
            "" if entry.since == datetime.date.min else entry.since.isoformat(),
            "" if entry.expires is None else entry.expires.isoformat(),
            entry.has_expired(today),
        )
        for entry in entries
    )
    if json:
        print_json(command, QuarantineShown(shown, FILE), project=kept_where(root))
        return
    for one in shown:
        end = f", {'expired' if one.expired else 'until'} {one.expires}" if one.expires else ""
        print(f"{verb + ' ' if verb else ''}{one.id}: {one.reason} (since {one.since or 'unknown'}{end})")
    if not verb:
        print(f"{len(shown)} in quarantine", file=sys.stderr)
