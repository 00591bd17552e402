"""What a search of a `Vectors` sees: never changed, made anew by each change."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from aqe.simd._ids import Ids, Index
from aqe.simd._table import Table

if TYPE_CHECKING:
    from aqe.simd._upkeep import Inverted

Masks = NDArray[np.uint64]

_CHANGES = 32
"""Changes that prepared ids are brought up to date by; after more they are looked up anew."""


@dataclass(frozen=True)
class State:
    """What a search sees, made anew by each change; `version` counts them, `changed` has the ids of the last ones."""

    snapshot: Any
    index: Index
    live: Masks
    count: int
    coded: bool
    version: int
    bits: bool
    changed: tuple[Ids, ...] = ()
    lists: Any = None
    tail: int = 0
    effort: tuple[int, int] = (0, 0)


def state_of(
    before: State,
    table: Table,
    held: Inverted | None,
    live: Masks,
    index_now: Index,
    count: int,
    changed: Ids | None = None,
) -> State:
    """The state after `before`: these rows, alive by `live`, with the lists where they are of these rows and codes."""
    coded, changes = table.coded(count), () if changed is None else (*before.changed, changed)[-_CHANGES:]
    state = State(table.snapshot(live), index_now, live, count, coded, before.version + 1, table.bits, changes)
    if held is None or held.table is not table or not held.fits or (table.coding is not None and table.coding.cut):
        return state
    return replace(state, lists=held.native, tail=held.lists.tail, effort=(held.lists.patience, held.lists.times))
