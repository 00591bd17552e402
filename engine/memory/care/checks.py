"""What is asked of a store's file: each check reads one idea through and names what is wrong. All are pure reads."""

from __future__ import annotations

import hashlib
import zlib
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import apsw

from aqe.engine.memory.care.states import unpack_rows
from aqe.engine.memory.file.sums import SEALED, has_sums, sum_of_row
from aqe.engine.memory.file.unreadable import each_unreadable, is_utf8, name_of

REPAIR = "`aqe memory repair` mends it and keeps the file as it was."
BACKUP = "A backup may have it: `aqe memory diff FILE now`."
SHOWN = 5

UNREADABLE = "it cannot be read through"
"""How what a check says begins where a part of the file stops whoever reads it."""


@dataclass(frozen=True)
class Wrong:
    """One thing that is wrong, what it means and what to do."""

    what: str
    meaning: str
    fix: str = REPAIR


Looked = tuple[int, list[Wrong]]
"""How many things a check looked at, and what is wrong with them."""

Check = Callable[[apsw.Connection], Looked]


def check_pages(connection: apsw.Connection) -> Looked:
    """Every page, index and text index by SQLite's own check."""
    said = [str(row[0]) for row in connection.execute("PRAGMA integrity_check(100)")]
    lines = [] if said == ["ok"] else [line.strip() for whole in said for line in whole.splitlines() if line.strip()]
    wrong = Counter(lines)
    meaning = "the file is damaged there; what lies on it may be unreadable or wrong"
    pages = int(connection.pragma("page_count"))
    shown = [f"{line} ({count} times)" if count > 1 else line for line, count in list(wrong.items())[:SHOWN]]
    beyond = len(wrong) - SHOWN
    more = [f"and {beyond} more {'place' if beyond == 1 else 'places'}"] if beyond > 0 else []
    return pages, [Wrong(line, meaning) for line in shown + more]


def check_references(connection: apsw.Connection) -> Looked:
    """Every row that names another finds it."""
    found = [(str(row[0]), str(row[2])) for row in connection.execute("PRAGMA foreign_key_check")]
    counts = Counter(found)
    meaning = "what they belong to is gone, so that nothing uses them"
    wrong = [
        Wrong(
            f"{n} {'row' if n == 1 else 'rows'} of {table} {'names' if n == 1 else 'name'} no row of {parent}", meaning
        )
        for (table, parent), n in counts.items()
    ]
    tables = int(connection.execute("SELECT count(*) FROM sqlite_schema WHERE type = 'table'").get)
    return tables, wrong


def check_texts(connection: apsw.Connection) -> Looked:
    """Every text is the one that its hash was made of."""
    seen, changed = 0, list[str]()
    for namespace, id, revision, text, kind, digest in connection.execute(
        "SELECT namespace, id, revision, CAST(text AS BLOB), typeof(text), text_hash FROM memories"
    ):
        seen += 1
        if kind != "text":
            raise TypeError("a text is none")  # a page of zeros: only what still stands can be saved
        if hashlib.sha256(text).digest() != digest:
            changed.append(f"{namespace}/{id} (revision {revision})")
    meaning = "a text changed on the disk: it is not what was remembered"
    fix = (
        "`aqe memory repair` corrects a flipped bit; a text that it cannot correct stays as it is, and its metadata say"
        " so. Compare that with a backup: `aqe memory diff FILE now`."
    )
    return seen, each(changed, "text does not match its hash", "texts do not match their hash", meaning, fix)


def check_rows(connection: apsw.Connection) -> Looked:
    """Every row is what its checksum was made of; one without, as another program leaves it, need only be readable."""
    if not has_sums(connection):
        return _check_unsealed(connection)
    seen, changed, which = 0, list[str](), "row_sum IS NULL"
    try:
        for row in connection.execute(f"SELECT {SEALED}, row_sum FROM memories WHERE row_sum IS NOT NULL"):
            values: Any = row
            seen += 1
            if sum_of_row(values[:-1]) != values[-1]:
                changed.append(f"{values[1]}/{values[0]} (revision {values[2]})")
    except UnicodeDecodeError:
        which = "1"
    odd = [name for name, are_texts in each_unreadable(connection, which) if not are_texts]
    meaning = "a date, a word of its metadata or of its origin changed on the disk"
    fix = "`aqe memory repair` corrects a flipped bit, and marks what it cannot correct."
    wrong = each(changed, "row does not match its checksum", "rows do not match their checksum", meaning, fix)
    return seen, wrong + [Wrong(f"{UNREADABLE}: {one.what}", meaning) for one in each(odd, *_ODD, meaning)]


