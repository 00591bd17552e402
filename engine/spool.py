"""Test outcomes from the spool: the plugin appends JSON lines, the engine takes each into `test_runs` once.

A spool file is claimed by rename, so the next line of a running suite starts a new file. How far a claimed file was
read stands in the same transaction as its rows: a reader that dies repeats nothing and loses nothing. Only whole lines
are taken; a claimed file stays a minute after its last change for a writer that had it open, and half a line waits a
day for its rest.
"""

from __future__ import annotations

import contextlib
import json
import os
import secrets
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import apsw

from aqe.engine.memory.store import Store

CLAIMED = ".claimed"
LINGER_S = 60.0
HALF_LINE_S = 86_400.0
FORGOTTEN_US = 30 * 86_400_000_000
"""How far a file was read is forgotten with the file, at the latest after this long."""

PIECE_BYTES = 2_000_000
KEPT_OUTCOMES = 1_000_000
_COLUMNS = frozenset(
    {"run", "nodeid", "outcome", "duration_s", "order", "seed", "python", "platform", "worker", "started_at"}
)
_OUTCOMES = frozenset({"passed", "failed", "error", "skipped", "xfailed", "xpassed", "crashed"})


@dataclass(frozen=True)
class Ingested:
    """What one pass took: files read from, test outcomes, and lines that were no outcome."""

    files: int = 0
    outcomes: int = 0
    broken_lines: int = 0


def ingest(store: Store, project: Path) -> Ingested:
    """Take what lies in the project's spool into the store; a spool that cannot be renamed in is left alone."""
    folder = project / ".aqe" / "spool"
    taken = Ingested()
    for path in _claim(folder):
        outcomes, broken, more = 0, 0, True
        while more:
            found, bad, more = _take_piece(store, path)
            outcomes, broken = outcomes + found, broken + bad
        taken = Ingested(taken.files + (outcomes + broken > 0), taken.outcomes + outcomes, taken.broken_lines + broken)
        _retire(store, path)
    return taken


def _claim(folder: Path) -> list[Path]:
    """Rename each fresh file out of its writers' way; returns all that are claimed, older ones first."""
    if not folder.is_dir():
        return []
    for path in folder.glob("*.jsonl"):
        with contextlib.suppress(OSError):  # another process was faster, or the folder is read-only
            path.rename(path.with_name(f"{path.stem}.{secrets.token_hex(6)}{CLAIMED}"))
    return sorted(folder.glob(f"*{CLAIMED}"))


def _take_piece(store: Store, path: Path) -> tuple[int, int, bool]:
    """Take the next whole lines of a claimed file; outcomes, broken lines, and whether more may follow."""
    with store.writing() as connection:
        start = _offset(connection, path)
        try:
            with path.open("rb") as file:
                file.seek(start)
                piece = file.read(PIECE_BYTES)
        except FileNotFoundError:  # another process was done with it
            return 0, 0, False
        end = piece.rfind(b"\n") + 1
        if end == 0:
            if len(piece) < PIECE_BYTES:
                return 0, 0, False
            end = len(piece)  # one line of megabytes is no outcome
        lines = piece[:end].splitlines()
        rows = [row for row in (_parsed(line) for line in lines) if row is not None]
        _insert(connection, rows, store)
        connection.execute(
            "INSERT INTO spool_files VALUES (?1, ?2, ?3)"
            " ON CONFLICT (name) DO UPDATE SET offset = ?2, ingested_at = ?3",
            (path.name, start + end, store.now()),
        )
    return len(rows), sum(1 for line in lines if line.strip()) - len(rows), len(piece) == PIECE_BYTES


def _offset(connection: apsw.Connection, path: Path) -> int:
    row = connection.execute("SELECT offset FROM spool_files WHERE name = ?", (path.name,)).fetchone()
    return 0 if row is None else int(row[0])


def _parsed(line: bytes) -> dict[str, Any] | None:
    try:
        found = json.loads(line.decode("utf-8"))
    except (ValueError, RecursionError):
        return None
    if not isinstance(found, dict):
        return None
    if not all(isinstance(found.get(name), str) and found[name] for name in ("run", "nodeid", "outcome")):
        return None
    if found["outcome"] not in _OUTCOMES:
        return None
    numbers = (found.get(name) for name in ("duration_s", "order", "started_at"))
    return found if all(number is None or isinstance(number, (int, float)) for number in numbers) else None


def _insert(connection: apsw.Connection, rows: Iterable[Mapping[str, Any]], store: Store) -> None:
    now, here = store.now(), store.here
    connection.executemany(
        "INSERT INTO test_runs (run, nodeid, outcome, duration_s, position, seed, python, platform, worker, started_at,"
        ' worktree, "commit", facts, ingested_at) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)',
        (
            (
                *(_text(row[name]) for name in ("run", "nodeid", "outcome")),
                _number(row.get("duration_s"), float),
                _number(row.get("order"), int),
                *(_optional(row.get(name)) for name in ("seed", "python", "platform", "worker")),
                _number(row.get("started_at"), int),
                here.worktree,
                here.commit,
                _text(json.dumps({key: value for key, value in row.items() if key not in _COLUMNS}, ensure_ascii=True)),
                now,
            )
            for row in rows
        ),
    )
    connection.execute("DELETE FROM test_runs WHERE row <= (SELECT max(row) FROM test_runs) - ?", (KEPT_OUTCOMES,))


def _text(value: str) -> str:
    return value.encode("utf-8", "backslashreplace").decode("utf-8")


def _optional(value: object) -> str | None:
    return None if value is None else _text(str(value))


def _number(value: Any, kind: type[int] | type[float]) -> int | float | None:
    try:
        number = None if value is None else kind(value)
    except (ValueError, OverflowError):
        return None
    return number if number is None or abs(number) < 1 << 62 else None


def _retire(store: Store, path: Path) -> None:
    """Delete a claimed file that was read to its end and is quiet, and one whose half line was given its day."""
    try:
        status = path.stat()
        with store.reading() as connection:
            offset = _offset(connection, path)
        quiet_s = time.time() - status.st_mtime
        if quiet_s <= (LINGER_S if offset >= status.st_size else HALF_LINE_S):
            return
        os.unlink(path)
    except OSError:
        return
    with store.writing() as connection:
        connection.execute(
            "DELETE FROM spool_files WHERE name = ? OR ingested_at < ?", (path.name, store.now() - FORGOTTEN_US)
        )
