"""What a store knows of growth by itself; the rest is asked for by those who tend it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from aqe.engine.memory.growth.staleness import Policy

if TYPE_CHECKING:
    from aqe.engine.memory.search.rank import Rank


@dataclass(frozen=True)
class GrowthRules:
    """`root` is the folder that files of memories are relative to (None: no memory is ever stale), `recalled_s` how
    long what was recalled is not stored again (0: it is at once), `half_life_days` when an access counts
    half, `stale` what becomes of a hit whose file changed since, `rank` the user's own order of hits."""

    root: Path | None = None
    recalled_s: float = 3600.0
    half_life_days: float = 30.0
    stale: Policy = "lower"
    rank: Rank | None = None
