"""The process that searches, the one that watches it, and the checkpoints between them.

A search runs subjects that may exit, crash or hang in C code, where no signal handler gets a turn. It runs in a fork;
at a checkpoint it forks again and the older process waits. When the younger one dies, the older one goes on from where
it stood, without the target that did it. The watcher ends a run that uses processor time without coming back.
"""

from __future__ import annotations

import contextlib
import json
import mmap
import os
import select
import signal
import struct
import time
import traceback
from typing import Any, Callable, Dict, List, Optional, Tuple

from .descriptors import identity, lift, reopen_streams

Emit = Callable[[Any], None]
Data = Dict[str, Any]

STUCK_S = 2.5
"""Wall time without a new run after which the search counts as hanging outside Python."""

STUCK_CPU_S = 0.9
"""The same in processor time, where the system tells."""

MOST_CHECKPOINTS = 8
LONGEST_NOTE = 8000
_NOTE_AT = struct.calcsize("q" * (4 + MOST_CHECKPOINTS + 2))


class Beat:
    """Shared memory in which the searching process says what it is at, and the watcher why it ended it."""

    def __init__(self) -> None:
        self.memory = mmap.mmap(-1, _NOTE_AT + LONGEST_NOTE)

    def write(self, target: int, runs: int, is_running: bool) -> None:
        """Say what is going on: the target's place, the number of runs so far, whether the subject runs now."""
        struct.pack_into("qqq", self.memory, 0, target, runs, is_running)

    def read(self) -> Tuple[int, int, int]:
        """What was said last."""
        target, runs, running = struct.unpack_from("qqq", self.memory, 0)
        return target, runs, running

    @property
    def is_stuck(self) -> bool:
        """Whether the watcher ended the process because it hung."""
        return bool(struct.unpack_from("q", self.memory, 24)[0])

    @is_stuck.setter
    def is_stuck(self, value: bool) -> None:
        struct.pack_into("q", self.memory, 24, value)

    def note(self, text: str) -> None:
        """Leave a few words for those who live longer; nothing where they are too many."""
        data = text.encode("utf-8", "backslashreplace")
        data = data if len(data) <= LONGEST_NOTE - 8 else b""
        struct.pack_into("q", self.memory, _NOTE_AT, len(data))
        self.memory[_NOTE_AT + 8 : _NOTE_AT + 8 + len(data)] = data

    def noted(self) -> str:
        """The words that were left last."""
        size = struct.unpack_from("q", self.memory, _NOTE_AT)[0]
        return self.memory[_NOTE_AT + 8 : _NOTE_AT + 8 + size].decode("utf-8", "replace")

    def push(self, pid: int) -> None:
        """Note the youngest process."""
        count = len(self.pids())
        struct.pack_into("q", self.memory, 32 + 8 * count, pid)

    def pop(self) -> None:
        """Forget the youngest process."""
        count = len(self.pids())
        struct.pack_into("q", self.memory, 32 + 8 * (count - 1), 0)

    def pids(self) -> List[int]:
        """All processes of the search, the one that runs last."""
        places = struct.unpack_from("q" * (MOST_CHECKPOINTS + 1), self.memory, 32)
        return [pid for pid in places if pid]


class Lifeline:
    """What the searching process holds on to; `checkpoint` tells how a younger process died, if one did."""

    def __init__(self, beat: Beat, writer: int) -> None:
        self.beat = beat
        self.count = 0
        self._writer = writer
        self._written = identity(writer)

    def check(self) -> None:
        """End this process where the subject has closed the way back, so that an older one goes on."""
        if identity(self._writer) != self._written:
            os._exit(SEVERED)

    def checkpoint(self) -> Optional[Tuple[int, str]]:
        """Go on in a fork. Returns None there; returns (target, how it ended) here should the fork die."""
        if self.count >= MOST_CHECKPOINTS:
            return None
        self.count += 1
        child = os.fork()
        if child == 0:
            self.beat.push(os.getpid())
            reopen_streams()
            return None
        _, status = os.waitpid(child, 0)
        how = ending(status, self.beat)
        if how is None:
            os._exit(os.WEXITSTATUS(status) if os.WIFEXITED(status) else 0)
        place = self.beat.read()[0]
        self.beat.pop()
        self.beat.is_stuck = False
        self.beat.write(place, -1, False)
        self.count -= 1
        return place, how


