"""`aqe memory key set|rekey|remove`: the key that what is kept is encrypted with."""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Iterator
from typing import TYPE_CHECKING, Annotated

import typer

from aqe.engine.errors import UserError
from aqe.server.cli.care_work import DryRunOption, named_key, place_in
from aqe.server.cli.interrupts import working
from aqe.server.cli.output import JsonOption, ProjectOption, new_group, print_json

if TYPE_CHECKING:
    from aqe.engine.memory.care import Place
    from aqe.engine.memory.care.sealing import SealReport

app = new_group("Encrypt what is kept, change its key, or take the key away. No key is ever printed.")

KeyringOption = Annotated[
    bool, typer.Option("--keyring", help="Keep the key in the system's keyring, whatever AQE_DB_KEY says.")
]
NewKeyOption = Annotated[
    str | None,
    typer.Option("--key-env", metavar="NAME", help="The variable that holds the new key (else one is made)."),
]


@app.command("set")
def set_key(
    keyring: KeyringOption = False,
    key_env: NewKeyOption = None,
    dry_run: DryRunOption = False,
    json: JsonOption = False,
    project: ProjectOption = None,
) -> None:
    """Encrypt what is kept in clear: with AQE_DB_KEY where it is set, else with a key in the system's keyring.

    No other process may have it open. Results and other derived files are removed, copies in .aqe are encrypted too.
    """
    from aqe.engine.memory import Store
    from aqe.engine.memory.care.place import is_encrypted
    from aqe.engine.memory.file.keys import KEY, new_key
    from aqe.engine.project import database_path

    root, place, settings = place_in(project)
    if is_encrypted(place.path):
        raise UserError(
            "What is kept is encrypted already.", code="database-key", fix="Change its key: `aqe memory key rekey`."
        )
    by_keyring = keyring or not os.environ.get(KEY)
    new = named_key(key_env) or (new_key() if by_keyring else os.environ[KEY])
    if not place.path.exists() and not dry_run:
        Store.open(database_path(root, settings.store)).close()
    report = _change(place, None, new, by_keyring=by_keyring, dry_run=dry_run, quiet=json)
    _show("memory-key-set", report, json, None if report.encrypted and not dry_run else root)
    if by_keyring and os.environ.get(KEY) not in (None, "", new) and not dry_run:
        print("Unset AQE_DB_KEY from now on.", file=sys.stderr)
    elif not by_keyring and new != os.environ[KEY] and not dry_run:
        print(f"Set AQE_DB_KEY to the key in {key_env} from now on.", file=sys.stderr)


@app.command()
def rekey(
    keyring: KeyringOption = False,
    key_env: NewKeyOption = None,
    dry_run: DryRunOption = False,
    json: JsonOption = False,
    project: ProjectOption = None,
) -> None:
    """Put a new key in the place of the one that is in force.

    A key in the keyring is replaced by a new one there. Where AQE_DB_KEY is the key, name the variable with the new
    one, and set AQE_DB_KEY to it afterwards. No other process may have the memory open.
    """
    from aqe.engine.memory.care.place import is_encrypted
    from aqe.engine.memory.file.keys import KEY, new_key, pointer_of

    _, place, _ = place_in(project)
    if not is_encrypted(place.path):
        raise UserError("What is kept is not encrypted.", code="database-key", fix="Encrypt it: `aqe memory key set`.")
    by_keyring = keyring or pointer_of(place.path).exists()
    new = named_key(key_env) or (new_key() if by_keyring else None)
    if new is None:
        raise UserError(
            "There is no new key: the key in force comes from AQE_DB_KEY.",
            code="database-key",
            fix="Name the variable that holds the new one with --key-env NAME, or take --keyring.",
        )
    report = _change(place, place.key, new, by_keyring=by_keyring, dry_run=dry_run, quiet=json)
    _show("memory-key-rekey", report, json, None)
    if by_keyring and os.environ.get(KEY) and not dry_run:
        print("Unset AQE_DB_KEY from now on.", file=sys.stderr)
    elif not dry_run and not by_keyring:
        print(f"Set AQE_DB_KEY to the key in {key_env} from now on.", file=sys.stderr)


