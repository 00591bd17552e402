"""A cancelled anyio scope as the cancel token that blocking work looks at."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

import anyio
import anyio.from_thread
import anyio.lowlevel
import anyio.to_thread

from aqe.engine.errors import Cancelled
from aqe.engine.progress import CancelToken

T = TypeVar("T")


async def run_cancellable(work: Callable[[CancelToken], T], cancel: CancelToken | None = None) -> T:
    """Run blocking work in a worker thread; a cancelled scope, or `cancel`, sets the token that the work is given.

    The call returns when the work has stopped, so nothing goes on behind the caller's back.
    """
    token = _ScopeToken()
    take_back = cancel.on_cancel(token.cancel) if cancel is not None else None
    try:
        return await anyio.to_thread.run_sync(work, token)
    except Cancelled:
        await anyio.lowlevel.checkpoint()  # a cancelled scope speaks for itself
        raise
    finally:
        if take_back is not None:
            take_back()


class _ScopeToken(CancelToken):
    """Set too when the scope is cancelled that waits for this worker thread."""

    @property
    def is_set(self) -> bool:
        self._look()
        return self._event.is_set()

    def check(self) -> None:
        self._look()
        super().check()

    def _look(self) -> None:
        if self._event.is_set():
            return
        try:
            anyio.from_thread.check_cancelled()
        except RuntimeError:  # asked from another thread than the worker
            return
        except BaseException:
            self.cancel()
