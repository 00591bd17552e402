"""Work in a thread of its own, one thing at a time, that ends with the store."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable

import apsw

from aqe.engine.errors import AqeError, Cancelled
from aqe.engine.side_thread import started

_log = logging.getLogger(__name__)


class Background:
    """One thread of a store at most, which is there while it has work."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._thread: threading.Thread | None = None
        self.is_over = False

    def start(self, work: Callable[[], None]) -> None:
        """Do something, unless something is being done, the store is being closed, or no thread begins any more."""
        if not self.is_over and (self._thread is None or not self._thread.is_alive()):
            self._thread = started(threading.Thread(target=self._guarded, args=(work,), name=self._name, daemon=True))

    def check(self) -> None:
        """Break off what is being done, once the store is being closed."""
        if self.is_over:
            raise Cancelled("The store is being closed.", code="cancelled")

    def end(self) -> None:
        """Begin nothing any more; what is being done learns of it by `check` and `is_over`."""
        self.is_over = True

    def wait(self) -> None:
        """Until what is being done is done."""
        if self._thread is not None:
            self._thread.join()

    def _guarded(self, work: Callable[[], None]) -> None:
        try:
            work()
        except (apsw.Error, AqeError, MemoryError, ValueError) as error:  # the last is of a damaged file of codes
            _log.info("The codes are left as they are: %s", error)
