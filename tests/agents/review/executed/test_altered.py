"""What counts as altered, what runs to show it, and what is risky is read from the texts of both sides."""

from __future__ import annotations

import pytest

from aqe.agents.changes import FileChange
from aqe.agents.review.executed.altered import Altered, find_altered

BASE = '''"""Prices."""

LIMIT = 10


def rebate(price):
    """What is taken off."""
    return _share(price) if price > LIMIT else 0


def _share(price):
    return price // 10


class Cart:
    """A cart."""

    size = 3

    def __init__(self, items):
        self.items = items

    def total(self):
        return sum(self.items)
'''


def altered(head: str, base: str = BASE) -> dict[str, Altered]:
    """What a change of the whole text altered, by name."""
    lines = [old == new for old, new in zip(base.split("\n"), head.split("\n"), strict=False)]
    added = frozenset(number for number, same in enumerate(lines, 1) if not same)
    found, _ = find_altered(FileChange("prices.py", "prices.py", "modified", False, base, head, added, added))
    return {one.name: one for one in found}


@pytest.mark.parametrize(
    "head",
    [
        BASE.replace("def rebate(price):", "def rebate(price: int) -> int:"),
        BASE.replace("What is taken off.", "The rebate."),
        BASE.replace("    return price // 10", "    # a tenth\n    return (price // 10)"),
    ],
    ids=["hints", "docstring", "comment"],
)
def test_a_change_that_runs_nothing_else_alters_nothing(head: str) -> None:
    """Hints, docstrings, comments and formatting are no change of behaviour."""
    assert altered(head) == {}


def test_a_changed_helper_is_shown_by_itself_and_by_its_callers() -> None:
    """A changed function runs itself; functions of the module that use it are its callers."""
    one = altered(BASE.replace("price // 10", "price // 9"))["_share"]
    assert (one.runs, one.callers, one.line) == (("_share",), ("rebate",), 12)


def test_a_changed_constructor_runs_the_class() -> None:
    """What __init__ does differently shows in the object and in its methods."""
    one = altered(BASE.replace("self.items = items", "self.items = list(items)"))["Cart.__init__"]
    assert one.runs == ("Cart",)
    assert "Cart.total" in one.callers


def test_a_changed_constant_runs_what_uses_it() -> None:
    """A table or constant at module level is seen through the functions that name it."""
    one = altered(BASE.replace("LIMIT = 10", "LIMIT = 11"))["LIMIT"]
    assert (one.runs, one.line, one.is_function) == (("rebate",), 3, False)


def test_a_changed_class_attribute_runs_the_class_and_its_members() -> None:
    """What changes in a class outside of its methods is looked for in all of them."""
    one = altered(BASE.replace("size = 3", "size = 4"))["Cart"]
    assert (one.runs, one.callers) == (("Cart",), ("Cart.total",))


def test_a_caller_that_changed_too_shows_nothing_for_the_other() -> None:
    """What a changed caller does differently may be its own doing."""
    head = BASE.replace("price // 10", "price // 9").replace("price > LIMIT", "price >= LIMIT")
    assert altered(head)["_share"].callers == ()


def test_changed_conditions_come_before_other_changes() -> None:
    """A short change of a condition is run first."""
    head = BASE.replace("self.items = items", "self.items = list(items)").replace("price > LIMIT", "price >= LIMIT")
    assert next(iter(altered(head))) == "rebate"


def test_a_function_that_is_gone_is_named() -> None:
    """What only the base has cannot be compared."""
    head = BASE.replace("def _share(price):\n    return price // 10\n", "")
    _, gone = find_altered(FileChange("prices.py", "prices.py", "modified", False, BASE, head))
    assert [(one.name, one.why) for one in gone] == [("_share", "it is gone")]
