"""The whole state of a project in one archive: memories with history, vectors and edges, sessions, answers, feedback.

A zip file with a manifest that names each part, its rows and its SHA-256. What is derived (the project index, codes,
the impact map) is left out, and so is what belongs to one machine (consents, the audit log, circuits, jobs).
"""

from __future__ import annotations

import hashlib
import io
import json
import math
import re
import zipfile
import zlib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from importlib import metadata
from pathlib import Path
from typing import IO, Any

import apsw

from aqe.engine.errors import UserError
from aqe.engine.marker import write_bytes_atomic
from aqe.engine.memory.entry import rfc3339
from aqe.engine.memory.file.row_sums import GUARDED, seal
from aqe.engine.memory.store import Store
from aqe.engine.memory.transfer.detecting import Contents
from aqe.engine.memory.transfer.exporting import check_target, refuse_present
from aqe.engine.memory.transfer.files import Tensors, read_lines, read_tensors, write_lines
from aqe.engine.memory.transfer.importing import Conflict, Imported, import_memories
from aqe.engine.memory.transfer.joined import check_read, put_read, read_edges
from aqe.engine.memory.transfer.reading import PAGE, Wanted, count_records, read_records
from aqe.engine.memory.transfer.record import column_value, json_value
from aqe.engine.memory.transfer.truncation import ARCHIVE, cut_short
from aqe.engine.progress import CancelToken, Progress, silent

SCHEMA = "aqe.state/1"
MANIFEST, MEMORIES, VECTORS = "manifest.json", "memories.jsonl", "vectors.safetensors"
EDGES = "edges.jsonl"
MOST_BYTES = 8_000_000_000
MANIFEST_BYTES = 1_000_000
_STATE = re.compile(r"aqe\.state/(\d+)")


@dataclass(frozen=True)
class _Table:
    """A table whose rows go along: by which columns a row is known to be there already, and which columns hold the
    number of a row of another table, with the column that names that row everywhere."""

    name: str
    key: tuple[str, ...]
    refers: Mapping[str, tuple[str, str]]


TABLES = (
    _Table("sessions", ("id",), {}),
    _Table("turns", ("session", "position"), {}),
    _Table("interactions", ("id",), {}),
    _Table("routes", ("request_id", "created_at"), {}),
    _Table("feedback", ("id",), {}),
    _Table("marks", ("namespace", "id", "at", "feedback"), {"feedback": ("feedback", "id")}),
    _Table("test_runs", ("run", "nodeid", "started_at", "worker"), {}),
)


@dataclass(frozen=True)
class StateExported:
    """What was written: rows of each part, and the bytes of the archive."""

    rows: Mapping[str, int]
    bytes: int


@dataclass(frozen=True)
class StateImported:
    """What became of the memories, and for each other part how many rows were added and how many were there."""

    memories: Imported
    added: Mapping[str, int]
    same: Mapping[str, int]


def export_state(
    store: Store,
    target: Path,
    *,
    force: bool = True,
    progress: Progress = silent,
    cancel: CancelToken | None = None,
) -> StateExported:
    """Write the state at one moment into the archive `target`, while others go on writing; over a file that is there
    only with `force`.

    Raises `UserError` (bad-output, project-read-only, disk-full) and `Cancelled`; then the archive is not there.
    """
    check_target(target, store)
    if not force:
        refuse_present(target, "Give force=True to write over it.")
    parts: dict[str, dict[str, Any]] = {}
    buffer = io.BytesIO()
    tensors = Tensors()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive, store.looking() as connection:
        wanted = Wanted(history=True, knowledge=True)
        total = count_records(connection, wanted)

        def memories(out: _Part) -> int:
            records = read_records(connection, wanted)
            watched = _watched(records, "Writing memories", total, progress, cancel)
            write_lines(watched, out.text(), now=store.now(), revisions=total, tensor=tensors.put)
            return total

        parts[MEMORIES] = _write(archive, MEMORIES, memories)
        parts[VECTORS] = _write(archive, VECTORS, lambda out: out.whole(tensors.dump(), tensors.count))
        for table in TABLES:
            rows = _watched(_rows(connection, table), f"Writing {table.name}", None, progress, cancel)
            parts[_file_of(table)] = _write(archive, _file_of(table), _lines_of(rows))
        parts[EDGES] = _write(archive, EDGES, _lines_of(read_edges(connection)))
        manifest = {
            "schema": SCHEMA,
            "aqe": metadata.version("aqe"),
            "database": int(connection.pragma("user_version")),
            "made_at": rfc3339(store.now()),
            "parts": parts,
        }
        archive.writestr(MANIFEST, json.dumps(manifest, indent=1) + "\n")
    data = buffer.getvalue()
    write_bytes_atomic(target.resolve(), data)
    return StateExported({name: part["rows"] for name, part in parts.items()}, len(data))


