"""What `--aqe-map` records: which test entered which function of which project file, and what it read and imported.

JSON lines in `.aqe/spool/<run>-<worker>.map`, for `aqe select` to take: the table of numbers (`file`, `part`), what
each import executed (`import`), the tests of each collected file (`collected`), each test with its numbers (`test`),
what was found out later (`more`), and `end`, without which the run is not over. What runs in the set-up or tear-down
of a fixture of wider scope belongs to each test that uses the fixture; what an import executes to each that imports.
"""

import hashlib
import json
import os
import platform
import sys
import time
import uuid
from typing import Any, Dict, Iterator, List, Optional, Set

import pytest

from . import anatomy
from .children import Lines, adopt
from .doings import CHILD, SCOPE, STARTUP, Doings
from .entries import FORMAT, START, Record, install
from .spooling import open_spool, project_of

_KEPT_RUNS = 40
_KEPT_CACHED = 20_000


class ImpactRecorder:
    """Hooks of one pytest process: the only one, an xdist worker, or xdist's controller (which runs no test)."""

    def __init__(self, early_config: Any) -> None:
        self.project = project_of(early_config)
        self.run = "%013d-%s" % (time.time() * 1000, uuid.uuid4().hex[:12])
        self.worker = "main"
        self.recorded = 0
        self.lines: Optional[Lines] = None
        self.trouble = ""
        self._buffered: List[Dict[str, Any]] = []
        self._live: Dict[int, "_Live"] = {}
        self._ended: List["_Live"] = []
        self._teardown: Optional[Set[int]] = None
        self._test: Set[int] = set()
        self._item_outcome = ""
        self._item_duration_s = 0.0
        self._scopes = 0
        self._scope: List[str] = []
        self._collect_errors = 0
        adopted = adopt(self._tell)
        self._start: Optional[Set[int]]
        self.record, self._start = adopted or (Record(self.project, self._tell), None)
        if self._start is None:
            install(self.record)
            Doings(self.record).install()
            self._start = self.record.open()

    def _tell(self, line: Dict[str, Any]) -> None:
        if self.lines is None:
            self._buffered.append(line)
        else:
            self.lines(line)

    def start(self, config: Any) -> None:
        """Open the spool, now that it is known which process this is."""
        self.config = config
        told = getattr(config, "workerinput", {})
        if told:
            self.run, self.worker = told.get("aqe_map_run") or self.run, told.get("workerid", "gw")
            spool = told.get("aqe_map_spool")
        else:
            spool, self.trouble = open_spool(self.project)
            _prune(spool)
            _prune_cache(os.path.join(self.project, ".aqe", "impact"))
        self.spool = spool
        if spool is None:
            return
        self.lines = Lines(os.path.join(spool, "%s-%s.map" % (self.run, self.worker)))
        self._tell({"k": "run", "run": self.run, "worker": self.worker, **self._facts()})
        buffered, self._buffered = self._buffered, []
        for line in buffered:
            self._tell(line)
        child = {"project": self.project, "spool": spool, "run": "%s-%s" % (self.run, self.worker)}
        os.environ[CHILD] = json.dumps(child)
        os.environ[SCOPE] = ""
        paths = [path for path in os.environ.get("PYTHONPATH", "").split(os.pathsep) if path and path != STARTUP]
        os.environ["PYTHONPATH"] = os.pathsep.join([STARTUP, *paths])

    def _facts(self) -> Dict[str, Any]:
        testpaths = self.config.getini("testpaths")
        return {
            "format": FORMAT,
            "anatomy": anatomy.FORMAT,
            "python": platform.python_version(),
            "pytest": pytest.__version__,
            "rootdir": _relative(str(self.config.rootpath), self.project),
            "python_files": list(self.config.getini("python_files")),
            "testpaths": [_relative(os.path.join(str(self.config.rootpath), one), self.project) for one in testpaths],
            "started_at": time.time_ns() // 1000,
        }

    # scopes: the names by which child processes say who started them

    def _enter(self) -> Set[int]:
        self._scopes += 1
        self._scope.append("%s.%d" % (self.worker, self._scopes))
        os.environ[SCOPE] = self._scope[-1]
        self.record.add(-self._scopes)
        opened = self.record.open()
        opened.add(-self._scopes)
        return opened

    def _leave(self, opened: Set[int]) -> Set[int]:
        self._scope.pop()
        os.environ[SCOPE] = self._scope[-1] if self._scope else ""
        return self.record.close(opened)

    # collection

    @pytest.hookimpl(hookwrapper=True)
    def pytest_make_collect_report(self, collector: Any) -> Iterator[None]:
        if self._start is not None:
            self._tell({"k": "import", "file": START, "hits": sorted(self.record.close(self._start))})
            self._start = None
        path = _path_of(collector)
        if path is None or not isinstance(collector, (pytest.File, pytest.Package)):
            yield
            return
        opened = self._enter()
        yield
        hits = self._leave(opened)
        relative = self.record.inside(path)
        if relative is not None and os.path.isdir(path):
            relative += "/conftest.py"
        if relative is not None:
            self._tell({"k": "import", "file": relative, "hits": sorted(hits)})

    def pytest_collectreport(self, report: Any) -> None:
        self._collect_errors += bool(report.failed)

    @pytest.hookimpl(tryfirst=True)
    def pytest_collection_modifyitems(self, config: Any, items: List[Any]) -> None:
        files: Dict[str, List[str]] = {}
        for item in items:
            files.setdefault(self._file_of(item), []).append(_nodeid(item))
        parts = any("::" in str(argument) for argument in config.args) or bool(config.getoption("lf", False))
        if not parts:
            for file, tests in files.items():
                self._tell({"k": "collected", "file": file, "tests": tests})
        source = getattr(getattr(config, "args_source", None), "name", "ARGS")
        whole = not parts and source in ("TESTPATHS", "INVOCATION_DIR") and not self._collect_errors
        if whole and not config.getoption("ignore", None) and not config.getoption("ignore_glob", None):
            self._tell({"k": "whole"})

    def _file_of(self, item: Any) -> str:
        path = _path_of(item)
        return (path and self.record.inside(path)) or item.nodeid.partition("::")[0]

    # tests

    @pytest.hookimpl(hookwrapper=True, tryfirst=True)
    def pytest_runtest_protocol(self, item: Any) -> Iterator[None]:
        self._item_outcome, self._item_duration_s, self._ended = "", 0.0, []
        opened = self._test = self._enter()
        yield
        hits = self._leave(opened)
        if os.getpid() != self.record._pid:
            return
        nodeid = _nodeid(item)
        for live in self._used_by(item):
            hits |= live.hits
            live.users.append(nodeid)
        line: Dict[str, Any] = {"k": "test", "test": nodeid, "file": self._file_of(item), "hits": sorted(hits)}
        line.update(outcome=self._item_outcome or "passed", duration_s=round(self._item_duration_s, 6))
        self._tell(line)
        self.recorded += 1
        for live in self._ended:
            self._tell({"k": "more", "tests": live.users, "hits": sorted(live.closing)})

    def pytest_runtest_logreport(self, report: Any) -> None:
        self._item_duration_s += report.duration
        if report.outcome == "failed":
            self._item_outcome = "failed"
        elif report.outcome == "skipped" and not self._item_outcome:
            self._item_outcome = "skipped"

    @pytest.hookimpl(hookwrapper=True)
    def pytest_fixture_setup(self, fixturedef: Any) -> Iterator[None]:
        if fixturedef.scope == "function":
            yield
            return
        opened = self._enter()
        yield
        self._live[id(fixturedef)] = _Live(id(fixturedef), self._leave(opened))

    @pytest.hookimpl(hookwrapper=True)
    def pytest_runtest_teardown(self) -> Iterator[None]:
        self.record.close(self._test)  # what ends a fixture that others used is no doing of this test
        self._teardown = self.record.open()
        yield
        self._test |= self.record.close(self._teardown)
        self._teardown = None

    def pytest_fixture_post_finalizer(self, fixturedef: Any) -> None:
        live = self._live.pop(id(fixturedef), None)
        since = set() if self._teardown is None else self.record.close(self._teardown)
        if live is None:
            self._test |= since
        else:
            live.closing |= since
            self._ended.append(live)
        if self._teardown is not None:
            self._teardown = self.record.open()

    def _used_by(self, item: Any) -> List["_Live"]:
        """The fixtures of wider scope that a test uses: by its arguments, by marks, and by name in its course."""
        info = getattr(item, "_fixtureinfo", None)
        groups = list(getattr(info, "name2fixturedefs", {}).values())
        request = getattr(item, "_request", None)
        for name in ("_fixture_defs", "_arg2fixturedefs"):
            groups += [one if isinstance(one, (list, tuple)) else [one] for one in getattr(request, name, {}).values()]
        wanted = {id(fixturedef) for group in groups for fixturedef in group}
        return [live for live in [*self._live.values(), *self._ended] if live.key in wanted]

    # the end

    @pytest.hookimpl(trylast=True)
    def pytest_sessionfinish(self) -> None:
        if self._start is not None:
            self.record.close(self._start)
        self._tell({"k": "loaded", **_loaded(self.record)})
        self._tell({"k": "end", "tests": self.recorded})
        trouble = self.lines.trouble if self.lines is not None else ""
        self.trouble = self.trouble or trouble
        if hasattr(self.config, "workerinput"):
            self.config.workeroutput["aqe_map"] = {"recorded": self.recorded, "trouble": self.trouble}

    def pytest_terminal_summary(self, terminalreporter: Any) -> None:
        if self.trouble:
            terminalreporter.write_line("aqe: %s; what these tests execute is not recorded" % self.trouble, yellow=True)
        else:
            plural = "" if self.recorded == 1 else "s"
            terminalreporter.write_line("aqe: what %d test%s executed is mapped" % (self.recorded, plural))

    # xdist, where it is installed

    @pytest.hookimpl(optionalhook=True)
    def pytest_configure_node(self, node: Any) -> None:
        node.workerinput["aqe_map_run"] = self.run
        node.workerinput["aqe_map_spool"] = self.spool

    @pytest.hookimpl(optionalhook=True)
    def pytest_testnodedown(self, node: Any, error: Any) -> None:
        told = getattr(node, "workeroutput", {}).get("aqe_map", {})
        self.recorded += told.get("recorded", 0)
        self.trouble = self.trouble or told.get("trouble", "")


