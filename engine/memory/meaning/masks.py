"""The rows of a namespace that a filter allows, prepared for searches by codes and kept while no memory changes."""

from __future__ import annotations

from collections import OrderedDict
from typing import TYPE_CHECKING, Any

import apsw

if TYPE_CHECKING:
    from aqe.engine.memory.meaning.parts import Key, Part
    from aqe.engine.memory.search.ranking import Scope

KEPT = 16


class Masks:
    """The last masks that were made. Whoever calls holds the store's lock, is in a read transaction, and clears them
    when a memory changed."""

    def __init__(self) -> None:
        self._made: OrderedDict[Any, Any] = OrderedDict()

    def of(self, connection: apsw.Connection, key: Key, part: Part, scope: Scope) -> Any:
        """What `Vectors.allowed` makes of the rows of a part that fulfil the scope's condition."""
        known = (key, scope.condition, tuple(scope.parameters))
        mask = self._made.get(known)
        if mask is None:
            sql = f"SELECT row FROM memories WHERE valid_to IS NULL AND namespace = ? AND {scope.condition}"
            rows = [row for (row,) in connection.execute(sql, (key[1], *scope.parameters))]
            mask = self._made[known] = part.vectors.allowed(rows)
            while len(self._made) > KEPT:
                self._made.popitem(last=False)
        return mask

    def clear(self) -> None:
        """Forget all of them."""
        self._made.clear()