def import_state(
    store: Store,
    source: Path,
    *,
    conflict: Conflict = "keep",
    dry_run: bool = False,
    progress: Progress = silent,
    cancel: CancelToken | None = None,
) -> StateImported:
    """Take in an archive that `export_state` wrote: memories as `import_memories` does, of the rest what is not there.

    Everything is checked before the first write. Raises `UserError` (no-such-path, state-broken, state-newer,
    bad-record, import-conflict and those of the store) and `Cancelled`.
    """
    with store.reading() as connection:
        version = int(connection.pragma("user_version"))
    parts = _read(source, version)
    numbers = read_tensors(parts[VECTORS], name=VECTORS)
    text = _text(parts[MEMORIES], MEMORIES)
    records = tuple(read_lines(text.split("\n"), name=MEMORIES, tensor=numbers.get))
    tables = {table.name: _values(parts[_file_of(table)], _file_of(table)) for table in TABLES}
    edges = check_read(_objects(parts[EDGES], EDGES))
    contents = Contents("jsonl", records, ())
    told = import_memories(store, contents, conflict=conflict, dry_run=dry_run, progress=progress, cancel=cancel)
    added: dict[str, int] = {}
    same: dict[str, int] = {}
    for table in TABLES:
        if cancel is not None:
            cancel.check()
        rows = tables[table.name]
        progress(f"Taking {table.name} in", 0, len(rows))
        with store.reading() if dry_run else store.writing() as connection:
            added[table.name] = _put_rows(connection, table, rows, dry_run=dry_run)
        same[table.name] = len(rows) - added[table.name]
    with store.reading() if dry_run else store.writing() as connection:
        added["edges"], alone = put_read(connection, edges, now=store.now(), dry_run=dry_run)
    same["edges"] = len(edges) - added["edges"] - alone
    if alone:
        why = "a memory that they join is not here: `aqe index` the project, then import again"
        told = replace(told, left_out=(*told.left_out, (f"{alone} edge{'' if alone == 1 else 's'}", why)))
    return StateImported(replace(told, form="state"), added, same)


def is_state(path: Path) -> bool:
    """Whether a file is such an archive, or begins as one: as a zip file does."""
    try:
        if not path.is_file():
            return False
        with path.open("rb") as file:
            head = file.read(len(ARCHIVE))
    except OSError:
        return False
    return head == ARCHIVE or (0 < len(head) < len(ARCHIVE) and ARCHIVE.startswith(head))


class _Part:
    """One part of the archive while it is written: what goes in is counted and hashed."""

    def __init__(self, out: IO[bytes]) -> None:
        self._out = out
        self.digest = hashlib.sha256()
        self.bytes = 0

    def write(self, data: bytes) -> None:
        self._out.write(data)
        self.digest.update(data)
        self.bytes += len(data)

    def text(self) -> _Text:
        return _Text(self)

    def whole(self, data: bytes, rows: int) -> int:
        self.write(data)
        return rows

    def lines(self, rows: Iterator[Mapping[str, Any]]) -> int:
        count = 0
        for row in rows:
            self.write(json.dumps(row, ensure_ascii=False, allow_nan=False).encode("utf-8") + b"\n")
            count += 1
        return count


