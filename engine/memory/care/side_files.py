"""Whether what is kept beside the store to search it faster says what the store says."""

from __future__ import annotations

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
        held = Vectors.open(file.path, mapped=False)
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
    stored = _stored(connection, file)
    missing, strange = set(stored) - set(held.ids.tolist()), set(held.ids.tolist()) - set(stored)
    far = [] if missing or strange else _far(held, stored)
    if not (missing or strange or far):
        return []
    what = f"{file.path.name} lacks {len(missing)} vectors, has {len(strange)} of no memory, {len(far)} others"
    return [Wrong(what, "searches find other neighbours than the store has", ANEW)]


def _stored(connection: apsw.Connection, file: CodeFile) -> dict[int, bytes]:
    """The vectors that the store has for a file, by row; b"" for one that is kept shorter."""
    sql = "SELECT DISTINCT namespace FROM memories WHERE embedder = ? AND valid_to IS NULL"
    names = [str(name) for (name,) in connection.execute(sql, (file.table,)) if place_of(str(name)) == file.place]
    found: dict[int, bytes] = {}
    for name in names:
        rows: list[Any] = connection.execute(
            f"SELECT row, vector FROM vectors_{file.table} WHERE namespace = ?", (name,)
        ).fetchall()
        found |= {int(row): bytes(vector) for row, vector in rows}
        shorter: list[Any] = connection.execute(
            "SELECT row FROM demoted JOIN memories USING (row)"
            " WHERE embedder = ? AND namespace = ? AND valid_to IS NULL",
            (file.table, name),
        ).fetchall()
        found |= {int(row): b"" for (row,) in shorter}
    return found


def _far(held: Vectors, stored: dict[int, bytes]) -> list[int]:
    """The rows whose vector beside the store points elsewhere than the stored one."""
    import numpy as np

    rows = [row for row, vector in stored.items() if vector]
    if not rows:
        return []
    there = np.frombuffer(b"".join(stored[row] for row in rows), np.float32).reshape(len(rows), -1)
    here = held.get(np.array(rows, np.int64))
    lengths = np.linalg.norm(there, axis=1) * np.linalg.norm(here, axis=1)
    near = np.einsum("ij,ij->i", there, here) >= NEAR * lengths
    return [row for row, is_near in zip(rows, near.tolist(), strict=True) if not is_near]
