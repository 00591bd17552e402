"""How long a writer waits for the others: as long as they come on, and not much longer.

SQLite's own waiting asks less and less often, up to ten times a second, and gives up after a fixed time. Where many
processes write without a pause, the one that asks seldom meets a free moment and starves. Here every writer asks some
hundred times a second, and gives up when nobody has written anything for its patience: then the one that holds the lock
is stuck.
"""

from __future__ import annotations

import os
import random
import time
from pathlib import Path

IN_ALL = 12
"""How many times its patience a writer waits while others come on."""

EAGER = 200
"""Times that it asks every other millisecond, before it asks every ten."""


class Patience:
    """A busy handler of SQLite for one connection: called with how often the same lock was asked for already."""

    def __init__(self, path: Path, patience_s: float) -> None:
        self._log = f"{path}-wal"
        self._patience_s = patience_s
        self._began = self._moved = 0.0
        self._seen: tuple[int, int] | None = None

    def __call__(self, tries: int) -> bool:
        """Wait a moment; False when there is no point in asking again."""
        now, seen = time.monotonic(), self._stamp()
        if tries == 0:
            self._began = self._moved = now
        elif seen != self._seen:
            self._moved = now
        self._seen = seen
        if now - self._moved >= self._patience_s or now - self._began >= IN_ALL * self._patience_s:
            return False
        time.sleep(random.uniform(0.0005, 0.004) if tries < EAGER else random.uniform(0.002, 0.02))
        return True

    def _stamp(self) -> tuple[int, int] | None:
        """What changes with every commit of anybody."""
        try:
            found = os.stat(self._log)
        except OSError:
            return None
        return found.st_mtime_ns, found.st_size
