"""Which row a vector is of, where two places that should agree do not: what says so twice is compared, and a checksum
tells which of the two stayed as it was written."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Callable, Container, Iterable, Iterator, Mapping, Sequence
from typing import Any, Protocol, TypeVar

import apsw

from aqe.engine.memory.care.checks import Wrong, each
from aqe.engine.memory.file.sums import blocks, noted_sums, sum_of
from aqe.engine.memory.tiers.demoted import WHOLE
from aqe.engine.memory.tiers.forms import COLD, SMALL, WARM

_DIMENSION = re.compile(r"(?i)\bvector\s+float\[(\d+)\]")
_NAME = re.compile(r"vectors_(\d+)")
T = TypeVar("T")
Standing = Callable[[int], Sequence[bytes]]
"""Gives the vectors that stand for a row, the one to be taken first where none has a checksum first."""


class Look(Protocol):
    """Gives what it is given, and looks at progress and cancellation on the way."""

    def __call__(self, found: Iterable[T], /) -> Iterator[T]: ...


def is_elsewhere(connection: apsw.Connection, number: int, dimension: int, known: Mapping[int, str]) -> bool:
    """Whether the blocks of a space hold other rows than its table names, a row of another namespace, one twice, or
    other bytes than vec0 finds by the table: half of the searches would see the one, half the other."""
    held: dict[int, int] = {}
    try:
        for row, namespace, vector in blocks(connection, number, dimension):
            if row in held or known.get(row, namespace) != namespace:
                return True
            held[row] = sum_of(vector)
        for row, vector in connection.execute(f"SELECT row, vector FROM vectors_{number}"):
            if held.pop(int(row), None) != sum_of(bytes(vector)):
                return True
    except apsw.Error:
        return True
    return bool(held)


@contextlib.contextmanager
def set_aside(connection: apsw.Connection, number: int, dimension: int, look: Look) -> Iterator[Standing]:
    """What gives the vectors that stand for a row of a space: the one that its table finds, and another where its
    blocks have it. Until the block ends they are in a table of their own, so that the space's can be made anew."""
    connection.execute("CREATE TABLE set_aside (row INTEGER NOT NULL, vector BLOB NOT NULL)")
    connection.execute("CREATE INDEX set_aside_row ON set_aside (row)")
    there, put = "SELECT vector FROM set_aside WHERE row = ? ORDER BY rowid", "INSERT INTO set_aside VALUES (?, ?)"

    def of(row: int) -> list[bytes]:
        found: list[Any] = connection.execute(there, (row,)).fetchall()
        return [bytes(vector) for (vector,) in found]

    for row in look(sorted(listed_rows(connection, [number]))):
        if (vector := _found_by_table(connection, number, row)) is not None:
            connection.execute(put, (row, vector))
    for row, _, vector in look(_readable(blocks(connection, number, dimension))):
        if vector not in of(row):
            connection.execute(put, (row, vector))
    yield of
    connection.execute("DROP TABLE set_aside")


def _found_by_table(connection: apsw.Connection, number: int, row: int) -> bytes | None:
    with contextlib.suppress(apsw.Error):
        vector: bytes | None = connection.execute(f"SELECT vector FROM vectors_{number} WHERE row = ?", (row,)).get
        return vector
    return None


def _readable(found: Iterable[tuple[int, str, bytes]]) -> Iterator[tuple[int, str, bytes]]:
    """What can be read of it: an error of whoever takes it is not met here."""
    with contextlib.suppress(apsw.Error):
        yield from found


def check_spaces(connection: apsw.Connection) -> list[Wrong]:
    """What the list of spaces says of their tables, which their definitions say too."""
    defined = defined_spaces(connection)
    told = {
        int(number): (int(size), str(name))
        for number, name, size in connection.execute("SELECT number, embedder_id, dimension FROM embedders")
    }
    wrong = [str(number) for number in told.keys() | defined.keys() if told.get(number, (0,))[0] != defined.get(number)]
    return each(
        sorted(wrong),
        "space of vectors is not what its table says",
        "spaces of vectors are not what their tables say",
        "no vector of it can be read",
    )


