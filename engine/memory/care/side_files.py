"""Whether what is kept beside the store to search it faster says what the store says."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

import apsw

from aqe.engine.memory.care.checks import Looked, Wrong
from aqe.engine.memory.file.changelog import rows_since
from aqe.engine.memory.meaning.codefiles import CodeFile, CodeFolder, place_of

if TYPE_CHECKING:
    from aqe.simd import Vectors

NEAR = 0.999
"""The least cosine of a vector beside the store to the stored one; what the store keeps shorter is not compared."""

PORTION = 128
"""Vectors of the store in memory at a time."""

ANEW = "Nothing is lost: delete it, and the next searches make it anew."


def check_side_files(connection: apsw.Connection, database: Path) -> Looked:
    """Every file of vectors beside the store is whole, and one that is as of now holds what the store holds."""
    wrong: list[Wrong] = []
    files = CodeFolder(database).files()
    for file in files:
        wrong += _check(connection, file)
    return len(files), wrong


def _check(connection: apsw.Connection, file: CodeFile) -> list[Wrong]:
    since = rows_since(connection, file.mark)
    if since is None:
        return []  # of a history that this store no longer has: nobody reads it, and the next writer removes it
    from aqe.simd import Vectors

    try:
        held = Vectors.open(file.path)
        held.verify()
    except FileNotFoundError:
        return []  # another process wrote a newer one
    except (OSError, ValueError) as error:
        return [Wrong(f"{file.path.name}: {error}", "searches would read the store in its place", ANEW)]
    if held.label != file.path.stem:
        what = f"{file.path.name} holds what another file of vectors was written as"
        is_of_before = not held.label  # nobody reads it, and the next searches make it anew
        return [] if is_of_before else [Wrong(what, "searches read the store in its place", ANEW)]
    if since:
        return []
    missing, strange, far = _unlike(connection, file, held)
    held.let_go()
    if not (missing or strange or far):
        return []
    what = f"{file.path.name} lacks {missing} vectors, has {strange} of no memory, {far} others"
    return [Wrong(what, "searches find other neighbours than the store has", ANEW)]


def _unlike(connection: apsw.Connection, file: CodeFile, held: Vectors) -> tuple[int, int, int]:
    """How many vectors of the store a file lacks, how many it has that the store has not, and how many are others."""
    sql = "SELECT DISTINCT namespace FROM memories WHERE embedder = ? AND valid_to IS NULL"
    names = [str(name) for (name,) in connection.execute(sql, (file.table,)) if place_of(str(name)) == file.place]
    here, stored = set(held.ids.tolist()), set[int]()
    far = 0
    for name in names:
        shorter = _kept_shorter(connection, file.table, name)
        stored |= shorter
        rows = connection.execute(f"SELECT row, vector FROM vectors_{file.table} WHERE namespace = ?", (name,))
        while portion := list[Any](islice(rows, PORTION)):
            stored.update(int(row) for row, _ in portion)
            far += _far(held, [(row, vector) for row, vector in portion if row in here and row not in shorter])
    return len(stored - here), len(here - stored), far


def _kept_shorter(connection: apsw.Connection, table: int, namespace: str) -> set[int]:
    """The rows of which the store keeps a shorter vector."""
    sql = "SELECT row FROM demoted JOIN memories USING (row) WHERE embedder = ? AND namespace = ? AND valid_to IS NULL"
    return {int(row) for (row,) in connection.execute(sql, (table, namespace))}


def _far(held: Vectors, stored: Sequence[tuple[int, bytes]]) -> int:
    """How many vectors beside the store point elsewhere than the stored ones."""
    import numpy as np

    if not stored:
        return 0
    there = np.frombuffer(b"".join(vector for _, vector in stored), np.float32).reshape(len(stored), -1)
    here = held.get(np.array([row for row, _ in stored], np.int64))
    lengths = np.linalg.norm(there, axis=1) * np.linalg.norm(here, axis=1)
    near = np.einsum("ij,ij->i", there, here) >= NEAR * lengths
    return len(stored) - int(near.sum())
