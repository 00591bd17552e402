"""What `--aqe` records: one JSON line per test, appended to `.aqe/spool/<run>-<worker>.jsonl` by a single write.

A line: run, nodeid, outcome (passed, failed, error, skipped, xfailed, xpassed, crashed), duration_s (set-up, call and
tear-down together), call_s, order (from 0, in this process), attempt (from 1; more where a plugin re-runs), seed (of
the plugin that shuffles, or null), hash_seed (PYTHONHASHSEED as a number, or null when it is random), python, platform,
worker ("main" without xdist), started_at (UTC, microseconds), tz, cwd (relative to the project, posix), pytest, pid,
code (a digest of the project's files that were loaded once the tests were collected).

The file is opened, written and closed for each test, so that a reader may take it away by rename at any time and the
next line starts a new one; a killed run keeps every line it wrote.
"""

import json
import os
import platform
import sys
import time
import uuid
from typing import Any, Dict, List, Optional

import pytest

from .loaded_code import code_digest
from .spooling import open_spool, project_of

_PHASES = ("setup", "call", "teardown")


class Recorder:
    """Hooks of one pytest process: the only one, an xdist worker, or xdist's controller."""

    def __init__(self, config: Any) -> None:
        self.config = config
        self.worker = getattr(config, "workerinput", {}).get("workerid", "main")
        self.is_worker = hasattr(config, "workerinput")
        self.tests: Dict[str, Attempt] = {}
        self.results: List[Dict[str, Any]] = []
        self.collect_errors: Dict[str, str] = {}
        self.recorded = 0
        self.order = 0
        self.first_attempt = 1
        self.trouble = ""
        self.project = project_of(config)
        self.spool: Optional[str] = None
        if self.is_worker:
            self.run = config.workerinput.get("aqe_run") or ""
            self.spool = config.workerinput.get("aqe_spool")
        else:
            retried, _, first = os.environ.pop("_AQE_RETRY", "").partition(":")  # set by --aqe-flaky
            self.run = retried or uuid.uuid4().hex
            self.first_attempt = int(first or 1)
            if config.getoption("aqe", False):
                self.spool, self.trouble = open_spool(self.project)
        self.facts = _facts(config, self.project)

    # what is written

    def _write(self, nodeid: str, test: "Attempt", outcome: str) -> None:
        if self.spool is None:
            return
        line = dict(self.facts)
        line.update(
            run=self.run,
            nodeid=nodeid,
            outcome=outcome,
            duration_s=round(test.duration_s, 6),
            call_s=round(test.call_s, 6),
            order=test.order,
            attempt=test.attempt,
            worker=self.worker,
            started_at=test.started_at,
        )
        data = json.dumps(line, ensure_ascii=False, separators=(",", ":")).encode("utf-8", "backslashreplace") + b"\n"
        path = os.path.join(self.spool, "%s-%s.jsonl" % (self.run, self.worker))
        try:
            handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | getattr(os, "O_BINARY", 0), 0o666)
            try:
                os.write(handle, data)
            finally:
                os.close(handle)
        except OSError as error:
            self.trouble = _reason(error)
            self.spool = None
            return
        self.recorded += 1

    # what is heard

    def pytest_runtest_logstart(self, nodeid: str) -> None:
        if nodeid not in self.tests:
            self.tests[nodeid] = Attempt(self.order, self.first_attempt)
            self.order += 1

    def pytest_runtest_logreport(self, report: Any) -> None:
        test = self.tests.get(report.nodeid)
        if test is None:
            test = self.tests[report.nodeid] = Attempt(self.order)
            self.order += 1
        elsewhere = hasattr(report, "node")  # sent by an xdist worker, which has written it
        if report.when not in _PHASES:
            self._finish(report.nodeid, test, "crashed", str(report.longrepr), write=True)
            return
        test.hear(report)
        if report.when == "teardown":
            self._finish(report.nodeid, test, test.outcome, test.message, write=not elsewhere)

    def _finish(self, nodeid: str, test: "Attempt", outcome: str, message: str, write: bool) -> None:
        if write:
            self._write(nodeid, test, outcome)
        self.results.append(
            {
                "nodeid": nodeid,
                "outcome": outcome,
                "duration_s": round(test.duration_s, 6),
                "attempt": test.attempt,
                "message": message,
                "line": test.line,
            }
        )
        self.tests[nodeid] = Attempt(test.order, test.attempt + 1)

    def pytest_collection_finish(self) -> None:
        self.facts["code"] = code_digest(self.project)

    def pytest_collectreport(self, report: Any) -> None:
        if report.failed and report.nodeid not in self.collect_errors:  # each xdist worker tells the same
            self.collect_errors[report.nodeid] = first_line(report)

    @pytest.hookimpl(trylast=True)
    def pytest_sessionfinish(self, session: Any, exitstatus: int) -> None:
        if self.is_worker:
            self.config.workeroutput["aqe"] = {"recorded": self.recorded, "trouble": self.trouble}
            return
        path = self.config.getoption("aqe_report", None)
        if not path:
            return
        report = {
            "run": self.run,
            "exit_status": int(exitstatus),
            "recorded": self.recorded,
            "trouble": self.trouble,
            "collect_errors": [{"nodeid": name, "message": text} for name, text in self.collect_errors.items()],
            "tests": self.results,
        }
        report.update(self.facts)
        try:
            with open(path + ".part", "w", encoding="utf-8", errors="backslashreplace") as file:
                json.dump(report, file)
            os.replace(path + ".part", path)
        except OSError as error:
            self.trouble = self.trouble or _reason(error)

    def pytest_terminal_summary(self, terminalreporter: Any) -> None:
        if self.is_worker or not self.config.getoption("aqe", False):
            return
        if self.trouble:
            terminalreporter.write_line("aqe: %s; these tests are not all recorded" % self.trouble, yellow=True)
        else:
            plural = "" if self.recorded == 1 else "s"
            terminalreporter.write_line("aqe: %d test run%s recorded in .aqe/spool" % (self.recorded, plural))

    # xdist, where it is installed

    @pytest.hookimpl(optionalhook=True)
    def pytest_configure_node(self, node: Any) -> None:
        node.workerinput["aqe_run"] = self.run
        node.workerinput["aqe_spool"] = self.spool

    @pytest.hookimpl(optionalhook=True)
    def pytest_testnodedown(self, node: Any, error: Any) -> None:
        told = getattr(node, "workeroutput", {}).get("aqe", {})
        self.recorded += told.get("recorded", 0)
        self.trouble = self.trouble or told.get("trouble", "")


