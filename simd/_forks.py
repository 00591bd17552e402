"""What must not be half done when the process is forked: whatever one thread changes, or holds a lock of, at a time.

A fork carries one thread over. A lock that another one held would never be given back in the child, and what that one
was at would stay half done. So a fork waits until nobody is at work on any of these, and the child gets locks of its
own. Where somebody is at it for longer than that, the child is told so in place of a wrong answer or none.
"""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Generic, TypeVar
from weakref import ref

T = TypeVar("T")

PATIENCE_S = 5.0
"""How long a fork waits for other threads, most of which are done in some milliseconds."""


@dataclass(frozen=True)
class AtForks(Generic[T]):
    """What is done with objects of a kind: `hold` has others wait for `let_go`, if that comes about within some
    seconds; `begin_anew` gives one new locks in a child, knowing whether it was held."""

    hold: Callable[[T, float], bool]
    let_go: Callable[[T], None]
    begin_anew: Callable[[T, bool], None]


_known: dict[ref[Any], AtForks[Any]] = {}
_forking = threading.local()


def watch(one: T, ways: AtForks[T]) -> None:
    """Let no process be forked in the middle of work on this object, which is ready for it."""
    _known[ref(one, _forget)] = ways


def _forget(gone: ref[Any]) -> None:
    _known.pop(gone, None)


def torn(what: str) -> RuntimeError:
    """The error of something that another thread was at when this process was forked."""
    return RuntimeError(f"this process was forked in the middle of work on these {what}: make them anew")


def _every() -> list[tuple[Any, AtForks[Any]]]:
    """All that there are; other threads make some and let some go meanwhile."""
    found = [(known(), _known.get(known)) for known in list(_known)]
    return [(one, ways) for one, ways in found if one is not None and ways is not None]


def _wait() -> None:
    """Hold everything, what comes to be meanwhile too, each thread in the same order: two may fork at once."""
    held: dict[int, tuple[Any, AtForks[Any]]] = {}
    _forking.held = held
    tried: set[int] = set()
    until = time.monotonic() + PATIENCE_S
    while time.monotonic() < until and (some := [(one, ways) for one, ways in _every() if id(one) not in tried]):
        for one, ways in sorted(some, key=lambda pair: id(pair[0])):
            tried.add(id(one))
            if ways.hold(one, max(0.0, until - time.monotonic())):
                held[id(one)] = one, ways


def _go_on() -> None:
    for one, ways in _forking.__dict__.pop("held", {}).values():
        ways.let_go(one)


def _begin_anew() -> None:
    held = _forking.__dict__.pop("held", {})
    for one, ways in _every():
        ways.begin_anew(one, id(one) in held)


if hasattr(os, "register_at_fork"):
    os.register_at_fork(before=_wait, after_in_parent=_go_on, after_in_child=_begin_anew)