class _Text:
    def __init__(self, part: _Part) -> None:
        self._part = part

    def write(self, text: str, /) -> None:
        self._part.write(text.encode("utf-8"))


def _write(archive: zipfile.ZipFile, name: str, fill: Callable[[_Part], int]) -> dict[str, Any]:
    with archive.open(name, "w", force_zip64=True) as out:
        part = _Part(out)
        rows = fill(part)
    return {"sha256": part.digest.hexdigest(), "bytes": part.bytes, "rows": rows}


def _lines_of(rows: Iterator[Mapping[str, Any]]) -> Callable[[_Part], int]:
    return lambda out: out.lines(rows)


def _file_of(table: _Table) -> str:
    return f"{table.name}.jsonl"


def _watched(
    items: Iterator[Any], text: str, total: int | None, progress: Progress, cancel: CancelToken | None
) -> Iterator[Any]:
    for done, item in enumerate(items):
        if done % PAGE == 0:
            progress(text, done, total)
            if cancel is not None:
                cancel.check()
        yield item


def _rows(connection: apsw.Connection, table: _Table) -> Iterator[dict[str, Any]]:
    columns = _columns(connection, table.name)
    chosen = [_chosen(column, table.refers.get(column)) for column in columns]
    for row in connection.execute(f'SELECT {", ".join(chosen)} FROM "{table.name}" t ORDER BY rowid'):
        yield {name: json_value(value) for name, value in zip(columns, row, strict=True) if value is not None}


def _chosen(column: str, refers: tuple[str, str] | None) -> str:
    if refers is None:
        return f't."{column}"'
    other, target = refers
    return f'(SELECT o."{target}" FROM "{other}" o WHERE o.row = t."{column}")'


def _columns(connection: apsw.Connection, table: str) -> list[str]:
    """The columns of a table but the number of its row and its checksum, which are this file's own."""
    names = (str(column[1]) for column in connection.execute(f"PRAGMA table_info({table})"))
    return [name for name in names if name not in ("row", "row_sum")]


def _put_rows(connection: apsw.Connection, table: _Table, rows: list[dict[str, Any]], *, dry_run: bool) -> int:
    """Insert the rows that are not there; one whose other row is missing, or whose name is taken, stays out."""
    columns, added = set(_columns(connection, table.name)), 0
    same = " AND ".join(f'"{column}" IS ?' for column in table.key)
    for row in rows:
        values = {name: value for name, value in row.items() if name in columns}
        for column, (other, target) in table.refers.items():
            sql = f'SELECT row FROM "{other}" WHERE "{target}" = ?'
            values[column] = connection.execute(sql, (values.get(column),)).get
        bound = [values.get(column) for column in table.key]
        if connection.execute(f'SELECT 1 FROM "{table.name}" WHERE {same}', bound).fetchone():
            continue
        added += 1
        if dry_run:
            continue
        names = ", ".join(f'"{name}"' for name in values)
        marks = ", ".join("?" * len(values))
        sql = f'INSERT OR IGNORE INTO "{table.name}" ({names}) VALUES ({marks})'
        try:
            connection.execute(sql, tuple(values.values()))
            is_new = connection.changes() > 0
            added -= not is_new
            if is_new and table.name in GUARDED:
                seal(connection, GUARDED[table.name], connection.last_insert_rowid())
        except apsw.ConstraintError:
            added -= 1
    return added


