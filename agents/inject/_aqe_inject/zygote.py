"""The warm process of a box: it imports once what all cases share, then runs each case in a fork of its own.

It runs under the project's Python inside the box. aqe sends commands (4 bytes of length, JSON); the zygote answers
with events (a letter, 4 bytes of length, payload):

    Z  ready, JSON: pid, what this Python lacks
    R  bytes that the case wrote to its result pipe, passed on unread
    E  the case ended, JSON: exit, signal, killed, leftovers, ms

A case writes result frames (4 bytes of length, nonce, a letter, JSON) to a pipe that only it has: P progress, V the
value, X an exception. Only aqe, which made the nonce, judges them. References to what a case needs to answer are
taken here, before any code of the project runs.
"""

from __future__ import annotations

import errno
import gc
import importlib
import json
import os
import select
import signal
import struct
import sys
import time
import traceback
from typing import Any, Callable, Dict, List, Optional, Sequence, Tuple

from .descriptors import lift
from .scratch import Scratch

_read, _write, _close, _fork, _exit = os.read, os.write, os.close, os.fork, os._exit
_kill, _getpid, _waitpid, _pipe = os.kill, os.getpid, os.waitpid, os.pipe
_pack, _unpack = struct.pack, struct.unpack
_encode = json.JSONEncoder(check_circular=True).encode
_decode = json.JSONDecoder().decode
_monotonic, _sleep = time.monotonic, time.sleep
_format_exception = traceback.format_exception
_poll = getattr(select, "poll", None)
_SIGKILL = getattr(signal, "SIGKILL", 9)

TRACEBACK_CHARS = 4000
SWEEPS = 2000


class Channel:
    """The two descriptors towards aqe."""

    def __init__(self, commands: int, events: int) -> None:
        self.commands = commands
        self.events = events
        self._buffer = b""

    def send(self, letter: bytes, payload: bytes) -> None:
        write_all(self.events, letter + _pack(">I", len(payload)) + payload)

    def receive(self) -> Optional[Dict[str, Any]]:
        """The next command, or None when aqe closed its end."""
        head = self._take(4)
        if head is None:
            return None
        body = self._take(_unpack(">I", head)[0])
        if body is None:
            return None
        command = _decode(body.decode("utf-8"))
        return command if isinstance(command, dict) else None

    def _take(self, size: int) -> Optional[bytes]:
        while len(self._buffer) < size:
            try:
                chunk = _read(self.commands, 1 << 16)
            except OSError:
                return None
            if not chunk:
                return None
            self._buffer += chunk
        taken, self._buffer = self._buffer[:size], self._buffer[size:]
        return taken


def write_all(fd: int, data: bytes) -> None:
    """Write all of `data`, however short single writes are."""
    view = memoryview(data)
    while view:
        view = view[_write(fd, view) :]


def find_entry(name: str) -> Callable[[Dict[str, Any], Callable[[Any], None]], Any]:
    """Import `module:function` and return the function."""
    module, _, function = name.partition(":")
    found: Any = importlib.import_module(module)
    for part in function.split("."):
        found = getattr(found, part)
    entry: Callable[[Dict[str, Any], Callable[[Any], None]], Any] = found
    return entry


