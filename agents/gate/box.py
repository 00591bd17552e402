"""A box: the place where code that nobody vouches for runs, one fork per case, with evidence of what held it.

The tree is aqe -> supervisor (aqe's own Python, builds and watches) -> zygote (the project's Python, imports once)
-> one fork per case. This module is the end that lives inside aqe: it speaks the protocol and judges the answers.
"""

from __future__ import annotations

import json
import os
import secrets
import select
import signal
import struct
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from types import TracebackType
from typing import Any, Literal

from aqe.agents.gate.entering import RUNGS, remove_tree
from aqe.agents.gate.plan import boot, hand_over, make_plan
from aqe.agents.gate.probing import probe
from aqe.agents.gate.rungs import Attempts, rungs_to_try
from aqe.agents.gate.spec import BoxSpec, Limits
from aqe.agents.gate.verdict import MAX_RESULT_BYTES, Tail, Verdict, describe_exit, read_end
from aqe.engine.errors import UserError
from aqe.engine.progress import CancelToken

__all__ = ["Box", "BoxSpec", "CaseResult", "Layers", "Limits", "State"]

State = Literal["ok", "error", "died", "timeout", "memory", "output", "forged"]

START_WALL_S = 30.0
KILL_WALL_S = 1.0
MEMORY_CLOSED = "memory of the warm process closed to its cases"
ORPHANS_TAKEN = "orphans of a case ended with it"
EXCESS: dict[str, State] = {"memory": "memory", "scratch": "output"}
GRACE_S = 1.5  # how long after a case's wall clock the zygote may take to say so


@dataclass(frozen=True)
class Layers:
    """The rung of the sandbox, the layers in force and those that this machine (or this Python) does not give.

    `why_not_higher` says of each rung above this one why it does not hold; empty where the caller forced the rung.
    """

    rung: str
    in_force: tuple[str, ...]
    missing: tuple[str, ...]
    below_namespaces: bool
    why_not_higher: tuple[str, ...] = ()


def _said_ctypes(said: bytes) -> bool:
    """Whether the zygote's first word tells of ctypes; the environment's own start-up code may have said it instead."""
    try:
        word = json.loads(said)
    except (ValueError, RecursionError):
        return False
    return isinstance(word, dict) and word.get("ctypes") is True


@dataclass(frozen=True)
class CaseResult:
    """What one case came to. `state` is "ok" only with a frame, aqe's nonce and exit status 0.

    `error` is the exception's type, message and short traceback when `state` is "error", else what happened in
    words; `stdout` and `stderr` are tails; `leftovers` counts processes that outlived the case and were killed.
    """

    state: State
    value: Any = None
    error: str = ""
    exit_status: int | None = None
    signal: int | None = None
    stdout: str = ""
    stderr: str = ""
    leftovers: int = 0
    duration_ms: float = 0.0


