"""The threads that run the calls of engines without async: how they begin and end, whatever is interrupted, and what
becomes of them in a forked process."""

from __future__ import annotations

import os
import threading
from collections.abc import Awaitable, Callable
from concurrent.futures import Future
from contextlib import AsyncExitStack
from typing import TypeVar
from weakref import WeakSet

import anyio
from anyio.from_thread import BlockingPortal

from aqe.engine.memory.file.failures import engine_closed, engine_elsewhere

T = TypeVar("T")

_opened: WeakSet[BlockingPortal] = WeakSet()
_of_a_parent: WeakSet[BlockingPortal] = WeakSet()


class PortalThread:
    """A portal and its thread, which wait for nobody that was broken off.

    anyio's `start_blocking_portal` waits for ever for its thread where a Ctrl-C comes before the portal is there, or
    while it is told to stop.
    """

    def __init__(self, name: str) -> None:
        self.at_end = AsyncExitStack()
        self._made: Future[BlockingPortal] = Future()
        self._told = False
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)

    def start(self) -> BlockingPortal:
        """The portal, once it takes calls; what its calls put into `at_end` is left in its thread, after the last of
        them."""
        self._thread.start()
        portal = self._made.result()
        opened(portal)
        return portal

    def close(self, *, cancel: bool = False) -> None:
        """Take no more calls, and wait until those that run have ended (`cancel`: break them off). It may be called
        again, as after a Ctrl-C that broke this off; a portal that is not there yet ends by itself."""
        if self._made.cancel():
            return
        portal = self._made.result()
        if not is_here(portal):
            return
        if not self._told and self._thread.is_alive():
            portal.start_task_soon(portal.stop, cancel)
            self._told = True
        self._thread.join()

    def _run(self) -> None:
        try:
            anyio.run(self._serve)
        except BaseException as error:
            if self._made.done():
                raise
            self._made.set_exception(error)

    async def _serve(self) -> None:
        async with self.at_end, BlockingPortal() as portal:
            if self._made.set_running_or_notify_cancel():
                self._made.set_result(portal)
                await portal.sleep_until_stopped()


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
    future = begun(portal, work)
    try:
        return future.result()
    except BaseException:
        future.cancel()
        raise


def begun(portal: BlockingPortal, work: Callable[[], Awaitable[T]]) -> Future[T]:
    """The future of async work that is begun on the portal's thread. Raises as `awaited`."""
    if not is_here(portal):
        raise engine_elsewhere()
    try:
        return portal.start_task_soon(work)
    except RuntimeError as error:
        if "not running" in str(error):  # what anyio says of a portal that has ended
            raise engine_closed() from None
        raise


def _leave_to_the_parent() -> None:
    for portal in list(_opened):
        _of_a_parent.add(portal)


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_leave_to_the_parent)
