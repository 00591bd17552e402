"""The file descriptors of the harness in a process that it shares with the subject, and how they outlive it.

A number is a path to `open`, and closing what it opened closes the number: a subject that is given 5 where it expects
a name takes descriptor 5 along, whoever holds it. So the harness keeps its own far above the numbers that get tried,
looks after each run whether they are still the same, and lets no run have one that it did not open itself.
"""

from __future__ import annotations

import fcntl
import os
import sys
from typing import Any, Callable, FrozenSet, Optional, Tuple

FLOORS = (217, 149, 83, 37)
"""Numbers from which a free one is looked for, the first that the limit on open files allows."""

MOST_LOOKED_AT = 1024

_fcntl, _fstat, _close = fcntl.fcntl, os.fstat, os.close
_F_DUPFD_CLOEXEC = fcntl.F_DUPFD_CLOEXEC


class Borrowed(BaseException):
    """Raised inside a case that opens, by its number, a descriptor which it did not make."""


def lift(fd: int) -> int:
    """Move a descriptor to a high number, closed on exec; the same one where the limit on open files leaves no room."""
    for floor in FLOORS:
        if fd >= floor:
            return fd
        try:
            lifted = _fcntl(fd, _F_DUPFD_CLOEXEC, floor)
        except OSError:
            continue
        _close(fd)
        return int(lifted)
    return fd


def identity(fd: int) -> Optional[Tuple[int, int]]:
    """What a descriptor stands for; None when it is closed."""
    try:
        status = _fstat(fd)
    except (OSError, OverflowError):
        return None
    return status.st_dev, status.st_ino


def held_now() -> FrozenSet[int]:
    """The descriptors that are open."""
    return frozenset(fd for fd in range(MOST_LOOKED_AT) if identity(fd) is not None)


def reopen_streams() -> None:
    """Give the three standard numbers back to the null device where they are closed."""
    for fd in (0, 1, 2):
        if identity(fd) is None:
            null = os.open(os.devnull, os.O_RDWR)
            if null != fd:
                os.dup2(null, fd)
                _close(null)


def refuse_borrowing(is_running: Callable[[], bool]) -> None:
    """From here on, `open(number)` during a run raises `Borrowed` here, unless a run made that descriptor."""
    before = held_now()

    def hear(event: str, args: Tuple[Any, ...]) -> None:
        if event != "open" or not isinstance(args[0], int) or not is_running():
            return
        if args[0] in before or identity(args[0]) is None:
            raise Borrowed()

    sys.addaudithook(hear)
