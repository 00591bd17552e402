"""A named lease in the store: of all threads and processes on it one holds the name, the others wait or pass by.

The holder renews it while it works. One whose process is gone, or that fell silent on another machine, is passed over.
"""

from __future__ import annotations

import contextlib
import time
import uuid
from collections.abc import Iterator

from aqe.engine.memory.store import Store
from aqe.engine.owner import Owner, current_owner
from aqe.engine.progress import CancelToken, Progress, silent

SILENT_US = 120_000_000
"""A holder on another machine, whose process cannot be looked up, has lost its lease after this time."""

LOOK_S = 0.1


class Lease:
    """A lease that is held; `renew` it at least once a minute during long work."""

    def __init__(self, store: Store, name: str, token: str) -> None:
        self.name = name
        self._store = store
        self._token = token

    def renew(self) -> None:
        """Say that the work goes on."""
        with self._store.writing() as connection:
            connection.execute(
                "UPDATE leases SET heartbeat_at = ? WHERE name = ? AND token = ?",
                (self._store.now(), self.name, self._token),
            )

    def release(self) -> None:
        """Give the lease back; one that another holder took over stays theirs."""
        with self._store.writing() as connection:
            connection.execute("DELETE FROM leases WHERE name = ? AND token = ?", (self.name, self._token))


def take_lease(store: Store, name: str) -> Lease | None:
    """The lease, or None while another holder has it."""
    owner, token, now = current_owner(), uuid.uuid4().hex, store.now()
    with store.writing() as connection:
        held = connection.execute(
            "SELECT owner_pid, owner_started, owner_host, heartbeat_at FROM leases WHERE name = ?", (name,)
        ).fetchone()
        if held is not None and not _is_lost(Owner(*held[:3]), owner, now - held[3]):
            return None
        connection.execute(
            "INSERT OR REPLACE INTO leases VALUES (?, ?, ?, ?, ?, ?)",
            (name, token, owner.pid, owner.started, owner.host, now),
        )
    return Lease(store, name, token)


@contextlib.contextmanager
def holding(
    store: Store, name: str, *, progress: Progress = silent, cancel: CancelToken | None = None
) -> Iterator[Lease]:
    """Hold the lease in the block, once whoever has it now is done. Raises `Cancelled` when cancelled meanwhile."""
    lease = take_lease(store, name)
    while lease is None:
        if cancel is not None:
            cancel.check()
        progress(f"Waiting for another process with the lease {name!r}")
        time.sleep(LOOK_S)
        lease = take_lease(store, name)
    try:
        yield lease
    finally:
        lease.release()


def _is_lost(holder: Owner, here: Owner, silent_us: int) -> bool:
    return holder.is_dead() or (holder.host != here.host and silent_us > SILENT_US)