class _Live:
    """A fixture of wider scope that is set up: what its set-up and tear-down did, and who used it."""

    def __init__(self, key: int, hits: Set[int]) -> None:
        self.key = key
        self.hits = hits
        self.closing: Set[int] = set()
        self.users: List[str] = []


def _loaded(record: Record) -> Dict[str, Any]:
    """Project files that were imported without marks, top-level names from elsewhere, and where imports are sought."""
    coarse: Dict[str, str] = {}
    modules: Dict[str, str] = {}
    outside: Set[str] = set()
    for name, module in list(sys.modules.items()):
        path = getattr(module, "__file__", None)
        if not isinstance(path, str):
            continue
        relative = record.inside(path)
        if relative is None:
            outside.add(name.partition(".")[0])
            continue
        modules[name] = relative
        if relative.endswith(".py") and relative not in record.files:
            coarse[relative] = content_of(path)
    places = [record.inside(os.path.join(place or os.getcwd(), "x")) for place in sys.path]
    found = sorted({os.path.dirname(place) for place in places if place is not None})
    return {"coarse": coarse, "outside": sorted(outside), "places": found, "modules": modules}


def content_of(path: str) -> str:
    """The SHA-256 of a file, empty where it cannot be read."""
    try:
        with open(path, "rb") as file:
            return hashlib.sha256(file.read()).hexdigest()
    except OSError:
        return ""


