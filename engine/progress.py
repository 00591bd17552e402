"""How long work speaks: a progress callback and a cancel token, both free of any face."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Protocol

from aqe.engine.errors import Cancelled


class Progress(Protocol):
    """Called with one line of text, work done and total work (None where unknown), in the same unit."""

    def __call__(self, text: str, done: float = 0.0, total: float | None = None) -> None: ...


def silent(text: str, done: float = 0.0, total: float | None = None) -> None:
    """A progress that says nothing."""


class CancelToken:
    """Set once, from any thread or a signal handler; what must stop at once registers a callback."""

    def __init__(self) -> None:
        self._event = threading.Event()
        self._callbacks: list[Callable[[], None]] = []
        self._lock = threading.RLock()
        self._reading: list[int] = []

    @property
    def is_set(self) -> bool:
        """Whether work is to stop."""
        return self._event.is_set()

    def cancel(self) -> None:
        """Set the token and run each callback once."""
        with self._lock:
            if self._event.is_set():
                return
            self._event.set()
            callbacks, self._callbacks = self._callbacks, []
        for callback in callbacks:
            callback()

    def on_cancel(self, callback: Callable[[], None]) -> Callable[[], None]:
        """Run `callback` when cancelled (now, if it was already); returns a function that takes it back."""
        with self._lock:
            if not self._event.is_set():
                self._callbacks.append(callback)
                return lambda: self._callbacks.remove(callback) if callback in self._callbacks else None
        callback()
        return lambda: None

    @contextmanager
    def reading(self) -> Iterator[None]:
        """Mark work of this thread that only reads and does not look at the token: a signal may break it off."""
        self._reading.append(threading.get_ident())
        try:
            yield
        finally:
            self._reading.remove(threading.get_ident())

    @property
    def may_break(self) -> bool:
        """Whether this thread is within `reading`: what interrupts it may raise `Cancelled` there and then."""
        return threading.get_ident() in self._reading

    def check(self) -> None:
        """Raise `Cancelled` if the token is set."""
        if self._event.is_set():
            raise Cancelled("The work was cancelled.", code="cancelled")
