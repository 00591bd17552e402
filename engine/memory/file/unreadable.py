"""Which memory of a damaged file cannot be read."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence

import apsw

_TEXTS = ("namespace", "id", "text", "metadata", "file", '"commit"', "run", "worktree", "end_note", "file_digest")
_NUMBERS = ("revision", "created_at", "valid_from", "line")
_MOMENTS = ("valid_to", "expires_at")
_KINDS = " AND ".join(
    [f"typeof({name}) = 'text'" for name in _TEXTS]
    + [f"typeof({name}) = 'integer'" for name in _NUMBERS]
    + [f"typeof({name}) IN ('integer', 'null')" for name in _MOMENTS]
    + ["typeof(text_hash) = 'blob'", "json_valid(metadata)"]
)
_SQL = f"SELECT {_KINDS}, {', '.join(f'CAST({name} AS BLOB)' for name in _TEXTS)} FROM memories"

SIGNS = (ValueError, TypeError, KeyError, AttributeError)
"""What goes wrong where a row of a damaged page is read."""


def what_is_damaged(connection: apsw.Connection, error: BaseException) -> str:
    """What is wrong with the first memory that cannot be read, its name in it, or with a page of the file, where
    `error` is one of `SIGNS`; "" where the error is no sign of damage, or there is none.

    It reads through all memories: it is for when reading failed.
    """
    if not isinstance(error, SIGNS):
        return ""
    if isinstance(error, UnicodeDecodeError):
        return first_unreadable(connection) or NO_TEXT
    return first_unreadable(connection) or damaged_page(connection)


def damaged_page(connection: apsw.Connection) -> str:
    """What SQLite finds wrong with a page of the file, or a virtual table with its own; "" where nothing is."""
    try:
        said = str(connection.execute("PRAGMA quick_check(1)").get)
    except apsw.Error as error:
        return str(error)
    return "" if said == "ok" else said.splitlines()[-1]


def first_unreadable(connection: apsw.Connection) -> str:
    """What is wrong with the first memory that cannot be read, its name in it; "" where each can be, as far as a file
    of this version tells."""
    with contextlib.suppress(apsw.Error):
        for name, is_text in each_unreadable(connection):
            if not is_text:
                return f"a text of the memory {name} is no UTF-8"
            return f"a value of the memory {name} is of another kind than it should"
    return ""


def each_unreadable(connection: apsw.Connection, which: str = "1") -> Iterator[tuple[str, bool]]:
    """The memories of `which` (a condition on the rows) that cannot be read, by their names, and whether their texts
    can be."""
    for are_of_their_kinds, *texts in connection.execute(f"{_SQL} WHERE {which} ORDER BY row"):
        are_texts = all(is_utf8(text) for text in texts)
        if not (are_texts and are_of_their_kinds):
            yield name_of(texts), are_texts


NO_TEXT = "a text in it is no UTF-8"
"""What is wrong where a text cannot be read, and no memory can be named for it."""


def is_utf8(value: bytes | None) -> bool:
    """Whether the bytes of a text, if there is one, are UTF-8."""
    try:
        return value is None or isinstance(value.decode("utf-8"), str)
    except UnicodeDecodeError:
        return False


def name_of(texts: Sequence[bytes | None]) -> str:
    """The name of a memory whose namespace and id come first in `texts`."""
    return "/".join((text or b"").decode("utf-8", "replace") for text in texts[:2])
