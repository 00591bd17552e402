"""The vectors that are not in vec0 because their tier is a smaller one: read, compared and dropped.

They lie in the table `demoted`, as the forms of `forms`. A row is in vec0 or here, never in both. A cold row has no
vector that could be given to anybody; it only tells roughly how near a query is.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

import apsw

from aqe.engine.memory.tiers.forms import COLD, LEVELS, Level, unpack, unpack_mixed

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from aqe.engine.embedding import Embedder
    from aqe.simd import Vectors

Remake = Callable[[apsw.Connection, int, Mapping[int, str]], "Mapping[int, NDArray[np.float32]]"]
"""Of a table, the vectors of rows made anew from their texts; those that cannot be are left out."""

PAGE = 4096
WHOLE = (
    "length(vector) = CASE tier WHEN 1 THEN 2 * dimension WHEN 2 THEN dimension + 4 ELSE 6 + (dimension + 1) / 2 END"
    " AND (tier < 3 OR hex(substr(vector, 5, 2)) = printf('%02X%02X', dimension & 255, dimension >> 8))"
)
"""Whether the form of a vector has the shape that its tier and dimension give it; what has not is not read."""
_OF_TABLE = (
    "SELECT demoted.row, tier, demoted.vector FROM demoted CROSS JOIN memories USING (row)"
    f" CROSS JOIN embedders ON number = embedder WHERE embedder = ? AND valid_to IS NULL AND {WHOLE}"
)


def read_demoted(connection: apsw.Connection, row: int) -> bytes | None:
    """The vector of a row as float32 bytes, as well as its form gives it back; None where it is cold or not here."""
    sql = (
        f"SELECT tier, vector FROM demoted JOIN memories USING (row) JOIN embedders ON number = embedder WHERE {WHOLE}"
    )
    found: Any = connection.execute(f"{sql} AND demoted.row = ?", (row,)).fetchone()
    return None if found is None or found[0] == COLD else unpack(bytes(found[1]), found[0]).tobytes()


def read_packed(connection: apsw.Connection, row: int) -> bytes | None:
    """The bytes in which the vector of a row is here."""
    found: Any = connection.execute("SELECT vector FROM demoted WHERE row = ?", (row,)).fetchone()
    return None if found is None else bytes(found[0])


def read_demoted_each(
    connection: apsw.Connection, table: int, rows: Sequence[int], *, roughly: bool = False
) -> dict[int, bytes]:
    """As `read_demoted` for each of `rows` that is of the space `table`; `roughly` gives the cold ones too."""
    if not rows or not has_demoted(connection):
        return {}
    sql = f"{_OF_TABLE} AND demoted.row IN (SELECT value FROM json_each(?))"
    found: list[Any] = connection.execute(sql, (table, json.dumps(list(rows)))).fetchall()
    return {int(row): unpack(bytes(packed), tier).tobytes() for row, tier, packed in found if roughly or tier != COLD}


def has_demoted(connection: apsw.Connection) -> bool:
    """Whether any row is here."""
    return connection.execute("SELECT 1 FROM demoted LIMIT 1").fetchone() is not None


def bad_demoted(connection: apsw.Connection) -> list[tuple[int, str, str | None]]:
    """The rows here that are no vector of a current memory: number, namespace and id, and the embedder (None where the
    memory is not a current one)."""
    import numpy as np

    sql = (
        f"SELECT demoted.row, namespace, id, embedder_id, valid_to IS NULL, tier, vector, {WHOLE} FROM demoted"
        " LEFT JOIN memories USING (row) LEFT JOIN embedders ON number = embedder"
    )
    found = []
    rows: Iterable[Any] = connection.execute(sql)
    for row, namespace, id, embedder_id, is_current, tier, packed, is_whole in rows:
        is_sound = is_current and is_whole and np.isfinite(unpack(bytes(packed), tier)).all()
        if not is_sound:
            found.append((int(row), f"{namespace}/{id}", str(embedder_id) if is_current and embedder_id else None))
    return found


def count(connection: apsw.Connection) -> int:
    """How many rows are here."""
    return int(connection.execute("SELECT count(*) FROM demoted").get)


def drop_demoted(connection: apsw.Connection, row: int) -> None:
    """Forget the vector of a row."""
    connection.execute("DELETE FROM demoted WHERE row = ?", (row,))


def read_space(
    connection: apsw.Connection, table: int, namespace: str
) -> Iterator[tuple[NDArray[np.int64], NDArray[np.float32]]]:
    """The rows of a namespace that are here, some thousand at a time; of the cold ones what their bits give."""
    import numpy as np

    if not has_demoted(connection):
        return
    cursor = connection.execute(f"{_OF_TABLE} AND namespace = ?", (table, namespace))
    while page := [one for _, one in zip(range(PAGE), cursor, strict=False)]:
        rows: list[Any] = page
        numbers, values = unpack_mixed(rows)
        is_finite = np.isfinite(values).all(axis=1)
        yield (numbers, values) if is_finite.all() else (numbers[is_finite], values[is_finite])


def marks(connection: apsw.Connection) -> tuple[int, bool]:
    """The number of the change up to which tiers were moved last (0: never), and whether any row is cold since."""
    found = dict(connection.execute("SELECT name, number FROM growth_marks WHERE name IN ('tiered', 'cold')"))
    return int(found.get("tiered", 0)), bool(found.get("cold", 0))


def _cold(connection: apsw.Connection, rows: Sequence[int]) -> tuple[dict[int, str], dict[int, bytes]]:
    """The texts of those of `rows` that are cold, and what is left of their vectors."""
    sql = (
        "SELECT demoted.row, text, vector FROM demoted JOIN memories USING (row) WHERE tier = ?"
        " AND demoted.row IN (SELECT value FROM json_each(?))"
    )
    found: list[Any] = connection.execute(sql, (COLD, json.dumps(list(rows)))).fetchall()
    return {row: str(text) for row, text, _ in found}, {row: bytes(packed) for row, _, packed in found}


def exact_rows(
    connection: apsw.Connection, table: int, held: Vectors, remake: Remake, rows: NDArray[np.int64]
) -> NDArray[np.float32]:
    """The vectors of rows that came near a query: of the cold ones made anew from their texts (or where that cannot be
    what is left of them), of others what is held."""
    import numpy as np

    texts, left = _cold(connection, rows.tolist())
    made = remake(connection, table, texts) if texts else {}
    values = np.empty((len(rows), held.dim), np.float32)
    warm = [place for place, row in enumerate(rows.tolist()) if row not in left]
    if warm:
        values[warm] = held.get(rows[warm])
    for place, row in enumerate(rows.tolist()):
        if row in left:
            values[place] = made[row] if row in made else unpack(left[row], COLD)
    return values


@dataclass(frozen=True)
class Remaking:
    """The vectors of cold rows of a table made anew, in the caller's transaction."""

    connection: apsw.Connection
    table: int
    remake: Remake

    def cosines(self, query: NDArray[np.float32], rows: NDArray[np.int64]) -> dict[int, float]:
        """The cosine with the query of those of these rows that are cold, as far as they can be made anew."""
        return remade_cosines(self.connection, self.table, query.tobytes(), rows.tolist(), self.remake)

    def rows_of(self, held: Vectors) -> Callable[[NDArray[np.int64]], NDArray[np.float32]]:
        """What searches take to score rows exactly that are not kept whole."""
        return partial(exact_rows, self.connection, self.table, held, self.remake)


