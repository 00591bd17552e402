"""A sighting holds what a caller notices of a run, and nothing of the machine, the process or the time."""

from __future__ import annotations

import functools
import subprocess
import sys
import types
from pathlib import Path

from _aqe_inject.closures import calls_of, is_closure
from _aqe_inject.namespace import Namespace
from _aqe_inject.observe import Watch
from _aqe_inject.packing import read_recipe
from _aqe_inject.probes import Probes
from _aqe_inject.reading import read_module
from _aqe_inject.recipes import Case, Step
from _aqe_inject.sightings import Witness

SOURCE = '''
class Box:
    """Holds one thing."""

    def __init__(self, size):
        self._{private} = size
        self.size = size + {more}


def place(name):
    """A path below the project."""
    return __file__ + name


def shout(name):
    """Prints."""
    print(name.upper())


def short(count: int) -> int:
    """An int; raises ValueError below zero."""
    if count < 0:
        raise ValueError("count is %d" % count)
    return "x" * count if count > 3 else count
'''


def witness(folder: Path, private: str = "size", more: int = 0) -> Witness:
    """A witness over one version of the source in a folder."""
    folder.mkdir(exist_ok=True)
    path = folder / "boxes.py"
    path.write_text(SOURCE.replace("{private}", private).replace("{more}", str(more)), encoding="utf-8")
    module = types.ModuleType("boxes")
    module.__file__ = str(path)
    exec(compile(path.read_text(encoding="utf-8"), str(path), "exec"), module.__dict__)
    return Witness(Namespace(module), Probes(module, 0), Watch(), read_module(module), [str(folder)])


def call(name: str, *args: str) -> Case:
    """A call by source."""
    return Case(name, (Step(name, args=tuple(read_recipe(text) for text in args)),))


def test_the_folder_of_a_version_is_no_behaviour(tmp_path: Path) -> None:
    """A value that names the project's folder is the same in both trees."""
    one = witness(tmp_path / "base").sight(call("place", '"/x"'))
    other = witness(tmp_path / "head").sight(call("place", '"/x"'))
    assert one["value"] == other["value"]


def test_private_attributes_are_told_apart_from_public_ones(tmp_path: Path) -> None:
    """A renamed private attribute leaves the public digest as it is; another public value does not."""
    base = witness(tmp_path / "base").sight(call("Box", "1"))
    renamed = witness(tmp_path / "renamed", private="width").sight(call("Box", "1"))
    grown = witness(tmp_path / "grown", more=1).sight(call("Box", "1"))
    assert base["value"][1] == renamed["value"][1]
    assert base["value"][2] != renamed["value"][2]
    assert base["value"][1] != grown["value"][1]


def test_a_call_that_does_not_fit_is_no_exception_of_the_subject(tmp_path: Path) -> None:
    """Too many arguments say nothing about what a function does."""
    assert witness(tmp_path).sight(call("short", "1", "2"))["kind"] == "illegal"


def test_output_is_kept_and_put_in_words(tmp_path: Path) -> None:
    """What a call prints is part of what it does."""
    one = witness(tmp_path)
    assert one.sight(call("shout", '"a"'))["printed"] != one.sight(call("shout", '"b"'))["printed"]
    assert one.words(call("shout", '"a"'))["printed"] == "A\n"


def test_an_exception_counts_by_its_type_and_its_origin(tmp_path: Path) -> None:
    """A raise statement of the module is planned, what the interpreter raises is not; the text is left out."""
    one = witness(tmp_path)
    planned, other = one.sight(call("short", "-1")), one.sight(call("short", "-2"))
    assert (planned["type"], planned["own"], planned["crash"]) == ("ValueError", True, False)
    assert planned["value"] == other["value"]
    crash = one.sight(call("short", '"a"'))
    assert (crash["type"], crash["own"], crash["crash"], crash["fair"]) == ("TypeError", False, True, 0)


def test_a_value_is_held_against_its_return_hint(tmp_path: Path) -> None:
    """Whether a value keeps to the hint is told with it."""
    one = witness(tmp_path)
    assert one.sight(call("short", "2"))["fits"] is True
    assert one.sight(call("short", "5"))["fits"] is False


def test_a_returned_function_is_known_by_its_calls() -> None:
    """Two closures that answer differently differ, and a decorator's product is called as well."""

    def adder(step: int) -> object:
        return lambda count: count + step

    def twice(function: object) -> object:
        @functools.wraps(function)
        def inner(*args: object) -> object:
            return function(*args), function(*args)

        return inner

    assert is_closure(adder(1))
    assert not is_closure(len)
    assert calls_of(adder(1)) == calls_of(adder(1))
    assert calls_of(adder(1)) != calls_of(adder(2))
    assert len(calls_of(twice)) > 0


def test_the_stopped_clock_says_the_same_twice_and_the_search_still_sees_time_pass() -> None:
    """In a process whose clock was stopped `time` stands still, but for the harness itself."""
    program = (
        "import sys; sys.path.insert(0, sys.argv[1])\n"
        "from _aqe_inject.standstill import stop_clock\n"
        "from _aqe_inject.observe import now\n"
        "import time\n"
        "stop_clock(); first = (time.time(), time.monotonic_ns()); started = now(); time.sleep(0.01)\n"
        "assert first == (time.time(), time.monotonic_ns()) and now() > started\n"
    )
    folder = str(Path(sys.modules["_aqe_inject"].__path__[0]).parent)
    done = subprocess.run([sys.executable, "-c", program, folder], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
