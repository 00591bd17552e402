"""The end of a memory that is there: put off, brought forward, or taken away."""

from __future__ import annotations

from aqe.engine.memory.adding import require_memory
from aqe.engine.memory.growth.expiry import FOR_GOOD, read_ttl
from aqe.engine.memory.store import Store


def read_end(ttl: str | None) -> float | None:
    """The seconds of a time to keep a memory for, None for `never`. Raises `UserError` (bad-ttl)."""
    lasts_s = FOR_GOOD if ttl is None else read_ttl(ttl)
    return None if lasts_s == FOR_GOOD else lasts_s


def set_end(store: Store, id: str, ttl_s: float | None, *, namespace: str = "default") -> int | None:
    """Have a memory end in so many seconds, or never (None); returns when (microseconds). Raises `UserError`
    (unknown-id)."""
    now = store.now()
    ends = None if ttl_s is None else now + int(ttl_s * 1e6)
    with store.writing() as connection:
        require_memory(connection, id, namespace, now)
        sql = "UPDATE memories SET expires_at = ? WHERE namespace = ? AND id = ? AND valid_to IS NULL"
        connection.execute(sql, (ends, namespace, id))
    return ends
