"""pytest sessions of a hunt: started in the suite profile, followed by the events that they tell.

Each whole-suite run is a process of its own on a fresh overlay (or copy) of the tree. The temporary folder is the
hunt's own, made empty at its start and kept until its end: what a test leaves there meets its next run, as on a machine
where the suite runs every day, and the outcome does not depend on what lay in the user's own.
"""

from __future__ import annotations

import contextlib
import json
import math
import os
import tempfile
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from aqe.agents.execute import WITH_SIDE, suite_environ
from aqe.agents.flaky.plan import RunPlan
from aqe.agents.gate.interpreter import Interpreter, side_folder
from aqe.agents.gate.suite import SuiteRun, run_suite
from aqe.engine.errors import AqeError, Cancelled
from aqe.engine.progress import CancelToken

RED = ("failed", "error", "crashed")
GREEN = ("passed", "xfailed", "xpassed")
FIRST_WALL_S = 3600.0
FIRST_TEST_WALL_S = 120.0
CONTINUED = 3  # how often a run is taken up again after a test that ended its process


@dataclass(frozen=True)
class Observation:
    """One attempt of one test. `kinds` are the classes of its exception and of those that led to it."""

    outcome: str
    duration_s: float = 0.0
    message: str = ""
    kinds: tuple[str, ...] = ()
    text: str = ""
    line: int = 0
    hung: bool = False

    @property
    def red(self) -> bool | None:
        """True for a failure, False for a pass, None for what is neither (skipped)."""
        return True if self.outcome in RED else False if self.outcome in GREEN else None


@dataclass
class Heard:
    """What the events of one session said. `running` is the test that had begun and not ended.

    `parameters` are tests whose repetition failed only on parameters that their first run had changed; `once` are those
    that were not repeated in the run that repeats each test.
    """

    collected: list[str] = field(default_factory=list)
    plugins: list[str] = field(default_factory=list)
    options: str = ""
    code: str = ""
    pytest: str = ""
    broken: list[dict[str, str]] = field(default_factory=list)
    order: list[str] = field(default_factory=list)
    attempts: dict[str, list[Observation]] = field(default_factory=dict)
    running: str | None = None
    status: int | None = None
    done: str = ""
    parameters: set[str] = field(default_factory=set)
    once: set[str] = field(default_factory=set)

    def hear(self, line: bytes) -> None:
        """Take one event; what is no event is passed over."""
        try:
            event = json.loads(line)
        except ValueError:
            return
        kind = event.get("e") if isinstance(event, dict) else None
        if kind == "collected":
            self.collected, self.plugins = list(event["ids"]), list(event["plugins"])
            self.options, self.code, self.pytest = event["options"], event["code"], event["pytest"]
        elif kind == "broken":
            self.broken.append({"nodeid": event["id"], "message": event["message"]})
        elif kind == "start":
            self.running = event["id"]
        elif kind == "end":
            self._end(event)
        elif kind in ("parameters", "once"):
            (self.parameters if kind == "parameters" else self.once).add(event["id"])
        elif kind == "finish":
            self.status = int(event["status"])
        elif kind == "done":
            self.done = str(event["how"])

    def _end(self, event: Mapping[str, Any]) -> None:
        if event["id"] not in self.attempts:
            self.order.append(event["id"])
        self.attempts.setdefault(event["id"], []).append(
            Observation(
                event["outcome"],
                event["s"],
                event["message"],
                tuple(event["kinds"]),
                event["text"],
                event["line"],
                event["hung"],
            )
        )
        self.running = None

    def end_badly(self, message: str, *, hung: bool) -> str | None:
        """Blame the test that was running for the end of its process; returns its id."""
        name, self.running = self.running, None
        if name is not None:
            if name not in self.attempts:
                self.order.append(name)
            kinds = () if hung else ("crash",)
            self.attempts.setdefault(name, []).append(Observation("crashed", 0.0, message, kinds, hung=hung))
        return name


@dataclass(frozen=True)
class RunSeen:
    """One whole-suite run: its plan, the order in which its tests ended, and each attempt of each."""

    plan: RunPlan
    order: tuple[str, ...]
    attempts: Mapping[str, tuple[Observation, ...]]
    complete: bool
    sessions: int
    parameters: frozenset[str] = frozenset()
    once: frozenset[str] = frozenset()

    def first(self, nodeid: str) -> Observation | None:
        """The first attempt of a test in this run."""
        found = self.attempts.get(nodeid)
        return found[0] if found else None


