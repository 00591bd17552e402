"""Whether every vector of a store is the one that was written, lies where its table says, and is of a memory."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import apsw

from aqe.engine.memory.care.checks import Looked, Wrong, each
from aqe.engine.memory.care.placing import check_spaces, is_elsewhere
from aqe.engine.memory.file.sums import has_sums, noted_sums, sum_of
from aqe.engine.memory.tiers.demoted import bad_demoted

Sums = Mapping[int, int]
"""What the row of a memory says its vector's sum is."""

_CHANGED = "it changed on the disk: searches by meaning would take it for another"


def check_vectors(connection: apsw.Connection) -> Looked:
    """Every vector belongs to a current memory of its namespace and embedder, has its dimension, is finite, and is what
    its checksum was made of; no memory lost one."""
    if unlike := check_spaces(connection):
        return 0, unlike
    noted = noted_sums(connection) if has_sums(connection) else {}
    seen, wrong, held = 0, list[Wrong](), set[int]()
    spaces: list[Any] = connection.execute(
        "SELECT number, embedder_id, dimension FROM embedders ORDER BY number"
    ).fetchall()
    for number, name, dimension in spaces:
        found, said = _check_space(connection, int(number), str(name), int(dimension), noted)
        held, wrong, seen = held | found, wrong + said, seen + len(found)
    small, said = _check_demoted(connection, noted)
    wrong += said + _check_missing(connection, noted, held | small)
    wrong += _check_ended(connection, noted) + _check_kept(connection)
    return seen + len(small), wrong


def _check_space(
    connection: apsw.Connection, number: int, name: str, dimension: int, noted: Sums
) -> tuple[set[int], list[Wrong]]:
    import numpy as np

    sql = "SELECT row, namespace, id FROM memories WHERE embedder = ? AND valid_to IS NULL"
    known = {int(row): (str(namespace), str(id)) for row, namespace, id in connection.execute(sql, (number,))}
    seen, strange, bad, changed = set[int](), list[str](), list[str](), list[str]()
    for row, namespace, vector in connection.execute(f"SELECT row, namespace, vector FROM vectors_{number}"):
        seen.add(int(row))
        owner = known.get(int(row))
        if owner is None or owner[0] != namespace:
            strange.append(str(row))
        elif len(vector) != 4 * dimension or not np.isfinite(np.frombuffer(vector, np.float32)).all():
            bad.append("/".join(owner))
        elif noted.get(int(row)) not in (None, sum_of(vector)):
            changed.append("/".join(owner))
    named = {row: owner[0] for row, owner in known.items()}
    is_wrong = not (strange or bad or changed) and is_elsewhere(connection, number, dimension, named)
    return seen, [
        *each(
            strange,
            f"vector of {name} belongs to no current memory of its own",
            f"vectors of {name} belong to no current memory of theirs",
            "a search may fail on it",
        ),
        *each(
            bad,
            f"vector of {name} is not {dimension} finite numbers",
            f"vectors of {name} are not {dimension} finite numbers",
            "searches have wrong neighbours",
        ),
        *each(
            changed,
            f"vector of {name} does not match its checksum",
            f"vectors of {name} do not match their checksum",
            _CHANGED,
        ),
        *([Wrong(f"the blocks of the vectors of {name} hold others than its table names", _CHANGED)] * is_wrong),
    ]


def _check_demoted(connection: apsw.Connection, noted: Sums) -> tuple[set[int], list[Wrong]]:
    """The vectors of smaller tiers."""
    if connection.execute("SELECT 1 FROM sqlite_schema WHERE name = 'demoted'").fetchone() is None:
        return set(), []
    bad = {row: name for row, name, _ in bad_demoted(connection)}
    seen, changed = set[int](), list[int]()
    for row, vector in connection.execute("SELECT row, vector FROM demoted"):
        seen.add(int(row))
        if row not in bad and noted.get(int(row)) not in (None, sum_of(bytes(vector))):
            changed.append(int(row))
    one = "vector of a smaller tier is not what its tier says"
    many = "vectors of smaller tiers are not what their tier says"
    other = "vector of a smaller tier does not match its checksum"
    others = "vectors of smaller tiers do not match their checksum"
    said = each(list(bad.values()), one, many, "it is found by words alone")
    return seen, said + each(names_of(connection, changed), other, others, _CHANGED)


def _check_missing(connection: apsw.Connection, noted: Sums, held: set[int]) -> list[Wrong]:
    """Current memories that have the checksum of a vector and no vector."""
    current = {int(row) for (row,) in connection.execute("SELECT row FROM memories WHERE valid_to IS NULL")}
    lost = names_of(connection, sorted((set(noted) & current) - held))
    return each(lost, "memory has lost its vector", "memories have lost their vectors", "no search by meaning finds it")


def _check_ended(connection: apsw.Connection, noted: Sums) -> list[Wrong]:
    sql = (
        "SELECT row, vector, dimension FROM retired_vectors JOIN memories USING (row)"
        " JOIN embedders ON number = embedder"
    )
    bad, changed = list[int](), list[int]()
    for row, vector, dimension in connection.execute(sql):
        if len(vector) != 4 * dimension:
            bad.append(int(row))
        elif noted.get(int(row)) not in (None, sum_of(bytes(vector))):
            changed.append(int(row))
    one, many = "vector of an ended revision has a wrong length", "vectors of ended revisions have a wrong length"
    other = "vector of an ended revision does not match its checksum"
    others = "vectors of ended revisions do not match their checksum"
    meaning = "a rollback cannot bring it back, and has it made anew"
    said = each(names_of(connection, bad), one, many, meaning)
    return said + each(names_of(connection, changed), other, others, meaning)


def _check_kept(connection: apsw.Connection) -> list[Wrong]:
    """The vectors of texts that were embedded before."""
    if connection.execute("SELECT 1 FROM pragma_table_info('embeddings') WHERE name = 'sum'").fetchone() is None:
        return []
    found = connection.execute("SELECT digest, vector, sum FROM embeddings WHERE sum IS NOT NULL")
    bad = [bytes(digest).hex()[:12] for digest, vector, noted in found if sum_of(bytes(vector)) != noted]
    one = "kept vector of a text does not match its checksum"
    return each(
        bad, one, "kept vectors of texts do not match their checksums", "the text is embedded again when it comes"
    )


def names_of(connection: apsw.Connection, rows: list[int]) -> list[str]:
    """The memories of rows, as namespace and id."""
    sql = "SELECT namespace, id FROM memories WHERE row = ?"
    return [f"{namespace}/{id}" for row in rows for namespace, id in connection.execute(sql, (row,))]
