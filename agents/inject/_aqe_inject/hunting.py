"""What `--aqe-hunt FILE` does: one whole run in the order of a plan, or a session that answers small questions.

The plan is JSON: "events" (file to which this session tells, a JSON line each, what it does), "order" (see `ordering`),
"twice" (run each test a second time in the same process, its fixtures made anew), "test_wall_s" (a test is interrupted
after that long), "serve" (a folder: collect, then answer each `<n>.ask` in it by a fork that runs the tests it names).

Events: {"e": "collected", "ids", "plugins", "options" (those that the
project adds), "code", "pytest"}, {"e": "start", "id"}, {"e": "end", "id", "attempt", "outcome", "s",
"message", "kinds", "text", "line", "hung"}, {"e": "broken", "id", "message"} for what cannot be collected,
{"e": "parameters", "id"} where a repetition failed for nothing but the parameters that the first run changed, {"e":
"once", "id"} for what is not repeated, and {"e": "finish", "status"}.
"""

import json
import os
import signal
import sys
import tempfile
import threading
import time
from typing import Any, Callable, Dict, List, Optional

import pytest

from .entropy import fix_entropy
from .loaded_code import code_digest
from .ordering import arrange, settled_arguments
from .recording import Attempt, first_line
from .repeating import is_repeatable, remembered

POLL_S = 0.005
TEXT = 6000
HUNG = "did not end within %g s"


def settle(config: Any, args: List[str]) -> None:
    """Take back, in `args`, what the project's settings add and what would hide a flip or stop the run early."""
    args.extend(settled_arguments(config))


