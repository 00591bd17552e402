"""Closes, when the program ends, what was opened and never closed.

A thread that waits for calls would keep the program from ending for ever: Python joins such threads before it runs what
`atexit` holds. So a daemon thread waits for the end of the main thread, which comes before both, and of the threads
that the program began itself, and `atexit` for it.
"""

from __future__ import annotations

import atexit
import os
import threading
from contextlib import ExitStack

from aqe.engine.side_thread import started

LONGEST_S = 10.0
"""A program waits no longer than this for what it left open to be closed."""

_lock = threading.Lock()
_open: set[ExitStack] = set()
_of_a_parent: list[ExitStack] = []  # kept: letting go of one would end a portal whose thread is not here
_watcher: threading.Thread | None = None


def close_at_end(stack: ExitStack) -> None:
    """Close `stack` when the main thread ends, unless `closed` takes it out before."""
    global _watcher
    with _lock:
        _open.add(stack)
        if _watcher is None or not _watcher.is_alive():  # the first, or the first after a fork
            _watcher = started(threading.Thread(target=_close_rest, name="aqe-leftover", daemon=True))
            if _watcher is None:
                atexit.register(_close_rest)
            else:
                atexit.register(_watcher.join, LONGEST_S)


def closed(stack: ExitStack) -> None:
    """`stack` needs no closing any more."""
    with _lock:
        _open.discard(stack)


def _keeps_python(thread: threading.Thread) -> bool:
    """Whether Python waits for a thread that may still use what is open; a worker of anyio ends by our closing."""
    return not thread.daemon and not thread.name.startswith("AnyIO worker")


def _begin_anew() -> None:
    """In a forked process: what its parent left open is the parent's to close."""
    global _lock
    _lock = threading.Lock()
    _of_a_parent.extend(_open)
    _open.clear()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_begin_anew)


def _close_rest() -> None:
    main, this = threading.main_thread(), threading.current_thread()
    if this is not main:  # which runs it itself, at exit, where no watcher began
        main.join()
    while working := [one for one in threading.enumerate() if one not in (main, this) and _keeps_python(one)]:
        working[0].join()
    with _lock:
        left = list(_open)
        _open.clear()
    for stack in left:
        stack.close()