@dataclass
class Suite:
    """The suite under the hunt and how its sessions are started."""

    project: Path
    interpreter: Interpreter
    paths: Sequence[str]
    folder: Path
    cancel: CancelToken | None = None
    stop: CancelToken | None = None  # ends what runs, and what was heard of it counts
    isolation: str = ""
    test_wall_s: float = FIRST_TEST_WALL_S
    wall_s: float = FIRST_WALL_S
    record: bool = True
    _number: int = 0

    def command(self, plan_file: Path, *, record: bool) -> list[str]:
        """The command line of one session."""
        side = side_folder(self.interpreter, self.project)
        plain = side is None or self.interpreter.has_pytest
        start = ["-m", "pytest"] if plain else ["-c", WITH_SIDE.format(side=side)]
        plugin = ["-p", "_aqe_inject.plugin", f"--aqe-hunt={plan_file}", *(["--aqe"] if record else [])]
        return [self.interpreter.executable, *start, *plugin, "--tb=long", *self.paths]

    def environ(self, hash_seed: int, zone: str | None, temporary: str | None = None) -> dict[str, str]:
        """The user's environment with this hash seed, zone and temporary folder (None: the hunt's own)."""
        shared = self.folder / "t"
        shared.mkdir(exist_ok=True)
        environ = suite_environ(self.project)
        environ |= {"PYTHONHASHSEED": str(hash_seed), "TMPDIR": temporary or str(shared)}
        environ |= {"TZ": zone} if zone is not None else {}
        return environ

    def write_plan(self, plan: Mapping[str, Any]) -> tuple[Path, Path]:
        """Files for a session's plan and for its events."""
        self._number += 1
        events, file = (self.folder / f"{self._number}.{end}" for end in ("events", "plan"))
        file.write_text(json.dumps({**plan, "events": str(events), "test_wall_s": self.test_wall_s}), encoding="utf-8")
        return file, events

    def start(self, plan_file: Path, environ: Mapping[str, str], wall_s: float, *, record: bool,
              cancel: CancelToken | None = None) -> SuiteRun:  # fmt: skip
        """Run one session to its end or to its wall clock."""
        done = run_suite(
            self.command(plan_file, record=record),
            self.project,
            environ=environ,
            wall_s=wall_s,
            keep=(self.folder.resolve(),),
            cancel=cancel if cancel is not None else self.cancel,
        )
        self.isolation = done.isolation
        return done

    def run(self, plan: RunPlan, deadline: float) -> tuple[RunSeen, Heard, SuiteRun]:
        """One whole-suite run; a test that ends the process or its time is red, and the rest runs in a new session."""
        whole = Heard()
        order: dict[str, Any] = {"kind": plan.order, "seed": plan.order_seed}
        environ = self.environ(plan.hash_seed, plan.zone)
        for session in range(1, CONTINUED + 2):
            file, events = self.write_plan({"order": order, "twice": plan.twice})
            wall_s = max(1.0, min(self.wall_s, deadline - time.monotonic()))
            ended = self._until_stopped(file, environ, wall_s, record=self.record and not plan.twice)
            heard = _heard(events, into=whole)
            done = ended or SuiteRun(None, "", 0, (), 0.0, "overlay")
            if ended is None:
                break
            if done.ended_by or heard.status is None:
                late = done.ended_by == "wall clock"
                how = f"did not end within {wall_s:.0f} s" if late else _ending(done)
                cut_short = late and wall_s < self.wall_s
                blamed = None if cut_short else heard.end_badly(how, hung=late)
                left = [name for name in heard.collected if name not in heard.attempts]
                if blamed is None or not left or session > CONTINUED or time.monotonic() >= deadline:
                    break
                order, whole.status = {"kind": "given", "ids": left}, None
                continue
            break
        complete = whole.status is not None
        attempts = {name: tuple(found) for name, found in whole.attempts.items()}
        kept = (frozenset(whole.parameters), frozenset(whole.once))
        return RunSeen(plan, tuple(whole.order), attempts, complete, session, *kept), whole, done

    def _until_stopped(self, file: Path, environ: Mapping[str, str], wall_s: float, *, record: bool) -> SuiteRun | None:
        """One session, None where `stop` ended it."""
        either = CancelToken()
        unties = [token.on_cancel(either.cancel) for token in (self.cancel, self.stop) if token is not None]
        try:
            return self.start(file, environ, wall_s, record=record, cancel=either)
        except Cancelled:
            if self.cancel is not None and self.cancel.is_set:
                raise
            return None
        finally:
            for untie in unties:
                untie()

    def learn_limits(self, seen: RunSeen, took_s: float) -> None:
        """After the first run: no run may take much longer than it, no test much longer than its slowest."""
        slowest = max((one.duration_s for found in seen.attempts.values() for one in found if not one.hung), default=0)
        self.test_wall_s = min(self.test_wall_s, math.ceil(max(10.0, 8 * slowest)))
        self.wall_s = max(60.0, 6 * took_s) + self.test_wall_s


