"""Functions, their complexity and their branches, read from source; and who calls them."""

from __future__ import annotations

import pytest

from aqe.agents.coverage.callers import Source, count_callers
from aqe.agents.coverage.structure import branch_in_words, read_structure

SOURCE = '''\
import os


def plain(a):
    """Says a."""
    return a


class Box:
    size = 1

    @property
    def width(self):
        if self.size and os.sep:
            return 1
        return [x for x in range(3) if x]

    async def fill(self):
        try:
            while True:
                pass
        except (KeyError, ValueError):
            raise

    def _inner(self):
        def deep():
            return 1
        return deep


for name in ():
    plain(name)
match os.name:
    case "nt":
        plain(1)
    case _:
        plain(2)
'''


def test_each_function_has_its_own_lines() -> None:
    """A function's body is its own, its header belongs to what is around it, and an inner function's body is apart."""
    lines = {one.name: sorted(one.lines) for one in read_structure(SOURCE).functions}
    assert lines["plain"] == [5, 6]
    assert lines["Box.width"] == [14, 15, 16]
    assert lines["Box._inner"] == [26, 28]
    assert lines["Box._inner.<locals>.deep"] == [27]
    assert {10, 12, 13, 18, 25} <= set(lines["Box"])
    assert {1, 4, 9, 31, 37} <= set(lines["<module>"])
    everything = [line for own in lines.values() for line in own]
    assert len(everything) == len(set(everything))


@pytest.mark.parametrize(
    ("name", "expected"), [("plain", 1), ("Box.width", 5), ("Box.fill", 3), ("Box._inner", 1), ("<module>", 3)]
)
def test_complexity_counts_decisions(name: str, expected: int) -> None:
    """Conditions, loops, handlers, cases, comprehensions and each `and` or `or` add one."""
    assert {one.name: one.complexity for one in read_structure(SOURCE).functions}[name] == expected


def test_public_names_are_told_from_internal_ones() -> None:
    """A name with an underscore part and a function inside another are internal; a dunder method is public."""
    found = read_structure("class A:\n  def __len__(self): pass\n  def _f(self): pass\n")
    assert {one.name: one.is_public for one in found.functions if one.is_function} == {"A.__len__": True, "A._f": False}


@pytest.mark.parametrize(
    ("arc", "expected"),
    [
        ((14, 15), "the condition on line 14 is never true"),
        ((14, 16), "the condition on line 14 is never false"),
        ((31, 32), "the loop on line 31 never has an item"),
        ((31, 33), "the loop on line 31 never comes to its end"),
        ((34, 35), "the case on line 34 never matches"),
        ((34, 36), "the case on line 34 always matches"),
        ((5, -4), "line 5 never leaves"),
    ],
)
def test_a_branch_is_told_in_words(arc: tuple[int, int], expected: str) -> None:
    """An arm that no test takes is a sentence about its condition, loop or case."""
    assert branch_in_words(read_structure(SOURCE), *arc) == expected


def counted(**texts: str) -> dict[str, int]:
    """The callers in a project of modules, by `module:name`."""
    paths = {name: f"{name.replace('__', '/')}.py" for name in texts}
    modules = {name: name.replace("__", ".").removesuffix(".init") for name in texts}
    sources = {
        paths[name].replace("init.py", "__init__.py"): Source(
            paths[name].replace("init.py", "__init__.py"), modules[name], read_structure(text)
        )
        for name, text in texts.items()
    }
    return {f"{path}:{name}": number for (path, name), number in count_callers(sources).items()}


def test_callers_are_followed_through_imports() -> None:
    """Calls by a plain name, by a module, by another name and through a package's __init__ all count for the one."""
    found = counted(
        pkg__init="from .core import work as labour\n",
        pkg__core="def work(): pass\nwork()\n",
        one="from pkg.core import work as w\nw()\n",
        two="import pkg.core\npkg.core.work()\n",
        three="from pkg import core, labour\ncore.work()\nlabour()\n",
        four="def work(): pass\nwork()\n",
    )
    assert found == {"pkg/core.py:work": 5, "four.py:work": 1}


def test_callers_of_methods_are_counted_where_the_name_tells() -> None:
    """A method's calls count while few have its name; a class's call is one of its __init__."""
    box = "class Box:\n  def __init__(self): self.fill()\n  def fill(self): pass\n"
    assert counted(box=box, user="from box import Box\nBox().fill()\n") == {
        "box.py:Box.fill": 2,
        "box.py:Box.__init__": 1,
    }
    found = counted(box="class Box:\n  def index(self): pass\n  def find(self): self.index()\n", user="x.index()\n")
    assert found == {"box.py:Box.index": 1}
    many = "".join(f"class C{number}:\n  def fill(self): pass\n" for number in range(4))
    assert counted(box=box, many=many, user="x.fill()\n") == {"box.py:Box.fill": 1}