def _check_unsealed(connection: apsw.Connection) -> Looked:
    """Of an earlier version, whose rows have no checksums: all can be read. A connection to read only asks no CHECK."""
    seen, odd = 0, list[str]()
    names = "namespace", "id", "text", "metadata"
    read = ", ".join(f"CAST({name} AS BLOB)" for name in names)
    kinds = " AND ".join(f"typeof({name}) = 'text'" for name in names)
    sql = f"SELECT {read}, {kinds} AND json_valid(CAST(metadata AS TEXT)) FROM memories"
    for *texts, is_right in list[Any](connection.execute(sql)):
        seen += 1
        if not (is_right and all(map(is_utf8, texts))):
            odd.append(name_of(texts))
    meaning = "whoever reads it is refused"
    found = each(odd, "row cannot be read", "rows cannot be read", meaning)
    return seen, [Wrong(f"{UNREADABLE}: {one.what}", meaning) for one in found]


_ODD = "row has a text that is no UTF-8", "rows have a text that is no UTF-8"


def check_other_texts(connection: apsw.Connection) -> Looked:
    """Every text beside the memories, of sessions, requests and the rest, is one."""
    tables: list[Any] = connection.execute(_OTHERS).fetchall()
    seen, wrong = 0, list[Wrong]()
    for table, names in tables:
        try:
            seen += sum(1 for _ in connection.execute(f'SELECT {names} FROM "{table}"'))
        except UnicodeDecodeError:
            what = f"{UNREADABLE}: a row of {table} has a text that is no UTF-8"
            wrong.append(Wrong(what, "whoever reads it is refused"))
    return seen, wrong


_OTHERS = (
    "SELECT one.name, group_concat('\"' || field.name || '\"') FROM pragma_table_list AS one"
    " JOIN pragma_table_info(one.name) AS field WHERE one.schema = 'main' AND one.type = 'table'"
    " AND one.name NOT IN ('memories', 'sqlite_schema') AND one.name NOT GLOB 'vectors_*' AND field.type = 'TEXT'"
    " GROUP BY one.name"
)
"""The tables beside the memories with the names of their texts; those in which a text index or vectors lie have their
own checks."""


def check_revisions(connection: apsw.Connection) -> Looked:
    """The revisions of a memory follow each other, and the last one alone may be current."""
    memories = int(connection.execute("SELECT count(*) FROM (SELECT 1 FROM memories GROUP BY namespace, id)").get)
    gaps = _names(
        connection,
        "SELECT namespace, id FROM memories GROUP BY namespace, id"
        " HAVING max(revision) - min(revision) + 1 != count(*)",
    )
    stale = _names(
        connection,
        "SELECT namespace, id FROM memories AS one WHERE valid_to IS NULL AND EXISTS (SELECT 1 FROM memories AS other"
        " WHERE other.namespace = one.namespace AND other.id = one.id AND other.revision > one.revision)",
    )
    ends = _names(connection, "SELECT namespace, id FROM memories WHERE valid_to < valid_from")
    return memories, [
        *each(
            gaps,
            "memory has a gap in its revisions",
            "memories have a gap in their revisions",
            "some of the history is lost",
            BACKUP,
        ),
        *each(
            stale,
            "memory is at an earlier revision than its last",
            "memories are at an earlier revision than their last",
            "a later text was ended out of order",
        ),
        *each(
            ends,
            "revision ends before it begins",
            "revisions end before they begin",
            "what held at a moment cannot be told there",
        ),
    ]


def check_snapshots(connection: apsw.Connection) -> Looked:
    """Every snapshot can be read."""
    seen, broken = 0, list[str]()
    for name, rows, memories in connection.execute("SELECT name, rows, memories FROM snapshots"):
        seen += 1
        try:
            is_whole = sum(1 for _ in unpack_rows(bytes(rows))) == memories
        except (zlib.error, ValueError):
            is_whole = False
        if not is_whole:
            broken.append(str(name))
    one, many = "snapshot cannot be read", "snapshots cannot be read"
    return seen, each(broken, one, many, "no rollback leads there", "`aqe memory snapshots --remove NAME`.")


def _names(connection: apsw.Connection, sql: str) -> list[str]:
    return [f"{namespace}/{id}" for namespace, id in connection.execute(sql)]


def each(names: Sequence[str], one: str, many: str, meaning: str, fix: str = REPAIR) -> list[Wrong]:
    """One finding for all that are wrong in one way, as `one` is or as `many` are; the first few are named."""
    if not names:
        return []
    shown = ", ".join(names[:SHOWN]) + (", ..." if len(names) > SHOWN else "")
    return [Wrong(f"{len(names)} {one if len(names) == 1 else many}: {shown}", meaning, fix)]
