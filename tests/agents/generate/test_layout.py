"""The printer leaves a formatter nothing to do."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from aqe.agents.generate.layout import find_ruff, inline, parse, statement

LONG = "['a' * 30, {'key': 'value', 2: [1, 2, 3]}]"


@pytest.mark.parametrize(
    ("source", "printed"),
    [
        ("f('a')", 'f("a")'),
        ("f('say \"hi\"')", "f('say \"hi\"')"),
        ('f("it\'s")', 'f("it\'s")'),
        ("f(b'x',k=1)", 'f(b"x", k=1)'),
        ("(1,)", "(1,)"),
        ("{'a':-1}", '{"a": -1}'),
    ],
)
def test_expression_is_printed_in_blacks_style(source: str, printed: str) -> None:
    """Strings get double quotes unless they hold one, and spaces go where black puts them."""
    assert inline(parse(source)) == printed


@pytest.mark.parametrize(
    "source",
    [
        f"compute({LONG}, name='other', more=[1, 2, 3, 4, 5, 6, 7])",
        "[" + ", ".join(f"'item number {number}'" for number in range(9)) + "]",
        "{'first': " + LONG + ", 'second': (1, 2), 'third': {'inner': 'some longer text here'}}",
        "outer(inner(" + ", ".join(f"argument_{number}" for number in range(9)) + "), last=None)",
    ],
)
def test_long_statement_is_stable_under_ruff(source: str) -> None:
    """A statement broken over lines comes back from `ruff format` byte for byte."""
    text = "def test():\n" + "\n".join(statement("result = ", parse(source))) + "\n"
    command = [sys.executable, "-m", "ruff", "format", "--isolated", "-"]
    done = subprocess.run(command, input=text, capture_output=True, text=True, check=True)
    assert done.stdout == text
    assert max(map(len, text.splitlines())) <= 88


def test_ruff_of_the_project_comes_first(tmp_path: Path) -> None:
    """The project's own ruff is taken before the one on PATH."""
    (tmp_path / "ruff").write_text("")
    assert find_ruff([tmp_path]) == str(tmp_path / "ruff")
