"""Whether the tables, indexes and triggers of a file are those that its steps made."""

from __future__ import annotations

from typing import Any

import apsw

from aqe.engine.memory.care.checks import Looked, each
from aqe.engine.memory.file.connection import make_ready
from aqe.engine.memory.file.migrations import HISTORY, MIGRATIONS
from aqe.engine.memory.meaning.vectors import make_table

_OURS = (
    "SELECT CAST(name AS BLOB), CAST(type AS BLOB), CAST(tbl_name AS BLOB), CAST(sql AS BLOB)"
    " FROM sqlite_schema WHERE sql IS NOT NULL"
    " AND name NOT GLOB 'texts_*' AND name NOT GLOB 'vectors_[0-9]*'"
)
_THEIRS = (
    "SELECT CAST(name AS BLOB), CAST(sql AS BLOB) FROM sqlite_schema WHERE sql IS NOT NULL"
    " AND (name GLOB 'texts_*' OR name GLOB 'vectors_[0-9]*')"
)
_BAD = (
    "SELECT CAST(name AS BLOB) FROM sqlite_schema WHERE typeof(type) != 'text' OR typeof(name) != 'text'"
    " OR typeof(tbl_name) != 'text' OR type NOT IN ('table', 'index', 'view', 'trigger')"
    " OR (type = 'table' AND tbl_name != name) OR (sql IS NULL"
    " AND name NOT GLOB 'sqlite_autoindex_' || tbl_name || '_[0-9]*')"
    " UNION ALL SELECT CAST(name AS BLOB) FROM sqlite_sequence WHERE name NOT IN (SELECT name FROM sqlite_schema)"
)


def check_schema(connection: apsw.Connection) -> Looked:
    """Each table, index and trigger of the file's version is there with the text that defines it."""
    looked_at, other = off_definitions(connection)
    return looked_at, each(
        other,
        "definition is not what this version makes",
        "definitions are not what this version makes",
        "rows may be read, kept or logged in another way",
    )


def off_definitions(connection: apsw.Connection) -> tuple[int, list[str]]:
    """How many tables, indexes and triggers there are, and the names of those that the steps of the file's version do
    not make so. What FTS5 and sqlite-vec made for themselves may be of another version of theirs: it is there, and not
    one bit off."""
    version = int(connection.pragma("user_version"))
    made = apsw.Connection(":memory:")
    try:
        make_ready(made, None)
        if version:
            made.execute(HISTORY)
        for step in MIGRATIONS[:version]:
            made.execute(step.sql)
        wanted: list[Any] = made.execute(_OURS).fetchall()
        for number, dimension in list[Any](connection.execute("SELECT number, dimension FROM embedders")):
            make_table(made, number, dimension)
        theirs = dict(list[Any](made.execute(_THEIRS)))
    finally:
        made.close()
    found = {name: rest for name, *rest in list[Any](connection.execute(_OURS))}
    found_of_them = dict(list[Any](connection.execute(_THEIRS)))
    other = {name for name, *rest in wanted if found.get(name) != rest}
    other |= {name for name, sql in theirs.items() if _is_off(found_of_them.get(name), sql)}
    other |= {bytes(name or b"") for (name,) in connection.execute(_BAD)}
    return len(found) + len(found_of_them), sorted(name.decode("utf-8", "replace") for name in other)


def _is_off(found: bytes | None, wanted: bytes) -> bool:
    """Whether a definition is gone, or differs in one bit."""
    if found is None:
        return True
    differs = [a ^ b for a, b in zip(found, wanted, strict=False) if a != b]
    return len(found) == len(wanted) and len(differs) == 1 and differs[0].bit_count() == 1
