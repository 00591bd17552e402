"""Which rows of which table still stand in a damaged file, page by page.

Pages that the tree of a table reaches belong to it. A leaf that nothing reaches any more (a page above it is lost) is
given to the one table whose columns all its rows fit; where several fit, to none. Freed pages are zeroed by this build
of SQLite, so what stands on an unreached page was not deleted.
"""

from __future__ import annotations

import hashlib
import itertools
import re
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import apsw

from aqe.engine.memory.care.cells import INDEX_INTERIOR, INDEX_LEAF, TABLE_INTERIOR, TABLE_LEAF
from aqe.engine.memory.care.correcting import (
    corrected_head,
    corrected_record,
    corrected_text,
    corrected_value,
    has_its_sum,
)
from aqe.engine.memory.care.image import Image
from aqe.engine.memory.care.records import (
    Record,
    Value,
    children,
    count_unseen,
    kind_of,
    last_keys,
    overflow_of,
    records,
)
from aqe.engine.memory.entry import DIMENSIONS
from aqe.engine.memory.file.row_sums import GUARDED
from aqe.engine.memory.file.steps import MIGRATIONS
from aqe.engine.memory.file.sums import SEALED, sum_of_row
from aqe.engine.progress import CancelToken, Progress, silent

LOOK_PAGES = 256
SEALED_NAMES = SEALED.replace('"', "").split(", ")
"""The columns that a row's checksum is of."""

MANY = 10
_PLAUSIBLE: Mapping[str, Callable[[Sequence[Any]], bool]] = {
    "embedders": lambda values: 0 <= values[2] <= DIMENSIONS,
    "migrations": lambda values: values[2] == 0 or values[2] > DIMENSIONS,
}
"""What else holds of the rows of tables whose columns are alike."""

KEPT_LIKE_INDEXES = ("snapshots",)
"""The tables kept like an index to which pages are given that nothing leads to: an index of another table may look like
any other of them, and a consent that nobody gave must not come out of one."""

_EMPTY: Mapping[str, Value] = {
    "metadata": "{}",
    "id_given": 1,
    "line": 0,
    "pinned": 0,
    **dict.fromkeys(("worktree", "commit", "file", "run", "end_note", "file_digest"), ""),
}
"""What a memory has where nobody said anything."""

_MADE = re.compile(r'CREATE (?:VIRTUAL )?TABLE (?:"main"\.|\'main\'\.)?["\']?(\w+)')
_DERIVED = re.compile(r"texts(_|$)|vectors_\d+(_info)?$|sqlite_|change_log$|migrations$|source_mentions$")
SPACE = re.compile(r"vectors_(\d+)_(chunks|vector_chunks00|rowids)")
_KINDS: dict[str, tuple[type, ...]] = {
    "INTEGER": (int,),
    "TEXT": (str,),
    "BLOB": (bytes,),
    "REAL": (float, int),
    "ANY": (int, str, bytes, float),
}
CHUNKS = "chunk_id INTEGER PRIMARY KEY, size INTEGER NOT NULL, sequence_id INTEGER, partition00 TEXT,"
CHUNKS += " validity BLOB NOT NULL, rowids BLOB NOT NULL"


@dataclass(frozen=True)
class Column:
    """A column as its table declares it; `is_row` where it is the row's number and stands as NULL in the record."""

    name: str
    kinds: tuple[type, ...]
    may_be_null: bool
    is_row: bool
    has_default: bool


@dataclass(frozen=True)
class Table:
    """A table of the store; `by_key` where it is kept like an index (WITHOUT ROWID): then the columns stand in the
    order of its key."""

    name: str
    columns: tuple[Column, ...]
    by_key: bool

    @property
    def fewest(self) -> int:
        """Columns that a row has at least: later ones came with a default."""
        needed = [at for at, one in enumerate(self.columns) if one.is_row or not (one.has_default or one.may_be_null)]
        return needed[-1] + 1 if needed else 1

    def fits(self, record: Record) -> bool:
        """Whether a record can be a row of this table."""
        if not record.is_whole or not self.fewest <= len(record.values) <= len(self.columns):
            return False
        for value, column in zip(record.values, self.columns, strict=False):
            if value is None:
                if not column.may_be_null and not column.is_row:
                    return False
            elif (column.is_row and not self.by_key) or (column.kinds and not isinstance(value, column.kinds)):
                return False
        return self.name not in _PLAUSIBLE or _PLAUSIBLE[self.name](record.values)

    def fits_alone(self, record: Record) -> bool:
        """Whether a record that nothing leads to can be told for a row of this table: all columns stand, or many."""
        return self.fits(record) and (len(record.values) == len(self.columns) or len(record.values) >= MANY)