def _path_of(node: Any) -> Optional[str]:
    path = getattr(node, "path", None) or getattr(node, "fspath", None)
    return None if path is None else str(path)


def _nodeid(item: Any) -> str:
    """A test's id, without the group that xdist adds to it."""
    nodeid: str = item.nodeid
    if item.config.getoption("dist", None) == "loadgroup" and "@" in nodeid.rpartition("]")[2]:
        return nodeid.rpartition("@")[0]
    return nodeid


def _relative(path: str, project: str) -> str:
    try:
        return os.path.relpath(path, project).replace(os.sep, "/")
    except ValueError:
        return "."


def _prune(spool: Optional[str]) -> None:
    """Keep the spool of a project whose maps nobody reads from growing without end."""
    try:
        names = sorted(name for name in os.listdir(spool or "") if name.endswith((".map", ".marks")))
        runs = sorted({name[:26] for name in names})
        for name in names:
            if name[:26] in runs[:-_KEPT_RUNS]:
                os.unlink(os.path.join(spool or "", name))
    except OSError:
        pass


def _prune_cache(folder: str) -> None:
    """Keep the newer half of the cached code where there is much of it."""
    try:
        names = os.listdir(folder)
        if len(names) > _KEPT_CACHED:
            paths = sorted((os.path.join(folder, name) for name in names), key=os.path.getmtime)
            for path in paths[: len(paths) // 2]:
                os.unlink(path)
    except OSError:
        pass