class Attempt:
    """What is known so far about one attempt of one test."""

    def __init__(self, order: int, attempt: int = 1) -> None:
        self.order = order
        self.attempt = attempt
        self.started_at = time.time_ns() // 1000
        self.duration_s = 0.0
        self.call_s = 0.0
        self.outcome = "passed"
        self.message = ""
        self.line = 0

    def hear(self, report: Any) -> None:
        """Fold the report of one phase into the outcome."""
        self.duration_s += report.duration
        if report.location and report.location[1] is not None:
            self.line = report.location[1] + 1
        if report.when == "call":
            self.call_s = report.duration
        expected = hasattr(report, "wasxfail")
        if report.outcome == "skipped":
            self.outcome = "xfailed" if expected else "skipped"
        elif report.outcome in ("failed", "rerun"):
            if self.outcome == "passed" or report.when != "teardown":
                self.outcome = "failed" if report.when == "call" else "error"
            self.message = self.message or first_line(report)
        elif expected and report.when == "call":
            self.outcome = "xpassed"


def first_line(report: Any) -> str:
    """The first line of what pytest says about a failure, at most 300 characters."""
    crash = getattr(report.longrepr, "reprcrash", None)
    text = crash.message if crash is not None else str(report.longrepr or "")
    lines = [line for line in text.strip().splitlines() if line.strip()]
    if crash is None and lines:  # a collection error is a whole traceback: its last line says most
        lines = [line for line in lines if line.startswith("E ")] or lines
        return lines[-1].lstrip("E ").strip()[:300]
    return lines[0].strip()[:300] if lines else ""


def _reason(error: OSError) -> str:
    """An OSError in words."""
    return "cannot write %s (%s)" % (error.filename or ".aqe", error.strerror or error)


def _facts(config: Any, project: str) -> Dict[str, Any]:
    """What is the same for each test of this process."""
    seed = config.getoption("randomly_seed", None)
    if not isinstance(seed, int):
        seed = config.getoption("random_order_seed", None)
    hash_seed = os.environ.get("PYTHONHASHSEED", "")
    try:
        cwd = os.path.relpath(os.getcwd(), project).replace(os.sep, "/")
    except (OSError, ValueError):
        cwd = "."
    return {
        "seed": seed if isinstance(seed, (int, str)) else None,
        "hash_seed": int(hash_seed) if hash_seed.isdigit() else None,
        "python": platform.python_version(),
        "platform": sys.platform,
        "tz": os.environ.get("TZ") or time.tzname[0],
        "cwd": cwd,
        "pytest": pytest.__version__,
        "pid": os.getpid(),
    }