FINE, BROKEN, SEVERED = 0, 71, 72


def ending(status: int, beat: Beat) -> Optional[str]:
    """How the subject ended a process, or None when it ended by itself."""
    if os.WIFSIGNALED(status):
        if beat.is_stuck:
            return "hangs outside Python code"
        return "ends the process with signal %d" % os.WTERMSIG(status)
    if os.WEXITSTATUS(status) == SEVERED:
        return "closes file descriptors that it did not open"
    if os.WEXITSTATUS(status) in (FINE, BROKEN) and not beat.read()[2]:
        return None
    return "ends the process"


Work = Callable[[Emit, Lifeline], Data]


def in_child(work: Work, emit: Emit, end: Optional[float]) -> Tuple[Optional[Data], Optional[int], str]:
    """Run the work in a fork, to the time `end` at most. Returns the last result, the target that ended the child early
    (or None), and how."""
    beat = Beat()
    reader, writer = (lift(end) for end in os.pipe())
    child = os.fork()
    if child == 0:
        os.close(reader)
        beat.push(os.getpid())
        _child(work, writer, beat)
    os.close(writer)
    try:
        return _watch(child, reader, beat, emit, end)
    finally:
        os.close(reader)


def _child(work: Work, writer: int, beat: Beat) -> None:
    status = BROKEN
    try:

        def send(message: Any) -> None:
            data = json.dumps(message).encode("utf-8", "backslashreplace") + b"\n"
            while data:
                data = data[os.write(writer, data) :]

        send({"result": work(send, Lifeline(beat, writer))})
        status = FINE
    except BaseException:
        with contextlib.suppress(OSError):
            os.write(2, traceback.format_exc().encode("utf-8", "replace"))
    finally:
        beat.write(beat.read()[0], -1, False)
        os._exit(status)


def _watch(
    child: int, reader: int, beat: Beat, emit: Emit, end: Optional[float]
) -> Tuple[Optional[Data], Optional[int], str]:
    last: Optional[Data] = None
    data = b""
    stall = _Stall(beat)
    while True:
        ready, _, _ = select.select([reader], [], [], 0.2)
        if ready:
            part = os.read(reader, 1 << 20)
            if not part:
                break
            *lines, data = (data + part).split(b"\n")
            for line in lines:
                message = json.loads(line)
                if "result" in message:
                    last = message["result"]
                else:
                    last = message.get("partial", last)
                    emit(message)
        if end is not None and last is not None and time.monotonic() > end:
            for pid in beat.pids():
                _kill(pid)
            os.waitpid(child, 0)
            return last, None, ""
        if stall.is_over():
            beat.is_stuck = True
            _kill(beat.pids()[-1])
    _, status = os.waitpid(child, 0)
    how = ending(status, beat)
    return (last, None, "") if how is None else (last, beat.read()[0], how)


def _kill(pid: int) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, signal.SIGKILL)


class _Stall:
    """Whether one run of the subject has used too much time by itself."""

    def __init__(self, beat: Beat) -> None:
        self.beat = beat
        self.seen = -1
        self.since = time.monotonic()
        self.cpu = 0.0

    def is_over(self) -> bool:
        """True once for each run that does not come back."""
        _, runs, running = self.beat.read()
        pids = self.beat.pids()
        if self.beat.is_stuck or not pids:
            return False
        if runs != self.seen or not running:
            self.seen, self.since, self.cpu = runs, time.monotonic(), processor_s(pids[-1])
            return False
        used = processor_s(pids[-1]) - self.cpu
        return used > STUCK_CPU_S or time.monotonic() - self.since > STUCK_S


def processor_s(pid: int) -> float:
    """Processor time that a process has used, in seconds; 0 where the system does not tell."""
    try:
        with open("/proc/%d/stat" % pid, "rb") as stream:
            fields = stream.read().rpartition(b")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
    except (OSError, ValueError, IndexError):
        return 0.0
