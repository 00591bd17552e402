"""The smallest set of earlier tests that changes a test's outcome, by delta debugging.

`ddmin` is that of Zeller and Hildebrandt (Simplifying and isolating failure-inducing input, IEEE TSE 2002). Before it,
the runs that were made are read: a single culprit stood before the test in each run that shows the effect, and after it
in each that does not, which often leaves few to try.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

Shows = Callable[[Sequence[str]], bool]


def suspects(
    prefix: Sequence[str], test: str, showing: Sequence[Sequence[str]], hiding: Sequence[Sequence[str]]
) -> list[str]:
    """The tests of `prefix` that stood before `test` in each order that shows the effect and in none that hides it.

    >>> suspects(["a", "b", "c"], "v", showing=[["a", "b", "v"]], hiding=[["a", "v", "b"]])
    ['b']
    """
    left = set(prefix)
    for order in showing:
        left &= set(_before(order, test))
    for order in hiding:
        left -= set(_before(order, test))
    return [name for name in prefix if name in left]


def _before(order: Sequence[str], test: str) -> Sequence[str]:
    return order[: order.index(test)] if test in order else ()


def find_culprits(prefix: Sequence[str], likely: Sequence[str], shows: Shows) -> tuple[str, ...] | None:
    """A smallest part of `prefix`, in its order, after which the effect shows; None where the whole does not show it.

    `likely` is tried first, all at once.
    """
    for start in ([likely] if 0 < len(likely) < len(prefix) else []) + [prefix]:
        if shows(start):
            return tuple(ddmin(start, shows))
    return None


def ddmin(whole: Sequence[str], shows: Shows) -> list[str]:
    """A part of `whole`, in its order, that shows the effect and of which no single member can be left out.

    `shows(whole)` is taken as true.

    >>> ddmin("abcdefgh", lambda part: {"b", "g"} <= set(part))
    ['b', 'g']
    """
    found, pieces = list(whole), 2
    while len(found) > 1:
        size = -(-len(found) // pieces)
        chunks = [found[start : start + size] for start in range(0, len(found), size)]
        rests = [[name for other in chunks if other is not chunk for name in other] for chunk in chunks]
        smaller = next((part for part in chunks if shows(part)), None)
        rest = next((part for part in rests if shows(part)), None) if smaller is None and len(chunks) > 2 else None
        if smaller is not None:
            found, pieces = smaller, 2
        elif rest is not None:
            found, pieces = rest, max(pieces - 1, 2)
        elif size == 1:
            break
        else:
            pieces = min(2 * pieces, len(found))
    return found
