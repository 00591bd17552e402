"""Vectors that are damaged, lost or of nothing are put right, or taken out so that they are made anew."""

from __future__ import annotations

from array import array
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import apsw

from aqe.engine.memory.care.correcting import corrected_bytes, is_sum_alone
from aqe.engine.memory.care.placing import Look, Standing, T, is_elsewhere, set_aside
from aqe.engine.memory.care.rewriting import Places
from aqe.engine.memory.file.sums import note_sum, noted_sums, read_noted, stored_sums, sum_of
from aqe.engine.memory.meaning import vectors
from aqe.engine.memory.tiers.demoted import bad_demoted, drop_demoted
from aqe.engine.progress import CancelToken, Progress, silent

LOOK = 1000
UNIT = 1e-2
"""How far from 1 the length of a vector of aqe's own may be where it has no checksum; one farther was damaged."""


@dataclass(frozen=True)
class _Space:
    number: int
    name: str
    dimension: int
    derived: bool
    sums: Mapping[int, int]

    def sound(self, row: int, vector: bytes, *, strictly: bool = True) -> bytes | None:
        """A vector as it was written: as it stands or with the bit that flipped put right; None where that is lost."""
        noted = self.sums.get(row)
        if len(vector) != 4 * self.dimension:
            return None
        if noted is not None:
            return corrected_bytes(vector, noted)
        return vector if _is_vector(vector, own=strictly and vectors.is_own(self.name)) else None

    def soundest(self, row: int, found: Sequence[bytes]) -> bytes | None:
        """The one of several vectors of a row that is as it was written, or can be put right; None where none is."""
        noted = self.sums.get(row)
        whole = next((one for one in found if sum_of(one) == noted), None)
        tried = (self.sound(row, one) for one in found if whole is None)
        return whole or next((one for one in tried if one is not None), None)


@dataclass
class Counts:
    """Vectors that were put right (and places of the vectors of a space), that current memories lost, those of them
    that a caller gave, and those that ended revisions lost."""

    corrected: int = 0
    lost: int = 0
    given: int = 0
    ended: int = 0


def rebuild_vectors(
    connection: apsw.Connection,
    found: Callable[[int, int], Places],
    *,
    progress: Progress = silent,
    cancel: CancelToken | None = None,
) -> Counts:
    """Make the tables of vectors anew from those that were `found` of a space (its number and dimension)."""
    counts, look = Counts(), _looking(progress, cancel)
    for space in _spaces(connection):
        places = found(space.number, space.dimension)
        sums = ((row, sum_of(there[0])) for row in look(places.known) if (there := places.of(row)))
        _mend_sums(connection, sums, counts)
        space = replace(space, sums=noted_sums(connection))
        _rebuild(connection, space, places.of, counts, look)
    _mend_others(connection, counts)
    return counts


def mend_vectors(
    connection: apsw.Connection, *, progress: Progress = silent, cancel: CancelToken | None = None
) -> Counts:
    """Put right the vectors that are not what their checksum was made of, and remove those that cannot be, that belong
    to no current memory of their space and namespace, or that are no such numbers."""
    counts, look = Counts(), _looking(progress, cancel)
    _mend_sums(connection, stored_sums(connection).items(), counts)
    for space in _spaces(connection):
        sql = "SELECT row, namespace FROM memories WHERE embedder = ? AND valid_to IS NULL"
        owners = {int(row): str(name) for row, name in connection.execute(sql, (space.number,))}
        if is_elsewhere(connection, space.number, space.dimension, owners):
            with set_aside(connection, space.number, space.dimension, look) as standing:
                _rebuild(connection, space, standing, counts, look)
            counts.corrected += 1
        else:
            _mend_space(connection, space, owners, counts, look)
    _mend_others(connection, counts)
    return counts


def _looking(progress: Progress, cancel: CancelToken | None) -> Look:
    def look(found: Iterable[T], /) -> Iterator[T]:
        for at, one in enumerate(found):
            if at % LOOK == 0:
                progress("Looking at vectors", at)
                if cancel is not None:
                    cancel.check()
            yield one

    return look


def _mend_sums(connection: apsw.Connection, stored: Iterable[tuple[int, int]], counts: Counts) -> None:
    """Put right the noted sums of `stored` vectors (by row, with the sum that they have) of which one bit flipped."""
    noted = noted_sums(connection)
    for row, made in stored:
        if made != noted.get(row, made) and is_sum_alone(made, noted[row]):
            note_sum(connection, row, made, read_noted(connection, row))
            counts.corrected += 1


def _spaces(connection: apsw.Connection) -> list[_Space]:
    sums = noted_sums(connection)
    found: list[Any] = connection.execute("SELECT number, embedder_id, dimension, derived FROM embedders").fetchall()
    return [_Space(int(number), str(name), int(size), bool(derived), sums) for number, name, size, derived in found]


