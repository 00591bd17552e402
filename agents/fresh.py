"""An executor whose every call runs in a fresh interpreter of its own, in its own session.

`concurrent.futures`' own pool reuses its workers and cannot end one of them; here each call can be killed alone, starts
from a single-threaded process that was never forked from the caller, and ends when the caller is gone (the pipe that
carried the call stays open as a lifeline). stdout of the child is the way back and is closed to whatever it prints.
"""

from __future__ import annotations

import contextlib
import os
import pickle
import signal
import subprocess
import sys
import threading
from collections.abc import Callable
from concurrent.futures import Executor, Future
from typing import Any, ParamSpec, TypeVar

P = ParamSpec("P")
T = TypeVar("T")


class FreshProcesses(Executor):
    """At most `max_workers` calls at a time; what is submitted must be picklable and importable by name."""

    def __init__(self, max_workers: int = 2) -> None:
        self._slots = threading.BoundedSemaphore(max_workers)
        self._lock = threading.Lock()
        self._children: dict[Future[Any], subprocess.Popen[bytes]] = {}
        self._pending: set[Future[Any]] = set()
        self._closed = False

    def submit(self, fn: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> Future[T]:
        """Run `fn(*args, **kwargs)` in a process of its own; its exceptions come back through the future."""
        call = pickle.dumps((fn, args, kwargs))
        future: Future[T] = Future()
        with self._lock:
            if self._closed:
                raise RuntimeError("cannot submit to an executor that was shut down")
            self._pending.add(future)
        threading.Thread(target=self._carry, args=(future, call), name="aqe-job", daemon=True).start()
        return future

    def kill(self, future: Future[Any]) -> None:
        """End the process of one call at once, with all of its session; its future fails with `WorkerDied`."""
        future.cancel()
        with self._lock:
            child = self._children.get(future)
        if child is not None:
            _kill_session(child)

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:
        """Take no more calls; with `cancel_futures` end the running ones as well."""
        with self._lock:
            self._closed = True
            pending = list(self._pending)
        for future in pending:
            if cancel_futures:
                self.kill(future)
            if wait:
                with contextlib.suppress(BaseException):
                    future.exception()

    def _carry(self, future: Future[Any], call: bytes) -> None:
        with self._slots:
            try:
                if future.set_running_or_notify_cancel():
                    self._settle(future, call)
            finally:
                with self._lock:
                    self._pending.discard(future)

    def _settle(self, future: Future[Any], call: bytes) -> None:
        try:
            ok, value = self._run(future, call)
        except Exception as error:
            future.set_exception(error)
            return
        if ok:
            future.set_result(value)
        else:
            future.set_exception(value)

    def _run(self, future: Future[Any], call: bytes) -> tuple[bool, Any]:
        command = [sys.executable, "-P", "-m", "aqe.agents.fresh"]
        child = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, start_new_session=True, close_fds=True
        )
        assert child.stdin is not None
        assert child.stdout is not None
        with self._lock:
            self._children[future] = child
            closed = self._closed
        try:
            if closed:
                _kill_session(child)
            with contextlib.suppress(BrokenPipeError):
                child.stdin.write(len(call).to_bytes(8, "big") + call)
                child.stdin.flush()
            answer = child.stdout.read()
            status = child.wait()
        finally:
            with self._lock:
                del self._children[future]
            _kill_session(child)
            child.stdout.close()
            with contextlib.suppress(BrokenPipeError):
                child.stdin.close()
        if not answer:
            raise WorkerDied(f"the worker process ended with status {status} and no answer")
        ok, value = pickle.loads(answer)
        return bool(ok), value


class WorkerDied(RuntimeError):
    """The process of a call ended without an answer: it was killed, or it crashed."""


def _kill_session(child: subprocess.Popen[bytes]) -> None:
    """Kill the child and what is left of its process group; harmless when all are gone."""
    if sys.platform == "win32":
        child.kill()
    else:
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(child.pid, signal.SIGKILL)


def _watch_lifeline() -> None:
    """Leave when the parent is gone: its end of stdin closes with it."""
    while os.read(0, 4096):
        pass
    if sys.platform != "win32":
        os.killpg(os.getpgid(0), signal.SIGKILL)
    os._exit(130)


def _read_exactly(count: int) -> bytes:
    parts = []
    while count:
        part = os.read(0, min(count, 1 << 20))
        if not part:
            os._exit(130)
        parts.append(part)
        count -= len(part)
    return b"".join(parts)


def _serve_one() -> None:
    """The child: read one call, run it, write its answer."""
    way_back = os.dup(1)
    os.set_inheritable(way_back, False)
    os.dup2(2, 1)
    call = _read_exactly(int.from_bytes(_read_exactly(8), "big"))
    threading.Thread(target=_watch_lifeline, name="aqe-lifeline", daemon=True).start()
    try:
        fn, args, kwargs = pickle.loads(call)
        answer = pickle.dumps((True, fn(*args, **kwargs)))
    except Exception as error:
        try:
            answer = pickle.dumps((False, error))
            pickle.loads(answer)
        except Exception:
            answer = pickle.dumps((False, RuntimeError(f"{type(error).__name__}: {error}")))
    with os.fdopen(way_back, "wb") as stream:
        stream.write(answer)
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(0)


if __name__ == "__main__":
    _serve_one()
