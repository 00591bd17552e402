"""What holds for every test: where the repository is, a time limit, no skip that is not accounted for, and lists of
what passed, so that a later part of the same CI run can leave that out."""

from __future__ import annotations

import functools
import gc
import signal
import tomllib
from collections.abc import Generator, Iterator
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

import hypothesis
import pytest

ROOT = Path(__file__).resolve().parent.parent
LIMITS_S = {"nightly": 3600, "services": 900}
_skipped: dict[str, str] = {}
_outcomes: dict[str, bool] = {}
_LEFT_OUT = pytest.StashKey[bool]()

hypothesis.settings.register_profile("untimed", deadline=None)  # how long an example takes says how busy the machine is
hypothesis.settings.load_profile("untimed")

if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    # a shell's background job ignores Ctrl-C, and so would every command that a test starts
    signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(scope="session", autouse=True)
def _verbs_made_once() -> Iterator[None]:
    """A test that runs `aqe` in its own process finds the options of a verb made by the tests before it: they are the
    same at each run, and for `aqe memory` take longer than most commands."""
    from aqe.server.cli import app

    load = app.load

    @functools.cache
    def made(verb: str, module: str) -> Any:
        return load(verb)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(app, "load", lambda verb, words=(): made(verb, app.VERBS[verb][0]))
        yield


@pytest.fixture(scope="session")
def repository() -> Path:
    """The folder that holds tests/, docs/, fixtures/ and tools/; the floors are there only in a source tree."""
    return ROOT


def listed_skips() -> list[dict[str, str]]:
    """The rows of tests/skips.toml: id (a pattern), reason, elsewhere."""
    rows = tomllib.loads((ROOT / "tests" / "skips.toml").read_text(encoding="utf-8")).get("skip", [])
    return list(rows)


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--strict-skips", action="store_true", help="fail the run when a test is skipped without a line in skips.toml"
    )
    parser.addoption("--passed-to", metavar="FILE", type=Path, help="write the id of each test that passed, one a line")
    parser.addoption(
        "--passed-in",
        metavar="FILE",
        type=Path,
        action="append",
        default=[],
        help="leave out the tests in this list: they passed a moment ago (repeatable)",
    )
    parser.addoption(
        "--demo-in",
        metavar="DIR",
        type=Path,
        help="judge the demo that `aqe demo` left here a moment ago, in place of running it once more",
    )


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leave out what passed already, and give the slow tiers their longer time limit; the fast tier has the one of
    pyproject.toml. The hostile modules come last: many and short, they keep every worker busy to the end."""
    items.sort(key=lambda item: item.path.parent == ROOT / "tests" / "hostile")
    passed = {line for file in config.getoption("--passed-in") for line in file.read_text("utf-8").splitlines()}
    if passed:
        _leave_out(config, items, passed)
    for item in items:
        if item.get_closest_marker("timeout") is None:
            for mark, limit in LIMITS_S.items():
                if item.get_closest_marker(mark) is not None:
                    item.add_marker(pytest.mark.timeout(limit))
                    break


@pytest.hookimpl(wrapper=True)
def pytest_collection() -> Generator[None, object, object]:
    """While modules and tests are made there is next to nothing that the collector could take away: it would take a
    fifth of the time."""
    gc.disable()
    try:
        return (yield)
    finally:
        gc.enable()


def pytest_collection_finish() -> None:
    """The modules and tests stay to the end: the collector need not look through them at each of its rounds."""
    gc.collect()
    gc.freeze()


def _leave_out(config: pytest.Config, items: list[pytest.Item], passed: set[str]) -> None:
    known = [item for item in items if item.nodeid in passed]
    items[:] = [item for item in items if item.nodeid not in passed]
    config.hook.pytest_deselected(items=known)
    config.stash[_LEFT_OUT] = bool(known)


def _note_skip(report: pytest.TestReport | pytest.CollectReport) -> None:
    if report.skipped and not hasattr(report, "wasxfail"):
        longrepr: Any = report.longrepr
        _skipped[report.nodeid] = longrepr[2] if isinstance(longrepr, tuple) else str(longrepr)


def pytest_runtest_logreport(report: pytest.TestReport) -> None:
    _note_skip(report)
    _outcomes[report.nodeid] = report.passed and _outcomes.get(report.nodeid, True)


def pytest_collectreport(report: pytest.CollectReport) -> None:
    _note_skip(report)


def _unlisted() -> Iterator[str]:
    patterns = [row["id"] for row in listed_skips()]
    for name in _skipped:
        if not any(fnmatchcase(name, pattern.replace("[", "[[]")) for pattern in patterns):
            yield name


def pytest_sessionfinish(session: pytest.Session) -> None:
    config = session.config
    if hasattr(config, "workerinput"):
        return
    if config.getoption("--strict-skips") and any(_unlisted()):
        session.exitstatus = pytest.ExitCode.TESTS_FAILED
    if session.exitstatus == pytest.ExitCode.NO_TESTS_COLLECTED and config.stash.get(_LEFT_OUT, False):
        session.exitstatus = pytest.ExitCode.OK
    if target := config.getoption("--passed-to"):
        passed = [name for name, is_passed in sorted(_outcomes.items()) if is_passed]
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text("".join(f"{name}\n" for name in passed), encoding="utf-8")


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    if not _skipped:
        return
    unlisted = set(_unlisted())
    terminalreporter.section("skips")
    for name, reason in sorted(_skipped.items()):
        mark = "  <- no line in tests/skips.toml" if name in unlisted else ""
        terminalreporter.line(f"{name}: {reason}{mark}")