def describe(error: BaseException) -> str:
    """Type, message and the end of the traceback, in a bounded number of characters."""
    try:
        text = "".join(_format_exception(type(error), error, error.__traceback__))
    except BaseException:  # the exception's own __str__ may be hostile
        text = type(error).__name__
    if len(text) > TRACEBACK_CHARS:
        text = text[: TRACEBACK_CHARS // 4] + "\n...\n" + text[-3 * TRACEBACK_CHARS // 4 :]
    try:
        head = "%s: %s" % (type(error).__name__, str(error)[:1000])
    except BaseException:
        head = type(error).__name__
    return head + "\n" + text


def answer(command: Dict[str, Any], send: Callable[[bytes], None]) -> None:
    """Call the entry and hand each result frame to `send`."""
    nonce = command["nonce"].encode("ascii")
    me = _getpid()

    def frame(letter: bytes, value: Any) -> None:
        if _getpid() != me:  # a fork of the case came back here: it has no say
            _exit(0)
        body = nonce + letter + _encode(value).encode("ascii")
        send(_pack(">I", len(body)) + body)

    def emit(value: Any) -> None:
        frame(b"P", value)

    try:
        value = find_entry(command["entry"])(command["args"], emit)
        frame(b"V", value)
    except BaseException as error:
        frame(b"X", describe(error))


class Leftovers:
    """Finds and kills what a case left running."""

    def __init__(self, owns_pid_namespace: bool) -> None:
        self._namespace = owns_pid_namespace and os.getppid() == 1
        self._me = _getpid()

    def kill(self) -> int:
        """Kill them all; return how many there were."""
        return self._kill_namespace() if self._namespace else self._kill_descendants()

    def _kill_namespace(self) -> int:
        killed = 0
        for _ in range(SWEEPS):
            try:
                _kill(-1, _SIGKILL)
            except OSError:  # nobody is left
                break
            killed += self._reap_killed()[0]
            _sleep(0.0005)
        return killed + self._reap_killed()[0]

    def _kill_descendants(self) -> int:
        killed = 0
        for _ in range(SWEEPS):
            for pid in descendants(self._me):
                try:
                    _kill(pid, _SIGKILL)
                except OSError:
                    pass
            count, some_left = self._reap_killed()
            killed += count
            if not some_left:  # orphans come to this process, so no child means no descendant
                break
            _sleep(0.0005)
        return killed

    def _reap_killed(self) -> Tuple[int, bool]:
        """How many children had to be killed, and whether there are still some."""
        killed = 0
        while True:
            try:
                pid, status = _waitpid(-1, os.WNOHANG)
            except ChildProcessError:
                return killed, False
            if pid == 0:
                return killed, True
            killed += os.WIFSIGNALED(status) and os.WTERMSIG(status) == _SIGKILL


def descendants(root: int) -> List[int]:
    """Living processes below `root` (zombies excepted); empty where there is no /proc."""
    parents: Dict[int, int] = {}
    try:
        names = os.listdir("/proc")
    except OSError:
        return []
    for name in names:
        if not name.isdigit():
            continue
        try:
            with open("/proc/" + name + "/stat", "rb") as stream:
                fields = stream.read().rpartition(b")")[2].split()
        except OSError:
            continue
        if fields and fields[0] not in (b"Z", b"X"):
            parents[int(name)] = int(fields[1])
    found = []
    for pid in parents:
        above, steps = parents[pid], 0
        while above not in (0, root) and steps < 1000:
            above, steps = parents.get(above, 0), steps + 1
        if above == root:
            found.append(pid)
    return found


def libc_prctl() -> Optional[Callable[..., int]]:
    """prctl(2), or None where this Python has no ctypes or the system no prctl."""
    try:
        import ctypes

        prctl = ctypes.CDLL(None).prctl
    except (ImportError, OSError, AttributeError, TypeError):
        return None
    return lambda option, value: int(prctl(option, ctypes.c_ulong(value), 0, 0, 0))


PR_SET_DUMPABLE, PR_SET_CHILD_SUBREAPER = 4, 36


class Zygote:
    """Obeys commands until aqe closes its end."""

    def __init__(self, channel: Channel, owns_pid_namespace: bool, writable: Sequence[str]) -> None:
        self._scratch = Scratch(writable)
        self._channel = channel
        self._leftovers = Leftovers(owns_pid_namespace)
        self._prctl = libc_prctl()
        self._pid = _getpid()
        if self._prctl is not None:
            self._prctl(PR_SET_CHILD_SUBREAPER, 1)
            self._prctl(PR_SET_DUMPABLE, 0)

    def serve(self) -> None:
        ready = {"pid": self._pid, "ctypes": self._prctl is not None, "version": list(sys.version_info[:3])}
        self._channel.send(b"Z", _encode(ready).encode("ascii"))
        while True:
            command = self._channel.receive()
            if command is None:
                return
            if command["op"] == "preload":
                self._preload(command)
            elif command["op"] == "run":
                self._run(command)

    def _preload(self, command: Dict[str, Any]) -> None:
        started = _monotonic()
        answer(command, lambda data: self._channel.send(b"R", data))
        if _getpid() != self._pid:
            _exit(0)
        flush_streams()
        gc.collect()
        gc.freeze()
        self._scratch.keep()
        self._end(0, None, self._leftovers.kill(), started)

    def _run(self, command: Dict[str, Any]) -> None:
        started = _monotonic()
        results, case_end = _pipe()
        pid = _fork()
        if pid == 0:
            self._be_the_case(command, case_end, results)
        _close(case_end)
        status, killed = self._watch(pid, results, started + float(command["wall_s"]))
        leftovers = self._leftovers.kill()
        self._pass_on(results)
        _close(results)
        self._end(status, killed, leftovers, started)
        self._scratch.restore()

    def _be_the_case(self, command: Dict[str, Any], fd: int, other: int) -> None:
        code = 70
        try:
            for own in (other, self._channel.commands, self._channel.events):
                _close(own)
            fd = lift(fd)
            os.setpgid(0, 0)
            if self._prctl is not None:
                self._prctl(PR_SET_DUMPABLE, 1)
                self._prctl(1, _SIGKILL)  # PR_SET_PDEATHSIG
            answer(command, lambda data: write_all(fd, data))
            flush_streams()
            code = 0
        finally:
            _exit(code)

    def _watch(self, pid: int, results: int, deadline: float) -> Tuple[int, Optional[str]]:
        """Pass results on until the case ends; kill it at the deadline or when aqe says so."""
        os.set_blocking(results, False)
        handle = open_pidfd(pid)
        killed: Optional[str] = None
        fds = [results, self._channel.commands] + ([handle] if handle is not None else [])
        try:
            while True:
                left = deadline - _monotonic()
                if left <= 0 and killed is None:
                    killed = "timeout"
                    kill_case(pid)
                patience = max(left, 0.0) if killed is None else 5.0
                readable = wait_readable(fds, patience if handle is not None else 0.01)
                if results in readable and not self._pass_on(results):
                    fds.remove(results)
                if self._channel.commands in readable:
                    order = self._channel.receive()
                    killed = killed or ("lost" if order is None else str(order.get("why", "kill")))
                    kill_case(pid)
                    if order is None:
                        _exit(0)
                done, status = _waitpid(pid, os.WNOHANG)
                if done:
                    return status, killed
        finally:
            if handle is not None:
                _close(handle)

    def _pass_on(self, results: int) -> bool:
        """Send what lies in the result pipe, a bounded amount; False at its end."""
        for _ in range(16):
            try:
                chunk = _read(results, 1 << 16)
            except BlockingIOError:
                return True
            if not chunk:
                return False
            self._channel.send(b"R", chunk)
        return True

    def _end(self, status: int, killed: Optional[str], leftovers: int, started: float) -> None:
        end = {
            "exit": os.WEXITSTATUS(status) if os.WIFEXITED(status) else None,
            "signal": os.WTERMSIG(status) if os.WIFSIGNALED(status) else None,
            "killed": killed,
            "leftovers": leftovers,
            "ms": (_monotonic() - started) * 1000.0,
        }
        self._channel.send(b"E", _encode(end).encode("ascii"))


def open_pidfd(pid: int) -> Optional[int]:
    """A descriptor that becomes readable when `pid` ends, where the system has such."""
    opener = getattr(os, "pidfd_open", None)
    if opener is None:
        return None
    try:
        return int(opener(pid))
    except OSError:
        return None


def kill_case(pid: int) -> None:
    """Kill a case and its process group."""
    for kill in (os.killpg, _kill):
        try:
            kill(pid, _SIGKILL)
        except OSError:
            pass


def wait_readable(fds: List[int], seconds: float) -> List[int]:
    """Those of `fds` that can be read (or are at their end) within `seconds`."""
    if _poll is None:
        return list(select.select(fds, [], [], seconds)[0])
    poller = _poll()
    for fd in fds:
        poller.register(fd, select.POLLIN)
    try:
        return [fd for fd, _ in poller.poll(int(seconds * 1000) + 1)]
    except OSError as error:
        if error.errno == errno.EINTR:
            return []
        raise


def flush_streams() -> None:
    """Flush stdout and stderr; a broken one is no reason to fail."""
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except BaseException:
            pass


def main(commands: int, events: int, owns_pid_namespace: bool, writable: Sequence[str]) -> None:
    """Serve until aqe closes the command pipe; what cases leave in the `writable` folders is removed after each."""
    commands, events = lift(commands), lift(events)
    for fd in (commands, events):
        os.set_inheritable(fd, False)
    Zygote(Channel(commands, events), owns_pid_namespace, writable).serve()
    _exit(0)