class Hunter:
    """Hooks of the session; `events` is where it tells what happens, and changes in a fork."""

    def __init__(self, config: Any, plan_file: str) -> None:
        self.config = config
        with open(plan_file, encoding="utf-8") as file:
            self.plan: Dict[str, Any] = json.load(file)
        self.events = _open(self.plan["events"])
        self.test_wall_s = float(self.plan.get("test_wall_s") or 0.0)
        self.attempts: Dict[str, Attempt] = {}
        self.details: Dict[str, Dict[str, Any]] = {}
        self.home = os.getpid()
        self.items: List[Any] = []

    def tell(self, **event: Any) -> None:
        """Append one event; a session that cannot tell goes on."""
        data = json.dumps(event, ensure_ascii=True, separators=(",", ":")).encode("ascii") + b"\n"
        try:
            os.write(self.events, data)
        except OSError:
            pass

    # order

    @pytest.hookimpl(trylast=True)
    def pytest_collection_modifyitems(self, items: List[Any]) -> None:
        items[:], left_out = arrange(items, self.plan.get("order") or {})
        if left_out:
            self.config.hook.pytest_deselected(items=left_out)
        self.items = items

    def pytest_collection_finish(self, session: Any) -> None:
        plugins = sorted({name for name, plugin in self.config.pluginmanager.list_name_plugin() if plugin is not None})
        options = " ".join([*map(str, self.config.getini("addopts")), os.environ.get("PYTEST_ADDOPTS", "")]).strip()
        code = code_digest(os.environ.get("AQE_PROJECT") or str(self.config.rootpath))
        names = [item.nodeid for item in session.items]
        self.tell(e="collected", ids=names, plugins=plugins, options=options, code=code, pytest=pytest.__version__)

    def pytest_collectreport(self, report: Any) -> None:
        if report.failed:
            self.tell(e="broken", id=report.nodeid, message=first_line(report))

    # what is heard

    def pytest_runtest_logstart(self, nodeid: str) -> None:
        if nodeid not in self.attempts:
            self.attempts[nodeid] = Attempt(0)
        self.tell(e="start", id=nodeid)

    @pytest.hookimpl(hookwrapper=True)
    def pytest_runtest_makereport(self, item: Any, call: Any) -> Any:
        yield
        if call.excinfo is not None:
            self.details.setdefault(item.nodeid, {}).setdefault("kinds", _kinds(call.excinfo.value))

    def pytest_runtest_logreport(self, report: Any) -> None:
        attempt = self.attempts.setdefault(report.nodeid, Attempt(0))
        attempt.hear(report)
        if report.failed and not hasattr(report, "wasxfail"):
            detail = self.details.setdefault(report.nodeid, {})
            detail.setdefault("text", str(report.longreprtext)[-TEXT:])
        if report.when == "teardown":
            self._end(report.nodeid, attempt)

    def _end(self, nodeid: str, attempt: Attempt) -> None:
        detail = self.details.pop(nodeid, {})
        self.tell(
            e="end",
            id=nodeid,
            attempt=attempt.attempt,
            outcome=attempt.outcome,
            s=round(attempt.duration_s, 6),
            message=attempt.message,
            kinds=detail.get("kinds", []),
            text=detail.get("text", ""),
            line=attempt.line,
            hung=detail.get("hung", False),
        )
        self.attempts[nodeid] = Attempt(0, attempt.attempt + 1)

    # a second time, and a limit

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtest_protocol(self, item: Any) -> Optional[bool]:
        if not self.plan.get("twice") or self.plan.get("serve"):
            return None
        from _pytest.runner import runtestprotocol

        if not is_repeatable(item):
            self.tell(e="once", id=item.nodeid)
            return None
        renew, parameters = remembered(item)
        failed = []
        for _ in range(2):
            item.ihook.pytest_runtest_logstart(nodeid=item.nodeid, location=item.location)
            failed.append(any(report.failed for report in runtestprotocol(item, nextitem=None)))
            item.ihook.pytest_runtest_logfinish(nodeid=item.nodeid, location=item.location)
            renew()
        if failed == [False, True] and parameters.places:
            parameters.give_copies()
            again = parameters.are_copied and any(one.failed for one in runtestprotocol(item, log=False, nextitem=None))
            self.details.pop(item.nodeid, None)
            if not again:
                self.tell(e="parameters", id=item.nodeid)
        return True

    @pytest.hookimpl(hookwrapper=True, tryfirst=True)
    def pytest_runtest_setup(self, item: Any) -> Any:
        disarm = self._arm(item)
        yield
        disarm()

    @pytest.hookimpl(hookwrapper=True, tryfirst=True)
    def pytest_runtest_call(self, item: Any) -> Any:
        disarm = self._arm(item)
        yield
        disarm()

    def _arm(self, item: Any) -> Callable[[], None]:
        """Interrupt the test after its time, unless the project has a limit of its own that uses the same timer."""
        if not self.test_wall_s or not hasattr(signal, "setitimer") or signal.getitimer(signal.ITIMER_REAL)[0]:
            return _nothing
        if threading.current_thread() is not threading.main_thread():
            return _nothing

        def interrupt(number: int, frame: Any) -> None:
            self.details.setdefault(item.nodeid, {})["hung"] = True
            pytest.fail(HUNG % self.test_wall_s)

        def disarm() -> None:
            signal.setitimer(signal.ITIMER_REAL, 0)
            signal.signal(signal.SIGALRM, before)

        before = signal.signal(signal.SIGALRM, interrupt)
        signal.setitimer(signal.ITIMER_REAL, self.test_wall_s)
        return disarm

    @pytest.hookimpl(trylast=True)
    def pytest_sessionfinish(self, exitstatus: int) -> None:
        if os.getpid() == self.home:
            self.tell(e="finish", status=int(exitstatus))

    # questions

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtestloop(self, session: Any) -> Optional[bool]:
        folder = self.plan.get("serve")
        if not folder:
            return None
        if session.testsfailed:
            return True
        by_id = {item.nodeid: item for item in session.items}
        number = 0
        while not os.path.exists(os.path.join(folder, "stop")):
            ask = os.path.join(folder, "%d.ask" % number)
            if not os.path.exists(ask):
                time.sleep(POLL_S)
                continue
            with open(ask, encoding="utf-8") as file:
                question = json.load(file)
            self._answer(folder, number, question, by_id)
            number += 1
        return True

    def _answer(self, folder: str, number: int, question: Dict[str, Any], by_id: Dict[str, Any]) -> None:
        """Run the tests of a question in a fork, end it after its time, and say how it ended."""
        told = os.path.join(folder, "%d.part" % number)
        sys.stdout.flush()
        sys.stderr.flush()
        child = os.fork()
        if child == 0:
            status = 70
            try:
                os.setpgid(0, 0)
                self.events = _open(told)
                self._run_here(question, [by_id[name] for name in question["ids"] if name in by_id])
                status = 0
            except SystemExit:
                status = 71
            except KeyboardInterrupt:
                status = 72
            finally:
                os._exit(status)
        how = _wait(child, time.monotonic() + float(question["wall_s"]))
        with open(told, "a", encoding="utf-8") as file:
            file.write(json.dumps({"e": "done", "how": how}) + "\n")
        os.replace(told, os.path.join(folder, "%d.told" % number))

    def _run_here(self, question: Dict[str, Any], items: List[Any]) -> None:
        _silence(self.config)
        if "zone" in question:
            os.environ["TZ"] = question["zone"]
            time.tzset()
        if question.get("folder"):
            os.environ["TMPDIR"] = question["folder"]
            tempfile.tempdir = None
        self.test_wall_s = float(question.get("test_wall_s") or self.test_wall_s)
        entropy = question.get("entropy")
        start = int.from_bytes(os.urandom(4), "little") if entropy is None else int(entropy)
        for name in ("random", "numpy.random"):  # a fork has its parent's numbers
            module = sys.modules.get(name)
            if module is not None:
                module.seed(start)
        if isinstance(getattr(self.config.option, "randomly_seed", None), int):  # it seeds anew before each test
            self.config.option.randomly_seed = start
        if entropy is not None:
            fix_entropy(start)
        times = int(question.get("times", 1))
        if times > 1 and not all(map(is_repeatable, items)):
            times = 1
        kept = [remembered(item) for item in items] if times > 1 else []
        if not all(parameters.are_copied for _, parameters in kept):
            times = 1
        for _ in range(times):
            for renew, parameters in kept:
                renew()
                parameters.give_copies()
            for place, item in enumerate(items):
                following = items[place + 1] if place + 1 < len(items) else None
                self.config.hook.pytest_runtest_protocol(item=item, nextitem=following)


