"""Something that is done once nothing was asked for a while, in a thread of its own."""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Callable

from aqe.engine.side_thread import started

AFTER_S = 0.5


def give_back() -> None:
    """Hand memory that was freed back to the system, where the C library has a call for it (glibc)."""
    import ctypes

    with contextlib.suppress(AttributeError, OSError, TypeError):
        ctypes.CDLL(None).malloc_trim(0)


class Idling:
    """Calls `rest` once each time that no `touch` came for `after_s` seconds. Nothing runs before the second touch: a
    process that asks once does not wait for a thread. `clock` gives seconds."""

    def __init__(
        self, rest: Callable[[], None], *, after_s: float = AFTER_S, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._rest = rest
        self._after_s = after_s
        self._clock = clock
        self._touched_at = 0.0
        self._busy = threading.Event()
        self._over = threading.Event()
        self._thread: threading.Thread | None = None
        self._is_watched = False

    def touch(self) -> None:
        """Something was asked (a tenth of a microsecond, but for the second time)."""
        self._touched_at = self._clock()
        if self._is_watched:
            return
        if not self._busy.is_set():
            self._is_watched = self._thread is not None
            self._busy.set()
        elif self._thread is None:
            self._is_watched = True
            self._thread = started(threading.Thread(target=self._watch, name="aqe-idling", daemon=True))

    def close(self) -> None:
        """End the thread; there is no rest any more."""
        self._over.set()
        self._busy.set()

    def _watch(self) -> None:
        while not self._over.is_set():
            self._busy.wait()
            if self._over.is_set():
                return
            left = self._touched_at + self._after_s - self._clock()
            if left > 0:
                self._over.wait(left)
            else:
                self._is_watched = False
                self._busy.clear()
                self._rest()
