"""The run-time handle of an instrumented module: which arms were taken, which mutant is on, how many steps are left.

The instrumented code sees four globals of its module: a bytearray of arms, the switch (an integer), a function called
at each function entry and one called at each loop turn. Turning a mutant on or off is one store into the module.
"""

from __future__ import annotations

import itertools
import operator
from types import ModuleType
from typing import Any, Callable, Dict, Iterator, Optional, Set

HITS, SWITCH, ENTER, TURN = "_aqe_hits", "_aqe_switch", "_aqe_enter", "_aqe_turn"
NO_LIMIT = 1 << 62


class StepLimit(BaseException):
    """The subject made more loop turns and function entries than it was given."""


class BrokenTwin(BaseException):
    """Raised at the entry of every function of the subject while its twin is broken."""


class _Noter:
    """Stands in for the switch and notes which mutants are asked for; it turns none on."""

    __slots__ = ("first", "seen")

    def __init__(self, seen: Set[int]) -> None:
        self.seen = seen
        self.first = 0

    def __eq__(self, mutant: Any) -> bool:
        self.seen.add(mutant)
        return False

    def __ne__(self, mutant: object) -> bool:
        return not self == mutant

    def __ge__(self, first: int) -> bool:
        self.first = first
        return True

    def __le__(self, last: int) -> bool:
        self.seen.update(range(self.first, last + 1))
        return False


class _Spent:
    """The end of the steps: every further step raises."""

    def __iter__(self) -> "Iterator[None]":
        return self

    def __next__(self) -> None:
        raise StepLimit()


_SPENT = _Spent()


def _broken() -> None:
    raise BrokenTwin("the subject is broken on purpose")


class Probes:
    """Hits, switch and steps of one instrumented module.

    `hits[arm]` is 1 once the arm was taken. `switch` is the mutant that is on, -1 for none. While `noting` is True no
    mutant is on and `reached` collects the mutants that were asked for. `reached_at_import` holds those that the
    import itself asked for.
    """

    def __init__(self, module: Optional[ModuleType], arms: int) -> None:
        self.hits = bytearray(arms)
        self.reached: Set[int] = set()
        self.reached_at_import: Set[int] = set()
        self.step_limit = NO_LIMIT
        self._zero = bytes(arms)
        self._globals: Dict[str, Any] = module.__dict__ if module is not None else {}
        self._switch = -1
        self._noting = False
        self._is_broken = False
        self._counter: Iterator[None] = itertools.repeat(None)
        self._enter: Callable[[], None] = self._counter.__next__
        self._globals[HITS] = self.hits
        self._globals[SWITCH] = -1
        self.start()

    def clear(self) -> None:
        """Forget which arms were taken."""
        self.hits[:] = self._zero

    def start(self, step_limit: Optional[int] = None) -> None:
        """Give the subject `step_limit` steps from now on (the last limit where None)."""
        if step_limit is not None:
            self.step_limit = step_limit
        self._counter = counter = itertools.repeat(None, self.step_limit)
        turn = itertools.chain(counter, _SPENT).__next__
        self._globals[TURN] = turn
        self._enter = turn
        if not self._is_broken:
            self._globals[ENTER] = turn

    @property
    def steps(self) -> int:
        """Steps made since the last `start`."""
        return self.step_limit - operator.length_hint(self._counter)

    @property
    def switch(self) -> int:
        return self._switch

    @switch.setter
    def switch(self, mutant: int) -> None:
        self._switch = self._globals[SWITCH] = mutant
        self._noting = False

    @property
    def noting(self) -> bool:
        return self._noting

    @noting.setter
    def noting(self, on: bool) -> None:
        self._noting = on
        self._switch = -1
        self._globals[SWITCH] = _Noter(self.reached) if on else -1

    @property
    def broken(self) -> bool:
        return self._is_broken

    @broken.setter
    def broken(self, on: bool) -> None:
        self._is_broken = on
        self._globals[ENTER] = _broken if on else self._enter
