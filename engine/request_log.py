"""Requests that gave no text are written down a moment later, many in one transaction.

A query that only finds and routes takes a fraction of what one write takes. Its row and its route wait for at most
`DELAY_S` in memory, longer only while the file cannot be written. Whoever looks for a request in this process
(feedback, a list, figures) has them written first, and so does closing. What is lost when the process is killed within
that moment are these log lines alone: such a request is then unknown. Answers with a text, feedback and memories never
wait here.
"""

from __future__ import annotations

import atexit
import logging
import os
import threading
from collections import deque
from collections.abc import Callable, Sequence
from typing import Any, Generic, TypeVar
from weakref import WeakSet

from aqe.engine.errors import UserError
from aqe.engine.side_thread import started

DELAY_S = 0.1
AGAIN_S = 5.0
"""After so long what could not be written is tried again, unless something comes before."""

PORTION, PAUSE_S = 16, 0.001
"""After so many requests the background pauses for so long: a query that comes meanwhile waits for the interpreter
until a busy thread lets go of it, which is up to five milliseconds."""

MOST_WAITING = 10_000
"""Requests beyond which, while nothing can be written, the oldest are given up."""

MOST_BAD = 16
"""Requests that are tried by themselves before it is the file that cannot be written."""

T = TypeVar("T")
Write = Callable[[Sequence[T], Callable[[], None]], None]
"""Writes requests, all or none of them, and calls what it is given after every `PORTION` of them."""

_log = logging.getLogger(__name__)
_logs: WeakSet[RequestLog[Any]] = WeakSet()


class RequestLog(Generic[T]):
    """What waits to be written by `write`, in order; safe between threads. Only the first of those that are written
    together wakes the writer: the others cost no more than their place in a queue. After a while without any it calls
    `rest`."""

    def __init__(
        self,
        write: Write[T],
        *,
        delay_s: float = DELAY_S,
        rest: Callable[[], None] = lambda: None,
    ) -> None:
        self._write = write
        self._rest = rest
        self._delay_s = delay_s
        self._waiting: deque[T] = deque()
        self._is_told = False
        """Whether the writer knows that something waits."""
        self._lock = threading.Lock()
        self._turn = threading.Lock()
        self._work = threading.Event()
        self._end = threading.Event()
        self._writer: threading.Thread | None = None
        _logs.add(self)

    def add(self, item: T) -> None:
        """Have this written soon; once it is closed, at once."""
        self._waiting.append(item)
        if not self._is_told:
            self._tell()

    def flush(self) -> None:
        """Write what waits now. Raises what `write` raises; then it goes on waiting."""
        self._flush(lambda: None)

    def _flush(self, pause: Callable[[], None]) -> None:
        with self._turn:  # whoever comes while another writes sees what that one wrote
            waiting = self._waiting
            batch = [waiting.popleft() for _ in range(len(waiting))]
            if not batch:
                return
            try:
                self._write(batch, pause)
            except UserError:  # the file cannot be written now: locked, full, read-only
                self._put_back(batch)
                raise
            except Exception:
                if not self._write_each(batch):
                    raise
            except BaseException:
                self._put_back(batch)
                raise

    def _write_each(self, batch: Sequence[T]) -> bool:
        """One by one, where together they could not be written. What fails while others can be written never will be,
        and is given up; where none can, all go on waiting and this is False."""
        bad: list[T] = []
        for at, one in enumerate(batch):
            try:
                self._write([one], lambda: None)
            except BaseException as error:
                bad.append(one)
                is_value = isinstance(error, Exception) and not isinstance(error, UserError)
                if not is_value or (len(bad) > at and at + 1 >= MOST_BAD):
                    self._put_back([*bad, *batch[at + 1 :]])
                    if is_value:
                        return False
                    raise
        if len(bad) == len(batch):
            self._put_back(bad)
            return False
        _log.warning("%s given up, since the log cannot take %s", _are(len(bad)), "it" if len(bad) == 1 else "them")
        return True

    def _put_back(self, batch: Sequence[T]) -> None:
        waiting = self._waiting
        waiting.extendleft(reversed(batch))
        for _ in range(len(waiting) - MOST_WAITING):
            waiting.popleft()

    def begin_anew(self) -> None:
        """In a forked process: what waits is the parent's to write, and there is no writer."""
        self._waiting.clear()
        self._is_told, self._writer = False, None
        self._lock, self._turn, self._work = threading.Lock(), threading.Lock(), threading.Event()

    def close(self) -> None:
        """Write what waits, and end; where it cannot be written the log of this process says so."""
        with self._lock:
            self._end.set()
        self._work.set()
        if self._writer is not None:
            self._writer.join()
        self._is_told = False  # so that whatever comes from now on writes itself
        self._flush_quietly()

    def _tell(self) -> None:
        with self._lock:
            is_over = self._end.is_set()
            if not is_over and (self._writer is None or not self._writer.is_alive()):
                self._writer = started(threading.Thread(target=self._run, name="aqe-request-log", daemon=True))
                is_over = self._writer is None
            self._is_told = not is_over
        self._work.set()
        if is_over:
            self._flush_quietly()

    def _run(self) -> None:
        while not self._end.is_set():
            if not self._work.wait(AGAIN_S) and not self._waiting:
                self._rest()
                self._work.wait()
            self._work.clear()
            self._end.wait(self._delay_s)
            self._is_told = False  # before the batch is taken: what comes after it tells anew
            self._flush_quietly(self._pause)

    def _pause(self) -> None:
        self._end.wait(PAUSE_S)

    def _flush_quietly(self, pause: Callable[[], None] = lambda: None) -> None:
        try:
            self._flush(pause)
        except Exception as error:  # whatever it is: the next ones are to be written all the same
            _log.warning("%s not in the log yet: %s", _are(len(self._waiting)), error)


def _are(count: int) -> str:
    return "1 request is" if count == 1 else f"{count} requests are"


@atexit.register
def _write_the_rest() -> None:
    """What the logs of engines hold that nobody closed before the program ended."""
    for log in list(_logs):
        log._flush_quietly()


def _begin_anew() -> None:
    for log in list(_logs):
        log.begin_anew()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_begin_anew)
