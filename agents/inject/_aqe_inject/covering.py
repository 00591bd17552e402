"""Coverage of a test run in branch mode: started before pytest is, in xdist's workers too, and kept in our own folder.

The project's coverage and the project's coverage settings are used; only the place of the data and the branch mode are
ours. `_AQE_COVERING` in the environment holds a JSON object: `folder` (where the data goes), `until` (a reading of the
monotonic clock, or null), `only` (files, from the root, to measure in place of what the settings say) and `beside`
(folders of source that coverage does not find from the root, for where the settings name none). The module is a pytest
plugin as well: between two tests it ends the session when the time is up, and a test that holds on past that is given
up, with what was measured kept.
The starter imports it before pytest is there, which pytest would warn of without the next line.
PYTEST_DONT_REWRITE
"""

import importlib.util
import json
import os
import sys
import threading
import time
from typing import Any, Dict, Optional

VARIABLE = "_AQE_COVERING"
PATIENCE_S = 4.0  # how long the test that runs at the end of the time may still take
GIVEN_UP = 124

_state: Dict[str, Any] = {"coverage": None, "until": None, "folder": "", "cut": False, "test": "", "ended": {}}


def begin() -> Any:
    """Start measuring in this process, if nobody did; the running coverage object."""
    if _state["coverage"] is not None:
        return _state["coverage"]
    plan = json.loads(os.environ[VARIABLE])
    _state.update(folder=plan["folder"], until=plan["until"])
    cover = configured(os.path.join(plan["folder"], "data"), suffix=True)
    cover.start()
    _state["coverage"] = cover
    return cover


def configured(data_file: str, suffix: bool = False) -> Any:
    """A coverage object with the project's settings; what they leave open is the whole project."""
    import coverage

    cover = coverage.Coverage(data_file=data_file, data_suffix=suffix or None, branch=True)
    plan = json.loads(os.environ.get(VARIABLE, "{}"))
    only = plan.get("only")
    chosen = ("run:source", "run:source_pkgs", "run:include", "run:source_dirs")
    if only:
        for name in chosen:
            if _option(cover, name):
                cover.set_option(name, [])
        cover.set_option("run:include", [os.path.join(os.getcwd(), name) for name in only])
    elif not any(_option(cover, name) for name in chosen):
        cover.set_option("run:source", [os.path.join(os.getcwd(), name) for name in ("", *plan.get("beside", ()))])
    return cover


def _option(cover: Any, name: str) -> Any:
    try:
        return cover.get_option(name)
    except Exception:  # an older coverage does not know it
        return None


def finish() -> None:
    """Stop and keep what this process measured."""
    cover = _state["coverage"]
    if cover is not None:
        _state["coverage"] = None
        cover.stop()
        cover.save()


def write_answer(status: int) -> None:
    """Join the data of all processes and write `coverage.json` and `run.json` into the folder."""
    folder = _state["folder"]
    late = _state["until"] is not None and time.monotonic() > _state["until"] and status == 2
    run = {
        "status": status,
        "cut": _state["cut"] or late,
        "test": _state["test"],
        "ended": list(_state["ended"].values()),
    }
    run.update(report(configured(os.path.join(folder, "whole")), folder, os.path.join(folder, "coverage.json")))
    _write(os.path.join(folder, "run.json"), run)


def report(cover: Any, folder: Optional[str], answer: str) -> Dict[str, Any]:
    """Write coverage's JSON report to `answer`; the version of coverage, and in words what went wrong, if something."""
    import coverage

    told = {"coverage": coverage.__version__, "error": "", "kind": ""}
    try:
        if folder is None:
            cover.load()
        else:
            parts = [os.path.join(folder, name) for name in sorted(os.listdir(folder)) if name.startswith("data.")]
            cover.combine(parts, strict=False)
        told["python"] = "%d.%d.%d" % tuple(sys.version_info[:3])
        cover.json_report(outfile=answer, ignore_errors=True, pretty_print=False, show_contexts=False)
    except coverage.CoverageException as error:
        told.update(error=" ".join(str(error).split()), kind=type(error).__name__)
    return told


def _write(path: str, told: Dict[str, Any]) -> None:
    with open(path + ".part", "w", encoding="utf-8") as stream:
        json.dump(told, stream)
    os.replace(path + ".part", path)


class _Clock(threading.Thread):
    """Gives the session up when the test that runs at the end of the time does not end by itself."""

    def __init__(self, is_worker: bool) -> None:
        super().__init__(name="aqe-covering", daemon=True)
        self.is_worker = is_worker

    def run(self) -> None:
        wait = _state["until"] + PATIENCE_S * (1 if self.is_worker else 2) - time.monotonic()
        time.sleep(max(0.0, wait))
        cover = _state["coverage"]
        if cover is None:
            return
        _state["cut"] = True
        cover.save()
        if not self.is_worker:
            write_answer(GIVEN_UP)
        os._exit(GIVEN_UP)


# the plugin


def pytest_addoption(parser: Any) -> None:
    """Take pytest-cov's options where the project's settings have them and pytest-cov is not there; they do nothing."""
    if importlib.util.find_spec("pytest_cov") is not None:
        return
    group = parser.getgroup("cov", "coverage, which aqe measures")
    group.addoption("--cov", action="append", nargs="?", const=True, default=[])
    for name in ("--cov-report", "--cov-config", "--cov-fail-under", "--cov-context", "--cov-precision"):
        group.addoption(name, action="append", default=[])
    for name in ("--no-cov", "--no-cov-on-fail", "--cov-append", "--cov-branch", "--cov-reset"):
        group.addoption(name, action="store_true")


def pytest_configure(config: Any) -> None:
    """Start the clock, where there is a limit."""
    if _state["until"] is not None and _state["coverage"] is not None:
        _Clock(hasattr(config, "workerinput")).start()


def pytest_runtest_logstart(nodeid: str, location: Any) -> None:
    """Remember which test runs."""
    _state["test"] = nodeid


def pytest_runtest_logfinish(nodeid: str, location: Any) -> None:
    """Forget it."""
    _state["test"] = ""


def pytest_runtest_logreport(report: Any) -> None:
    """Keep how each test went, for a session that never comes to its own report; the worst of its phases counts."""
    ended = _state["ended"].setdefault(
        report.nodeid, {"nodeid": report.nodeid, "outcome": "", "message": "", "line": 0}
    )
    if report.failed and ended["outcome"] not in ("failed", "error"):
        from .recording import first_line

        ended.update(outcome="failed" if report.when == "call" else "error", message=first_line(report))
        ended["line"] = (report.location[1] or 0) + 1
    elif not ended["outcome"] and (report.when == "call" or report.skipped):
        ended["outcome"] = report.outcome


def pytest_runtest_teardown(item: Any) -> None:
    """Start no further test when the time is up."""
    if _state["until"] is not None and time.monotonic() > _state["until"]:
        _state["cut"] = True
        item.session.shouldstop = "the time for measuring coverage is up"


def pytest_unconfigure(config: Any) -> None:
    """A worker keeps what it measured; in the controller the starter does so when pytest has ended."""
    if hasattr(config, "workerinput"):
        finish()


if os.environ.get(VARIABLE):
    begin()
