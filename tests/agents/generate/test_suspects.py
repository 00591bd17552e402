"""Suspected bugs: one of each, with a snippet that runs."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from aqe.agents.generate.cases import read_result
from aqe.agents.generate.outline import Outline, read_outline
from aqe.agents.generate.suspects import select, without_suspects

SUBJECT = """
class Cart:
    def __init__(self, items=None):
        self.items = items or []

    def total(self):
        return self.items[0]


def first(items):
    return items[0]
"""


def suspect(target: str, steps: list[dict[str, Any]], **more: Any) -> dict[str, Any]:
    base = {
        "kind": "undocumented-exception",
        "exception": "IndexError",
        "message": "list index out of range",
        "line": 11,
    }
    return {"target": target, "steps": steps, "why": "raises IndexError, which nothing documents", **base, **more}


def call(callee: str, *args: str, bind: str | None = None) -> dict[str, Any]:
    return {"callee": callee, "args": list(args), "kwargs": [], "bind": bind, "await": False}


@pytest.fixture
def outline(tmp_path: Path) -> Outline:
    (tmp_path / "cart.py").write_text(SUBJECT)
    return read_outline(tmp_path / "cart.py")


def test_one_suspect_for_each_function_exception_and_line(outline: Outline) -> None:
    """Of several calls that fail alike, the shortest is reported."""
    found = [suspect("first", [call("first", '["", ""][2:]')]), suspect("first", [call("first", "[]")])]
    (bug,) = select(found, "cart", outline)
    assert bug.reproduction.splitlines()[-1].startswith("first([])")


def test_reproduction_runs_and_shows_the_failure(outline: Outline, tmp_path: Path) -> None:
    """The snippet is a whole script: run beside the module, it raises what the report says."""
    steps = [call("Cart", bind="cart"), call("cart.total")]
    (bug,) = select([suspect("Cart.total", steps, line=7)], "cart", outline)
    done = subprocess.run(
        [sys.executable, "-c", bug.reproduction], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert "IndexError: list index out of range" in done.stderr
    assert "from cart import Cart" in bug.reproduction


STREAM = """
import os


async def collect(count):
    if os.environ.get("MODE") == "loud":
        raise IndexError("out of range")
    yield count
"""


def test_reproduction_sets_variables_and_hides_no_name_of_the_subject(tmp_path: Path) -> None:
    """A script has no monkeypatch, and what collects a stream takes another name than the function that gives it."""
    (tmp_path / "stream.py").write_text(STREAM)
    steps = [call("monkeypatch.setenv", '"MODE"', '"loud"'), {**call("collect", "1"), "collect": True}]
    (bug,) = select([suspect("collect", steps, line=7)], "stream", read_outline(tmp_path / "stream.py"))
    done = subprocess.run(
        [sys.executable, "-c", bug.reproduction], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert done.stderr.splitlines()[-1] == "IndexError: out of range"


def test_calls_of_suspects_are_not_asserted(outline: Outline) -> None:
    """A case with the calls of a suspect leaves the tests."""
    raised = {"kind": "raises", "exception": "IndexError", "message": ""}
    given = {"kind": "returns", "src": "1", "type": "int"}
    value = {
        "cases": [
            {"target": "first", "steps": [call("first", "[]")], "outcome": raised},
            {"target": "first", "steps": [call("first", "[1]")], "outcome": given},
        ]
    }
    kept = without_suspects(read_result(value, "cart").cases, [suspect("first", [call("first", "[]")])])
    assert [case.steps[0].args for case in kept] == [("[1]",)]


def test_contrived_calls_and_examples_without_their_import_are_no_bugs(outline: Outline) -> None:
    """Private arguments, and a docstring example that only lacks an import, are not reported."""
    private = {**call("Cart", bind="cart"), "kwargs": [["_items", "1"]]}
    found = [
        suspect("Cart.total", [private, call("cart.total")]),
        suspect("first", [call("first", "[]")], exception="", actual="NameError: name 'cart' is not defined"),
    ]
    assert select(found, "cart", outline) == ()


def test_hint_is_judged_on_the_call_itself(outline: Outline) -> None:
    """A docstring example that prints str(f()) says nothing about the return hint of f."""
    step = {**call("str(first([1]))"), "kind": "get"}
    assert select([suspect("first", [step], kind="hint-broken", exception="")], "cart", outline) == ()