@dataclass(frozen=True)
class Found:
    """A row that still stands, as values of the named columns; `is_sure` where the table's own tree reaches it, and
    `where` it stands: on which page, and the how manieth of it. `is_corrected` where a bit of it was put right,
    `is_replaced` where a text of it is no UTF-8, so that signs stand in place of bytes."""

    table: str
    columns: tuple[str, ...]
    values: tuple[Value, ...]
    is_sure: bool
    where: tuple[int, int]
    is_corrected: bool = False
    is_replaced: bool = False


@dataclass
class Losses:
    """What is known to be lost: rows of a table that stand only in part, pages of a table that hold no rows, rows with
    a text of which bytes are lost, and rows that fit no table."""

    broken: dict[str, int] = field(default_factory=dict)
    pages: dict[str, int] = field(default_factory=dict)
    replaced: dict[str, int] = field(default_factory=dict)
    unknown: int = 0
    unread_pages: int = 0
    named: set[tuple[str, str]] = field(default_factory=set)
    """Memories (namespace, id) of which some row is lost."""


def is_derived(name: str) -> bool:
    """Whether what a table holds is made anew, and not saved."""
    return _DERIVED.match(name) is not None


def known_tables(version: int) -> dict[str, Table]:
    """The tables of a store of this version (0: the newest), those that are made anew among them (`is_derived`)."""
    connection = apsw.Connection(":memory:")
    try:
        for step in MIGRATIONS[: version or None]:
            connection.execute(step.sql)
        found = [
            (str(name), bool(by_key))
            for name, kind, by_key in connection.execute("SELECT name, type, wr FROM pragma_table_list")
            if kind in ("table", "shadow") and (str(name) == "sqlite_schema" or not str(name).startswith("sqlite_"))
        ]
        return {name: _table(connection, name, by_key) for name, by_key in found}
    finally:
        connection.close()


def space_tables(number: int) -> tuple[Table, ...]:
    """The tables behind the vectors of a space: which rows are in which block, the blocks, and where each row is."""
    return (
        _declared(f"vectors_{number}_chunks", CHUNKS),
        _declared(f"vectors_{number}_vector_chunks00", "rowid, vectors BLOB NOT NULL"),
        _declared(f"vectors_{number}_rowids", "rowid INTEGER PRIMARY KEY, id, chunk_id INTEGER, chunk_offset INTEGER"),
    )


def salvage(
    image: Image,
    tables: dict[str, Table],
    losses: Losses,
    *,
    progress: Progress = silent,
    cancel: CancelToken | None = None,
) -> Iterator[Found]:
    """Every row that still stands, those that are sure first; `losses` is filled on the way. Raises `Cancelled`."""
    roots = find_roots(image)
    spaces = {int(match[1]) for name in roots if (match := SPACE.fullmatch(name))} or {1}
    tables = tables | {one.name: one for number in spaces for one in space_tables(number)}
    taken: set[int] = set(_tree(image, 1, set()))
    for name, root in roots.items():
        reached = [number for number in _tree(image, root, taken) if not _is_astray(image, number, name, tables)]
        taken.update(reached)
        for number in reached:
            taken.update(overflow_of(image, number))
        if name in tables and not is_derived(name):
            if unread := _unread(image, root, reached):
                losses.pages[name] = unread
            yield from _rows(image, tables[name], reached, losses, cancel)
    losses.unread_pages = len(image.bad)
    for number in image.pages:
        if number % LOOK_PAGES == 0:
            progress("Looking at pages that nothing leads to", number, image.count)
            if cancel is not None:
                cancel.check()
        if number not in taken and kind_of(image, number) in (TABLE_LEAF, INDEX_LEAF):
            yield from _unreached(image, number, tables, losses)


