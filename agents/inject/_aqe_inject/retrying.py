"""What `--aqe-flaky` does: each test that failed runs again, alone, in a fresh process, to tell flaky from broken.

It never turns a red session green. Up to `MOST` tests are tried, each until it passes and at most `TRIES` times; every
attempt is recorded in the spool under the same run. A fresh process, since a second try in the same one meets whatever
state made the first fail.
"""

import json
import os
import subprocess
import sys
import tempfile
from typing import Any, Dict, List, Optional

import pytest

from .ordering import settled_arguments

TRIES = 3
MOST = 20
LEAST_WALL_S = 60.0
RETRY = "_AQE_RETRY"
START = (
    "import sys; sys.path[:0] = {first!r}; sys.path.append({side!r}); import pytest; raise SystemExit(pytest.main())"
)
DROPPED = ("--aqe-flaky", "--aqe-map", "--aqe-select", "--lf", "--last-failed", "--ff", "--failed-first", "--sw")


class Retrier:
    """Hooks of the only process, or of xdist's controller."""

    def __init__(self, config: Any, run: str) -> None:
        self.config = config
        self.run = run
        self.failed: Dict[str, float] = {}
        self.results: Dict[str, List[Optional[bool]]] = {}

    def pytest_runtest_logreport(self, report: Any) -> None:
        if report.failed and not hasattr(report, "wasxfail"):
            self.failed.setdefault(report.nodeid, report.duration)

    @pytest.hookimpl(trylast=True)
    def pytest_sessionfinish(self) -> None:
        with tempfile.TemporaryDirectory(prefix="aqe-retry-") as folder:
            for nodeid, duration_s in list(self.failed.items())[:MOST]:
                outcomes: List[Optional[bool]] = []
                for attempt in range(2, TRIES + 2):
                    outcomes.append(self._passes(nodeid, attempt, folder, max(LEAST_WALL_S, 10 * duration_s)))
                    if outcomes[-1] is not False:
                        break
                self.results[nodeid] = outcomes

    def _passes(self, nodeid: str, attempt: int, folder: str, wall_s: float) -> Optional[bool]:
        """Whether the test passes alone; None where it did not come to an outcome."""
        answer = os.path.join(folder, "answer.json")
        if os.path.exists(answer):
            os.unlink(answer)
        environ = dict(os.environ)
        environ[RETRY] = "%s:%d" % (self.run, attempt)
        try:
            subprocess.run(
                [*_start(), *self._arguments(folder), "--aqe", "--aqe-report=" + answer, nodeid],
                cwd=str(self.config.rootpath),
                env=environ,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                timeout=wall_s,
                check=False,
            )
            with open(answer, encoding="utf-8") as file:
                told = json.load(file)
        except subprocess.TimeoutExpired:
            return False
        except (OSError, ValueError):
            return None
        seen = [test["outcome"] for test in told["tests"] if test["nodeid"] == nodeid]
        return seen[-1] in ("passed", "xfailed", "xpassed") if seen else None

    def _arguments(self, folder: str) -> List[str]:
        """The options of this session, without its paths and what chooses tests; its reports are left alone."""
        config = self.config
        paths = set(config.known_args_namespace.file_or_dir)
        kept = [word for word in map(str, config.invocation_params.args) if word not in paths and word not in DROPPED]
        kept += ["--rootdir=" + str(config.rootpath), "-o", "cache_dir=" + os.path.join(folder, "cache")]
        if config.inipath is not None:
            kept += ["-c", str(config.inipath)]
        if config.getoption("xmlpath", None):
            kept.append("--junitxml=" + os.path.join(folder, "junit.xml"))
        return kept + settled_arguments(config)

    def pytest_terminal_summary(self, terminalreporter: Any) -> None:
        if not self.results:
            return
        terminalreporter.section("aqe flaky: what failed, run again alone in a fresh process", yellow=True)
        for nodeid, outcomes in self.results.items():
            tries = len(outcomes)
            if outcomes[-1]:
                text = "flaky: %s failed here and passed alone (try %d of at most %d)" % (nodeid, tries, TRIES)
            elif None in outcomes:
                text = "unknown: %s could not be run alone" % nodeid
            else:
                text = "broken: %s failed alone too, %d of %d" % (nodeid, tries, tries)
            terminalreporter.write_line(text)
        left = len(self.failed) - len(self.results)
        if left > 0:
            terminalreporter.write_line("%d more failed tests were not run again" % left)


def _start() -> List[str]:
    """How this pytest is started again: the same interpreter, the same pytest, wherever it was found."""
    here = ["" if path == os.getcwd() else path for path in sys.path[:1]]
    side = os.path.dirname(os.path.dirname(os.path.abspath(pytest.__file__)))
    return [sys.executable, "-c", START.format(first=[path for path in here if path == ""], side=side)]
