"""How many memories are in each tier, and what they take."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import apsw

from aqe.engine.memory.tiers.forms import LEVELS

_NAMES = ("hot", "warm", "int8", "cold")
_CODE_BYTES = 52 / 384  # a code and its two factors, for each number of a vector


@dataclass(frozen=True)
class TierFigures:
    """One tier: its memories, the bytes of their vectors in the file (without SQLite's own), and the bytes that they
    take in memory once they are searched: a 1-bit code each, int8 unless they are cold, and the tier's own form."""

    name: str
    form: str
    memories: int
    file_bytes: int
    memory_bytes: int


def read_figures(connection: apsw.Connection) -> list[TierFigures]:
    """The figures of the four tiers, the most recalled first."""
    sql = (
        "SELECT coalesce(tier, 0), dimension, count(*), coalesce(sum(octet_length(vector)), 0) FROM memories"
        " JOIN embedders ON embedder = number LEFT JOIN demoted USING (row) WHERE valid_to IS NULL GROUP BY 1, 2"
    )
    found = [[0, 0, 0] for _ in _NAMES]
    rows: list[Any] = connection.execute(sql).fetchall()
    for tier, dimension, count, held in rows:
        own = (4 * dimension, 2 * dimension, 0, 0)[tier] + (dimension if tier < 3 else 0)
        found[tier][0] += count
        found[tier][1] += held if tier else 4 * dimension * count
        found[tier][2] += int(count * (own + _CODE_BYTES * dimension))
    return [TierFigures(name, form, *each) for name, form, each in zip(_NAMES, LEVELS, found, strict=True)]
