"""What differs between two states of a project's memory: now, a snapshot, or a backup."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import Any, Literal

import apsw

from aqe.engine.errors import UserError
from aqe.engine.memory.care import states
from aqe.engine.memory.care.place import Place, is_text, open_backup
from aqe.engine.memory.care.snapshots import NOW, read_snapshot, unknown_snapshot
from aqe.engine.memory.file.connection import transaction
from aqe.engine.memory.file.failures import speaking
from aqe.engine.progress import CancelToken, Progress, silent

LOOK = 2000


@dataclass(frozen=True)
class Change:
    """One memory that differs; `before` and `after` are its texts, None on the side that does not have it."""

    kind: Literal["added", "changed", "removed"]
    namespace: str
    id: str
    before: str | None
    after: str | None
    metadata_before: dict[str, Any] | None
    metadata_after: dict[str, Any] | None


@dataclass(frozen=True)
class DiffReport:
    """What differs from `a` to `b`: counts of all, and the first of the changes by namespace and id."""

    a: str
    b: str
    added: int
    changed: int
    removed: int
    same: int
    changes: tuple[Change, ...]


@dataclass(frozen=True)
class _Side:
    connection: apsw.Connection
    entries: Iterator[states.Entry]


def compare(
    place: Place,
    a: str,
    b: str,
    *,
    limit: int = 50,
    keys: Sequence[str | None] = (),
    progress: Progress = silent,
    cancel: CancelToken | None = None,
) -> DiffReport:
    """Compare two states, each the name of a snapshot, `now`, or the path of a backup; nothing is written.

    A name that is a snapshot's is taken for it before a file of that name. `keys` are more keys to try on backups.
    Raises `UserError` (unknown-snapshot, database-key, database-broken), `Cancelled`.
    """
    counts = {"added": 0, "changed": 0, "removed": 0, "same": 0}
    changes: list[Change] = []
    with contextlib.ExitStack() as stack:
        before, after = (_side(stack, place, name, place.keys(*keys)) for name in (a, b))
        for seen, (old, new) in enumerate(states.pairs(before.entries, after.entries)):
            if seen % LOOK == 0:
                if cancel is not None:
                    cancel.check()
                progress("Comparing", seen)
            kind = _kind(old, new)
            counts[kind] += 1
            if kind != "same" and len(changes) < limit:
                changes.append(_change(kind, old, new, before.connection, after.connection))
    return DiffReport(a, b, counts["added"], counts["changed"], counts["removed"], counts["same"], tuple(changes))


def _side(stack: contextlib.ExitStack, place: Place, name: str, keys: tuple[str | None, ...]) -> _Side:
    """One of the two states, on a connection of its own that sees one state of its file."""
    connection = place.connect_to_read()
    stack.callback(connection.close)
    path = place.path
    if name != NOW and not _has_snapshot(connection, place.path, name):
        if not Path(name).is_file():
            with speaking(place.path):
                raise unknown_snapshot(connection, name)
        path = Path(name)
        stack.enter_context(_naming(path))
        connection, _ = open_backup(path, keys)
        stack.callback(connection.close)
        name = NOW
    stack.enter_context(speaking(path))
    stack.enter_context(transaction(connection, path, write=False))
    if name == NOW:
        return _Side(connection, states.current(connection))
    return _Side(connection, states.of_rows(connection, *read_snapshot(connection, name)))


@contextlib.contextmanager
def _naming(backup: Path) -> Iterator[None]:
    """What is broken of a backup no repair of the store mends."""
    try:
        yield
    except UserError as error:
        if error.code != "database-broken" or repr(str(backup)) not in error.message:
            raise
        raise UserError(error.message, code=error.code, fix="Name another backup or a snapshot.") from error


def _has_snapshot(connection: apsw.Connection, path: Path, name: str) -> bool:
    if not is_text(name):
        return False
    with speaking(path):
        there = connection.execute("SELECT 1 FROM sqlite_schema WHERE name = 'snapshots'").fetchone() is not None
        return there and connection.execute("SELECT 1 FROM snapshots WHERE name = ?", (name,)).fetchone() is not None


def _kind(old: states.Entry | None, new: states.Entry | None) -> Literal["added", "changed", "removed", "same"]:
    if old is None:
        return "added"
    if new is None:
        return "removed"
    return "same" if old.content == new.content else "changed"


def _change(
    kind: Literal["added", "changed", "removed"],
    old: states.Entry | None,
    new: states.Entry | None,
    left: apsw.Connection,
    right: apsw.Connection,
) -> Change:
    known = next(entry for entry in chain((new, old)) if entry is not None)
    return Change(
        kind,
        known.namespace,
        known.id,
        _text(left, old),
        _text(right, new),
        None if old is None else json.loads(old.metadata),
        None if new is None else json.loads(new.metadata),
    )


def _text(connection: apsw.Connection, entry: states.Entry | None) -> str | None:
    if entry is None:
        return None
    return str(connection.execute("SELECT text FROM memories WHERE row = ?", (entry.row,)).get)
