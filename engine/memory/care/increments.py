"""Incremental backups: the rows that differ from an earlier whole backup, in a file of their own.

Every real table of the store is compared with the backup's row by row, those behind the text index and the vectors too,
so an increment grows with what changed and not with the store. It names the backup it rests on by name and digest; both
together are the store again. It is a SQLite file, encrypted as the store is.
"""

from __future__ import annotations

import contextlib
import hashlib
import itertools
import json
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import apsw

from aqe.engine.errors import UserError
from aqe.engine.memory.care.copying import pinned, spare_for, write_copy
from aqe.engine.memory.care.place import INCREMENT, Place, address_to_read, key_of, open_backup, open_file
from aqe.engine.memory.file.connection import BUSY_TIMEOUT_S, transaction
from aqe.engine.memory.file.failures import blaming, broken, speaking
from aqe.engine.memory.file.migrations import BORN
from aqe.engine.progress import CancelToken, Progress, silent

_HEAD = """
CREATE TABLE basis (name TEXT NOT NULL, digest BLOB NOT NULL, version INTEGER NOT NULL);
CREATE TABLE created (sql TEXT NOT NULL);
CREATE TABLE parts (number INTEGER PRIMARY KEY, name TEXT NOT NULL, keys TEXT NOT NULL, columns TEXT NOT NULL,
    has_changed INTEGER NOT NULL, has_gone INTEGER NOT NULL);
CREATE TABLE sequences (name TEXT NOT NULL, seq INTEGER NOT NULL);
"""
_TABLES = (
    "SELECT name, wr FROM live.pragma_table_list WHERE schema = 'live' AND type IN ('table', 'shadow')"
    " AND name NOT LIKE 'sqlite^_%' ESCAPE '^' ORDER BY name"
)


@dataclass(frozen=True)
class Basis:
    """The whole backup that an increment rests on."""

    name: str
    digest: bytes
    version: int


def write_increment(
    place: Place,
    spare: Path,
    base: Path,
    *,
    keys: tuple[str | None, ...] = (),
    progress: Progress = silent,
    cancel: CancelToken | None = None,
) -> None:
    """Write to `spare` what the store has now and the backup `base` has not, and what it has no more.

    Raises `UserError` (database-broken, database-key; bad-backup where the backup has other tables).
    """
    opened, base_key = open_backup(base, place.keys(*keys))
    opened.close()
    digest = file_digest(base)
    with _side_by_side(place, spare, base, base_key) as connection, transaction(connection, spare):
        version = _check_basis(connection, base)
        connection.execute(_HEAD)
        connection.execute("INSERT INTO basis VALUES (?, ?, ?)", (base.name, digest, version))
        connection.execute(
            "INSERT INTO created SELECT sql FROM live.sqlite_schema WHERE sql LIKE 'CREATE VIRTUAL %'"
            " AND name NOT IN (SELECT name FROM base.sqlite_schema) ORDER BY rowid"
        )
        connection.execute("INSERT INTO sequences SELECT name, seq FROM live.sqlite_sequence")
        known = {str(name) for (name,) in connection.execute("SELECT name FROM base.sqlite_schema")}
        tables: list[Any] = connection.execute(_TABLES).fetchall()
        for number, (name, without_rowid) in enumerate(tables):
            if cancel is not None:
                cancel.check()
            progress("Comparing with the earlier backup", number, len(tables))
            _write_part(connection, number, str(name), is_plain=not without_rowid, is_new=name not in known)
        connection.execute(f"PRAGMA main.application_id = {INCREMENT}")


@contextlib.contextmanager
def whole(
    file: Path,
    base: Path | None,
    keys: tuple[str | None, ...],
    *,
    near: Path,
    progress: Progress = silent,
    cancel: CancelToken | None = None,
) -> Iterator[tuple[Path, str | None]]:
    """A backup as one whole file, with its key, for the length of the block: itself, or an increment put together with
    the backup it rests on (`base`, else the one of that name in its folder) in a file beside `near`.

    Raises `UserError` as `put_together` does, and no-such-path where that backup is not there.
    """
    key = key_of(file, keys)
    basis = read_basis(file, key)
    if basis is None:
        yield file, key
        return
    if base is None:
        base = file.with_name(basis.name)
        if not base.exists():
            raise UserError(
                f"{str(file)!r} rests on the backup {basis.name!r}, which is not beside it.",
                code="no-such-path",
                fix="Put it there, or name it to `aqe memory restore` with --base.",
            )
    base_key = key_of(base, (*keys, key))
    with spare_for(near) as spare:
        with blaming(file):
            put_together(file, key, base, base_key, spare, progress=progress, cancel=cancel)
        yield spare, base_key


