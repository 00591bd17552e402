"""The audit log: what left, when, to whom, what for; each entry is bound to the one before it by its hash.

An entry never holds the text that left, only its size, its SHA-256 and how many pieces of which class were taken out.
Its hash is SHA-256 over its fields and the hash before it (a hash chain, as in Schneier and Kelsey's "Secure Audit
Logs", 1999, without their evolving key). A head row says how many entries there are and what the last hash is, so that
entries cut off at the end are missed too. Whoever may write the database can forge all of it, head included: against
that, note the head that `verify` names somewhere else, and give it to the next `verify`.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import apsw

from aqe.engine.errors import GateFailed, UserError
from aqe.engine.memory.store import Store

NOTHING: Mapping[str, int] = {}
MOST_DIGITS = 18
"""Of an entry's number."""
END_OF_TIME = 253_402_300_800_000_000
"""Microseconds to the year 10000, which no date can name."""
_COLUMNS = "number, at, event, recipient, purpose, mode, spans, bytes, payload_sha256, previous, hash"
_TABLES = {"audit": _COLUMNS, "audit_head": "number, hash"}


@dataclass(frozen=True)
class Entry:
    """One entry of the log.

    `at` is UTC in microseconds; `event` sent, refused, answered (to an MCP client), consent-granted or
    consent-revoked; `spans` counts what was taken out by class; `bytes` and `payload_sha256` are of what left.
    """

    number: int
    at: int
    event: str
    recipient: str
    purpose: str
    mode: str
    spans: Mapping[str, int]
    bytes: int
    payload_sha256: str
    previous: str
    hash: str


@dataclass(frozen=True)
class Subject:
    """What an entry is about, in the words of `Entry`."""

    event: str
    recipient: str
    purpose: str
    mode: str


@dataclass(frozen=True)
class Verified:
    """What a check of the log found: the number of entries, the last hash, and what is wrong (nothing: "")."""

    entries: int
    head: str
    problem: str

    @property
    def intact(self) -> bool:
        """Whether nothing was found to be wrong."""
        return not self.problem


def append(
    store: Store,
    event: str,
    *,
    recipient: str,
    purpose: str,
    mode: str,
    payload: str = "",
    spans: Mapping[str, int] | None = None,
) -> int:
    """Write an entry, durable before this returns; returns its number."""
    about = Subject(event, recipient, purpose, mode)
    with store.writing_durably() as connection:
        return append_within(connection, store.now(), about, payload=payload, spans=spans or {})


def append_within(
    connection: apsw.Connection, now: int, about: Subject, *, payload: str = "", spans: Mapping[str, int] = NOTHING
) -> int:
    """Write an entry as part of the transaction that is open on `connection`. Raises `GateFailed` (audit-broken) where
    somebody changed the log so that none can follow."""
    data = payload.encode("utf-8", "surrogatepass")
    counted = json.dumps(dict(sorted(spans.items())), separators=(",", ":"))
    sha256 = hashlib.sha256(data).hexdigest() if data else ""
    what = (about.event, about.recipient, about.purpose, about.mode)
    try:
        number, previous = connection.execute("SELECT number + 1, hash FROM audit_head").fetchone() or (1, "")
        fields = (number, now, *what, counted, len(data), sha256, previous)
        mark = _hash(fields)
        connection.execute(f"INSERT INTO audit ({_COLUMNS}) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)", (*fields, mark))
        connection.execute("INSERT OR REPLACE INTO audit_head VALUES (1, ?, ?)", (number, mark))
    except (apsw.SQLError, apsw.ConstraintError):
        raise broken_log(_lacking(connection) or "its head is not that of its last entry") from None
    return int(number)


def entries(store: Store, *, newest: int | None = None) -> list[Entry]:
    """The entries, oldest first; with `newest` only that many of the last ones. Raises `GateFailed` (audit-broken)
    where there is no log, or one of them cannot be read."""
    with store.reading() as connection:
        if lacking := _lacking(connection):
            raise broken_log(lacking)
        sql = f"SELECT {_COLUMNS} FROM audit ORDER BY number DESC LIMIT ?"
        rows = list(connection.execute(sql, (-1 if newest is None else newest,)))
    return [_entry(row) for row in reversed(rows)]


