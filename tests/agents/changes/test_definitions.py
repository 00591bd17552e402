"""The functions and classes of a source text."""

from __future__ import annotations

import pytest

from aqe.agents.changes import definition_at, definitions

TEXT = '''import os


@cache
def plain(x):
    """Says something."""
    return x


class Box:
    size = 1

    @property
    def area(self):
        def inner():
            return 1
        return inner()


if os.name:
    def chosen():
        return 2
'''


def test_each_definition_is_named_and_placed() -> None:
    """Decorators belong to a definition; what stands under a condition is found too."""
    found = {one.qualname: (one.kind, one.first_line, one.body_line, one.last_line) for one in definitions(TEXT)}
    assert found == {
        "plain": ("function", 4, 6, 7),
        "Box": ("class", 10, 11, 17),
        "Box.area": ("function", 13, 15, 17),
        "Box.area.<locals>.inner": ("function", 15, 16, 16),
        "chosen": ("function", 21, 22, 22),
    }


@pytest.mark.parametrize(
    ("line", "name"), [(4, "plain"), (11, "Box"), (16, "Box.area.<locals>.inner"), (17, "Box.area")]
)
def test_a_line_belongs_to_the_innermost_definition(line: int, name: str) -> None:
    """An inner function is told before the one that holds it."""
    found = definition_at(definitions(TEXT), line)
    assert found is not None
    assert found.qualname == name


def test_a_line_of_the_module_belongs_to_none() -> None:
    """Imports and conditions stand in no definition."""
    assert definition_at(definitions(TEXT), 1) is None


def digest(text: str) -> str:
    return definitions(text)[0].digest


def test_formatting_comments_and_docstrings_leave_the_digest() -> None:
    """What changes nothing at run time is no change."""
    assert digest("def f(x):\n    return x+1\n") == digest(
        'def f( x ):\n    """Doc."""\n    # why\n    return (x + 1)\n'
    )


@pytest.mark.parametrize(
    "other", ["def f(x):\n    return x-1\n", "def f(x=1):\n    return x+1\n", "@a\ndef f(x):\n    return x+1\n"]
)
def test_what_is_executed_changes_the_digest(other: str) -> None:
    """A body, a default and a decorator count."""
    assert digest("def f(x):\n    return x+1\n") != digest(other)


def test_source_that_cannot_be_parsed_is_refused() -> None:
    """The caller decides what to say of it."""
    with pytest.raises(SyntaxError):
        definitions("def f(:\n")


@pytest.mark.parametrize("body", [" + ".join(["x"] * 1500), "x" + ".y" * 1200, "[" + "x, " * 5000 + "]"])
def test_deep_and_long_expressions_have_a_digest(body: str) -> None:
    """A sum of 1500 terms is a tree as deep: it is told from another, and formatting leaves it alone."""
    assert digest(f"def f(x):\n    return {body}\n") == digest(f"def f(x):\n    return (\n        {body})\n")
    assert digest(f"def f(x):\n    return {body}\n") != digest(f"def f(x):\n    return {body} - 1\n")


def test_definitions_in_long_chains_of_conditions_are_found() -> None:
    """Each elif stands inside the one before; the definitions of all are found in their order."""
    text = "if x == 0:\n    def f0(): pass\n"
    text += "".join(f"elif x == {number}:\n    def f{number}(): pass\n" for number in range(1, 900))
    assert [one.qualname for one in definitions(text)] == [f"f{number}" for number in range(900)]
