"""What a returned function does: it is called a few times, and what it returns once more."""

from __future__ import annotations

import functools
import inspect
import types
from typing import Any, List, Sequence, Tuple

from .literals import freeze, qualified
from .observe import Expired
from .probes import StepLimit

MOST_CALLS = 6
DEPTH = 2
Outcome = Tuple[str, Any]
_CACHED = type(functools.lru_cache(maxsize=None)(repr))


def sample(*args: Any, **kwargs: Any) -> Any:
    """What a decorator is given: says what it was called with."""
    return (args, sorted(kwargs.items()))


_ROWS: Tuple[Tuple[Any, ...], ...] = ((1,), ("ab",), (3, 2), ("a b", 1), ([2, 1],), (sample,))


def is_closure(value: Any) -> bool:
    """Whether a value is a function that another one made."""
    if isinstance(value, (functools.partial, _CACHED)):
        return True
    return isinstance(value, types.FunctionType) and ("<" in value.__qualname__ or "__wrapped__" in vars(value))


def calls_of(made: Any, depth: int = DEPTH) -> List[Outcome]:
    """Calls of a returned function with what each gave, frozen; a function that it returns is called as well."""
    found: List[Outcome] = []
    for row in _fitting(made):
        text = "(%s)" % ", ".join("function" if one is sample else repr(one) for one in row)
        try:
            value = made(*[list(one) if isinstance(one, list) else one for one in row])
            inner = calls_of(value, depth - 1) if depth > 1 and is_closure(value) else []
            found.append((text, (freeze(value), tuple(inner))))
        except (StepLimit, Expired):
            raise
        except BaseException as error:  # a subject may raise anything
            found.append((text, ("raises", qualified(type(error)))))
    return found


def _fitting(made: Any) -> Sequence[Tuple[Any, ...]]:
    """Arguments that the signature takes; the first row twice, for functions that remember."""
    try:
        parameters = list(inspect.signature(made).parameters.values())
    except (TypeError, ValueError):
        return ()
    if any(one.kind is one.KEYWORD_ONLY and one.default is one.empty for one in parameters):
        return ()
    places = [one for one in parameters if one.kind in (one.POSITIONAL_ONLY, one.POSITIONAL_OR_KEYWORD)]
    least = sum(1 for one in places if one.default is one.empty)
    most = 99 if any(one.kind is one.VAR_POSITIONAL for one in parameters) else len(places)
    rows = [row for row in ((), *_ROWS) if least <= len(row) <= most]
    if not rows and 2 < least <= 4:
        rows = [tuple(range(1, least + 1))]
    return [*rows[: MOST_CALLS - 1], *rows[:1]]
