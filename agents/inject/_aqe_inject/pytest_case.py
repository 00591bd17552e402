"""Entries of a box that run tests: warm it up, one shuffled session in a fork, the same under coverage.py.

What is needed to report a result is referenced here before any code of the project is imported, so that a subject
which patches `json`, `os` or `time` cannot change a verdict.
"""

from __future__ import annotations

import importlib
import os
import random
import signal
import sys
from typing import Any, Callable, Dict, List, Optional

from .passage import passages

_setitimer = getattr(signal, "setitimer", None)
_realpath = os.path.realpath
MESSAGE_CHARS = 400

Emit = Callable[[Any], None]


def warm(args: Dict[str, Any], emit: Emit) -> Dict[str, Any]:
    """Make pytest and the named modules importable and import them, in the zygote.

    args: path (put first), side (put last), modules, rehearse (a test file that warms pytest up). Returns versions.
    """
    extend_path(args)
    if not args.get("autoload"):
        os.environ["PYTEST_DISABLE_PLUGIN_AUTOLOAD"] = "1"
    os.environ.pop("PYTEST_ADDOPTS", None)
    import pytest

    if args.get("rehearse"):
        folder = os.path.dirname(args["rehearse"])
        line = [args["rehearse"], "-q", "-p", "no:cacheprovider", "-c", os.devnull, "--rootdir", folder]
        with quiet():
            pytest.main([*line, "--import-mode=importlib"], plugins=passages([folder]))
    for name in args.get("modules", ()):
        importlib.import_module(name)
    return {"pytest": pytest.__version__, "packages": _versions(args.get("report", ()))}


def extend_path(args: Dict[str, Any]) -> None:
    """Put the project's folders first on sys.path and aqe's copies of pytest and coverage last."""
    for folder in reversed(args.get("path", ())):
        if folder not in sys.path:
            sys.path.insert(0, folder)
    side = args.get("side")
    if side and side not in sys.path:
        sys.path.append(side)