def mend_spaces(connection: apsw.Connection, defined: Mapping[int, int]) -> int:
    """Give the spaces back the numbers and dimensions that their tables have (`defined`, by number), and say of aqe's
    own that they are derived; returns how many values changed."""
    told: dict[int, tuple[str, int, int]] = {
        int(number): (str(name), int(size), int(derived))
        for number, name, size, derived in connection.execute(
            "SELECT number, embedder_id, dimension, derived FROM embedders"
        )
    }
    changed = 0
    astray, unnamed = [one for one in told if one not in defined], [one for one in defined if one not in told]
    if len(astray) == len(unnamed) == 1:
        (wrong,), (right,) = astray, unnamed
        connection.execute("UPDATE embedders SET number = ? WHERE number = ?", (right, wrong))
        told[right] = told.pop(wrong)
        changed += 1
    for number, (name, size, derived) in told.items():
        if number in defined and defined[number] != size:
            connection.execute("UPDATE embedders SET dimension = ? WHERE number = ?", (defined[number], number))
            changed += 1
        if is_derived_name(name) and not derived:
            connection.execute("UPDATE embedders SET derived = 1 WHERE number = ?", (number,))
            changed += 1
    return changed


def is_derived_name(embedder_id: str) -> bool:
    """Whether the vectors of this embedder are ones that aqe makes of texts, whatever else is said of them."""
    return embedder_id.startswith(("aqe-static-", "st:"))


def listed_rows(connection: apsw.Connection, spaces: Iterable[int]) -> set[int]:
    """The rows that the tables of these spaces list."""
    rows = set[int]()
    for number in spaces:
        with contextlib.suppress(apsw.Error):
            rows |= {int(row) for (row,) in connection.execute(f"SELECT rowid FROM vectors_{number}_rowids")}
    return rows


def mend_places(connection: apsw.Connection, whole: Container[int]) -> int:
    """Give vectors of smaller tiers and of ended revisions that stand under another memory's number back to the one
    whose checksum they have, and the tier that their bytes have; of a memory that has its vector besides (`whole`: the
    rows with one in the tables of spaces), what stands under its number wrongly is dropped. Returns how many."""
    ended = _mend_rows(connection, "retired_vectors", "valid_to IS NOT NULL", set())
    return _mend_rows(connection, "demoted", "valid_to IS NULL", whole) + _mend_tiers(connection) + ended


def _mend_rows(connection: apsw.Connection, table: str, condition: str, whole: Container[int]) -> int:
    sums = noted_sums(connection)
    found = connection.execute(f"SELECT row, vector FROM {table}")
    held: dict[int, int] = {int(row): sum_of(bytes(vector)) for row, vector in found}
    wrong = [row for row, made in held.items() if sums.get(row) != made]
    sql = f"SELECT row FROM memories WHERE embedder IS NOT NULL AND vector_sum IS NOT NULL AND {condition}"
    rows: list[Any] = connection.execute(sql).fetchall() if wrong else []
    homeless = {sums[row]: int(row) for (row,) in rows if row not in held and row not in whole}
    mended = 0
    for row in wrong:
        owner = homeless.pop(held[row], None)
        if owner is not None:
            connection.execute(f"UPDATE {table} SET row = ? WHERE row = ?", (owner, row))
        elif row in whole:
            connection.execute(f"DELETE FROM {table} WHERE row = ?", (row,))
        mended += owner is not None or row in whole
    return mended


def _mend_tiers(connection: apsw.Connection) -> int:
    """Each tier has a form of its own, so bytes that are what was written tell theirs."""
    sql = (
        "SELECT demoted.row, vector, vector_sum, dimension FROM demoted JOIN memories USING (row)"
        f" JOIN embedders ON number = embedder WHERE NOT ({WHOLE})"
    )
    found: list[Any] = connection.execute(sql).fetchall()
    mended = 0
    for row, vector, noted, size in found:
        lengths = {WARM: 2 * size, SMALL: size + 4, COLD: 6 + (size + 1) // 2}
        fits = [tier for tier, length in lengths.items() if length == len(vector)]
        if noted == sum_of(bytes(vector)) and len(fits) == 1:
            connection.execute("UPDATE demoted SET tier = ? WHERE row = ?", (fits[0], row))
            mended += 1
    return mended


def defined_spaces(connection: apsw.Connection) -> dict[int, int]:
    """The dimension of each table of vectors, by its number, as the tables are defined."""
    sql = "SELECT name, sql FROM sqlite_schema WHERE type = 'table' AND name GLOB 'vectors_[0-9]*'"
    return {
        int(name[1]): int(size[1])
        for table, told in connection.execute(sql)
        if (name := _NAME.fullmatch(str(table))) and (size := _DIMENSION.search(str(told)))
    }
