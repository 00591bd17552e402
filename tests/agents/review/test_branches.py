"""Which untested branches are the change's: by what coverage measured of the head and of the base."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from aqe.agents.coverage.measured import FileCoverage
from aqe.agents.gate.interpreter import Interpreter
from aqe.agents.review.branches import BranchReview, all_untested, find_untested, news, reaching_tests
from aqe.agents.review.sides import Sides
from aqe.agents.review.sources import Source
from aqe.engine.progress import CancelToken, silent

BASE = """\
def price(count, member):
    if member:
        count = count - 1
    return count * 3
"""
HEAD = """\
def price(count, member):
    if member:
        count = count - 1
    if count > 100:
        return 0
    return count * 3
"""


def source(text: str, *touched: int) -> Source:
    return Source("shop/a.py", text, frozenset(touched))


def measured(ran: set[int], missing: set[int], arms: set[tuple[int, int]]) -> FileCoverage:
    return FileCoverage("shop/a.py", frozenset(ran), frozenset(missing), frozenset(), frozenset(arms))


def told(head: Source, now: FileCoverage, base: Source | None, then: FileCoverage | None) -> list[str]:
    before = None if base is None else (base, None if then is None else list(all_untested(base, then)))
    return [one.what for one in news(head, list(all_untested(head, now)), before)]


def test_a_new_branch_that_no_test_takes_is_told() -> None:
    """The arm is named by its condition and the way that is not taken."""
    now = measured({1, 2, 3, 4, 6}, {5}, {(4, 5)})
    then = measured({1, 2, 3, 4}, set(), set())
    assert told(source(HEAD, 4, 5), now, source(BASE), then) == ["No test has `count > 100` true here."]


def test_a_branch_that_was_as_untested_before_is_not() -> None:
    """Rewriting a condition that no test made true does not bring an untested branch."""
    rewritten = BASE.replace("if member:", "if member is True:")
    now, then = measured({1, 2, 4}, {3}, {(2, 3)}), measured({1, 2, 4}, {3}, {(2, 3)})
    assert told(source(rewritten, 2), now, source(BASE), then) == []


def test_code_that_moved_into_a_function_of_its_own_is_not() -> None:
    """What was untested in one function and is as untested in another that was taken out of it is nothing new."""
    moved = "def rebate(count, member):\n    if member:\n        count = count - 1\n    return count\n"
    moved += "\n\ndef price(count, member):\n    return rebate(count, member) * 3\n"
    now = measured({1, 2, 4, 7, 8}, {3}, {(2, 3)})
    then = measured({1, 2, 4}, {3}, {(2, 3)})
    assert told(source(moved, 1, 4, 5, 6, 8), now, source(BASE), then) == []


def test_untested_branches_of_untouched_code_are_not() -> None:
    """Only decisions and blocks with a changed line count."""
    now = measured({1, 2, 4, 6}, {3, 5}, {(2, 3), (4, 5)})
    assert told(source(HEAD, 4, 5), now, None, None) == ["No test has `count > 100` true here."]


def test_a_function_that_no_test_runs_is_told_once() -> None:
    """Its branches are not counted one by one."""
    now = measured({1}, {2, 3, 4, 5, 6}, {(2, 3), (2, 4), (4, 5), (4, 6)})
    assert told(source(HEAD, 1, 2, 3, 4, 5, 6), now, None, None) == ["No test runs price."]


def test_a_new_branch_in_a_function_that_no_test_runs_is_told() -> None:
    """The function was untested before; the branch is what the change brought, and rewriting one brings none."""
    dead, dead_before = measured({1}, {2, 3, 4, 5, 6}, set()), measured({1}, {2, 3, 4}, set())
    expected = ["No test runs price, so none takes the branch that is new here."]
    assert told(source(HEAD, 4, 5), dead, source(BASE), dead_before) == expected
    assert told(source(HEAD, 4, 5), dead, source(BASE), None) == expected
    rewritten = source(BASE.replace("if member:", "if member is True:"), 2)
    assert told(rewritten, dead_before, source(BASE), dead_before) == []


def test_a_function_whose_tests_are_gone_is_told() -> None:
    """Tests ran it before and none does now."""
    now, then = measured({1}, {2, 3, 4}, set()), measured({1, 2, 4}, {3}, {(2, 3)})
    assert told(source(BASE.replace("* 3", "* 4"), 4), now, source(BASE), then) == ["No test runs price."]


def test_without_the_bases_coverage_only_new_decisions_count() -> None:
    """Where the base could not be measured, what it decided likewise is passed over."""
    now = measured({1, 2, 4, 6}, {3, 5}, {(2, 3), (4, 5)})
    assert told(source(HEAD, 2, 3, 4, 5), now, source(BASE), None) == ["No test has `count > 100` true here."]


def test_without_the_bases_coverage_renamed_variables_bring_nothing() -> None:
    """A function that has as many decisions as before brought none, whatever they read like."""
    renamed = BASE.replace("member", "is_member")
    assert told(source(renamed, 1, 2), measured({1, 2, 4}, {3}, {(2, 3)}), source(BASE), None) == []


@pytest.mark.parametrize(
    ("text", "ran", "missing", "arms", "what"),
    [
        (
            "def f(x):\n    for i in x:\n        g(i)\n    return 1\n",
            {1, 2, 4},
            {3},
            {(2, 3)},
            "goes into `for i in x`",
        ),
        ("def f(x):\n    if x:\n        g()\n    return 1\n", {1, 2, 3, 4}, set(), {(2, 4)}, "`x` false here"),
        (
            "def f(x):\n    try:\n        return g(x)\n    except KeyError:\n        return 2\n",
            {1, 2, 3},
            {4, 5},
            set(),
            "done about KeyError",
        ),
        (
            "def f(x):\n    match x:\n        case 1:\n            return 1\n        case [2]:\n            return 2\n",
            {1, 2, 3, 4, 5},
            {6},
            {(5, 6)},
            "takes the case [2]",
        ),
    ],
)
def test_each_kind_of_branch_has_its_words(
    text: str, ran: set[int], missing: set[int], arms: set[tuple[int, int]], what: str
) -> None:
    """Loops, conditions, handlers and cases are named as they read."""
    head = source(text, *range(1, 9))
    (found,) = told(head, measured(ran, missing, arms), None, None)
    assert what in found


def test_tests_reach_a_module_through_others(tmp_path: Path) -> None:
    """Direct importers come first, then those that import through a package, another module or a conftest."""
    files = {
        "src/shop/__init__.py": "from shop.cart import Cart\n",
        "src/shop/cart.py": "from .price import (\n    price,\n    rebate,\n)\n",
        "src/shop/price.py": "def price(): ...\n",
        "src/shop/other.py": "import os\n",
        "tests/test_price.py": "from shop.price import price\n",
        "tests/test_cart.py": "def test_a():\n    from shop import cart as one\n",
        "tests/deep/conftest.py": "import shop.price\n",
        "tests/deep/test_deep.py": "import os\n",
        "tests/test_unrelated.py": "import os, shopping\n",
    }
    for name, text in files.items():
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    reached = reaching_tests(tmp_path, ["src/shop/price.py"])
    assert reached[0] == "tests/test_price.py"
    assert set(reached) == {"tests/test_price.py", "tests/test_cart.py", "tests/deep/test_deep.py"}


def test_a_change_of_comments_runs_no_test(tmp_path: Path) -> None:
    """Where only comments, formatting or docstrings differ nothing is run; this interpreter could not run either."""
    gone = Interpreter(str(tmp_path / "no-python"), (3, 11, 0), "", "", (), True, True, "--python")
    head, base = source(BASE.replace("if member:", "if member:  # one is free"), 2), source(BASE, 2)
    sides = Sides(tmp_path, lambda: tmp_path, gone, False, time.monotonic() + 60, silent, CancelToken())
    found = find_untested([head], [base], sides)
    assert found == BranchReview()


def test_tests_for_which_no_time_is_left_make_the_result_partial(tmp_path: Path) -> None:
    """What the budget cuts is said, and the review is not whole."""
    gone = Interpreter(str(tmp_path / "no-python"), (3, 11, 0), "", "", (), True, True, "--python")
    head, base = source(BASE.replace("count - 1", "count - 2"), 3), source(BASE, 3)
    (tmp_path / "shop").mkdir()
    (tmp_path / "shop" / "a.py").write_text(head.text)
    (tmp_path / "test_a.py").write_text("from shop import a\n")
    sides = Sides(tmp_path, lambda: tmp_path, gone, False, time.monotonic() - 1, silent, CancelToken())
    found = find_untested([head], [base], sides)
    assert found.partial
    assert "No time was left" in found.notes[0]
