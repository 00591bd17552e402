"""Instrumented modules behave like their source, count arms like coverage.py and turn mutants on by a store."""

from __future__ import annotations

import json
import subprocess
import sys
import textwrap
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

import aqe.agents
from aqe.agents.inject._aqe_inject.instrument import BrokenTwin, Metaprogram, Probes, StepLimit, instrument

INJECT = Path(aqe.agents.__file__).parent / "inject"

ODDITIES = '''
"""Docstring of the module."""
from __future__ import annotations
import asyncio, functools

class Base:
    """Docstring of the class."""
    registry: dict[str, int] = {}
    def __init__(self, n: int = 2) -> None:
        self.__n = n
    @property
    def n(self):
        return self.__n
    @classmethod
    def make(cls, *args, **kwargs):
        return cls(*args, **kwargs)

class Child(Base):
    def __init__(self, n=3):
        super().__init__(n)
        self.kind = __class__.__name__

def counter(start=0):
    """Count."""
    value = start
    def step(by=1):
        nonlocal value
        value += by
        return value
    return step

def numbers(limit):
    n = 0
    while True:
        if n >= limit:
            return "end"
        got = yield n
        n += got or 1

async def later(n):
    async def items():
        for i in range(n):
            yield i
    total = 0
    async for item in items():
        await asyncio.sleep(0)
        total += item
    return total

def shape(value):
    match value:
        case [x, y] if x == y:
            return "square"
        case {"kind": str(kind)}:
            return kind
        case int() | float():
            return f"number {value!r:>4}"
        case _:
            return None

def walrus(text):
    if (size := len(text)) > 3:
        return [c for c in text if (low := c.lower()) != "x" and low], size
    return (lambda a, *, b=2: a * b)(size)

def failing(x):
    try:
        return 10 // x
    except ZeroDivisionError as error:
        return type(error).__name__
    finally:
        registry.append(x)

registry = []

@functools.lru_cache(maxsize=None)
def fib(n):
    return n if n < 2 else fib(n - 1) + fib(n - 2)

def slices(items):
    first, *rest = items
    del rest[0]
    return first, rest[::2], items[1:-1], {**{"a": 1}}, {i for i in items}
'''

USES = """
[
    m.__doc__, m.Base.__doc__, m.counter.__doc__, m.Child().n, m.Child().kind, m.Child.make(7).n,
    [step(2) for step in [m.counter(5)] for _ in range(3)], list(m.numbers(3)), asyncio.run(m.later(4)),
    m.shape([1, 1]), m.shape({"kind": "k"}), m.shape(2), m.shape("?"), m.walrus("abXcd"), m.walrus("ab"),
    m.failing(3), m.failing(0), m.registry, m.fib(15), m.slices([1, 2, 3, 4, 5]), m.counter.__code__.co_firstlineno,
    m.Base.__annotations__, m.shape.__qualname__, inspect.isgeneratorfunction(m.numbers), m.Base.__init__.__defaults__,
]
"""


def run_program(source: str, **options: Any) -> tuple[ModuleType, Metaprogram, Probes]:
    """Instrument and run a source text as a module of its own."""
    meta = instrument(textwrap.dedent(source), "program.py", **options)
    module = ModuleType("program")
    probes = Probes(module, len(meta.arms))
    exec(meta.code, module.__dict__)
    return module, meta, probes


def evaluate_uses(module: ModuleType) -> object:
    import asyncio
    import inspect

    return eval(USES.strip(), {"m": module, "asyncio": asyncio, "inspect": inspect})


def test_instrumented_module_behaves_as_its_source() -> None:
    """Closures, generators, async code, match, walrus, private names, super and docstrings survive instrumentation."""
    plain = ModuleType("program")
    exec(compile(ODDITIES, "program.py", "exec", dont_inherit=True), plain.__dict__)
    module, _, _ = run_program(ODDITIES)
    assert evaluate_uses(module) == evaluate_uses(plain)


def large(name: str) -> Any:
    """A standard module that takes about a second."""
    return pytest.param(name, marks=pytest.mark.services)


@pytest.mark.parametrize(
    "name",
    ["textwrap", "heapq", "fractions", large("difflib"), large("statistics"), "shlex", "string", large("ast")],
)
def test_standard_library_examples_hold_under_instrumentation(name: str) -> None:
    """The doctests of standard modules pass as often in an instrumented copy as in the original."""
    script = f"""
import doctest, importlib, json, sys
sys.path.insert(0, {str(INJECT)!r})
plain = doctest.testmod(importlib.import_module({name!r}))
from _aqe_inject.loading import load
module, meta, probes = load({name!r})
again = doctest.testmod(module)
print(json.dumps([list(plain[:2]), list(again[:2]), len(meta.mutants)]))
"""
    done = subprocess.run([sys.executable, "-c", script], stdout=subprocess.PIPE, text=True, timeout=60, check=True)
    plain, again, mutants = json.loads(done.stdout.splitlines()[-1])
    assert again == plain
    assert mutants > 50


