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
from aqe.engine.memory.terms.text import subtokens
from aqe.engine.memory.tiers.demoted import bad_demoted, count

REPAIR = "`aqe memory repair` mends it and keeps the file as it was."
BACKUP = "A backup may have it: `aqe memory diff FILE now`."
SHOWN = 5


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
    for namespace, id, revision, text, digest in connection.execute(
        "SELECT namespace, id, revision, text, text_hash FROM memories"
    ):
        seen += 1
        if not isinstance(text, str):
            raise TypeError("a text is none")  # a page of zeros: only what still stands can be saved
        if hashlib.sha256(text.encode("utf-8")).digest() != digest:
            changed.append(f"{namespace}/{id} (revision {revision})")
    meaning = "a text changed on the disk: it is not what was remembered"
    fix = "Compare it with a backup (`aqe memory diff FILE now`); repair keeps the text and makes its hash anew."
    return seen, _each(changed, "text does not match its hash", "texts do not match their hash", meaning, fix)


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
        *_each(
            gaps,
            "memory has a gap in its revisions",
            "memories have a gap in their revisions",
            "some of the history is lost",
            BACKUP,
        ),
        *_each(
            stale,
            "memory is at an earlier revision than its last",
            "memories are at an earlier revision than their last",
            "a later text was ended out of order",
        ),
        *_each(
            ends,
            "revision ends before it begins",
            "revisions end before they begin",
            "what held at a moment cannot be told there",
        ),
    ]


def check_text_index(connection: apsw.Connection) -> Looked:
    """Every current memory is in the text index with all its words, and nothing else is."""
    sizes: list[Any] = connection.execute("SELECT id, sz FROM texts_docsize").fetchall()
    listed = {int(row): _varint(bytes(size)) for row, size in sizes}
    seen, missing, different = 0, list[str](), list[str]()
    for row, namespace, id, text in connection.execute(
        "SELECT row, namespace, id, text FROM memories WHERE valid_to IS NULL"
    ):
        seen += 1
        words = listed.pop(int(row), None)
        if words is None:
            missing.append(f"{namespace}/{id}")
        elif words != len(subtokens(text or "")):
            different.append(f"{namespace}/{id}")
    return seen, [
        *_each(
            missing,
            "memory is not in the text index",
            "memories are not in the text index",
            "no search finds it by words",
        ),
        *_each(
            different,
            "entry of the text index has other words",
            "entries of the text index have other words",
            "searches find by wrong words",
        ),
        *_each(
            [str(row) for row in listed],
            "entry of the text index belongs to nothing",
            "entries of the text index belong to nothing",
            "that takes space",
        ),
    ]


def check_vectors(connection: apsw.Connection) -> Looked:
    """Every vector belongs to a current memory of its namespace and embedder, has its dimension, and is finite."""
    seen, wrong = 0, list[Wrong]()
    spaces: list[Any] = connection.execute(
        "SELECT number, embedder_id, dimension FROM embedders ORDER BY number"
    ).fetchall()
    for number, name, dimension in spaces:
        found, said = _check_space(connection, int(number), str(name), int(dimension))
        seen, wrong = seen + found, wrong + said
    found, said = _check_demoted(connection)
    seen, wrong = seen + found, wrong + said
    ended = _names(
        connection,
        "SELECT namespace, id FROM retired_vectors JOIN memories USING (row) JOIN embedders ON number = embedder"
        " WHERE length(vector) != 4 * dimension",
    )
    one, many = "vector of an ended revision has a wrong length", "vectors of ended revisions have a wrong length"
    return seen, wrong + _each(ended, one, many, "a rollback cannot bring it back, and has it made anew")


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
    return seen, _each(broken, one, many, "no rollback leads there", "`aqe memory snapshots --remove NAME`.")


CHECKS: tuple[tuple[str, Check, str], ...] = (
    ("pages", check_pages, "sqlite_schema"),
    ("references", check_references, "sqlite_schema"),
    ("texts", check_texts, "memories"),
    ("revisions", check_revisions, "memories"),
    ("text index", check_text_index, "texts_docsize"),
    ("vectors", check_vectors, "embedders"),
    ("snapshots", check_snapshots, "snapshots"),
)
"""Each check by name, with the table that it needs: a file of an earlier version does not have all."""


def _check_space(connection: apsw.Connection, number: int, name: str, dimension: int) -> tuple[int, list[Wrong]]:
    import numpy as np

    sql = "SELECT row, namespace, id FROM memories WHERE embedder = ? AND valid_to IS NULL"
    known = {int(row): (str(namespace), str(id)) for row, namespace, id in connection.execute(sql, (number,))}
    seen, strange, bad = 0, list[str](), list[str]()
    for row, namespace, vector in connection.execute(f"SELECT row, namespace, vector FROM vectors_{number}"):
        seen += 1
        owner = known.get(int(row))
        if owner is None or owner[0] != namespace:
            strange.append(str(row))
        elif len(vector) != 4 * dimension or not np.isfinite(np.frombuffer(vector, np.float32)).all():
            bad.append("/".join(owner))
    return seen, [
        *_each(
            strange,
            f"vector of {name} belongs to no current memory of its own",
            f"vectors of {name} belong to no current memory of theirs",
            "a search may fail on it",
        ),
        *_each(
            bad,
            f"vector of {name} is not {dimension} finite numbers",
            f"vectors of {name} are not {dimension} finite numbers",
            "searches have wrong neighbours",
        ),
    ]


def _check_demoted(connection: apsw.Connection) -> tuple[int, list[Wrong]]:
    """The vectors of smaller tiers."""
    if connection.execute("SELECT 1 FROM sqlite_schema WHERE name = 'demoted'").fetchone() is None:
        return 0, []
    bad = [name for _, name, _ in bad_demoted(connection)]
    one = "vector of a smaller tier is not what its tier says"
    many = "vectors of smaller tiers are not what their tier says"
    return count(connection), _each(bad, one, many, "it is found by words alone")


def _names(connection: apsw.Connection, sql: str) -> list[str]:
    return [f"{namespace}/{id}" for namespace, id in connection.execute(sql)]


def _each(names: Sequence[str], one: str, many: str, meaning: str, fix: str = REPAIR) -> list[Wrong]:
    """One finding for all that are wrong in one way, as `one` is or as `many` are; the first few are named."""
    if not names:
        return []
    shown = ", ".join(names[:SHOWN]) + (", ..." if len(names) > SHOWN else "")
    return [Wrong(f"{len(names)} {one if len(names) == 1 else many}: {shown}", meaning, fix)]


def _varint(data: bytes) -> int:
    """The first number of a list in SQLite's variable-length form (at most 8 bytes of 7 bits)."""
    value = 0
    for byte in data:
        value = value << 7 | byte & 0x7F
        if byte < 0x80:
            break
    return value