def _heard(events: Path, into: Heard) -> Heard:
    before = into.collected
    with contextlib.suppress(FileNotFoundError):
        for line in events.read_bytes().splitlines():
            into.hear(line)
    into.collected = before or into.collected  # a session that goes on has only what is left
    return into


def _ending(done: SuiteRun) -> str:
    if done.ended_by == "memory":
        return "used more memory than the suite is allowed"
    status = done.exit_status or 0
    return f"ended the process by signal {-status}" if status < 0 else f"ended the process with status {status}"


class Session:
    """A warm session that answers questions: the tests of each run in a fork of the collected suite.

    A fork shares nothing with another but the files, so a question is a run of its own at a hundredth of the price.
    """

    def __init__(
        self, suite: Suite, hash_seed: int, zone: str | None, wall_s: float, temporary: str | None = None
    ) -> None:
        self._folder = Path(tempfile.mkdtemp(prefix="s", dir=suite.folder))
        self._number = 0
        self._suite = suite
        self._cancel = CancelToken()
        tokens = [token for token in (suite.cancel, suite.stop) if token is not None]
        self._unties = [token.on_cancel(self._cancel.cancel) for token in tokens]
        file, self._events = suite.write_plan({"order": {"kind": "as it stands"}, "serve": str(self._folder)})
        self._done = threading.Event()
        environ = suite.environ(hash_seed, zone, temporary)
        self._thread = threading.Thread(target=self._run, args=(file, environ, wall_s), daemon=True)
        self._thread.start()

    def _run(self, file: Path, environ: Mapping[str, str], wall_s: float) -> None:
        try:
            with contextlib.suppress(AqeError):
                self._suite.start(file, environ, wall_s, record=False, cancel=self._cancel)
        finally:
            self._done.set()

    @property
    def alive(self) -> bool:
        """Whether it can still be asked."""
        return not self._done.is_set()

    def ask(
        self,
        ids: Sequence[str],
        *,
        wall_s: float,
        zone: str | None = None,
        times: int = 1,
        entropy: int | None = None,
        folder: str | None = None,
    ) -> Heard | None:
        """Run these tests in this order in a fork, `folder` its temporary one; None where the session is gone."""
        question: dict[str, Any] = {
            "ids": list(ids),
            "wall_s": wall_s,
            "times": times,
            "entropy": entropy,
            "folder": folder,
            "test_wall_s": self._suite.test_wall_s,
        }
        if zone is not None:
            question["zone"] = zone
        ask, told = (self._folder / f"{self._number}.{end}" for end in ("ask", "told"))
        fresh = ask.with_suffix(".new")
        fresh.write_text(json.dumps(question), encoding="utf-8")
        os.replace(fresh, ask)
        self._number += 1
        for _ in _patiently(wall_s + 30.0 + 20.0 * (self._number == 1)):
            if told.exists():
                return self._told(told)
            if self._done.wait(0.002):
                break
        return self._told(told) if told.exists() else None

    def _told(self, told: Path) -> Heard:
        heard = _heard(told, Heard())
        if heard.done != "ok":
            late = heard.done == "late"
            heard.end_badly("did not end in time" if late else f"ended the process ({heard.done})", hung=late)
        return heard

    def close(self) -> None:
        """End the session."""
        (self._folder / "stop").touch()
        if not self._done.wait(10.0):
            self._cancel.cancel()
        self._thread.join(30.0)
        for untie in self._unties:
            untie()


def _patiently(seconds: float) -> Iterator[None]:
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        yield