CALLS = {
    "textwrap": "m.wrap('some words, well-known ones', 9); m.dedent('  a\\n   b\\n'); m.shorten('a b', 7)",
    "shlex": "m.split('a \"b c\" d # e', comments=True); m.quote('a b'); m.join(['x', 'y z'])",
    "fractions": "m.Fraction(1, 3) + m.Fraction('2/5'); m.Fraction('1.5').limit_denominator(3); m.Fraction(1) < 2",
    "argparse": "p = m.ArgumentParser('p'); p.add_argument('-x', type=int); p.parse_args(['-x', '3']); p.format_help()",
    "configparser": "c = m.ConfigParser(); c.read_string('[a]\\nb = 1\\n'); c.getint('a', 'b'); c.has_option('a', 'z')",
    "difflib": "list(m.unified_diff(['a', 'b'], ['a', 'c'])); m.get_close_matches('appel', ['ape'])",
    "json.encoder": "m.JSONEncoder(indent=1, sort_keys=True).encode({'a': [1, 2.5, None, True], 'b': {}})",
    "pprint": "m.pformat({'a': [1, 2, {3}], 'b': ('x' * 50, None)}, width=40); m.isreadable([1]); m.saferepr(())",
}

AGREEMENT = """
import importlib, importlib.util, json, sys
sys.path.insert(0, {inject!r})
name, calls = {name!r}, {calls!r}
import coverage
sys.modules.pop(name, None)
path = importlib.util.find_spec(name).origin
measured = coverage.Coverage(branch=True, data_file=None, config_file=False, include=[path])
measured.start()
m = importlib.import_module(name)
exec(calls)
measured.stop()
measured.json_report(outfile={report!r})
(figures,) = json.load(open({report!r}))["files"].values()
from _aqe_inject.loading import load
m, meta, probes = load(name)
exec(calls)
theirs = {{tuple(arc): True for arc in figures["executed_branches"]}}
theirs.update({{tuple(arc): False for arc in figures["missing_branches"]}})
ours = {{(arm.line, arm.target): bool(probes.hits[arm.id]) for arm in meta.arms if arm.counted}}
lines = sorted(figures["executed_lines"] + figures["missing_lines"])
same = sum(theirs.get(arm) == taken for arm, taken in ours.items())
print("\\n" + json.dumps([same, len(theirs), len(ours), lines == list(meta.lines)]))
"""


@pytest.mark.parametrize(
    "name", [large(name) if name in ("argparse", "configparser", "difflib") else name for name in sorted(CALLS)]
)
def test_arms_agree_with_coverage_arm_by_arm(name: str, tmp_path: Path) -> None:
    """After the same calls each arm is taken or missed exactly as coverage.py says."""
    report = str(tmp_path / "report.json")
    script = AGREEMENT.format(inject=str(INJECT), name=name, calls=CALLS[name], report=report)
    done = subprocess.run([sys.executable, "-c", script], stdout=subprocess.PIPE, text=True, timeout=60, check=True)
    same, theirs, ours, lines_agree = json.loads(done.stdout.splitlines()[-1])
    assert theirs == ours
    assert same >= 0.99 * theirs
    assert lines_agree


def test_arms_leave_out_what_coverage_excludes() -> None:
    """Arms in or into excluded lines, and the only arm of a line, are kept for guidance but not counted."""
    _, meta, _ = run_program(
        """
        from typing import TYPE_CHECKING
        if TYPE_CHECKING:
            import os
        def f(x):
            if x:  # pragma: no cover
                return 1
            while True:
                if x == 0: return 2
                try:
                    return 3
                except ValueError:
                    return 4
        """
    )
    counted = [(arm.line, arm.target) for arm in meta.arms if arm.counted]
    assert counted == [(9, -5), (9, 10)]
    assert {arm.kind for arm in meta.arms if not arm.counted} >= {"entry", "exception caught", "loop entered"}


SMALL = """
    def grade(points, limit=50):
        '''Grade.'''
        if points < 0:
            raise ValueError("negative")
        return "pass" if points >= limit else "fail"
"""


def test_each_mutant_is_one_switch_away() -> None:
    """A mutant changes the behaviour while the switch holds its id, and only then."""
    module, meta, probes = run_program(SMALL)
    boundary = next(one for one in meta.mutants if one.original == ">=" and one.replacement == ">")
    assert module.grade(50) == "pass"
    probes.switch = boundary.id
    assert module.grade(50) == "fail"
    probes.switch = -1
    assert module.grade(50) == "pass"