def _versions(names: Any) -> Dict[str, str]:
    from importlib import metadata

    found = {}
    for name in names:
        try:
            found[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    return found


class quiet:
    """Standard output and error go nowhere, also for those who write to the descriptors."""

    def __enter__(self) -> None:
        for stream in (sys.stdout, sys.stderr):
            stream.flush()
        self._saved = [os.dup(1), os.dup(2)]
        null = os.open(os.devnull, os.O_WRONLY)
        os.dup2(null, 1)
        os.dup2(null, 2)
        os.close(null)

    def __exit__(self, *exc: object) -> None:
        for stream in (sys.stdout, sys.stderr):
            try:
                stream.flush()
            except (OSError, ValueError):
                pass
        for saved, fd in zip(self._saved, (1, 2)):
            os.dup2(saved, fd)
            os.close(saved)


class Recorder:
    """The plugin of one session: shuffles, selects, and keeps one outcome and one short message for each test."""

    def __init__(
        self, roots: List[str], seed: Optional[int], only: Optional[List[str]], emit: Optional[Emit] = None
    ) -> None:
        self.roots = roots
        self.test_wall_s = 0.0
        self.seed = seed
        self.only = None if only is None else frozenset(only)
        self.emit = emit
        self.tests: Dict[str, Dict[str, Any]] = {}
        self.broken_files: List[Dict[str, str]] = []
        self.switch_context: Optional[Callable[[str], None]] = None
        self._ids: Dict[str, str] = {}
        self._collecting = ""

    def name(self, item: Any) -> str:
        """`file::test[case]`, the file relative to the root of the run."""
        found = self._ids.get(item.nodeid)
        if found is None:
            path = str(getattr(item, "path", None) or item.fspath)
            rest = item.nodeid.partition("::")[2]
            found = self._ids[item.nodeid] = "%s::%s" % (relative(path, self.roots), rest)
        return found

    def pytest_configure(self, config: Any) -> None:
        config.addinivalue_line("markers", "flaky: a test that a blocked plugin would run again")
        for plugin in passages(self.roots):
            config.pluginmanager.register(plugin)

    def pytest_collectstart(self, collector: Any) -> None:
        self._collecting = str(getattr(collector, "path", None) or getattr(collector, "fspath", "") or "")

    def pytest_collectreport(self, report: Any) -> None:
        if report.failed:
            place = relative(self._collecting, self.roots)
            self.broken_files.append({"file": place, "message": short_message(report.longrepr)})

    def pytest_collection_modifyitems(self, session: Any, config: Any, items: List[Any]) -> None:
        if self.only is not None:
            items[:] = [item for item in items if self.name(item) in self.only]
        if self.emit is not None:
            self.emit({"collected": [self.name(item) for item in items]})
        if self.seed is None:
            return
        files: Dict[str, List[Any]] = {}
        for item in items:
            files.setdefault(self.name(item).partition("::")[0], []).append(item)
        order = sorted(files)
        chance = random.Random(self.seed)
        chance.shuffle(order)
        for file in order:
            chance.shuffle(files[file])
        items[:] = [item for file in order for item in files[file]]

    def pytest_runtest_logstart(self, nodeid: str, location: Any) -> None:
        name = self._ids.get(nodeid, nodeid)
        if self.switch_context is not None:
            self.switch_context(name)
        if self.emit is not None:
            self.emit({"start": name})
        if self.test_wall_s and _setitimer is not None:
            signal.signal(signal.SIGALRM, signal.SIG_DFL)  # its default action ends what no Python code can end
            _setitimer(signal.ITIMER_REAL, self.test_wall_s)

    def pytest_runtest_logfinish(self, nodeid: str, location: Any) -> None:
        if self.switch_context is not None:
            self.switch_context("")
        if self.test_wall_s and _setitimer is not None:
            _setitimer(signal.ITIMER_REAL, 0)
        name = self._ids.get(nodeid, nodeid)
        if self.emit is not None and name in self.tests:
            self.emit({"test": self.tests[name]})

    def pytest_itemcollected(self, item: Any) -> None:
        self.name(item)

    def pytest_runtest_logreport(self, report: Any) -> None:
        name = self._ids.get(report.nodeid, report.nodeid)
        fresh = {"id": name, "outcome": "passed", "ms": 0.0, "message": ""}
        test = self.tests.setdefault(name, fresh)
        test["ms"] += report.duration * 1000.0
        expected = hasattr(report, "wasxfail")
        if report.failed and test["outcome"] != "failed":
            test["outcome"] = "failed"
            test["message"] = short_message(report.longrepr, report.when)
        elif report.skipped and test["outcome"] == "passed":
            test["outcome"] = "xfailed" if expected else "skipped"
            test["message"] = str(report.wasxfail) if expected else short_message(report.longrepr)
        elif expected and report.when == "call" and test["outcome"] == "passed":
            test["outcome"], test["message"] = "xpassed", str(report.wasxfail)


def relative(path: str, roots: List[str]) -> str:
    """A path below the first root that holds it, with forward slashes; the path itself where none does."""
    whole = _realpath(path)
    for root in roots:
        base = _realpath(root)
        if whole == base or whole.startswith(base.rstrip(os.sep) + os.sep):
            return os.path.relpath(whole, base).replace(os.sep, "/")
    return whole.replace(os.sep, "/")


def short_message(longrepr: Any, when: str = "call") -> str:
    """What failed, in one short line."""
    crash = getattr(longrepr, "reprcrash", None)
    if crash is not None:
        text = str(crash.message)
        place = " (%s:%s)" % (os.path.basename(str(crash.path)), crash.lineno)
    elif isinstance(longrepr, tuple) and len(longrepr) == 3:
        text, place = str(longrepr[2]), ""
    else:
        text, place = str(longrepr), ""
        lines = [line for line in text.splitlines() if line.startswith("E  ")]
        text = " ".join(line[1:].strip() for line in lines[-3:]) or text[-MESSAGE_CHARS:]
    text = " ".join(text.split())
    head = "" if when == "call" else "in %s: " % when
    return head + text[:MESSAGE_CHARS] + place


def arguments(args: Dict[str, Any]) -> List[str]:
    """pytest's command line: the project's configuration without its addopts, nothing written, no other shuffling."""
    line = [*args["files"], "-q", "--rootdir", args["rootdir"], "-o", "addopts=", "--no-header"]
    # a failure is told by its last line alone: reading the sources of a traceback costs more than the test
    line += ["--tb=no", "--continue-on-collection-errors"]
    if args.get("plain"):
        line.append("--assert=plain")
    # those that rerun a failure would hide a flaky test
    for plugin in (
        "cacheprovider", "randomly", "random_order", "aqe", "xdist", "cov", "pytest_cov",
        "rerunfailures", "flaky", "pytest-retry",
    ):  # fmt: skip
        line += ["-p", "no:" + plugin]
    line += ["-c", args.get("config") or os.devnull, "--import-mode=" + args.get("import_mode", "prepend")]
    return line + list(args.get("options", ()))


def session(args: Dict[str, Any], emit: Emit) -> Dict[str, Any]:
    """One pytest session in this process.

    args: files, roots (what names are relative to), rootdir, config, import_mode, seed (None: as collected), only
    (names, None for all), options, test_wall_s, plain (asserts are not rewritten), and for the subjects twin (names of
    modules whose every function raises) or beside (names of modules that are instrumented as for the kill map) or
    coverage (paths) with afresh (their modules, to be imported again).
    Emits {"start": name} and {"test": result}. Returns {"tests": [...], "broken_files": [...], "exit": int, ...}.
    """
    recorder = Recorder(args["roots"], args.get("seed"), args.get("only"), emit)
    recorder.test_wall_s = float(args.get("test_wall_s") or 0.0)
    answer: Dict[str, Any] = {}
    if args.get("seed") is not None:
        random.seed(args["seed"])
    measure = None
    if args.get("coverage"):
        from .loading import forget
        from .measuring import measure_of

        measure = measure_of(args["coverage"])
        recorder.switch_context = measure.switch
        forget(args.get("afresh", ()))
        measure.start()
    try:
        _change_subjects(args)
    except BaseException as error:
        return {"tests": [], "broken_files": [], "exit": 2, "import_error": "%s: %s" % (type(error).__name__, error)}
    import pytest

    answer["exit"] = int(pytest.main(arguments(args), plugins=[recorder]))
    if measure is not None:
        answer["coverage"] = measure.finish()
    answer["tests"] = list(recorder.tests.values())
    answer["broken_files"] = recorder.broken_files
    return answer


def _change_subjects(args: Dict[str, Any]) -> None:
    if args.get("twin"):
        break_subjects(args["twin"])
    elif args.get("beside"):
        from .loading import load_all

        load_all(args["beside"])


def break_subjects(names: List[str]) -> None:
    """Import the subjects so that each of their functions, and each generated method of their classes, raises."""
    from .loading import load_all
    from .probes import BrokenTwin

    def broken(*args: Any, **kwargs: Any) -> Any:
        raise BrokenTwin("the subject is broken on purpose")

    for name, (module, _, probes) in load_all(names, mutants=False).items():
        probes.broken = True
        for value in list(vars(module).values()):
            if isinstance(value, type) and value.__module__ == name:
                for attribute in ("__init__", "__new__", "__eq__", "__repr__"):
                    made = vars(value).get(attribute)
                    code = getattr(made, "__code__", None)
                    if code is not None and code.co_filename.startswith("<"):
                        setattr(value, attribute, broken)


def resolve(args: Dict[str, Any], emit: Emit) -> Dict[str, Any]:
    """Where names come from. args: names, a list of [module, attribute or None]. Imports the modules.

    Returns {"found": [[module, file], ...], "failed": [[module, message], ...]}: the module itself and, for an
    attribute, the module that defines it.
    """
    extend_path(args)
    found: Dict[str, str] = {}
    failed: Dict[str, str] = {}
    for name, attribute in args["names"]:
        try:
            module = importlib.import_module(name)
        except BaseException as error:
            failed[name] = "%s: %s" % (type(error).__name__, error)
            continue
        candidates = [module]
        if attribute is not None:
            value = getattr(module, attribute, None)
            home = getattr(value, "__module__", None) if not isinstance(value, type(sys)) else value.__name__
            if home is None or home not in sys.modules:
                home = name + "." + attribute if name + "." + attribute in sys.modules else name
            if value is None and home == name:
                try:
                    candidates = [importlib.import_module(name + "." + attribute)]
                except BaseException:
                    candidates = [module]
            else:
                candidates = [sys.modules[home]]
        for candidate in candidates:
            origin = getattr(candidate, "__file__", None)
            if origin:
                found[candidate.__name__] = _realpath(origin)
    return {"found": sorted(found.items()), "failed": sorted(failed.items())}
