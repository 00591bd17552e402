"""The rows beside the memories that have a checksum (`file.row_sums`): which are not as they were written, and how one
of which a bit flipped is put right."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager
from typing import Any

import apsw

from aqe.engine.memory.care.checks import Looked, each
from aqe.engine.memory.care.correcting import corrected_record, is_sum_alone
from aqe.engine.memory.care.image import Image
from aqe.engine.memory.care.rebuilding import MARK
from aqe.engine.memory.care.records import Record
from aqe.engine.memory.care.salvage import rows_of
from aqe.engine.memory.entry import metadata_json, rfc3339
from aqe.engine.memory.file.row_sums import FEEDBACK, GUARDED, SESSIONS, TURNS, Guarded, has_row_sums, seal
from aqe.engine.progress import CancelToken, Progress, silent

_LONGEST_MARK = 1000
"""Characters of a mark to which more is added."""

_WHAT = {
    "sessions": ("session", "sessions"),
    "turns": ("turn of a session", "turns of sessions"),
    "interactions": ("request", "requests"),
    "feedback": ("word of feedback", "words of feedback"),
    "marks": ("mark of feedback", "marks of feedback"),
    "edges": ("edge", "edges"),
}


def check_other_rows(connection: apsw.Connection) -> Looked:
    """Every row of sessions, requests, feedback and edges is what its checksum was made of."""
    seen, wrong = 0, []
    for table in GUARDED.values():
        if not has_row_sums(connection, table):
            continue
        off = list[str]()
        with contextlib.suppress(UnicodeDecodeError):  # the check of texts names it
            for values, _ in _unlike(connection, table):
                seen += 1
                if values is not None:
                    off.append(table.name_of(values))
        one, many = _WHAT[table.name]
        wrong += each(
            off,
            f"{one} does not match its checksum",
            f"{many} do not match their checksum",
            "a word, a number or a date of it changed on the disk",
            "`aqe memory repair` corrects a flipped bit, and says of what it cannot correct.",
        )
    return seen, wrong


def _unlike(connection: apsw.Connection, table: Guarded) -> Iterator[tuple[list[Any] | None, int]]:
    """Of each row that has a sum: its values where they are others than it was made of, and its number."""
    sql = f"SELECT rowid, row_sum, {table.listed} FROM {table.name} WHERE row_sum IS NOT NULL"
    for row in connection.execute(sql):
        number, noted, *values = row
        yield (values if table.sum_if_any(values) != noted else None), int(number)


def mend_other_rows(
    connection: apsw.Connection,
    image: Callable[[], AbstractContextManager[Image]] | None,
    now: int,
    *,
    progress: Progress = silent,
    cancel: CancelToken | None = None,
) -> tuple[int, int]:
    """Put right the rows of which one bit flipped, as their bytes in the file (`image`, None: not at hand) tell, in the
    caller's transaction; what more was changed in stays as it stands, and the metadata of its session or feedback say
    so. Returns how many were put right, and how many were not. Raises `Cancelled`."""
    corrected = kept = 0
    for table in GUARDED.values():
        off = {number: values for values, number in _unlike(connection, table) if values is not None}
        if not off:
            continue
        names = [str(row[1]) for row in connection.execute(f"PRAGMA table_info({table.name})")]
        with contextlib.nullcontext() if image is None else image() as pages:
            raw = {} if pages is None else rows_of(pages, table.name, off.keys())
        for at, (number, values) in enumerate(off.items()):
            progress(f"Putting {_WHAT[table.name][1]} right", at, len(off))
            if cancel is not None:
                cancel.check()
            is_right = _put_right(connection, table, names, number, raw.get(number))
            if not is_right:
                _say(connection, table, values, now)
            corrected += is_right
            kept += not is_right
            seal(connection, table, number)
    return corrected, kept


def _put_right(
    connection: apsw.Connection, table: Guarded, names: Sequence[str], number: int, record: Record | None
) -> bool:
    """Write a row as it was before one bit of it flipped; False where that cannot be told."""
    noted = connection.execute(f"SELECT row_sum FROM {table.name} WHERE rowid = ?", (number,)).get
    values: Any = connection.execute(f"SELECT {table.listed} FROM {table.name} WHERE rowid = ?", (number,)).fetchone()
    if (made := table.sum_if_any(values)) is not None and is_sum_alone(made, noted):
        return True
    found = None if record is None else corrected_record(record, names, table)
    if found is None:
        return False
    held = dict(zip(names, found.values, strict=True))
    sets = ", ".join(f'"{name}" = ?' for name in table.columns)
    sql = f"UPDATE {table.name} SET {sets} WHERE rowid = ?"
    connection.execute(sql, (*(held[name] for name in table.columns), number))
    return True


def _say(connection: apsw.Connection, table: Guarded, values: Sequence[Any], now: int) -> None:
    """Note in the metadata of a session, or of feedback, that it, or a turn of it, is not what it was."""
    day, held = rfc3339(now)[:10], dict(zip(table.columns, values, strict=True))
    owner, key = (SESSIONS, held["session"]) if table is TURNS else (table, held.get("id"))
    if owner not in (SESSIONS, FEEDBACK):
        return
    what = f"turn {held['position']}" if table is TURNS else f"the {owner.name.removesuffix('s')}"
    sql = f"SELECT rowid, metadata FROM {owner.name} WHERE id = ?"
    for number, metadata in list[Any](connection.execute(sql, (key,))):
        told = f"{what} changed on the disk and could not be put right ({day}, aqe memory repair)"
        try:
            said = json.loads(metadata)
        except ValueError:
            said = {}
        said = said if isinstance(said, dict) else {}
        if isinstance(before := said.get(MARK), str) and told not in before:
            told = f"{before}; {told}" if len(before) + len(told) <= _LONGEST_MARK else before
        marked = metadata_json({**said, MARK: told})
        connection.execute(f"UPDATE {owner.name} SET metadata = ? WHERE rowid = ?", (marked, number))
        seal(connection, owner, number)