def remade_cosines(
    connection: apsw.Connection, table: int, vector: bytes, rows: Iterable[int], remake: Remake | None
) -> dict[int, float]:
    """The cosine similarity of those of `rows`, all of a space, that are cold: by vectors made anew from their texts;
    those that cannot be made are left out."""
    if remake is None or not marks(connection)[1]:
        return {}
    texts, _ = _cold(connection, list(rows))
    return cosines_of(remake(connection, table, texts), vector) if texts else {}


def cosines_of(made: Mapping[int, NDArray[np.float32]], vector: bytes) -> dict[int, float]:
    """The cosine similarity of vectors, by row."""
    import numpy as np

    query = np.frombuffer(vector, np.float32).astype(np.float64)
    query /= max(float(np.linalg.norm(query)), 1e-30)
    if not made:
        return {}
    rows = np.stack([*made.values()]).astype(np.float64)
    near = np.einsum("ij,j->i", rows, query) / np.maximum(np.linalg.norm(rows, axis=1), 1e-30)
    return dict(zip(made, near.tolist(), strict=True))


def remaker(embedder: Embedder) -> Remake:
    """What makes vectors of this embedder's space anew."""

    def remake(connection: apsw.Connection, table: int, texts: Mapping[int, str]) -> dict[int, NDArray[np.float32]]:
        sql = "SELECT 1 FROM embedders WHERE number = ? AND embedder_id = ? AND dimension = ?"
        if connection.execute(sql, (table, embedder.id, embedder.dimension)).fetchone() is None:
            return {}
        made = embedder.embed(list(texts.values()))
        says: Any = made.any(axis=1)
        return {row: numbers for row, numbers, some in zip(texts, made, says, strict=True) if some}

    return remake


def put_down(connection: apsw.Connection, held: Vectors, rows: Sequence[int] | None = None) -> int:
    """Keep in memory of rows of smaller tiers (of `rows`, or all) no more than these have; returns how many had
    more."""
    return sum(held.demote(found, level) for level, found in levels(connection, rows).items())


def levels(connection: apsw.Connection, rows: Sequence[int] | None = None) -> dict[Level, list[int]]:
    """The rows (of `rows`, or all) of each tier below the first, by what `Vectors.demote` calls it."""
    found: dict[Level, list[int]] = {}
    if rows is None:
        cursor = connection.execute("SELECT row, tier FROM demoted")
    else:
        sql = "SELECT row, tier FROM demoted WHERE row IN (SELECT value FROM json_each(?))"
        cursor = connection.execute(sql, (json.dumps(list(rows)),))
    for row, tier in cursor:
        found.setdefault(LEVELS[int(tier)], []).append(int(row))
    return found


def cosines(
    connection: apsw.Connection, table: int, vector: bytes, condition: str, parameters: Sequence[object]
) -> dict[int, float]:
    """The cosine similarity of every row of a space that is here, under a condition on `memories`."""
    if not has_demoted(connection):
        return {}
    import numpy as np

    query = np.frombuffer(vector, np.float32)
    query = query / max(float(np.linalg.norm(query)), 1e-30)
    found: dict[int, float] = {}
    cursor = connection.execute(f"{_OF_TABLE} AND {condition}", (table, *parameters))
    while page := [one for _, one in zip(range(PAGE), cursor, strict=False)]:
        held: list[Any] = page
        rows, values = unpack_mixed(held)
        lengths = np.maximum(np.linalg.norm(values, axis=1), 1e-30)
        near = np.einsum("ij,j->i", values, query) / lengths
        found |= zip(rows.tolist(), near.tolist(), strict=True)
    return found