@app.command()
def remove(
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
    dry_run: DryRunOption = False,
    json: JsonOption = False,
    project: ProjectOption = None,
) -> None:
    """Leave what is kept in clear, and forget its key in the keyring."""
    from aqe.engine.memory.care.place import is_encrypted
    from aqe.engine.memory.file.keys import KEY, pointer_of

    root, place, _ = place_in(project)
    if not is_encrypted(place.path):
        raise UserError("What is kept is not encrypted.", code="database-key", fix="There is nothing to do.")
    if not yes and not dry_run:
        if not sys.stdin.isatty():
            raise UserError("Nobody can be asked here.", code="usage", fix="Say --yes to leave the memory in clear.")
        typer.confirm("Everything that is kept will lie in clear on the disk. Go on?", abort=True, err=True)
    had_pointer = pointer_of(place.path).exists()
    report = _change(place, place.key, None, by_keyring=False, dry_run=dry_run, quiet=json)
    _show("memory-key-remove", report, json, root)
    if had_pointer and not dry_run:
        print("Backups made under a key of the keyring cannot be read any more.", file=sys.stderr)
    if os.environ.get(KEY) and not dry_run:
        print("Unset AQE_DB_KEY from now on.", file=sys.stderr)


def _change(
    place: Place, old: str | None, new: str | None, *, by_keyring: bool, dry_run: bool, quiet: bool
) -> SealReport:
    """Change the key; one for the keyring is there before the store needs it, and an old one as long as it may."""
    from aqe.engine.memory.care.place import Place
    from aqe.engine.memory.care.sealing import seal

    place = Place(place.path, old, place.durability)
    with (
        working(quiet=quiet) as (progress, cancel),
        _held(place, new, by_keyring=by_keyring and not dry_run, dry_run=dry_run),
    ):
        return seal(place, new, dry_run=dry_run, progress=progress, cancel=cancel)


@contextlib.contextmanager
def _held(place: Place, new: str | None, *, by_keyring: bool, dry_run: bool) -> Iterator[None]:
    """The keyring and the pointer to it before and after the change that the block makes."""
    from aqe.engine.memory.file import keys

    pointer = keys.pointer_of(place.path)
    had_pointer = pointer.exists()
    if by_keyring and new is not None:
        try:
            name = keys.ensure_name(place.path)
            if place.key is not None:  # an earlier change that was cut off may have left it under the other name alone
                keys.write_key(name, place.key)
            keys.write_key(name + keys.NEXT, new)
        except BaseException:
            if not had_pointer:
                with contextlib.suppress(OSError):  # where nothing can be written it was not made either
                    pointer.unlink()
            raise
        try:
            yield
        except BaseException:
            if not keys.opens(place.path, new):  # else the store took the new key before the work was ended
                keys.drop_key(name + keys.NEXT)
                if not had_pointer:
                    with contextlib.suppress(OSError):
                        pointer.unlink()
            raise
        if place.key is not None:
            keys.keep_old(name, place.key)
        keys.write_key(name, new)
        keys.drop_key(name + keys.NEXT)
        return
    yield
    if not had_pointer or dry_run:
        return
    if new is None:
        keys.forget(place.path)
    elif not keys.has_key(place.path):  # a pointer to nothing would blame the keyring later
        pointer.unlink(missing_ok=True)


def _show(command: str, report: SealReport, json: bool, root: object) -> None:
    from pathlib import Path

    if json:
        print_json(command, report, project=root if isinstance(root, Path) else None)
        return
    would = "would be" if report.dry_run else "is"
    print(f"{report.file} {would} {'encrypted' if report.encrypted else 'in clear'}")
    for name in report.copies:
        print(f"  and {name}")
    for name in report.left:
        if name not in report.in_clear:
            print(f"not changed: {name}", file=sys.stderr)
    if report.other_names:
        print(f"not changed: {report.other_names} other names (hard links) of the file of before", file=sys.stderr)
    for name in report.in_clear:
        print(f"still in clear: {name}", file=sys.stderr)
