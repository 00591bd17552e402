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
DROPPED = (
    "--aqe-flaky", "--aqe-map", "--aqe-select", "--lf", "--last-failed", "--ff", "--failed-first", "--sw", "--stepwise",
    "--pdb", "--trace", "--debug", "--clean-alluredir", "--store-durations", "--benchmark-autosave",
)  # fmt: skip
DROPPED_WITH_VALUE = ("--benchmark-json", "--benchmark-save", "--benchmark-storage", "--pastebin", "--aqe-report")
REPORTS = (  # where in the options each stands, its option, and its name in the retry's own folder
    ("xmlpath", "--junitxml", "junit.xml"),
    ("xmlpath", "--junit-xml", ""),
    ("log_file", "--log-file", "log.txt"),
    ("htmlpath", "--html", "report.html"),
    ("json_report_file", "--json-report-file", "report.json"),
    ("report_log", "--report-log", "report.jsonl"),
    ("csv_path", "--csv", "report.csv"),
    ("md_report_output", "--md-report-output", "report.md"),
    ("allure_report_dir", "--alluredir", "allure"),
)


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
        """The options of this session, without its paths and what chooses tests; what it wrote is left alone."""
        config = self.config
        kept = _without_paths(config, _without_reports(list(map(str, config.invocation_params.args))))
        kept += ["--rootdir=" + str(config.rootpath), "-o", "cache_dir=" + os.path.join(folder, "cache")]
        if config.inipath is not None:
            kept += ["-c", str(config.inipath)]
        for place, option, name in REPORTS:
            if name and (config.getoption(place, None) or (place == "log_file" and _log_file(config))):
                kept.append(option + "=" + os.path.join(folder, name))
        if hasattr(config.option, "basetemp"):  # else the folders of this session would be counted out by those of 60
            kept.append("--basetemp=" + os.path.join(folder, "tmp"))
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


def _without_reports(words: List[str]) -> List[str]:
    """The words without the options that choose tests or write files."""
    valued = DROPPED_WITH_VALUE + tuple(option for _, option, _ in REPORTS) + ("--basetemp",)
    kept: List[str] = []
    value = False
    for word in words:
        option, equals, _ = word.partition("=")
        if value or option in DROPPED:
            value = False
        elif option in valued:
            value = not equals
        else:
            kept.append(word)
    return kept


def _without_paths(config: Any, words: List[str]) -> List[str]:
    """The words without those that pytest takes for paths: by where they stand, since `-k cart cart` has one of two."""
    marked = [_Word(word) for word in words]
    known, unknown = config._parser.parse_known_and_unknown_args(marked)
    paths = {id(word) for word in [*known.file_or_dir, *(one for one in unknown if not one.startswith("-"))]}
    return [str(word) for word in marked if id(word) not in paths]


class _Word(str):
    """A word of the command line that is told from another of the same letters."""


def _log_file(config: Any) -> bool:
    """Whether the project's settings name a log file."""
    try:
        return bool(config.getini("log_file"))
    except ValueError:
        return False


def _start() -> List[str]:
    """How this pytest is started again: the same interpreter, the same pytest, wherever it was found."""
    here = ["" if path == os.getcwd() else path for path in sys.path[:1]]
    side = os.path.dirname(os.path.dirname(os.path.abspath(pytest.__file__)))
    return [sys.executable, "-c", START.format(first=[path for path in here if path == ""], side=side)]
