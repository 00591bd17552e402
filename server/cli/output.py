"""What verbs print: JSON objects, progress on a terminal, and the options that mean the same everywhere."""

from __future__ import annotations

import contextlib
import dataclasses
import os
import sys
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from pathlib import Path
from typing import Annotated, Any

import typer

from aqe.engine.errors import UserError
from aqe.engine.marker import write_bytes_atomic
from aqe.engine.progress import Progress, silent
from aqe.engine.project import unwritable
from aqe.engine.results import json_text, write_result

JsonOption = Annotated[bool, typer.Option("--json", help="Print one JSON object on stdout and nothing else.")]
ProjectOption = Annotated[
    Path | None, typer.Option("--project", metavar="DIR", help="The project's folder (else found from here upwards).")
]
PythonOption = Annotated[
    str | None, typer.Option("--python", metavar="PATH", help="The interpreter that runs the project's code.")
]
SeedOption = Annotated[int, typer.Option("--seed", metavar="N", help="Seed of every random choice.")]
BudgetOption = Annotated[
    str | None, typer.Option("--budget", metavar="TIME", help="Wall time of the work: 20, 20s or 2m.")
]


def new_group(help: str) -> typer.Typer:
    """A group of commands with plain help, as every group of aqe has it."""
    return typer.Typer(
        add_completion=False, rich_markup_mode=None, pretty_exceptions_enable=False, no_args_is_help=True, help=help
    )


def project_at(folder: Path | None) -> Path:
    """The project that --project names, else the one around the working directory. Raises `UserError`
    (no-such-project)."""
    from aqe.engine.project import find_project

    return find_project(explicit=None if folder is None else str(folder))


def seconds_of(budget: str | None) -> float | None:
    """What --budget says in seconds; None where it was not given. Raises `UserError` (bad-budget)."""
    from aqe.engine.budget import parse_budget

    return None if budget is None else parse_budget(budget)


def as_json(value: Any) -> Any:
    """`value` as JSON types: dataclasses become objects, tuples lists, paths strings."""
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {field.name: as_json(getattr(value, field.name)) for field in dataclasses.fields(value)}
    if isinstance(value, Mapping):
        return {str(key): as_json(item) for key, item in value.items()}
    if isinstance(value, (list, tuple, set, frozenset)):
        return [as_json(item) for item in value]
    if isinstance(value, Path):
        return value.as_posix()
    return value


def json_object(command: str, obj: Any) -> dict[str, Any]:
    """The object that `--json` prints for `command`: its schema's name, then the report."""
    return {"schema": f"aqe.{command}/1", **as_json(obj)}


def print_json(command: str, obj: Any, *, project: Path | None = None) -> None:
    """Print the report of `command` as one JSON object; with a project, also keep it in `.aqe/results`."""
    whole = json_object(command, obj)
    if project is not None:
        keep_result(project, command, whole)
    sys.stdout.write(json_text(whole) + "\n")


def give(command: str, obj: Any, text: Callable[[], str], *, project: Path, json: bool) -> None:
    """Keep the report of `command` in `.aqe/results`, and print it: as one JSON object, else as the text for people."""
    if json:
        print_json(command, obj, project=project)
        return
    keep_result(project, command, json_object(command, obj))
    sys.stdout.write(text())


def keep_result(project: Path, command: str, whole: Mapping[str, Any]) -> None:
    """Keep the report for `aqe://reports/last`; a project that cannot be written to is no reason to fail."""
    with contextlib.suppress(UserError):
        write_result(project, command, dict(whole))


def refuse_output(file: Path, what: str) -> None:
    """`UserError` (bad-output) where `file` can surely not be written; asked before any work is done."""
    target = file.resolve()
    if target.is_dir():
        why = "is a folder"
    elif not target.parent.is_dir():
        why = "lies in no folder that exists"
    elif not os.access(file if file.exists() else target.parent, os.W_OK):
        why = "cannot be written by this user"
    else:
        return
    raise UserError(f"{what} {str(file)!r} {why}.", code="bad-output", fix="Name a file in a folder of yours.")


def write_output(file: Path, text: str) -> None:
    """Write `text` as UTF-8: a file whole or not at all, a link's own file, a pipe or device as it is.

    Raises `UserError` (project-read-only, disk-full).
    """
    data = text.encode("utf-8")
    if file.is_file() or not file.exists():
        write_bytes_atomic(file.resolve(), data)
        return
    try:
        file.write_bytes(data)
    except OSError as error:
        raise unwritable(file, error) from error


def kept_where(project: Path) -> Path | None:
    """Where a command that only looks keeps its report: the project, if it has `.aqe` already, else nowhere."""
    return project if (project / ".aqe").is_dir() else None


@dataclasses.dataclass(frozen=True)
class Shown:
    """A progress, and `say`: a line on stderr that stays."""

    show: Progress
    say: Callable[[str], None]

    def __call__(self, text: str, done: float = 0.0, total: float | None = None) -> None:
        self.show(text, done, total)


@contextlib.contextmanager
def terminal_progress(*, quiet: bool = False) -> Iterator[Shown]:
    """A progress shown on stderr when it is a terminal; shows none when piped or `quiet`."""
    if quiet or not sys.stderr.isatty():
        yield Shown(silent, _to_stderr)
        return
    from rich.console import Console
    from rich.progress import BarColumn, SpinnerColumn, TextColumn, TimeElapsedColumn
    from rich.progress import Progress as Bars

    columns = (SpinnerColumn(), TextColumn("{task.description}", markup=False), BarColumn(24), TimeElapsedColumn())
    with Bars(*columns, console=Console(stderr=True), transient=True, refresh_per_second=8) as bars:
        line = bars.add_task("Starting", total=None)

        def show(text: str, done: float = 0.0, total: float | None = None) -> None:
            bars.update(line, description=text, completed=done, total=total)

        yield Shown(show, partial(bars.console.print, markup=False, highlight=False))


def _to_stderr(text: str) -> None:
    with contextlib.suppress(OSError):
        sys.stderr.write(text + "\n")
        sys.stderr.flush()
