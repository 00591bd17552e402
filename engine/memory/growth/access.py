"""How often each memory is recalled: counted in memory, written in the background, forgotten by half in a half-life.

A search only adds to a table in memory. A thread of its own, with a connection of its own, writes what has gathered a
few seconds later, and a store that closes writes the rest; what cannot be written then is only a statistic and goes.
`score` is the exponentially decayed count: each access counts 1 when it happens and half as much a half-life later.
"""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path

import apsw

from aqe.engine.errors import AqeError
from aqe.engine.memory.connection import transaction

DAY_US = 86_400_000_000
HALF_LIFE_DAYS = 30.0
FLUSH_S = 5.0
MOST_WAITING = 20_000
CLOSE_BUSY_MS = 200

Key = tuple[str, str]
"""A memory: namespace and id."""


def decayed(score: float, last_at: int, now: int, half_life_days: float = HALF_LIFE_DAYS) -> float:
    """What is left at `now` of a score as of `last_at` (both UTC microseconds).

    >>> decayed(4.0, 0, 30 * DAY_US)
    2.0
    """
    return score * float(0.5 ** (max(0, now - last_at) / (half_life_days * DAY_US)))


def write_accesses(
    connection: apsw.Connection, counts: Mapping[Key, int], now: int, half_life_days: float = HALF_LIFE_DAYS
) -> None:
    """Add accesses to the rows of those memories that are current, in the caller's transaction."""
    for (namespace, id), count in counts.items():
        sql = (
            "SELECT memories.row, accesses.count, last_at, score FROM memories LEFT JOIN accesses USING (row)"
            " WHERE namespace = ? AND id = ? AND valid_to IS NULL"
        )
        found = connection.execute(sql, (namespace, id)).fetchone()
        if found is None:
            continue
        row, before, last_at, score = found
        left = 0.0 if score is None else decayed(score, last_at, now, half_life_days)
        connection.execute(
            "INSERT OR REPLACE INTO accesses (row, count, last_at, score) VALUES (?, ?, ?, ?)",
            (row, (before or 0) + count, max(now, last_at or 0), left + count),
        )


def carry_over(connection: apsw.Connection, before: int, row: int) -> None:
    """Give the accesses of a row that ended to the one that follows it, adding to what that has."""
    connection.execute(
        "INSERT INTO accesses (row, count, last_at, score) SELECT ?, count, last_at, score FROM accesses WHERE row = ?"
        " ON CONFLICT (row) DO UPDATE SET count = count + excluded.count, score = score + excluded.score,"
        " last_at = max(last_at, excluded.last_at)",
        (row, before),
    )
    connection.execute("DELETE FROM accesses WHERE row = ?", (before,))


class AccessCounts:
    """The accesses of one store that are not written yet; safe between threads. A store in memory has none."""

    def __init__(
        self,
        path: Path,
        reopen: Callable[[Path], apsw.Connection],
        now: Callable[[], int],
        half_life_days: float = HALF_LIFE_DAYS,
    ) -> None:
        self._path = path
        self._reopen = reopen
        self._now = now
        self._lock = threading.Lock()
        self._waiting: dict[Key, int] = {}
        self._timer: threading.Timer | None = None
        self._is_kept = str(path) != ":memory:"
        self._half_life_days = half_life_days

    def count(self, keys: Iterable[Key]) -> None:
        """Count one access of each memory (a microsecond each); nothing is written here."""
        if not self._is_kept:
            return
        with self._lock:
            for key in keys:
                if key in self._waiting or len(self._waiting) < MOST_WAITING:
                    self._waiting[key] = self._waiting.get(key, 0) + 1
            if self._waiting and self._timer is None:
                self._timer = threading.Timer(FLUSH_S, self._write_aside)
                self._timer.daemon = True
                self._timer.start()

    def flush(self, connection: apsw.Connection) -> None:
        """Write what waits through `connection`; raises `UserError` as any write, and what waits stays then."""
        waiting = self._take()
        if not waiting:
            return
        try:
            with transaction(connection, self._path):
                write_accesses(connection, waiting, self._now(), self._half_life_days)
        except BaseException:
            self._put_back(waiting)
            raise

    def close(self, connection: apsw.Connection) -> None:
        """Write the last ones, unless the file is busy or cannot be written."""
        with self._lock:
            timer, self._timer = self._timer, None
        if timer is not None:
            timer.cancel()
        if self._waiting:
            connection.set_busy_timeout(CLOSE_BUSY_MS)
            with contextlib.suppress(AqeError):
                self.flush(connection)

    def _write_aside(self) -> None:
        with self._lock:
            self._timer = None
        with contextlib.suppress(AqeError, OSError):
            if not self._path.exists():
                return
            connection = self._reopen(self._path)
            try:
                self.flush(connection)
            finally:
                connection.close()

    def _take(self) -> dict[Key, int]:
        with self._lock:
            waiting, self._waiting = self._waiting, {}
        return waiting

    def _put_back(self, waiting: Mapping[Key, int]) -> None:
        with self._lock:
            for key, count in waiting.items():
                self._waiting[key] = self._waiting.get(key, 0) + count