def read_basis(file: Path, key: str | None) -> Basis | None:
    """What an increment rests on; None for a file that is none."""
    connection = open_file(file, key=key)
    try:
        with speaking(file, key=key):
            if int(connection.pragma("application_id")) != INCREMENT:
                return None
            found: list[Any] = connection.execute("SELECT name, digest, version FROM basis").fetchall()
    finally:
        connection.close()
    if len(found) != 1:
        raise broken(file, "it does not say what it rests on")
    return Basis(str(found[0][0]), bytes(found[0][1]), int(found[0][2]))


def put_together(
    file: Path,
    key: str | None,
    base: Path,
    base_key: str | None,
    spare: Path,
    *,
    progress: Progress = silent,
    cancel: CancelToken | None = None,
) -> None:
    """Make at `spare` the store that an increment and the backup it rests on hold together, with the backup's key.

    Raises `UserError` (bad-backup where it rests on another file, database-broken).
    """
    basis = read_basis(file, key)
    if basis is None or file_digest(base) != basis.digest:
        raise UserError(
            f"{str(file)!r} does not rest on {str(base)!r} as it is now.",
            code="bad-backup",
            fix=f"Give the backup that it was made from with --base; its name was {basis.name if basis else '-'!r}.",
        )
    source, _ = open_backup(base, (base_key,))
    try:
        with pinned(source, base):
            write_copy(source, spare, key=base_key, progress=progress, cancel=cancel)
    finally:
        source.close()
    connection = open_file(spare, key=base_key, write=True)
    try:
        with speaking(spare, key=base_key):
            connection.execute("ATTACH ? AS increment KEY ?", (str(file), key or ""))
            connection.config(apsw.SQLITE_DBCONFIG_ENABLE_TRIGGER, 0)
            connection.pragma("foreign_keys", False)
        with transaction(connection, spare):
            _apply(connection, progress, cancel)
    finally:
        connection.close()