def value_at(image: Image, where: tuple[int, int]) -> Value:
    """The last value of the row that stands there (`Found.where`)."""
    number, place = where
    return next(itertools.islice(records(image, number), place, None)).values[-1]


def indexed_memories(image: Image) -> Iterator[tuple[str, str, int]]:
    """The revisions (namespace, id, number) that the index of memories still names, whether or not their rows stand."""
    root = find_roots(image).get("memories_revision", 0)
    for number in _tree(image, root, set()):
        for record in records(image, number):
            if record.is_whole and len(record.values) == 4:
                namespace, id, revision, _ = record.values
                if isinstance(namespace, str) and isinstance(id, str) and isinstance(revision, int):
                    yield namespace, id, revision


def indexed_nodes(image: Image) -> dict[int, tuple[str, str]]:
    """The memories (namespace, id) that edges join, by number, as far as their index names them."""
    found: dict[int, tuple[str, str]] = {}
    for number in _tree(image, find_roots(image).get("sqlite_autoindex_nodes_1", 0), set()):
        for record in records(image, number):
            if record.is_whole and not record.odd and len(record.values) == 3:
                namespace, id, node = record.values
                if isinstance(namespace, str) and isinstance(id, str) and isinstance(node, int):
                    found[node] = namespace, id
    return found


def highest_unnamed(image: Image) -> int | None:
    """Where memories may be lost that nothing names, as pages of their table and of its index are lost: the highest row
    number that what is left of the table tells of, 0 where it tells of none. None where whatever is lost is named."""
    roots = find_roots(image)
    if any(_is_whole(image, roots.get(name, 0)) for name in ("memories", "memories_revision")):
        return None
    pages = _tree(image, roots.get("memories", 0), set())
    above = [number for number in pages if kind_of(image, number) == TABLE_INTERIOR]
    return max((key for number in above for key in last_keys(image, number)), default=0)


def _is_whole(image: Image, root: int) -> bool:
    """Whether each page of a tree can be read."""
    pages = list(_tree(image, root, set()))
    above = [number for number in pages if kind_of(image, number) in (TABLE_INTERIOR, INDEX_INTERIOR)]
    return bool(pages) and {below for number in above for below in children(image, number)} <= set(pages)


def rows_of(image: Image, table: str, wanted: Collection[int]) -> dict[int, Record]:
    """The rows of a table by some numbers, as they lie on its pages."""
    found: dict[int, Record] = {}
    for number in _tree(image, find_roots(image).get(table, 0), set()):
        if kind_of(image, number) == TABLE_LEAF:
            found.update((record.row, record) for record in records(image, number) if record.row in wanted)
    return found


def first_made(image: Image) -> int | None:
    """When the file was first made (`BORN`), where that still stands."""
    for number in _tree(image, find_roots(image).get("migrations", 0), set()):
        for record in records(image, number):
            if record.is_whole and record.row == 1 and isinstance(record.values[-1], int):
                return record.values[-1]
    return None


def version_of(image: Image) -> int:
    """The version of a file: the last step that its own list names or that its head says, whichever is later, since
    either may be damaged and the tables of a later version hold the rows of an earlier one; the newest without both."""
    pages = list(_tree(image, find_roots(image).get("migrations", 0), set()))
    listed = {record.row for number in pages for record in records(image, number) if record.is_whole}
    return max(({image.version} | listed) & {step.number for step in MIGRATIONS}, default=MIGRATIONS[-1].number)


def find_roots(image: Image) -> dict[str, int]:
    """The page that the tree of each table and index begins with, as far as the schema can still be read."""
    found: dict[str, int] = {}
    pages = list(_tree(image, 1, set())) or list(image.pages)
    for candidates in (pages, image.pages):
        for number in candidates:
            if kind_of(image, number) == TABLE_LEAF:
                for record in records(image, number):
                    if (name := _defined(record)) is not None:
                        found.setdefault(name, int(record.values[3] or 0))
        if "memories" in found:
            break
    return found


