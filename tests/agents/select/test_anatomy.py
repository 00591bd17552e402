"""Digests of source: what counts as a change of a function, of a module, of a head."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from aqe.agents.inject._aqe_inject.anatomy import Anatomy, dissect

ROOT = Path(__file__).resolve().parents[3]
BASE = """
import os

LIMIT = 3


def plain(a, b=1):
    "Adds."
    return a + b


@cache
def kept(a):
    "Keeps."
    def inner():
        return a
    return inner


class Box:
    size = 1

    def volume(self):
        return self.size ** 3
"""


def changed(old: str, new: str) -> set[str]:
    """What differs after a replacement in the source."""
    assert old in BASE
    return differences(dissect(BASE), dissect(BASE.replace(old, new)))


def differences(one: Anatomy, other: Anatomy) -> set[str]:
    names = {*one.functions, *other.functions}
    found = {name for name in names if one.functions.get(name, ("",))[0] != other.functions.get(name, ("",))[0]}
    found |= {"module"} if one.module != other.module else set()
    return found | ({"heads"} if one.heads != other.heads else set())


@pytest.mark.parametrize(
    ("old", "new", "found"),
    [
        ("    return a + b", "    # sums\n    return (a\n            + b)", set()),
        ("    return a + b", "    return a - b", {"plain"}),
        ('"Adds."', '"Sums."', {"plain"}),
        ("b=1", "b=2", {"plain", "heads"}),
        ("        return a\n", "        return -a\n", {"kept.<locals>.inner"}),
        ('"Keeps."', '"Holds."', {"kept", "module"}),
        ("@cache", "@lru_cache", {"kept", "module"}),
        ("self.size ** 3", "self.size ** 2", {"Box.volume"}),
        ("size = 1", "size = 2", {"module"}),
        ("LIMIT = 3", "LIMIT = 4", {"module"}),
        ("def plain", "def simple", {"plain", "simple", "heads"}),
        ("def volume(self)", "def volume(self, unit=1)", {"Box.volume", "module"}),
        ("class Box:", "class Box(Base):", {"module"}),
    ],
)
def test_a_change_shows_where_it_is_felt(old: str, new: str, found: set[str]) -> None:
    """Bodies count for their function alone, all that an import executes for the module, formatting for nothing."""
    assert changed(old, new) == found


def test_functions_of_one_name_count_together() -> None:
    """A property and its setter, or two branches of an if, are one name with the lines of both."""
    text = "class A:\n  @property\n  def x(self):\n    return 1\n  @x.setter\n  def x(self, v):\n    pass\n"
    digest, first, last = dissect(text).functions["A.x"]
    assert (first, last) == (2, 7)
    assert dissect(text.replace("return 1", "return 2")).functions["A.x"][0] != digest


@pytest.mark.services
def test_every_python_gives_the_same_digests() -> None:
    """Each CPython from 3.9 on that runs here digests the standard library's `textwrap` and an f-string alike."""
    sys.path.insert(0, str(ROOT / "tools"))
    try:
        import interpreters
    finally:
        sys.path.pop(0)
    source = (
        BASE + Path(subprocess.__file__).with_name("textwrap.py").read_text() + "\nX = f'{LIMIT!r:>{LIMIT}} {LIMIT=}'\n"
    )
    script = "import json, sys; from _aqe_inject.anatomy import dissect; a = dissect(sys.stdin.read());"
    script += "print(json.dumps([a.functions, a.module, a.heads], sort_keys=True))"
    answers = {}
    for minor in range(9, 16):
        python = interpreters.find(f"3.{minor}")
        if python is not None:
            done = subprocess.run(
                [python, "-c", script], input=source, capture_output=True, text=True, check=True,
                env={"PYTHONPATH": str(ROOT / "agents" / "inject"), "PYTHONDONTWRITEBYTECODE": "1"},
            )  # fmt: skip
            answers[minor] = json.loads(done.stdout)
    first = next(iter(answers.values()))
    assert all(answer == first for answer in answers.values()), answers.keys()
