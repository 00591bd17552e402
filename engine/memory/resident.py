"""The vectors of a store that is asked again and again, held in memory while no memory changes.

vec0 reads every vector from the file for each search, and looks up single ones slowly. A store that was searched a few
times in the same state, and is not large, has its vectors read once; what is found is the same.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import apsw

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

MOST_BYTES = 16_000_000
"""The most that is held: some 10,000 vectors of 384 numbers."""

SEARCHES = 3
"""Searches of one state of the store after which its vectors are read."""

DIGITS = 6
"""Cosines are rounded, so that equal vectors are equally near."""


@dataclass(frozen=True)
class Cosines:
    """The cosine similarity of a query to every vector of a table: `values[i]` of `rows[i]`, which is in the namespace
    `names[places[i]]`."""

    rows: NDArray[np.int64]
    places: NDArray[np.int32]
    names: Sequence[str]
    index: dict[int, int]
    values: NDArray[np.float32]

    def nearest(self, k: int, has: Callable[[str], bool]) -> dict[int, float]:
        """The `k` nearest rows of the namespaces that `has` is true of, nearest first; of equals the oldest."""
        import numpy as np

        wanted = np.array([has(name) for name in self.names], bool)
        inside = np.flatnonzero(wanted[self.places])
        values = self.values[inside]
        if len(inside) > k:
            least = np.partition(values, len(values) - k)[len(values) - k]
            inside = inside[values >= least]
        order = inside[np.lexsort((self.rows[inside], -self.values[inside]))][:k]
        return {int(self.rows[at]): float(self.values[at]) for at in order}

    def of(self, rows: Sequence[int]) -> dict[int, float]:
        """The cosine of each of `rows` that has a vector in the table."""
        return {row: float(self.values[self.index[row]]) for row in rows if row in self.index}


@dataclass(frozen=True)
class _Held:
    rows: NDArray[np.int64]
    places: NDArray[np.int32]
    names: tuple[str, ...]
    index: dict[int, int]
    units: NDArray[np.float32]


class Resident:
    """The vectors of the table that was searched last; safe between threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._state: tuple[int, int] | None = None
        self._searches = 0
        self._held: _Held | None = None

    def cosines(self, connection: apsw.Connection, table: int, vector: bytes) -> Cosines | None:
        """The similarities of `vector` (float32 bytes) to a table, in the caller's transaction; None where its vectors
        are not held: the store changed lately, or they are too many."""
        changes = int(connection.execute("SELECT number FROM changes WHERE of = 'memories'").get)
        with self._lock:
            if self._state != (table, changes):
                self._state, self._searches, self._held = (table, changes), 0, None
            self._searches += 1
            held = self._held
            if held is None and self._searches > SEARCHES:
                held = self._held = _read(connection, table, len(vector))
                self._searches = 0 if held is not None else -1_000  # a large store is weighed again much later
        if held is None:
            return None
        import numpy as np

        query = np.frombuffer(vector, np.float32)
        length = float(np.linalg.norm(query))
        unit = query / length if length > 0 else query
        values = np.round(np.einsum("ij,j->i", held.units, unit), DIGITS)  # `@` leaves a thread of BLAS spinning
        return Cosines(held.rows, held.places, held.names, held.index, values)


def _read(connection: apsw.Connection, table: int, size: int) -> _Held | None:
    """All vectors of a table, each of `size` bytes and brought to length one; None where they are too many."""
    count = int(connection.execute(f"SELECT count(*) FROM vectors_{table}_rowids").get)
    if not count or count * size > MOST_BYTES:
        return None
    import numpy as np

    found: list[Any] = connection.execute(f"SELECT row, namespace, vector FROM vectors_{table}").fetchall()
    names = tuple(dict.fromkeys(str(name) for _, name, _ in found))
    number = {name: at for at, name in enumerate(names)}
    units = np.frombuffer(b"".join(vector for _, _, vector in found), np.float32).reshape(len(found), -1).copy()
    lengths = np.linalg.norm(units, axis=1, keepdims=True)
    np.divide(units, lengths, out=units, where=lengths > 0)
    rows = np.array([row for row, _, _ in found], np.int64)
    places = np.array([number[name] for _, name, _ in found], np.int32)
    return _Held(rows, places, names, {int(row): at for at, row in enumerate(rows)}, units)
