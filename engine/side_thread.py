"""Threads for work by the way: it can be done later as well, or not at all."""

from __future__ import annotations

import threading
from typing import TypeVar

Side = TypeVar("Side", bound=threading.Thread)


def started(thread: Side) -> Side | None:
    """The thread, which runs now; None where none begins any more.

    That is so at the system's limit of threads, and while the interpreter ends: CPython 3.12.0 and 3.12.1 begin none
    from the end of the main thread on, whatever the program's other threads still do.
    """
    try:
        thread.start()
    except RuntimeError:
        return None
    return thread