def _read(source: Path, version: int) -> dict[str, bytes]:
    """The parts of an archive, each as its manifest says."""
    try:
        with zipfile.ZipFile(source) as archive:
            if MANIFEST not in archive.namelist():
                raise UserError(
                    f"{str(source)!r} is a zip file and no archive of a state: it has no {MANIFEST}.",
                    code="unknown-format",
                    fix="Give what `aqe memory export FILE.aqe` wrote, or a file that is in it.",
                )
            manifest = _manifest(_unpacked(archive, MANIFEST, MANIFEST_BYTES), source, version)
            names = [MEMORIES, VECTORS, EDGES, *(_file_of(table) for table in TABLES)]
            parts = {name: _unpacked(archive, name, int(manifest[name]["bytes"])) for name in names}
    except FileNotFoundError:
        raise UserError(f"There is no file {str(source)!r}.", code="no-such-path", fix="Name an archive.") from None
    except KeyError as error:
        raise _broken(source, f"a part is missing ({error.args[0]})") from None
    except zipfile.BadZipFile as error:
        if zipfile.is_zipfile(source):
            raise _broken(source, str(error)) from None
        if not is_state(source):
            raise UserError(
                f"{str(source)!r} is no zip file, which the archive of a state is.",
                code="unknown-format",
                fix="Leave --format out, or give what `aqe memory export FILE.aqe` wrote.",
            ) from None
        why = "the list of its parts, which stands at the end, is missing"
        raise cut_short(repr(str(source)), why, code="state-broken") from None
    except (OSError, EOFError, TypeError, ValueError, RuntimeError, zlib.error) as error:
        raise _broken(source, str(error)) from None
    for name, data in parts.items():
        if hashlib.sha256(data).hexdigest() != manifest[name].get("sha256"):
            raise _broken(source, f"{name} is not what was written")
    return parts


def _unpacked(archive: zipfile.ZipFile, name: str, most: int) -> bytes:
    """A part, read no further than it may reach. Raises ValueError."""
    if not 0 <= most <= MOST_BYTES:
        raise ValueError(f"{name} has {most} bytes")
    with archive.open(name) as file:
        data = file.read(most + 1)
    if len(data) > most:
        raise ValueError(f"{name} is longer than it may be")
    return data


def _manifest(data: bytes, source: Path, version: int) -> dict[str, Any]:
    found = json.loads(data)
    schema = _STATE.fullmatch(str(found.get("schema"))) if isinstance(found, dict) else None
    is_whole = schema is not None and isinstance(found.get("parts"), dict) and type(found.get("database")) is int
    if not is_whole or not all(isinstance(part, dict) for part in found["parts"].values()):
        raise _broken(source, "its manifest is of something else")
    if schema is not None and (int(schema[1]) > 1 or found["database"] > version):
        raise UserError(
            f"{str(source)!r} was written by a newer aqe ({found.get('aqe')}).",
            code="state-newer",
            fix="Update aqe and import it again.",
        )
    parts: dict[str, Any] = found["parts"]
    return parts


def _text(data: bytes, name: str) -> str:
    try:
        return data.decode("utf-8")
    except UnicodeDecodeError as error:
        raise UserError(f"{name} is no text: {error}.", code="state-broken", fix="Export it again.") from None


def _values(data: bytes, name: str) -> list[dict[str, Any]]:
    """The rows of a part as SQLite holds them. Raises `UserError` (state-broken)."""
    rows = _objects(data, name)
    try:
        return [{key: _held(column_value(value)) for key, value in row.items()} for row in rows]
    except (TypeError, ValueError, OverflowError) as error:
        raise UserError(
            f"{name} holds what no row can: {error}.", code="state-broken", fix="Export it again."
        ) from None


def _held(value: Any) -> Any:
    if isinstance(value, str):
        value.encode("utf-8")
    if isinstance(value, float) and not math.isfinite(value):
        raise ValueError(f"the number {value}")
    if isinstance(value, int) and not -(1 << 63) <= value < 1 << 63:
        raise ValueError(f"the number {value!r:.40}")
    return value


def _objects(data: bytes, name: str) -> list[dict[str, Any]]:
    try:
        found = [json.loads(line) for line in _text(data, name).split("\n") if line]
    except (ValueError, RecursionError) as error:
        raise UserError(f"{name} is not JSON lines: {error}.", code="state-broken", fix="Export it again.") from None
    if not all(isinstance(item, dict) for item in found):
        raise UserError(f"{name} holds something else than rows.", code="state-broken", fix="Export it again.")
    return found


def _broken(source: Path, why: str) -> UserError:
    return UserError(
        f"{str(source)!r} is no whole archive of a state: {why}.",
        code="state-broken",
        fix="Export it again; nothing of it was taken in.",
    )