def _nothing() -> None:
    """Nothing to take back."""


def _open(path: str) -> int:
    return os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | getattr(os, "O_CLOEXEC", 0), 0o666)


def _silence(config: Any) -> None:
    """What the fork's tests print goes nowhere; their reports go to the events."""
    reporter = config.pluginmanager.getplugin("terminalreporter")
    nowhere = open(os.devnull, "w", encoding="utf-8")
    if reporter is not None:
        reporter._tw._file = nowhere


def _wait(child: int, deadline: float) -> str:
    """How the fork ended: "ok", "late" (it was killed) or "died: ..."."""
    pause = 0.001
    while True:
        pid, status = os.waitpid(child, os.WNOHANG)
        if pid:
            _end_group(child)
            if os.WIFSIGNALED(status):
                return "died: signal %d" % os.WTERMSIG(status)
            code = os.WEXITSTATUS(status)
            return "ok" if code == 0 else "died: status %d" % code
        if time.monotonic() >= deadline:
            _end_group(child)
            os.waitpid(child, 0)
            return "late"
        time.sleep(pause)
        pause = min(pause * 1.5, 0.02)


def _end_group(child: int) -> None:
    for end in (os.killpg, os.kill):
        try:
            end(child, signal.SIGKILL)
        except OSError:
            pass


def _kinds(error: Optional[BaseException]) -> List[str]:
    """The names of an exception's classes and of those that led to it, and its errno as `errno N`."""
    found: List[str] = []
    seen = 0
    while error is not None and seen < 8:
        for kind in type(error).__mro__:
            if kind not in (object, BaseException, Exception):
                name = kind.__qualname__ if kind.__module__ == "builtins" else kind.__module__ + "." + kind.__qualname__
                if name not in found:
                    found.append(name)
        number = getattr(error, "errno", None)
        if isinstance(number, int):
            found.append("errno %d" % number)
        error = error.__cause__ or (None if error.__suppress_context__ else error.__context__)
        seen += 1
    return found
