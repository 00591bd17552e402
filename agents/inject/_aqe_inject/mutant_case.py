"""Entries of a box that build the kill map: tests collected once beside instrumented subjects, mutants in forks.

The zygote holds one collected pytest session. A case is a fork of it: `trace` runs tests and notes the mutants that
each asks for, `judge` turns one mutant on and runs the tests that reach it. A mutant in code that runs at import needs
modules of its own: `judge_import` runs in a fork of a zygote that has collected nothing. Steps are limited inside,
processor and wall time by timers whose default action ends the process, which no Python code can put off.
"""

from __future__ import annotations

import os
import signal
import sys
from typing import Any, Dict, List, Optional, Sequence, Tuple

from .loading import keep_compiled, load_all, prepare
from .pytest_case import Emit, Recorder, arguments, extend_path, quiet
from .running import run_item

_setitimer = getattr(signal, "setitimer", None)
_HELD: Dict[str, Any] = {}

STEP_FACTOR, STEP_FLOOR = 20, 20_000


def collect(args: Dict[str, Any], emit: Emit) -> Dict[str, Any]:
    """Load the subjects instrumented and collect the tests, in the zygote.

    args as for `pytest_case.session`, with subjects in place of twin. Returns the names of the tests and, for each
    subject, the mutants that its import asked for.
    """
    extend_path(args)
    loaded = load_all(args["subjects"])
    session, recorder = _started(args)
    items = _collected(session, recorder)
    _HELD.update(session=session, items=items, loaded=loaded)
    return {
        "tests": list(items),
        "broken_files": recorder.broken_files,
        "at_import": {name: sorted(entry[2].reached_at_import) for name, entry in loaded.items()},
    }


def _started(args: Dict[str, Any]) -> Tuple[Any, Recorder]:
    """A pytest session that has read its configuration."""
    from _pytest.config import _prepareconfig
    from _pytest.main import Session

    recorder = Recorder(args["roots"], None, args.get("only"))
    line = [*arguments(dict(args, plain=True)), "--capture=sys"]
    with quiet():
        config = _prepareconfig(line, plugins=[recorder])
        config._do_configure()
        session = Session.from_config(config)
        config.hook.pytest_sessionstart(session=session)
    return session, recorder


def _collected(session: Any, recorder: Recorder) -> Dict[str, Any]:
    """The items of a session by name, after collecting; nothing is run."""
    with quiet():
        session.config.hook.pytest_collection(session=session)
    return {recorder.name(item): item for item in session.items}


def trace(args: Dict[str, Any], emit: Emit) -> Dict[str, Any]:
    """Run one test (args: test) with no mutant on; which mutants it asks for, and its steps in each subject."""
    _no_output()
    probes = {name: entry[2] for name, entry in _HELD["loaded"].items()}
    for probe in probes.values():
        probe.noting = True
        probe.start()
    outcome, ms = _run(_HELD["items"], [args["test"]], 0)
    return {
        "outcome": outcome,
        "ms": ms,
        "reached": {name: sorted(probe.reached) for name, probe in probes.items()},
        "steps": {name: probe.steps for name, probe in probes.items()},
    }


def judge(args: Dict[str, Any], emit: Emit) -> None:
    """Run tests (args: tests, pairs of name and steps) while one mutant (args: subject, mutant) is on.

    args cpu_s and wall_s limit each test; one that passes them ends the process. Emits the position of each test as it
    starts and its [name, outcome] as it ends.
    """
    _no_output()
    probes = _HELD["loaded"][args["subject"]][2]
    probes.switch = args["mutant"]
    _run_all(_HELD["items"], args, probes, emit)


def prepare_import(args: Dict[str, Any], emit: Emit) -> None:
    """Compile the subjects (args: subjects), what is imported beside them, and the test files (args: files) once.

    args also as for `pytest_case.session`: pytest is configured here, unless a conftest or plugin of the project would
    keep the subject that it has imported.
    """
    prepare(args["subjects"])
    tops = {name.partition(".")[0] for name in args["subjects"]}
    beside = [module for name, module in list(sys.modules.items()) if name.partition(".")[0] in tops]
    keep_compiled([*args["files"], *filter(None, (getattr(module, "__file__", None) for module in beside))])
    if "PYTEST_DISABLE_PLUGIN_AUTOLOAD" in os.environ:
        started = _started(args)
        manager = started[0].config.pluginmanager
        if not any(
            os.path.basename(str(getattr(one, "__file__", ""))) == "conftest.py" for one in manager.get_plugins()
        ):
            _HELD["started"] = started


def judge_import(args: Dict[str, Any], emit: Emit) -> Dict[str, Any]:
    """As `judge`, with the subject and the tests imported while the mutant is on.

    args also as for `pytest_case.session`, and load_s, the time that importing and collecting may take. Returns
    {"missing": the tests that were not collected}.
    """
    _no_output()
    _arm_timers(args["load_s"], args["load_s"] * 2)
    names = [name for name, _ in args["tests"]]
    try:
        loaded = load_all([args["subject"]], forced={args["subject"]: args["mutant"]})
    except BaseException:  # a subject that cannot be imported fails every test
        return {"missing": names}
    session, recorder = _HELD.get("started") or _started(args)
    recorder.only = frozenset(names)
    items = _collected(session, recorder)
    found = [pair for pair in args["tests"] if pair[0] in items]
    emit({"collected": [name for name, _ in found]})
    _run_all(items, dict(args, tests=found), loaded[args["subject"]][2], emit)
    return {"missing": [name for name in names if name not in items]}


def _run_all(items: Dict[str, Any], args: Dict[str, Any], probes: Any, emit: Emit) -> None:
    tests = args["tests"]
    names = [name for name, _ in tests]
    for position, (name, steps) in enumerate(tests):
        emit(position)
        probes.start(STEP_FLOOR + STEP_FACTOR * steps)
        _arm_timers(args["cpu_s"], args["wall_s"])
        emit([name, _run(items, names, position)[0]])
    _arm_timers(0, 0)


def _run(items: Dict[str, Any], names: Sequence[str], position: int) -> Tuple[str, float]:
    following: Optional[Any] = items.get(names[position + 1]) if position + 1 < len(names) else None
    return run_item(items[names[position]], following)


def _no_output() -> None:
    """What the tests print goes nowhere."""
    null = os.open(os.devnull, os.O_WRONLY)
    os.dup2(null, 1)
    os.dup2(null, 2)
    os.close(null)


def _arm_timers(cpu_s: float, wall_s: float) -> None:
    if _setitimer is None:
        return
    signal.signal(signal.SIGALRM, signal.SIG_DFL)
    signal.signal(signal.SIGPROF, signal.SIG_DFL)
    _setitimer(signal.ITIMER_REAL, wall_s)
    _setitimer(signal.ITIMER_PROF, cpu_s)


def describe(args: Dict[str, Any], emit: Emit) -> List[List[Any]]:
    """The mutants of a source file (args: path), as this Python numbers them; nothing of it is run.

    Each is [id, key, operator, line, function, original, replacement, at_import, left_out]. Raises SyntaxError.
    """
    import tokenize

    from .instrument import instrument

    with tokenize.open(args["path"]) as stream:
        source = stream.read()
    return [
        [
            one.id,
            one.key,
            one.operator,
            one.line,
            one.function,
            one.original,
            one.replacement,
            one.at_import,
            one.left_out,
        ]
        for one in instrument(source, args["path"]).mutants
    ]
