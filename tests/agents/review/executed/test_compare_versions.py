"""Both versions run in boxes of their own, and what they do differently is shown by the smallest call found."""

from __future__ import annotations

import sys
import time
from pathlib import Path

import pytest

from aqe.agents.changes import read_changes
from aqe.agents.gate.interpreter import find_interpreter
from aqe.agents.review.executed import Comparison, compare_versions
from aqe.engine.errors import Cancelled
from aqe.engine.progress import CancelToken

BASE = '''"""Small things that are compared."""

import datetime
import random


def parse(text: str) -> tuple[int, int]:
    """The two numbers of a version.

    >>> parse("1.2")
    (1, 2)
    """
    major, minor = text.split(".")
    return int(major), int(minor)


def lots(count: int) -> list[float]:
    """Random numbers."""
    return [random.random() for _ in range(count)]


def now() -> str:
    """The time of day."""
    return datetime.datetime.now().isoformat()


def describe(name: str, size: int) -> str:
    """A short line of text."""
    if size > 10:
        return f"{name} is large"
    else:
        return f"{name} is small"
'''
HARMLESS = (
    ('    return f"{name} is large"\n    else:\n        return f"{name} is small"',
     '    return "{} is large".format(name)\n    return "{} is small".format(name)'),
    ("    return [random.random() for _ in range(count)]",
     "    found = []\n    for _ in range(count):\n        found.append(random.random())\n    return found"),
    ("    return datetime.datetime.now().isoformat()",
     "    moment = datetime.datetime.now()\n    return moment.isoformat()"),
)  # fmt: skip


def compare(
    folder: Path, base: str, head: str, seconds: float = 100.0, cancel: CancelToken | None = None
) -> Comparison:
    """Both texts as the module `things` of two projects, compared."""
    for name, text in (("base", base), ("head", head)):
        (folder / name).mkdir()
        (folder / name / "things.py").write_text(text, encoding="utf-8")
    return compare_versions(
        folder / "head",
        read_changes(folder / "head", base=folder / "base", head=folder / "head"),
        base_folder=folder / "base",
        head_folder=folder / "head",
        interpreter=find_interpreter(folder / "head", sys.executable),
        seed=0,
        deadline=time.monotonic() + seconds,
        cancel=cancel,
    )


def rewritten(text: str) -> str:
    """The text with all harmless rewrites."""
    for old, new in HARMLESS:
        assert old in text
        text = text.replace(old, new)
    return text


def test_a_defect_is_shown_by_its_smallest_call_and_rewrites_are_silent(tmp_path: Path) -> None:
    """The one function that behaves differently is named with the call that shows it; rewritten ones, random numbers
    and the clock raise no alarm, and neither tree is touched."""
    found = compare(tmp_path, BASE, rewritten(BASE).replace('split(".")', 'split(".", 0)'))
    (one,) = found.differences
    assert (one.name, one.line, one.kind) == ("parse", 13, "exception")
    assert one.sentence.startswith('parse("1.2") returned (1, 2), now raises ValueError')
    assert (found.changed, found.compared, found.partial) == (4, 4, False)
    assert one.is_fair
    assert not one.crash
    assert sorted(path.name for path in tmp_path.rglob("*")) == ["base", "head", "things.py", "things.py"]


def test_nothing_altered_runs_nothing(tmp_path: Path) -> None:
    """A change of words alone needs no box."""
    found = compare(tmp_path, BASE, BASE.replace("The time of day.", "Now."))
    assert (found.differences, found.changed, found.executions) == ((), 0, 0)


def test_a_deadline_in_the_past_gives_a_partial_answer(tmp_path: Path) -> None:
    """Without time nothing is compared, and the answer says of each function why."""
    found = compare(tmp_path, BASE, rewritten(BASE), seconds=0.0)
    assert found.partial
    assert {one.why for one in found.not_compared} == {"the time was over first"}


def test_a_cancelled_comparison_ends(tmp_path: Path) -> None:
    """A token that is set ends the comparison before it starts a box."""
    token = CancelToken()
    token.cancel()
    with pytest.raises(Cancelled):
        compare(tmp_path, BASE, rewritten(BASE), cancel=token)