def _defined(record: Record) -> str | None:
    """The name of the table or index that an entry of the schema defines, which a table has three times: as two of
    them say it. None where it is no such entry."""
    values = record.values
    if len(values) != 5 or not isinstance(values[3], int) or not values[3]:
        return None
    kind, name, table, _, sql = values
    made = _MADE.match(str(sql))
    if kind not in ("table", "index") and made is None:
        return None
    if kind == "index" or made is None or name == table:
        return str(name)
    return made[1]


def _tree(image: Image, root: int, taken: set[int]) -> Iterator[int]:
    """The pages of a tree, those above before those below."""
    waiting, seen = [root], set(taken)
    while waiting:
        number = waiting.pop()
        if number in seen or number not in image.pages:
            continue
        seen.add(number)
        kind = kind_of(image, number)
        if not kind:
            continue
        yield number
        if kind in (TABLE_INTERIOR, INDEX_INTERIOR):
            waiting += list(children(image, number))


def _unread(image: Image, root: int, reached: Sequence[int]) -> int:
    """How many pages a tree leads to from those that were `reached` that are none of a tree: overwritten, or not
    there."""
    above = [number for number in reached if kind_of(image, number) in (TABLE_INTERIOR, INDEX_INTERIOR)]
    below = {root}.union(*(children(image, number) for number in above)).difference(reached)
    return sum(not kind_of(image, number) for number in below)


def _rows(
    image: Image, table: Table, pages: Sequence[int], losses: Losses, cancel: CancelToken | None
) -> Iterator[Found]:
    for at, number in enumerate(pages):
        if cancel is not None and at % LOOK_PAGES == 0:
            cancel.check()
        count = 0
        for place, record in enumerate(records(image, number)):
            count += 1
            if (right := _corrected(table, record)) is not None:
                yield replace(_found(table, right, (number, place), is_sure=True), is_corrected=True)
                continue
            filled = record if table.fits(record) else _filled(table, record)
            if table.fits(filled):
                yield _found(table, filled, (number, place), is_sure=True)
            else:
                _note(table, record, losses)
        if unseen := count_unseen(image, number, count):
            losses.broken[table.name] = losses.broken.get(table.name, 0) + unseen


def _corrected(table: Table, record: Record) -> Record | None:
    """A row that has a checksum with the bit put right that flipped in it; None where it has its sum, or that cannot be
    told."""
    guarded, names = GUARDED.get(table.name), [column.name for column in table.columns]
    if table.name == "memories" and "row_sum" in names and record.payload and not _has_its_sums(record, names):
        return corrected_head(record, lambda found: table.fits(found) and _has_its_sums(found, names))
    if guarded is None or "row_sum" not in names or not record.payload:
        return None
    has_none = len(record.values) == len(names) and record.values[names.index("row_sum")] is None
    if has_none or has_its_sum(record, names, guarded):
        return None
    return corrected_record(record, names, guarded)


def _has_its_sums(record: Record, names: Sequence[str]) -> bool:
    """Whether a memory is whole, its text has the hash that it says, and the row the sum, where it has one."""
    if not record.is_whole or record.odd or len(record.values) != len(names):
        return False
    row: dict[str, Any] = dict(zip(names, record.values, strict=True))
    try:
        is_text = hashlib.sha256(row["text"].encode("utf-8")).digest() == row["text_hash"]
        return is_text and row["row_sum"] in (None, sum_of_row([row[name] for name in SEALED_NAMES]))
    except (AttributeError, TypeError, ValueError):
        return False


def _filled(table: Table, record: Record) -> Record:
    """A row of memories with nothing in place of what is gone beside its words; its checksum tells whether that is what
    stood there."""
    if table.name != "memories" or len(record.values) > len(table.columns):
        return record
    pairs = zip(table.columns, record.values, strict=False)
    values = tuple(_EMPTY.get(column.name) if value is None else value for column, value in pairs)
    return replace(record, values=values)


