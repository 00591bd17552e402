"""What the commands that care for the store share: which store, and which keys."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from aqe.engine.errors import UserError
from aqe.server.cli.output import project_at

if TYPE_CHECKING:
    from aqe.engine.memory.care import Place
    from aqe.engine.settings import Settings

DryRunOption = Annotated[bool, typer.Option("--dry-run", help="Say what would be done, and change nothing.")]


def place_in(project: Path | None) -> tuple[Path, Place, Settings]:
    """The project, where its store is, and its settings."""
    from aqe.engine.memory.care import place_of
    from aqe.engine.settings import load_settings

    root = project_at(project)
    settings = load_settings(root)
    return root, place_of(root, settings=settings), settings


def named_key(name: str | None) -> str | None:
    """The key in the variable `name`; None where none was named."""
    return next(iter(named_keys(name)), None)


def named_keys(name: str | None) -> tuple[str | None, ...]:
    """The key in the variable `name`, where one was named."""
    if name is None:
        return ()
    key = os.environ.get(name)
    if not key:
        raise UserError(
            f"The variable {name!r} holds no key.", code="database-key", fix="Set it, or leave --key-env out."
        )
    from aqe.engine.memory.file.keys import checked

    return (checked(key, repr(name)),)