EFFECTS = '''"""What a call does beside its answer."""


class Stack:
    """Last in, first out."""

    def __init__(self, limit: int = 3):
        self._items = []
        self.limit = limit

    def push(self, item):
        """Put one on top."""
        self._items.append(item)

    def pop(self):
        """Take the top one."""
        return self._items.pop()


def note(lines: list, text: str) -> None:
    """Add a line."""
    lines.append(text)


def greet(name: str) -> None:
    """Say hello."""
    print("hello", name)


async def later(count: int) -> int:
    """One more."""
    return count + 1


def first(count: int):
    """Numbers from 0."""
    for number in range(count):
        yield number


def total(prices: list[int]) -> int:
    """The sum."""
    return sum(prices)


def area(width: int, height: int) -> int:
    """Width by height."""
    return width * height


def leave(code: int) -> int:
    """Gives the code back."""
    return code


def _low(size: int) -> bool:
    return size < 3
'''
DEFECTS = {
    "Stack.pop": ("self._items.pop()", "self._items.pop(0)", "value", "stack = Stack("),
    "note": ("lines.append(text)", "lines.insert(0, text)", "arguments", "note("),
    "greet": ('print("hello", name)', 'print("Hello", name)', "output", "greet("),
    "later": ("return count + 1", "return count + 2", "value", "asyncio.run(later("),
    "first": ("range(count)", "range(count - 1)", "value", "list(first("),
    "total": ("return sum(prices)", "return sum(prices) or None", "type", "total([])"),
    "area": ("width: int, height: int)", "width: int, height: int, depth: int)", "exception", "area("),
    "leave": ("    return code", "    if code == 77:\n        __import__('os')._exit(3)\n    return code", "exception",
              "leave(77)"),
    "_low": ("size < 3", "size <= 3", "value", "_low(3)"),
}  # fmt: skip


@pytest.mark.services
def test_each_effect_of_a_call_is_compared(tmp_path: Path) -> None:
    """State, arguments, output, coroutines, generators, hints, signatures, exits and boundaries are all seen."""
    head = EFFECTS
    for old, new, _, _ in DEFECTS.values():
        assert old in head
        head = head.replace(old, new)
    found = {one.name: one for one in compare(tmp_path, EFFECTS, head).differences}
    assert sorted(found) == sorted(DEFECTS)
    for name, row in DEFECTS.items():
        assert found[name].call.startswith(row[3])
        assert found[name].kind == row[2] or (name == "Stack.pop" and found[name].kind == "type")
    assert found["total"].breaks_hint
    assert found["leave"].crash


@pytest.mark.services
def test_a_head_that_cannot_be_imported_is_a_difference(tmp_path: Path) -> None:
    """A module that the base imports and the head does not is told as such; a base that breaks is only named."""
    broken = rewritten(BASE).replace("import random\n", "import random\n\nLARGE = 1 // 0\n")
    (one,) = compare(tmp_path, BASE, broken).differences
    assert (one.call, one.before, one.crash) == ("import things", "worked", True)
    assert "ZeroDivisionError" in one.after
    (tmp_path / "other").mkdir()
    found = compare(tmp_path / "other", broken, BASE)
    assert found.differences == ()
    assert all(skipped.why.startswith("in the base its import raises") for skipped in found.not_compared)


def test_what_was_not_read_in_time_is_named(tmp_path: Path) -> None:
    """A set-up that the time cuts says which file was left out, and the comparison is partial."""
    found = compare(tmp_path, BASE, BASE.replace("10", "11"), seconds=-1.0)
    assert [(one.path, one.why) for one in found.not_compared] == [("things.py", "the time was over first")]
    assert found.partial


def test_a_cancelled_set_up_ends(tmp_path: Path) -> None:
    """Who gave it up waits for no file more."""
    cancel = CancelToken()
    cancel.cancel()
    with pytest.raises(Cancelled):
        compare(tmp_path, BASE, BASE.replace("10", "11"), cancel=cancel)
