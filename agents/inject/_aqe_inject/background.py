"""A code object made in a fork while the search goes on: instrumenting a large module takes seconds."""

from __future__ import annotations

import contextlib
import marshal
import os
import select
import signal
import time
from typing import Any, Callable, Optional

from .descriptors import identity, lift


class Background:
    """One fork that makes a code object. `code` waits for it."""

    def __init__(self, make: Callable[[], Any]) -> None:
        self._reader, writer = (lift(end) for end in os.pipe())
        self._read = identity(self._reader)
        self._child = os.fork()
        if self._child == 0:
            status = 1
            try:
                os.close(self._reader)
                with os.fdopen(writer, "wb") as stream:
                    stream.write(marshal.dumps(make()))
                status = 0
            finally:
                os._exit(status)
        os.close(writer)

    def code(self, wait_s: float) -> Optional[Any]:
        """The code object; None when it could not be made within `wait_s` seconds. To be asked once."""
        if identity(self._reader) != self._read:  # the subject closed it
            return None
        data = b""
        end = time.monotonic() + wait_s
        is_whole = False
        while time.monotonic() < end:
            ready, _, _ = select.select([self._reader], [], [], max(0.0, end - time.monotonic()))
            if not ready:
                break
            part = os.read(self._reader, 1 << 20)
            if not part:
                is_whole = True
                break
            data += part
        os.close(self._reader)
        with contextlib.suppress(OSError):  # after a checkpoint the fork is the child of an older process
            if not is_whole:
                os.kill(self._child, signal.SIGKILL)
            os.waitpid(self._child, 0)
        try:
            return marshal.loads(data) if is_whole and data else None
        except (EOFError, ValueError, TypeError):
            return None