def _unreached(image: Image, number: int, tables: dict[str, Table], losses: Losses) -> Iterator[Found]:
    """The rows of a leaf that nothing leads to, where one table alone can have them."""
    rows = list(records(image, number))
    whole = [record for record in rows if record.is_whole]
    by_key = kind_of(image, number) == INDEX_LEAF
    fitting = [table for table in tables.values() if table.by_key == by_key and whole and all(map(table.fits, whole))]
    if fitting and all(is_derived(table.name) for table in fitting):
        return
    if len(fitting) != 1 or (by_key and fitting[0].name not in KEPT_LIKE_INDEXES):
        losses.unknown += 0 if by_key else len(rows)
        return
    for place, record in enumerate(rows):
        if record.is_whole:
            yield _found(fitting[0], record, (number, place), is_sure=False)
        else:
            _note(fitting[0], record, losses)


def _is_astray(image: Image, number: int, name: str, tables: dict[str, Table]) -> bool:
    """Whether a leaf that the tree of a derived table reaches holds the rows of another: a page written to the place
    of another one."""
    if name not in tables or not is_derived(name) or kind_of(image, number) != TABLE_LEAF or tables[name].by_key:
        return False
    rows = [record for record in records(image, number) if record.is_whole]
    if not rows or any(map(tables[name].fits, rows)):
        return False
    return any(not is_derived(one.name) and not one.by_key and all(map(one.fits, rows)) for one in tables.values())


def _found(table: Table, record: Record, where: tuple[int, int], *, is_sure: bool) -> Found:
    told = _as_remembered(table, record)
    pairs = zip(table.columns, told, strict=False)
    values = tuple(record.row if column.is_row else value for column, value in pairs)
    names = tuple(column.name for column in table.columns[: len(values)])
    if not table.by_key and not any(column.is_row for column in table.columns):
        names, values = ("_rowid_", *names), (record.row, *values)
    is_corrected = told is not record.values
    return Found(table.name, names, values, is_sure, where, is_corrected, bool(record.odd) and not is_corrected)


def _as_remembered(table: Table, record: Record) -> Sequence[Value]:
    """The values of a row, of a memory with the text that its hash was made of, or with the name or metadata that its
    checksum was made of, where one bit flipped so that they are no UTF-8: the bytes are at hand only here."""
    if table.name != "memories" or len(record.odd) != 1:
        return record.values
    row = dict(zip((column.name for column in table.columns), record.values, strict=False))
    ((at, raw),) = record.odd.items()
    name, digest, noted = list(row)[at], row.get("text_hash"), row.get("row_sum")
    text: str | None = None
    if name == "text" and isinstance(digest, bytes):
        text = corrected_text(raw, digest)
    elif isinstance(noted, int) and row.keys() >= set(SEALED_NAMES):
        text = corrected_value([row[one] for one in SEALED_NAMES], SEALED_NAMES.index(name), raw, noted)
    return record.values if text is None else [*record.values[:at], text, *record.values[at + 1 :]]


def _note(table: Table, record: Record, losses: Losses) -> None:
    losses.broken[table.name] = losses.broken.get(table.name, 0) + 1
    if table.name == "memories" and len(record.values) > 2:
        id, namespace = record.values[1:3]
        if isinstance(id, str) and isinstance(namespace, str):
            losses.named.add((namespace, id))


def _table(connection: apsw.Connection, name: str, by_key: bool) -> Table:
    found: list[Any] = connection.execute(f'PRAGMA table_info("{name}")').fetchall()
    alone = sum(1 for row in found if row[5]) == 1 and not by_key
    columns = [
        (
            int(pk),
            Column(
                str(column),
                _KINDS.get(str(kind), ()),
                may_be_null=not notnull,
                is_row=alone and bool(pk) and kind == "INTEGER",
                has_default=default is not None,
            ),
        )
        for _, column, kind, notnull, default, pk in found
    ]
    if by_key:  # the record begins with the key, in its order
        columns = sorted((pair for pair in columns if pair[0]), key=lambda pair: pair[0]) + [
            pair for pair in columns if not pair[0]
        ]
    return Table(name, tuple(column for _, column in columns), by_key)


def _declared(name: str, columns: str) -> Table:
    connection = apsw.Connection(":memory:")
    try:
        connection.execute(f'CREATE TABLE "{name}" ({columns})')
        return _table(connection, name, by_key=False)
    finally:
        connection.close()
