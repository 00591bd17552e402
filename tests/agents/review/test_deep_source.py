"""Expressions of a thousand terms, as generated code has them, are reviewed."""

from __future__ import annotations

import ast

from aqe.agents.changes import FileChange
from aqe.agents.review.executed.altered import find_altered
from aqe.agents.review.fragments import runs_of
from aqe.agents.review.smells import find_smells
from aqe.agents.review.sources import Source, printed

SUM = " + ".join(["x"] * 1500)


def test_deep_source_is_cut_into_runs() -> None:
    """Copies are sought in it as in any other, and what differs at the bottom differs."""
    texts = (
        f"def f(x):\n    return {SUM}\n",
        f"def g(y):\n    return {SUM.replace('x', 'y')}\n",
        f"def f(x):\n    return {SUM} * 2\n",
    )
    first, same, other = (runs_of("a.py", ast.parse(text))[1].statements[0] for text in texts)
    assert first.shape == same.shape != other.shape
    assert first.names == ("x",) * 1500


def test_a_deep_function_that_changed_is_found() -> None:
    """It, and the constant beside it, are told as changed; the function that did not change is not."""
    old = f"def f(x):\n    return {SUM}\n\n\ndef g(x):\n    return {SUM} - TOP\n\n\nTOP = [{SUM.replace('x', '1')}]\n"
    new = old.replace("+ x\n", "+ 1\n").replace("+ 1]", "+ 2]")
    found, gone = find_altered(
        FileChange("a.py", "a.py", "modified", False, old, new, frozenset({2, 9}), frozenset({2, 9}))
    )
    assert {one.name for one in found} == {"f", "TOP"}
    assert gone == ()


def test_a_deep_test_hides_no_smell_of_another() -> None:
    """Nothing is said of it, and the test after it is looked at."""
    text = f"def test_deep():\n    assert {SUM.replace('x', '1')} == 1500\n\n\ndef test_none():\n    print(1)\n"
    found = find_smells(Source("test_a.py", text, frozenset(range(1, 7))))
    assert "test-smell-no-assertion" in {one.rule for one in found if one.lines[0] >= 5}


def test_a_deep_expression_is_named_by_its_kind() -> None:
    """What nobody would read is not printed."""
    assert printed(ast.parse(SUM).body[0]) == "Expr"
    assert printed(ast.parse("a+b").body[0]) == "a + b"
