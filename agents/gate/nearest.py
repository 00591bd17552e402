"""How much of a test is its own: what no other test reaches or kills, and which other test is closest to it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Hashable, Mapping
from dataclasses import dataclass


@dataclass(frozen=True)
class Own:
    """`adds_*` count what only this test has; `nearest` shares most of its reach and kills, or is None."""

    adds_lines: int
    adds_branches: int
    adds_kills: int
    nearest: str | None

    @property
    def adds_nothing(self) -> bool:
        return not (self.adds_lines or self.adds_branches or self.adds_kills)


@dataclass(frozen=True)
class Footprint:
    """What one test reaches and kills, as sets of anything hashable."""

    lines: frozenset[Hashable]
    branches: frozenset[Hashable]
    kills: frozenset[Hashable]


def compare(footprints: Mapping[str, Footprint], kept: frozenset[str] = frozenset()) -> dict[str, Own]:
    """What each test adds to all others; tests in `kept` stay whatever they add.

    Of two tests with the same footprint the first by name adds it, so that leaving out every test that adds nothing
    never loses anything.
    """
    holders = [Counter[Hashable](), Counter[Hashable](), Counter[Hashable]()]
    for footprint in footprints.values():
        for counter, part in zip(holders, _parts(footprint), strict=True):
            counter.update(part)
    result: dict[str, Own] = {}
    for name in sorted(footprints, reverse=True):
        parts = _parts(footprints[name])
        adds = [sum(1 for one in part if counter[one] == 1) for counter, part in zip(holders, parts, strict=True)]
        own = Own(adds[0], adds[1], adds[2], _nearest(name, footprints))
        result[name] = own
        if own.adds_nothing and name not in kept:
            # it may go, so it is no reason for another one to go as well
            for counter, part in zip(holders, parts, strict=True):
                counter.subtract(part)
    return result


def _parts(footprint: Footprint) -> tuple[frozenset[Hashable], ...]:
    return (footprint.lines, footprint.branches, footprint.kills)


def _nearest(name: str, footprints: Mapping[str, Footprint]) -> str | None:
    """The other test with the largest share of common lines, branches and kills (Jaccard index of the union)."""
    best, best_share = None, 0.0
    mine = _parts(footprints[name])
    size = sum(map(len, mine))
    for other in sorted(footprints):
        if other == name:
            continue
        theirs = _parts(footprints[other])
        common = sum(len(one & two) for one, two in zip(mine, theirs, strict=True))
        share = common / (size + sum(map(len, theirs)) - common) if common else 0.0
        if share > best_share:
            best, best_share = other, share
    return best