def test_forced_mutant_reaches_code_that_runs_at_import() -> None:
    """A default argument cannot be switched, so its mutant is flagged and built into a module of its own."""
    _, meta, _ = run_program(SMALL)
    default = next(one for one in meta.mutants if one.at_import and one.replacement == "51")
    module, again, _ = run_program(SMALL, forced_mutant=default.id)
    assert module.grade(50) == "fail"
    assert [one.key for one in again.mutants] == [one.key for one in meta.mutants]


def test_switched_and_forced_mutants_behave_alike() -> None:
    """Every mutant of a function gives the same results behind the switch as in a program of its own."""

    def results(module: ModuleType) -> list[object]:
        found: list[object] = []
        for points in (-1, 0, 49, 50, 51, 99):
            try:
                found.append(module.grade(points))
            except ValueError as error:
                found.append(str(error))
        return found

    module, meta, probes = run_program(SMALL)
    own, differing = results(module), 0
    for mutant in meta.mutants:
        if not mutant.at_import:
            probes.switch = mutant.id
            forced, _, _ = run_program(SMALL, forced_mutant=mutant.id)
            assert results(module) == results(forced), mutant
            differing += results(module) != own
    assert differing > 5


def test_noting_lists_the_mutants_that_a_call_reaches() -> None:
    """While noting, no mutant is on and `reached` collects exactly those the call asks for."""
    module, meta, probes = run_program(SMALL)
    probes.noting = True
    assert module.grade(60) == "pass"
    probes.noting = False
    reached = {meta.mutants[one].line for one in probes.reached}
    assert reached == {4, 6}


def test_steps_end_an_endless_loop() -> None:
    """A loop that never ends raises StepLimit, also through a bare except inside it."""
    module, _, probes = run_program(
        """
        def spin():
            while True:
                try:
                    pass
                except:
                    pass
        """
    )
    probes.start(1000)
    with pytest.raises(StepLimit):
        module.spin()
    assert probes.steps == 1000


def test_broken_twin_raises_at_every_entry() -> None:
    """With `broken` set each function, method, lambda and generator of the module raises, and none without it."""
    module, _, probes = run_program(ODDITIES + "\ndouble = lambda x: 2 * x\n")
    probes.broken = True
    for call in (lambda: module.Base(), lambda: module.double(2), lambda: next(module.numbers(2)), module.counter):
        with pytest.raises(BrokenTwin):
            call()
    probes.broken = False
    assert module.double(2) == 4


def test_left_out_mutants_stay_a_small_share() -> None:
    """Mutants in logging, metadata and the like are left out with a reason, at most 15 % of all."""
    source = "import logging\n__version__ = '1.0'\nlog = logging.getLogger('x')\n" + "".join(
        f"def f{n}(a):\n    log.info('text {n}', {n})\n    assert a, 'no'\n    return a\n" for n in range(20)
    )
    _, meta, _ = run_program(source)
    left_out = [one for one in meta.mutants if one.left_out]
    assert left_out
    assert len(left_out) <= 0.15 * len(meta.mutants)
    reasons = {one.left_out for one in left_out}
    assert reasons <= {
        "text of a log or warning",
        "internal assertion",
        "metadata",
        "name given to a type or logger",
    }


def test_keys_of_mutants_are_unique_and_stable() -> None:
    """Each mutant has its own key, and instrumenting again gives the same list."""
    first = instrument(ODDITIES, "program.py").mutants
    assert len({one.key for one in first}) == len(first)
    assert instrument(ODDITIES, "program.py").mutants == first


def test_load_instruments_one_module_of_a_package(tmp_path: Path) -> None:
    """A module is instrumented under its own name; its siblings are imported as they are and see it."""
    package = tmp_path / "parcel"
    package.mkdir()
    (package / "__init__.py").write_text("from .inner import double\n")
    (package / "inner.py").write_text("from .sibling import TWO\ndef double(x):\n    return x * TWO\n")
    (package / "sibling.py").write_text("TWO = 2\n")
    script = f"""
import sys
sys.path[:0] = [{str(INJECT)!r}, {str(tmp_path)!r}]
import parcel
from _aqe_inject.loading import load
module, meta, probes = load("parcel.inner")
import parcel, inspect
assert parcel is not None and parcel.double is module.double and parcel.double(4) == 8
assert "_aqe_switch" not in vars(sys.modules["parcel.sibling"])
assert inspect.getsource(module.double).startswith("def double")
assert bytes(probes.hits) == b"\\x01"
"""
    subprocess.run([sys.executable, "-c", script], check=True, timeout=30)