def _mend_space(
    connection: apsw.Connection, space: _Space, owners: Mapping[int, str], counts: Counts, look: Look
) -> None:
    bad, seen = list[tuple[int, str]](), set[int]()
    sql = f"SELECT row, namespace, vector FROM vectors_{space.number}"
    every: Iterable[Any] = connection.execute(sql)
    for row, namespace, vector in look(every):
        seen.add(int(row))
        packed = bytes(vector)
        if owners.get(int(row)) != namespace or space.sound(int(row), packed, strictly=False) != packed:
            bad.append((int(row), str(namespace)))
    for row, namespace in look(bad):
        packed = bytes(connection.execute(f"SELECT vector FROM vectors_{space.number} WHERE row = ?", (row,)).get)
        connection.execute(f"DELETE FROM vectors_{space.number} WHERE row = ?", (row,))
        sound = space.sound(row, packed, strictly=False) if owners.get(row) == namespace else None
        if sound is not None:
            vectors.put(connection, space.number, row, namespace, sound)
            _tell(connection, row)
            counts.corrected += 1
        elif row in owners:
            _lose(connection, row, space, counts)
    smaller = {int(row) for (row,) in connection.execute("SELECT row FROM demoted")}
    for row in owners.keys() & space.sums.keys() - seen - smaller:
        _lose(connection, row, space, counts)


def _rebuild(connection: apsw.Connection, space: _Space, standing: Standing, counts: Counts, look: Look) -> None:
    connection.execute(f"DROP TABLE IF EXISTS vectors_{space.number}")
    vectors.make_table(connection, space.number, space.dimension)
    rows: list[Any] = connection.execute(
        "SELECT row, namespace FROM memories WHERE embedder = ? AND valid_to IS NULL"
        " AND row NOT IN (SELECT row FROM demoted) ORDER BY row",
        (space.number,),
    ).fetchall()
    for row, namespace in look(rows):
        there = standing(row)
        vector = space.soundest(row, there)
        if vector is not None:
            vectors.put(connection, space.number, row, namespace, vector)
            counts.corrected += vector not in there
            _tell(connection, row)
        else:
            _lose(connection, row, space, counts)


def _mend_others(connection: apsw.Connection, counts: Counts) -> None:
    """The vectors of smaller tiers, of ended revisions, and those kept of texts."""
    sums = noted_sums(connection)
    _mend_demoted(connection, sums, counts)
    _mend_ended(connection, sums, counts)
    kept: Iterable[Any] = connection.execute("SELECT embedder_id, digest, vector, sum FROM embeddings")
    wrong = [(name, digest) for name, digest, vector, noted in kept if noted not in (None, sum_of(bytes(vector)))]
    connection.executemany("DELETE FROM embeddings WHERE embedder_id = ? AND digest = ?", wrong)


def _mend_demoted(connection: apsw.Connection, sums: Mapping[int, int], counts: Counts) -> None:
    spaces = {space.number: space for space in _spaces(connection)}
    bad = {row for row, _, _ in bad_demoted(connection)}
    for (row,) in list[Any](connection.execute("SELECT row FROM demoted")):
        packed = bytes(connection.execute("SELECT vector FROM demoted WHERE row = ?", (row,)).get)
        noted = sums.get(int(row))
        if row not in bad and noted in (None, sum_of(packed)):
            continue
        sound = None if noted is None else corrected_bytes(packed, noted)
        if sound not in (None, packed):
            connection.execute("UPDATE demoted SET vector = ? WHERE row = ?", (sound, row))
            _tell(connection, row)
            counts.corrected += 1
            continue
        table = connection.execute("SELECT embedder FROM memories WHERE row = ? AND valid_to IS NULL", (row,)).get
        drop_demoted(connection, row)
        if table is not None:
            _lose(connection, row, spaces[int(table)], counts)


def _mend_ended(connection: apsw.Connection, sums: Mapping[int, int], counts: Counts) -> None:
    sql = "SELECT row, dimension FROM retired_vectors JOIN memories USING (row) JOIN embedders ON number = embedder"
    for row, dimension in list[Any](connection.execute(sql)):
        packed = bytes(connection.execute("SELECT vector FROM retired_vectors WHERE row = ?", (row,)).get)
        noted = sums.get(int(row))
        if len(packed) == 4 * dimension and noted in (None, sum_of(packed)):
            continue
        sound = corrected_bytes(packed, noted) if noted is not None and len(packed) == 4 * dimension else None
        if sound is None:
            connection.execute("DELETE FROM retired_vectors WHERE row = ?", (row,))
            counts.ended += 1
        else:
            connection.execute("UPDATE retired_vectors SET vector = ? WHERE row = ?", (sound, row))
            counts.corrected += 1


def _lose(connection: apsw.Connection, row: int, space: _Space, counts: Counts) -> None:
    """Say that a current memory has no vector, so that it is embedded from its text."""
    counts.lost += 1
    counts.given += not space.derived
    connection.execute("UPDATE memories SET embedder = NULL, vector_sum = NULL, row_sum = NULL WHERE row = ?", (row,))


def _tell(connection: apsw.Connection, row: int) -> None:
    """Log a row as changed, so that who holds its vector in memory reads it again."""
    connection.execute("INSERT INTO change_log (row, stamp) VALUES (?, random() & 0x7fffffff)", (row,))


def _is_vector(vector: bytes, *, own: bool) -> bool:
    """Whether these can be the numbers of a vector; one of aqe's own also has length 1."""
    square = sum(number * number for number in array("f", vector))
    return square < float("inf") and (not own or abs(square - 1) < UNIT)
