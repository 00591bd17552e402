"""Entries of a box that build the kill map: tests collected once beside instrumented subjects, mutants in forks.

The zygote holds one collected pytest session. A case is a fork of it: `trace` runs one test and notes the mutants it
asks for, `judge` turns one mutant on and runs the tests that reach it. Steps are limited inside, processor and wall
time by timers whose default action ends the process, which no Python code can put off.
"""

from __future__ import annotations

import signal
from typing import Any, Dict, List

from .loading import load_all
from .pytest_case import Emit, Recorder, arguments, extend_path, quiet

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
    from _pytest.config import _prepareconfig
    from _pytest.main import Session

    recorder = Recorder(args["roots"], None, args.get("only"))
    with quiet():
        config = _prepareconfig(arguments(args), plugins=[recorder])
        config._do_configure()
        session = Session.from_config(config)
        config.hook.pytest_sessionstart(session=session)
        config.hook.pytest_collection(session=session)
    items = {recorder.name(item): item for item in session.items}
    _HELD.update(session=session, items=items, recorder=recorder, loaded=loaded)
    return {
        "tests": list(items),
        "broken_files": recorder.broken_files,
        "at_import": {name: sorted(entry[2].reached_at_import) for name, entry in loaded.items()},
    }


def trace(args: Dict[str, Any], emit: Emit) -> Dict[str, Any]:
    """Run one test (args: test) with no mutant on; which mutants it asks for, and its steps in each subject."""
    probes = {name: entry[2] for name, entry in _HELD["loaded"].items()}
    for probe in probes.values():
        probe.noting = True
        probe.start()
    outcome = _run(args["test"], None)
    return {
        "outcome": outcome["outcome"],
        "ms": outcome["ms"],
        "reached": {name: sorted(probe.reached) for name, probe in probes.items()},
        "steps": {name: probe.steps for name, probe in probes.items()},
    }


def judge(args: Dict[str, Any], emit: Emit) -> List[List[str]]:
    """Run tests (args: tests, pairs of name and steps) while one mutant (args: subject, mutant) is on.

    args cpu_s and wall_s limit each test; one that passes them ends the process. Emits the position of each test as it
    starts and its [name, outcome] as it ends; returns those pairs.
    """
    probes = _HELD["loaded"][args["subject"]][2]
    probes.switch = args["mutant"]
    results = []
    tests = args["tests"]
    for position, (name, steps) in enumerate(tests):
        emit(position)
        probes.start(STEP_FLOOR + STEP_FACTOR * steps)
        _arm_timers(args["cpu_s"], args["wall_s"])
        following = tests[position + 1][0] if position + 1 < len(tests) else None
        results.append([name, _run(name, following)["outcome"]])
        emit(results[-1])
    _arm_timers(0, 0)
    return results


def _arm_timers(cpu_s: float, wall_s: float) -> None:
    if _setitimer is None:
        return
    signal.signal(signal.SIGALRM, signal.SIG_DFL)
    signal.signal(signal.SIGPROF, signal.SIG_DFL)
    _setitimer(signal.ITIMER_REAL, wall_s)
    _setitimer(signal.ITIMER_PROF, cpu_s)


def _run(name: str, following: Any) -> Dict[str, Any]:
    """Run one collected test; `following` is the test that comes next, None for the last."""
    items = _HELD["items"]
    item = items[name]
    recorder = _HELD["recorder"]
    recorder.tests.pop(name, None)
    try:
        item.ihook.pytest_runtest_protocol(item=item, nextitem=items.get(following) if following else None)
    except BaseException as error:  # pytest.exit, KeyboardInterrupt: what a test session would not survive
        return {"outcome": "failed", "ms": 0.0, "message": type(error).__name__}
    return recorder.tests.get(name) or {"outcome": "skipped", "ms": 0.0, "message": ""}


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
