"""Makes a collected test as good as new, so that what fails when it is repeated in its process fails for what the
project keeps, not for what pytest keeps: pytest collects an item for one run.

A doctest's namespace is emptied by its run; a method's instance is made once for its item; the objects of a
parametrisation are made when its module is imported, and a test that changes them meets its own changes.
"""

import copy
from types import ModuleType
from typing import Any, Callable, Dict, List, Tuple

import pytest
from _pytest.doctest import DoctestItem

Renew = Callable[[], None]


def is_repeatable(item: Any) -> bool:
    """Whether pytest's own kinds of items are meant; of another plugin's it is not known what a second run means."""
    return isinstance(item, (pytest.Function, DoctestItem))


def renewal(item: Any) -> Renew:
    """A function that makes the item as it is now, but for its parameters."""
    test = getattr(item, "dtest", None)
    names = dict(test.globs) if test is not None else {}

    def renew() -> None:
        if test is not None:
            test.globs.clear()
            test.globs.update(names)
        elif getattr(item, "cls", None) is not None and type(item) is pytest.Function:
            item.__dict__.pop("_instance", None)
            item._obj = None

    return renew


class Parameters:
    """The parameters of an item as they are now. `are_copied` is False where one of them cannot be copied."""

    def __init__(self, item: Any) -> None:
        callspec = getattr(item, "callspec", None)
        held = [getattr(callspec, name, None) for name in ("params", "funcargs")]
        self.places: List[Dict[str, Any]] = [one for one in held if isinstance(one, dict) and one]
        self.kept: List[Dict[str, Any]] = []
        self.are_copied = True
        for place in self.places:
            self.kept.append({name: self._copied(value) for name, value in place.items()})

    def _copied(self, value: Any) -> Any:
        """A copy; the value itself where there can be none."""
        if isinstance(value, ModuleType):
            return value
        try:
            return copy.deepcopy(value)
        except Exception:
            self.are_copied = False
            return value

    def give_copies(self) -> None:
        """Let the item's next run have copies of its own."""
        for place, kept in zip(self.places, self.kept):
            place.update({name: self._copied(value) for name, value in kept.items()})


def remembered(item: Any) -> Tuple[Renew, Parameters]:
    """Both, before the item's first run."""
    return renewal(item), Parameters(item)
