"""`--aqe-select`: run only the tests that a change needs, in the order of risk.

What is needed is asked of the `aqe` command in a process of its own, so that the rule is the same as that of
`aqe select` and nothing of aqe is loaded here. `--aqe-selection FILE` takes a list that was made before, with the time
by which the run has to end (`until`, by the wall clock), or with `list`, a file that gets the collected tests and their
files, relative to where pytest was started.
"""

import json
import os
import shutil
import subprocess
import sys
import time
from typing import Any, Dict, List, Optional

import pytest

from .spooling import project_of

_ASKED = "_AQE_SELECTING"


class Selector:
    """Deselects what is not needed; in an xdist worker by the controller's list."""

    def __init__(self, config: Any) -> None:
        self.config = config
        self.said = ""
        told = getattr(config, "workerinput", {}).get("aqe_selection")
        if told is not None:
            self.plan: Optional[Dict[str, Any]] = json.loads(told)
        elif config.getoption("aqe_selection", None):
            self.plan = _read(config.getoption("aqe_selection"))
        elif os.environ.get(_ASKED):
            self.plan = None
        else:
            self.plan = self._ask()
        self._left_out: List[str] = []

    def _ask(self) -> Dict[str, Any]:
        """The selection by `aqe select --json`; raises pytest.UsageError with what it says where there is none."""
        command = [*_aqe(), "select", "--json", "--project", project_of(self.config), "--python", sys.executable]
        since = self.config.getoption("aqe_since", None)
        command += ["--since", since] if since else []
        environ = dict(os.environ)
        environ[_ASKED] = "1"
        for name in ("PYTEST_ADDOPTS", "PYTEST_CURRENT_TEST", "PYTEST_XDIST_WORKER"):
            environ.pop(name, None)
        done = subprocess.run(command, env=environ, stdout=subprocess.PIPE, stderr=subprocess.PIPE, check=False)
        try:
            found = json.loads(done.stdout.decode("utf-8"))
        except ValueError:
            found = {}
        if "tests" not in found:
            error = found.get("error", {})
            said = " ".join(filter(None, (error.get("message"), error.get("fix"))))
            why = ("%s [%s]" % (said, error.get("code", "?")) if said else "") or done.stderr.decode(
                "utf-8", "replace"
            ).strip()
            raise pytest.UsageError("aqe could not select: %s" % (why or "no answer"))
        self.said = found["why"]
        return {"tests": [test["nodeid"] for test in found["tests"]]}

    @pytest.hookimpl(trylast=True)
    def pytest_collection_modifyitems(self, session: Any, config: Any, items: List[Any]) -> None:
        if self.plan is None:
            return
        if self.plan.get("list"):
            here = os.path.realpath(str(config.invocation_params.dir))
            _write(self.plan["list"], [[item.nodeid, _from(here, item)] for item in items])
            return
        ranks = {nodeid: rank for rank, nodeid in enumerate(self.plan["tests"])}
        chosen = [item for item in items if _rank(item, ranks) is not None]
        others = [item for item in items if _rank(item, ranks) is None]
        first: Dict[str, int] = {}
        for item in chosen:
            file = item.nodeid.partition("::")[0]
            first[file] = min(first.get(file, len(ranks)), _rank(item, ranks) or 0)
        # a file's tests stay together, so that its fixtures are set up once
        chosen.sort(key=lambda item: (first[item.nodeid.partition("::")[0]], _rank(item, ranks)))
        items[:] = chosen
        if others:
            config.hook.pytest_deselected(items=others)
        if not self.said:
            self.said = "%d of %d collected tests are selected" % (len(chosen), len(chosen) + len(others))

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtest_protocol(self, item: Any) -> Optional[bool]:
        until = (self.plan or {}).get("until")
        if until is None or time.time() < until:
            return None
        self._left_out.append(item.nodeid)
        return True

    def pytest_runtest_logstart(self, nodeid: str, location: Any) -> None:
        self._tell({"began": nodeid})

    def pytest_runtest_logreport(self, report: Any) -> None:
        if report.when == "teardown" or report.when == "???":
            self._tell(report.nodeid)

    def _tell(self, what: Any) -> None:
        """Append to the file that who gave the list reads, also when this session does not come to its end."""
        told = (self.plan or {}).get("told")
        if told and not hasattr(self.config, "workerinput"):
            with open(told, "a", encoding="utf-8", errors="backslashreplace") as file:
                file.write(json.dumps(what) + "\n")

    def pytest_terminal_summary(self, terminalreporter: Any) -> None:
        if self.said:
            terminalreporter.write_line("aqe: %s" % self.said)
        many = len(self._left_out)
        if many:
            terminalreporter.write_line(
                "aqe: out of time, %d test%s not run" % (many, " was" if many == 1 else "s were"), yellow=True
            )

    @pytest.hookimpl(optionalhook=True)
    def pytest_configure_node(self, node: Any) -> None:
        node.workerinput["aqe_selection"] = json.dumps(self.plan)


def _rank(item: Any, ranks: Dict[str, int]) -> Optional[int]:
    """A test's place in the list; a name without parameters stands for all of them, a file for all in it."""
    nodeid: str = item.nodeid
    for name in (nodeid, nodeid.partition("[")[0], nodeid.partition("::")[0]):
        if name in ranks:
            return ranks[name]
    return None


def _from(folder: str, item: Any) -> str:
    """A test's file from a folder: the tree may be a copy of the one that is asked about."""
    return os.path.relpath(os.path.realpath(str(getattr(item, "path", None) or item.fspath)), folder)


def _aqe() -> List[str]:
    """How the `aqe` command is started from here."""
    import importlib.util

    named = os.environ.get("_AQE_HOME_PYTHON")
    try:
        here = importlib.util.find_spec("aqe.server.cli") is not None
    except ImportError:
        here = False
    if named or here:
        return [named or sys.executable, "-m", "aqe.server.cli"]
    found = shutil.which("aqe")
    if found is None:
        raise pytest.UsageError("--aqe-select needs the aqe command, which is not on PATH")
    return [found]


def _read(path: str) -> Dict[str, Any]:
    try:
        with open(path, encoding="utf-8") as file:
            found = json.load(file)
    except (OSError, ValueError) as error:
        raise pytest.UsageError("--aqe-selection: %s cannot be read (%s)" % (path, error)) from None
    if not isinstance(found, dict):
        raise pytest.UsageError("--aqe-selection: %s holds no selection" % path)
    return found


def _write(path: str, value: Any) -> None:
    with open(path + ".part", "w", encoding="utf-8", errors="backslashreplace") as file:
        json.dump(value, file)
    os.replace(path + ".part", path)
