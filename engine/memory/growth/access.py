"""How often each memory is recalled: counted in memory, written in the background, forgotten by half in a half-life.

A search only adds to a table in memory. A thread of its own, with a connection of its own, writes what has gathered a
few seconds later, and a store that closes writes the rest; what cannot be written then is only a statistic and goes.
`score` is the exponentially decayed count: each access counts 1 when it happens and half as much a half-life later.
"""

from __future__ import annotations

import contextlib
import threading
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

import apsw

from aqe.engine.errors import AqeError
from aqe.engine.memory.entry import Memory
from aqe.engine.memory.file.connection import transaction
from aqe.engine.memory.file.sums import sum_of
from aqe.engine.side_thread import started

DAY_US = 86_400_000_000
HALF_LIFE_DAYS = 30.0
FLUSH_S = 5.0
MOST_WAITING = 20_000
TOGETHER = 32
"""Searches whose memories are added up together."""

CLOSE_BUSY_MS = 200
MOST_VECTORS = 4096
MOST_KEPT = 50_000
"""Vectors of texts that the file keeps."""

Key = tuple[str, str]
"""A memory: namespace and id."""

Shown = TypeVar("Shown")


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


def _keyed(connection: apsw.Connection, rows: Mapping[int, int]) -> Counter[Key]:
    """Counts of rows as those of their memories: one that changed since has another row now."""
    found: Counter[Key] = Counter()
    for row, count in rows.items():
        key: Any = connection.execute("SELECT namespace, id FROM memories WHERE row = ?", (row,)).fetchone()
        if key is not None:
            found[key] += count
    return found


def carry_over(connection: apsw.Connection, before: int, row: int) -> None:
    """Give the accesses of a row that ended to the one that follows it, adding to what that has."""
    connection.execute(
        "INSERT INTO accesses (row, count, last_at, score) SELECT ?, count, last_at, score FROM accesses WHERE row = ?"
        " ON CONFLICT (row) DO UPDATE SET count = count + excluded.count, score = score + excluded.score,"
        " last_at = max(last_at, excluded.last_at)",
        (row, before),
    )
    connection.execute("DELETE FROM accesses WHERE row = ?", (before,))


def _write_made(connection: apsw.Connection, made: Mapping[tuple[str, bytes], bytes], now: Callable[[], int]) -> None:
    """Keep vectors of texts; the oldest beyond a limit go."""
    if not made:
        return
    at = now()
    connection.executemany(
        "INSERT OR REPLACE INTO embeddings (embedder_id, digest, used_at, vector, sum) VALUES (?, ?, ?, ?, ?)",
        [(embedder_id, digest, at, vector, sum_of(vector)) for (embedder_id, digest), vector in made.items()],
    )
    over = int(connection.execute("SELECT count(*) FROM embeddings").get) - MOST_KEPT
    if over > 0:
        sql = (
            "DELETE FROM embeddings WHERE (embedder_id, digest) IN"
            " (SELECT embedder_id, digest FROM embeddings ORDER BY used_at LIMIT ?)"
        )
        connection.execute(sql, (over,))


def _taken(waiting: list[Sequence[Shown]]) -> list[Shown]:
    """What waits, which is then gone; others may append meanwhile."""
    taken = waiting[:]
    del waiting[: len(taken)]
    return [one for shown in taken for one in shown]


def _count(counts: Counter[Shown], shown: Sequence[Shown]) -> None:
    """Add one for each that was shown, but for new ones where too many wait."""
    counts.update([one for one in shown if one in counts] if len(counts) + len(shown) > MOST_WAITING else shown)


class AccessCounts:
    """What a store writes aside: accesses, counters and vectors of texts; safe between threads. A store in memory has
    none of them."""

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
        self._shown: list[Sequence[Memory | Key]] = []
        self._found: list[Sequence[int]] = []
        self._waiting: Counter[Key] = Counter()
        self._rows: Counter[int] = Counter()
        self._made: dict[tuple[str, bytes], bytes] = {}
        self._counts: dict[str, int] = {}
        self._timer: threading.Timer | None = None
        self._is_kept = str(path) != ":memory:"
        self._half_life_days = half_life_days

    def count(self, shown: Sequence[Memory | Key]) -> None:
        """Count one access of each memory that was shown; nothing is written here."""
        self._note(self._shown, shown)

    def count_rows(self, rows: Sequence[int]) -> None:
        """The same by the rows of current memories, for a third of the work."""
        self._note(self._found, rows)

    def _note(self, waiting: list[Sequence[Shown]], shown: Sequence[Shown]) -> None:
        """Have it wait: what begins here is done under the lock, and appending needs none."""
        if not self._is_kept:
            return
        waiting.append(shown)
        if self._timer is None or len(waiting) >= TOGETHER:
            with self._lock:
                self._add_up()
                self._start()

    def _add_up(self) -> None:
        shown, rows = _taken(self._shown), _taken(self._found)
        _count(self._waiting, [(one.namespace, one.id) if isinstance(one, Memory) else one for one in shown])
        _count(self._rows, rows)

    def tally(self, name: str, count: int) -> None:
        """Add to a counter of the store (`growth_marks`), such as the hits of a cache."""
        if self._is_kept and count:
            with self._lock:
                self._counts[name] = self._counts.get(name, 0) + count
                self._start()

    def keep(self, embedder_id: str, made: Mapping[bytes, bytes]) -> None:
        """Have the vectors of texts (by hash) written to `embeddings`, as many as fit until the next time."""
        if self._is_kept:
            with self._lock:
                for digest, vector in made.items():
                    if len(self._made) < MOST_VECTORS:
                        self._made[embedder_id, digest] = vector
                self._start()

    def kept(self, embedder_id: str, digest: bytes) -> bytes | None:
        """A vector that waits to be written."""
        with self._lock:
            return self._made.get((embedder_id, digest))

    def forget(self) -> None:
        """Drop the vectors that wait, and the rows: a memory is erased, maybe one of theirs, and another may get its
        row."""
        with self._lock:
            self._made.clear()
            self._found.clear()
            self._rows.clear()

    def _start(self) -> None:
        if self._timer is None:
            timer = threading.Timer(FLUSH_S, self._write_aside)
            timer.daemon = True
            self._timer = started(timer)

    def flush(self, connection: apsw.Connection) -> None:
        """Write what waits through `connection`; raises `UserError` as any write, and what waits stays then."""
        with self._lock:
            self._add_up()
            waiting, self._waiting = self._waiting, Counter()
            rows, self._rows = self._rows, Counter()
            made, self._made = self._made, {}
            counts, self._counts = self._counts, {}
        if not (waiting or rows or made or counts):
            return
        try:
            with transaction(connection, self._path):
                write_accesses(connection, waiting + _keyed(connection, rows), self._now(), self._half_life_days)
                _write_made(connection, made, self._now)
                sql = "INSERT INTO growth_marks VALUES (?, ?) ON CONFLICT (name) DO UPDATE SET number = number + ?"
                connection.executemany(sql, [(name, count, count) for name, count in counts.items()])
        except BaseException:
            with self._lock:  # a vector that could not be written is made again; what is counted stays
                self._waiting.update(waiting)
                self._rows.update(rows)
                for name, count in counts.items():
                    self._counts[name] = self._counts.get(name, 0) + count
            raise

    def close(self, connection: apsw.Connection) -> None:
        """Write the last ones, unless the file is busy or cannot be written."""
        with self._lock:
            timer, self._timer = self._timer, None
        if timer is not None:
            timer.cancel()
        if self._shown or self._found or self._waiting or self._rows or self._made or self._counts:
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
