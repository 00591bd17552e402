"""The threads that run the calls of engines without async, and what becomes of them in a forked process."""

from __future__ import annotations

import os
from collections.abc import Awaitable, Callable
from typing import TypeVar
from weakref import WeakSet

from anyio.from_thread import BlockingPortal

from aqe.engine.memory.connection import engine_closed, engine_elsewhere

T = TypeVar("T")

_opened: WeakSet[BlockingPortal] = WeakSet()
_of_a_parent: WeakSet[BlockingPortal] = WeakSet()


def opened(portal: BlockingPortal) -> None:
    """Have this portal, whose thread is of this process, refused in those that are forked from it."""
    _opened.add(portal)


def is_here(portal: BlockingPortal) -> bool:
    """Whether the portal's thread is one of this process."""
    return portal not in _of_a_parent


def awaited(portal: BlockingPortal, work: Callable[[], Awaitable[T]]) -> T:
    """The result of async work on the portal's thread; Ctrl-C while waiting cancels the work.

    Raises `UserError` (engine-closed) where the thread has ended, or is of the process that this one was forked from.
    """
    if not is_here(portal):
        raise engine_elsewhere()
    try:
        future = portal.start_task_soon(work)
    except RuntimeError as error:
        if "not running" in str(error):  # what anyio says of a portal that has ended
            raise engine_closed() from None
        raise
    try:
        return future.result()
    except BaseException:
        future.cancel()
        raise


def _leave_to_the_parent() -> None:
    for portal in list(_opened):
        _of_a_parent.add(portal)


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_leave_to_the_parent)