class Box:
    """A running box. `run` and `preload` go one at a time; `kill` and `close` may come from any thread."""

    def __init__(self, spec: BoxSpec, rung: int) -> None:
        self._spec = spec
        self._lock = threading.Lock()
        self._killed = threading.Event()
        self._untie: Callable[[], None] = lambda: None
        self._events = bytearray()
        self._reports = bytearray()
        self._end: dict[str, Any] | None = None
        self._failed = ""
        self._excess = ""
        self.scratch = ""
        self.layers = Layers("", (), (), True)
        self._start(rung)

    # -- life -----------------------------------------------------------------------------------------------------

    @classmethod
    def open(cls, spec: BoxSpec, *, cancel: CancelToken | None = None, rung: int | None = None) -> Box:
        """Build a box and wait until its zygote is ready.

        `rung` forces one of 3 (namespaces), 2 (own uid), 1 (Landlock), 0 (limits and clock only); without it the
        highest that this machine gives is taken. Errors: no-sandbox, weak-sandbox, no-interpreter, no-such-project,
        cancelled.
        """
        if not hasattr(os, "fork"):
            raise UserError(
                "This system has no fork, and the sandbox needs it.",
                code="no-sandbox",
                fix="Run aqe on Linux or macOS, or on Windows inside WSL.",
            )
        if cancel is not None:
            cancel.check()
        attempts = Attempts((rung,), ()) if rung is not None else rungs_to_try(spec.project)
        reasons = list(attempts.why_not_higher)
        for attempt in attempts.rungs:
            box = cls(spec, attempt)
            if cancel is not None:
                box._untie = cancel.on_cancel(box.kill)
            try:
                box._await_ready()
                box.layers = replace(box.layers, why_not_higher=tuple(reasons))
                return box
            except UserError as error:
                box.close()
                if cancel is not None:
                    cancel.check()
                failure = error
                reasons.append(
                    f"rung {RUNGS[attempt]} does not hold here: {(box._failed or error.message).rstrip('.')}"
                )
            except BaseException:
                box.close()
                raise
        raise failure

    def _start(self, rung: int) -> None:
        commands_in, self._commands = os.pipe()
        self._event_fd, events_out = os.pipe()
        self._report_fd, report_out = os.pipe()
        out, out_in = os.pipe()
        err, err_in = os.pipe()
        self._stdout, self._stderr = Tail(out), Tail(err)
        inside = {
            "commands": commands_in,
            "events": events_out,
            "report": report_out,
            "stdout": out_in,
            "stderr": err_in,
        }
        try:
            for fd in (self._commands, self._event_fd, self._report_fd, out, err):
                os.set_blocking(fd, False)
            plan = make_plan(self._spec, probe(self._spec.python, "box", project=self._spec.project), rung, inside)
            self._process = subprocess.Popen(
                [sys.executable, "-I", "-S", "-c", boot("supervisor")],
                stdin=subprocess.PIPE,
                stdout=subprocess.DEVNULL,
                stderr=err_in,
                pass_fds=tuple(inside.values()),
                start_new_session=True,
                env={"LANG": "C.UTF-8"},
                cwd="/",
            )
        except BaseException:
            self._close_descriptors()
            raise
        finally:
            for fd in inside.values():
                os.close(fd)
        hand_over(self._process, plan)

    def _await_ready(self) -> None:
        deadline = time.monotonic() + START_WALL_S
        event = self._next_event(deadline, None)
        if event is not None and event[0] == b"Z":  # the environment's own start-up code may say something else
            while not self.scratch and time.monotonic() < deadline and self._end is None:
                self._read_reports()
            self._note_what_python_lacks(event[1])
            return
        self._read_reports()
        said = self._stderr.take().strip().splitlines()
        why = self._failed or (said[-1] if said else "no answer")
        raise UserError(
            f"The sandbox could not be built: {why}.",
            code="no-sandbox",
            fix="`aqe doctor` shows what this machine gives.",
        )

    def _note_what_python_lacks(self, said: bytes) -> None:
        """Without ctypes the zygote cannot close its memory, nor take in the orphans of its cases below rung 3."""
        names = (MEMORY_CLOSED, *((ORPHANS_TAKEN,) if self.layers.below_namespaces else ()))
        if _said_ctypes(said):
            self.layers = replace(self.layers, in_force=self.layers.in_force + names)
        else:
            lacking = tuple(f"{name} (the project's Python has no ctypes)" for name in names)
            self.layers = replace(self.layers, missing=self.layers.missing + lacking)

    def __enter__(self) -> Box:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    @property
    def pid(self) -> int:
        """The supervisor's process, parent of all that runs in the box."""
        return self._process.pid

    @property
    def alive(self) -> bool:
        """Whether cases can still run."""
        return not self._killed.is_set() and self._end is None and self._process.poll() is None

    def kill(self) -> None:
        """End everything in the box now. Safe from any thread, also while a case runs."""
        if self._killed.is_set():
            return
        self._killed.set()
        stdin = self._process.stdin
        if stdin is not None:
            try:
                stdin.close()
            except OSError:
                pass
        try:
            self._process.wait(KILL_WALL_S)
        except subprocess.TimeoutExpired:
            self._process.send_signal(signal.SIGKILL)
            self._process.wait()

    def close(self) -> None:
        """Kill the box and give back its descriptors."""
        self.kill()
        self._untie()
        with self._lock:
            self._close_descriptors()
        if self.layers.below_namespaces and self.scratch and os.path.isdir(self.scratch):
            remove_tree(self.scratch)  # the supervisor was not given the time

    def _close_descriptors(self) -> None:
        for fd in (self._commands, self._event_fd, self._report_fd, self._stdout.fd, self._stderr.fd):
            if fd >= 0:
                os.close(fd)
        self._commands = self._event_fd = self._report_fd = self._stdout.fd = self._stderr.fd = -1

    # -- cases ----------------------------------------------------------------------------------------------------

    def preload(self, entry: str, args: Mapping[str, Any], *, wall_s: float) -> CaseResult:
        """Call `entry` in the zygote itself, so that what it imports is warm for all later cases."""
        return self._call("preload", entry, args, wall_s, None)

    def run(
        self,
        entry: str,
        args: Mapping[str, Any],
        *,
        wall_s: float,
        on_progress: Callable[[Any], None] | None = None,
    ) -> CaseResult:
        """Call `entry(args, emit)` in a fork of the zygote and judge what comes back."""
        return self._call("run", entry, args, wall_s, on_progress)

    def _call(
        self, op: str, entry: str, args: Mapping[str, Any], wall_s: float, on_progress: Callable[[Any], None] | None
    ) -> CaseResult:
        with self._lock:
            if not self.alive or self._commands < 0:
                return CaseResult("died", error="The box is gone.")
            started = time.monotonic()
            nonce = secrets.token_hex(16)
            command = {"op": op, "entry": entry, "args": dict(args), "nonce": nonce, "wall_s": wall_s}
            text = json.dumps(command).encode()
            verdict = Verdict(nonce, on_progress)
            self._stdout.take()
            self._stderr.take()
            self._read_reports()
            self._excess = ""
            deadline = started + wall_s + (GRACE_S if op == "run" else 0.0)
            try:
                if not self._send(text, deadline):
                    late = self.alive and time.monotonic() >= deadline
                    return self._gone("timeout" if late else "died", started)
                return self._listen(verdict, started, deadline, patient=op == "run")
            except BaseException:  # Ctrl-C or the caller's own callback: what this case still says is nobody's answer
                self.kill()
                raise

    def _send(self, text: bytes, deadline: float) -> bool:
        """Write one command; False when the box is gone or does not take it in time."""
        data = memoryview(struct.pack(">I", len(text)) + text)
        while data:
            try:
                data = data[os.write(self._commands, data) :]
            except BlockingIOError:
                left = deadline - time.monotonic()
                full = len(self._events) > MAX_RESULT_BYTES
                if left <= 0 or full or self._killed.is_set() or not self._pump(left, self._commands):
                    return False
            except OSError:
                return False
        return True

    def _listen(self, verdict: Verdict, started: float, deadline: float, *, patient: bool) -> CaseResult:
        flood: State | None = None
        while True:
            event = self._next_event(deadline, None if flood else self._spec.limits.output_kb * 1024)
            if event is None:
                if self._end is not None or self._process.poll() is not None or self._killed.is_set():
                    return self._gone(EXCESS.get((self._end or {}).get("end", ""), "died"), started)
                self.kill()
                return self._gone("timeout", started)
            letter, payload = event
            if letter == b"R":
                verdict.feed(payload)
            if letter == b"O" or (verdict.excessive and flood is None):
                flood = "output"
                if not patient:
                    return self._gone("output", started)
                deadline = min(deadline, time.monotonic() + GRACE_S)
                self._send(json.dumps({"op": "kill", "why": "output"}).encode(), deadline)
            elif letter != b"R":
                end = read_end(payload) if letter == b"E" else None
                if end is None:
                    return self._gone("forged", started)
                return self._judge(end, verdict, started)

    def _judge(self, end: dict[str, Any], verdict: Verdict, started: float) -> CaseResult:
        state: State = "died"
        value: Any = None
        error = ""
        if end["signal"] == signal.SIGKILL and end["killed"] is None:
            self._read_reports()
        if self._excess:
            state, error = EXCESS.get(self._excess, "died"), f"The case used more than it may: {self._excess}."
        elif end["killed"] == "timeout":
            state, error = "timeout", "The case ran past its wall clock."
        elif end["killed"] == "output" or verdict.excessive:
            state, error = "output", "The case wrote more than it may."
        elif verdict.forged or verdict.unfinished:
            state, error = "forged", "The case wrote frames that aqe did not ask for."
        elif verdict.answer is not None and end["exit"] == 0:
            letter, answer = verdict.answer
            state, value, error = ("ok", answer, "") if letter == b"V" else ("error", None, str(answer))
        else:
            error = f"The case ended without an answer ({describe_exit(end)})."
        return CaseResult(
            state,
            value,
            error,
            end["exit"],
            end["signal"],
            self._stdout.take(),
            self._stderr.take(),
            end["leftovers"],
            (time.monotonic() - started) * 1000.0,
        )

    def _gone(self, state: State, started: float) -> CaseResult:
        words = {
            "died": "The box died while it worked.",
            "timeout": "The box ran past its wall clock and was ended.",
            "memory": "The box used more memory than it may and was ended.",
            "output": "The box wrote more than it may and was ended.",
            "forged": "The box broke the protocol and was ended.",
        }
        exit_status = (self._end or {}).get("exit")
        duration_ms = (time.monotonic() - started) * 1000.0
        self.kill()
        return CaseResult(
            state,
            error=words[state],
            exit_status=exit_status if exit_status is not None and exit_status >= 0 else None,
            signal=-exit_status if exit_status is not None and exit_status < 0 else None,
            stdout=self._stdout.take(),
            stderr=self._stderr.take(),
            duration_ms=duration_ms,
        )

    # -- wire -----------------------------------------------------------------------------------------------------

    def _next_event(self, deadline: float, output_bytes: int | None) -> tuple[bytes, bytes] | None:
        """The next event; (b"O", b"") when too much was printed; None at the deadline or when the box is gone."""
        while True:
            if len(self._events) >= 5:
                letter, size = bytes(self._events[:1]), struct.unpack(">I", self._events[1:5])[0]
                if letter not in b"ZRE" or size > MAX_RESULT_BYTES:
                    return b"?", b""
                if len(self._events) >= 5 + size:
                    payload = bytes(self._events[5 : 5 + size])
                    del self._events[: 5 + size]
                    return letter, payload
            left = deadline - time.monotonic()
            if left <= 0 or self._killed.is_set() or not self._pump(left):
                return None
            if output_bytes is not None and self._stdout.total + self._stderr.total > output_bytes:
                return b"O", b""

    def _pump(self, seconds: float, writing: int = -1) -> bool:
        """Wait for bytes on any pipe and take them; False when the box is gone and nothing is left to read.

        Ends as well when the descriptor `writing` takes more.
        """
        poller = select.poll()
        for fd in (self._event_fd, self._report_fd):
            poller.register(fd, select.POLLIN)
        for tail in (self._stdout, self._stderr):
            if not tail.ended:
                poller.register(tail.fd, select.POLLIN)
        if writing >= 0:
            poller.register(writing, select.POLLOUT)
        ready = {fd for fd, _ in poller.poll(min(int(seconds * 1000) + 1, 1000))}
        self._stdout.drain()
        self._stderr.drain()
        if self._event_fd in ready:
            try:
                data = os.read(self._event_fd, 1 << 18)
            except OSError:
                data = b""
            if data:
                self._events += data
                return True
        if self._report_fd in ready:
            self._read_reports()
        if self._end is not None or (self._event_fd in ready and self._process.poll() is not None):
            return False
        if self._event_fd in ready:  # at its end: the supervisor is about to say why
            time.sleep(0.001)
        return True

    def _read_reports(self) -> None:
        try:
            data = os.read(self._report_fd, 1 << 16)
        except BlockingIOError:
            return
        if not data:
            self._end = self._end or {"end": "died", "exit": None}
            return
        self._reports += data
        *lines, rest = bytes(self._reports).split(b"\n")
        self._reports = bytearray(rest)
        for line in lines:
            message = json.loads(line)
            if "end" in message:
                self._end = self._end or message
            elif "failed" in message:
                self._failed = message["failed"]
                self._end = {"end": "died", "exit": None}
            elif "excess" in message:
                self._excess = message["excess"]
            else:
                self.scratch = message["scratch"]
                layers = message["layers"]
                self.layers = Layers(
                    layers["rung"],
                    tuple(layers["in_force"]),
                    tuple(layers["missing"]),
                    not layers["rung"].startswith("3"),
                )
