"""A pinned memory is never pruned and never merged away."""

from __future__ import annotations

from aqe.engine.memory.adding import require_memory
from aqe.engine.memory.file.sums import seal_current
from aqe.engine.memory.store import Store


def set_pinned(store: Store, id: str, pinned: bool, *, namespace: str = "default") -> bool:
    """Pin or unpin a memory; returns whether that changed anything. Raises `UserError` (unknown-id)."""
    with store.writing() as connection:
        if require_memory(connection, id, namespace, store.now()).pinned is pinned:
            return False
        sql = "UPDATE memories SET pinned = ? WHERE namespace = ? AND id = ? AND valid_to IS NULL"
        connection.execute(sql, (pinned, namespace, id))
        seal_current(connection, namespace, id)
        return True
