"""The end of a memory that is there: put off, brought forward, or taken away."""

from __future__ import annotations

from aqe.engine.memory.adding import require_memory
from aqe.engine.memory.file.sums import seal_current
from aqe.engine.memory.growth.expiry import FOR_GOOD
from aqe.engine.memory.store import Store


def set_end(store: Store, id: str, ttl_s: float | None, *, namespace: str = "default") -> int | None:
    """Have a memory end in so many seconds, or never (infinity, None); returns when (microseconds). Raises `UserError`
    (unknown-id)."""
    now = store.now()
    ends = None if ttl_s in (None, FOR_GOOD) else now + int(ttl_s * 1e6)
    with store.writing() as connection:
        require_memory(connection, id, namespace, now)
        sql = "UPDATE memories SET expires_at = ? WHERE namespace = ? AND id = ? AND valid_to IS NULL"
        connection.execute(sql, (ends, namespace, id))
        seal_current(connection, namespace, id)
    return ends