def file_digest(path: Path) -> bytes:
    """The SHA-256 of a file's bytes."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").digest()


@contextlib.contextmanager
def _side_by_side(place: Place, spare: Path, base: Path, base_key: str | None) -> Iterator[apsw.Connection]:
    """A connection to the new file with the store as `live` and the earlier backup as `base` beside it."""
    with speaking(spare):
        flags = apsw.SQLITE_OPEN_READWRITE | apsw.SQLITE_OPEN_CREATE | apsw.SQLITE_OPEN_URI
        connection = apsw.Connection(str(spare), flags=flags)
        try:
            connection.set_busy_timeout(int(BUSY_TIMEOUT_S * 1000))
            if place.key:
                connection.pragma("key", place.key)
            live = str(place.path) if os.access(place.folder, os.W_OK) else address_to_read(place.path)
            connection.execute("ATTACH ? AS live KEY ?", (live, place.key or ""))
            connection.execute("ATTACH ? AS base KEY ?", (address_to_read(base), base_key or ""))
            yield connection
        finally:
            connection.close()


def _check_basis(connection: apsw.Connection, base: Path) -> int:
    """The version of both files; raises `UserError` (bad-backup) unless the store grew out of what the backup holds."""
    born, there = (connection.execute(f"SELECT {BORN} FROM {name}.migrations").get for name in ("live", "base"))
    if born != there:
        raise UserError(
            f"{str(base)!r} is a backup of another store than this one.",
            code="bad-backup",
            fix="Name an earlier backup of this one, or take a whole backup: leave --since out.",
        )
    version, earlier = (int(connection.execute(f"PRAGMA {name}.user_version").get) for name in ("live", "base"))
    sql = "SELECT name FROM base.sqlite_schema EXCEPT SELECT name FROM live.sqlite_schema"
    if version != earlier or connection.execute(sql).fetchall():
        raise UserError(
            f"{str(base)!r} has other tables than the store has now: it is of another version.",
            code="bad-backup",
            fix="Take a whole backup: leave --since out.",
        )
    return version


def _write_part(connection: apsw.Connection, number: int, table: str, *, is_plain: bool, is_new: bool) -> None:
    """Write the rows of one table that changed to `changed_N`, and the keys of those that are gone to `gone_N`."""
    keys, columns = _columns(connection, table, is_plain)
    both = [*keys, *columns]
    shown = ", ".join(f"now.{_name(one)}" for one in both)
    changed, gone = f'SELECT {shown} FROM live."{table}" AS now', ""
    if not is_new:
        match = " AND ".join(f"now.{_name(key)} = was.{_name(key)}" for key in keys)
        now, was = ("(" + ", ".join(f"{side}.{_name(one)}" for one in columns) + ")" for side in ("now", "was"))
        changed += (
            f' LEFT JOIN base."{table}" AS was ON {match} WHERE was.{_name(keys[0])} IS NULL OR {now} IS NOT {was}'
        )
        gone = (
            f'SELECT {", ".join(f"was.{_name(key)}" for key in keys)} FROM base."{table}" AS was'
            f' LEFT JOIN live."{table}" AS now ON {match} WHERE now.{_name(keys[0])} IS NULL'
        )
    names = [f"k{at}" for at in range(len(keys))]
    has_changed = _fill(connection, f"changed_{number}", [*names, *(f"c{at}" for at in range(len(columns)))], changed)
    has_gone = bool(gone) and _fill(connection, f"gone_{number}", names, gone)
    if has_changed or has_gone:
        facts = (number, table, json.dumps(keys), json.dumps(columns), has_changed, has_gone)
        connection.execute("INSERT INTO parts VALUES (?, ?, ?, ?, ?, ?)", facts)


def _fill(connection: apsw.Connection, target: str, names: list[str], sql: str) -> bool:
    """Put the rows of a query into a new table of the increment; none is made where there is no row."""
    rows = iter(connection.execute(sql))
    first = next(rows, None)
    if first is None:
        return False
    connection.execute(f"CREATE TABLE {target} ({', '.join(names)})")
    connection.executemany(
        f"INSERT INTO {target} VALUES ({', '.join('?' * len(names))})", itertools.chain((first,), rows)
    )
    keys = [name for name in names if name.startswith("k")]
    if len(keys) > 1:
        connection.execute(f"CREATE INDEX {target}_keys ON {target} ({', '.join(keys)})")
    return True


def _columns(connection: apsw.Connection, table: str, is_plain: bool) -> tuple[list[str], list[str]]:
    """What a row of the table is known by (`_rowid_` where no column is that), and all its columns."""
    found: list[Any] = connection.execute(f'PRAGMA live.table_info("{table}")').fetchall()
    columns = [str(row[1]) for row in found]
    if not is_plain:
        return [str(row[1]) for row in sorted(found, key=lambda row: row[5]) if row[5]], columns
    keys = [str(row[1]) for row in found if row[5] and str(row[2]).upper() == "INTEGER"]
    alone = len(keys) == 1 and sum(1 for row in found if row[5]) == 1
    return (keys if alone else ["_rowid_"]), columns


def _apply(connection: apsw.Connection, progress: Progress, cancel: CancelToken | None) -> None:
    for (sql,) in connection.execute("SELECT sql FROM increment.created ORDER BY rowid").fetchall():
        connection.execute(str(sql))
    parts: list[Any] = connection.execute("SELECT * FROM increment.parts ORDER BY number").fetchall()
    for number, table, keys_json, columns_json, has_changed, has_gone in parts:
        if cancel is not None:
            cancel.check()
        progress("Putting together", number, len(parts))
        keys, columns = json.loads(keys_json), json.loads(columns_json)
        match = " AND ".join(f'"{table}".{_name(key)} = old.k{at}' for at, key in enumerate(keys))
        for source, is_there in ((f"gone_{number}", has_gone), (f"changed_{number}", has_changed)):
            if is_there and len(keys) > 1:
                old = f"SELECT 1 FROM increment.{source} AS old WHERE {match}"
                connection.execute(f'DELETE FROM "{table}" WHERE EXISTS ({old})')
            elif is_there:
                old = f"SELECT k0 FROM increment.{source}"
                connection.execute(f'DELETE FROM "{table}" WHERE {_name(keys[0])} IN ({old})')
        if has_changed:
            own = keys == ["_rowid_"]
            into = ", ".join(_name(one) for one in ([*keys, *columns] if own else columns))
            taken = ", ".join([*(["k0"] if own else []), *(f"c{at}" for at in range(len(columns)))])
            connection.execute(f'INSERT INTO "{table}" ({into}) SELECT {taken} FROM increment.changed_{number}')
    connection.execute("DELETE FROM sqlite_sequence")
    connection.execute("INSERT INTO sqlite_sequence (name, seq) SELECT name, seq FROM increment.sequences")


def _name(column: str) -> str:
    return column if column == "_rowid_" else f'"{column}"'