def verify(store: Store, *, known: tuple[int, str] | None = None) -> Verified:
    """Check every entry, the order, the chain and the head; `known` is a head noted at an earlier check."""
    with store.reading() as connection:
        if lacking := _lacking(connection):
            return Verified(0, "", lacking)
        rows = list(connection.execute(f"SELECT {_COLUMNS} FROM audit ORDER BY number"))
        head = connection.execute("SELECT number, hash FROM audit_head").fetchone()
        counted = connection.execute("SELECT seq FROM sqlite_sequence WHERE name = 'audit'").fetchone()
    seen = 0 if counted is None else counted[0]
    problem = next(_problems(rows, head, seen if isinstance(seen, int) else -1, known), "")
    return Verified(len(rows), rows[-1][10] if rows else "", problem)


def broken_log(problem: str) -> GateFailed:
    """The error for a log that is not what was written."""
    return GateFailed(
        f"The audit log is broken: {problem}.", code="audit-broken", fix="Compare it with a backup of the database."
    )


def parse_head(text: str) -> tuple[int, str]:
    """A head as `verify` prints it, NUMBER:HASH. Raises `UserError` (bad-argument)."""
    number, _, mark = text.partition(":")
    if (
        not (number.isascii() and number.isdigit() and len(number) <= MOST_DIGITS)
        or len(mark) != 64
        or set(mark) - set("0123456789abcdef")
    ):
        raise UserError(
            f"{text[:90]!r} is no head of an audit log.",
            code="bad-argument",
            fix="Give it as `aqe privacy verify` printed it, NUMBER:HASH.",
        )
    return int(number), mark


def _lacking(connection: apsw.Connection) -> str:
    """What of the tables of the log is not there: whoever can write the file can also take them away."""
    for table, columns in _TABLES.items():
        found = {name for (name,) in connection.execute("SELECT name FROM pragma_table_info(?)", (table,))}
        gone = [name for name in columns.split(", ") if name not in found]
        if gone:
            return f"the column {gone[0]} of its table {table} is missing" if found else f"its table {table} is missing"
    return ""


def _entry(row: Sequence[Any]) -> Entry:
    """The entry of a row. Raises `GateFailed` (audit-broken) for one that nobody could have written."""
    values = list(row)
    try:
        values[6] = json.loads(values[6])
    except (ValueError, RecursionError):
        values[6] = None
    counts = values[6].values() if isinstance(values[6], dict) else [None]
    if not all(isinstance(count, int) for count in counts) or not 0 <= values[1] < END_OF_TIME:
        raise broken_log(f"entry {values[0]} was changed")
    return Entry(*values)


def _problems(
    rows: Sequence[Sequence[Any]], head: Sequence[Any] | None, counted: int, known: tuple[int, str] | None
) -> Iterator[str]:
    previous = ""
    for expected, row in enumerate(rows, 1):
        if row[0] != expected:
            yield f"entry {expected} is missing"
        if row[10] != _hash(row[:10]):
            yield f"entry {expected} was changed"
        if row[9] != previous:
            yield f"entry {expected} does not follow the one before it"
        previous = str(row[10])
    if head is None:
        yield "the head of the log is missing"
    elif head[0] != len(rows) or counted != len(rows):
        there = max(int(head[0]), counted)
        yield f"{there - len(rows)} entries at the end are missing" if there > len(rows) else "the head was changed"
    elif head[1] != previous:
        yield "the head was changed"
    if known is not None and (known[0] > len(rows) or known[0] < 1 or rows[known[0] - 1][10] != known[1]):
        yield f"entry {known[0]} is not the one that was noted"


def _hash(fields: Sequence[Any]) -> str:
    text = json.dumps(list(fields), ensure_ascii=True, separators=(",", ":"))
    return hashlib.sha256(text.encode("ascii")).hexdigest()
