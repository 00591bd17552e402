"""Keys of JSON lines that nothing reads: they are ignored, since other programs write more than is asked for, and each
is told of once, since it may be a mistyped one."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

MOST_NAMED = 20
"""Keys that are told of; lines whose keys are data (a date, an id) have one more with each line."""

LONGEST_KEY = 200
"""Characters of a key by which it is known."""


@dataclass(frozen=True)
class IgnoredKey:
    """A key of lines that nothing reads: the first line with it, how many lines have it, and the key of those that are
    read which may be meant ("": none is like it)."""

    key: str
    line: int
    lines: int
    near: str

    def __str__(self) -> str:
        meant = f"; {self.near!r} is read" if self.near else ""
        return f"line {self.line}: the key {_short(self.key)} is ignored{meant}"


class IgnoredKeys:
    """Counts the keys of lines that are none of `known`, up to `MOST_NAMED` different ones."""

    def __init__(self, known: Iterable[str]) -> None:
        self._known = frozenset(known)
        self._found: dict[str, IgnoredKey] = {}
        self._more = False

    def note(self, number: int, keys: Iterable[str]) -> list[str]:
        """Count the keys of line `number`; returns a sentence for each that was not seen before."""
        said = []
        for key in (one[:LONGEST_KEY] for one in keys if one not in self._known):
            if (before := self._found.get(key)) is not None:
                self._found[key] = IgnoredKey(key, before.line, before.lines + 1, before.near)
            elif len(self._found) < MOST_NAMED:
                self._found[key] = IgnoredKey(key, number, 1, self._near(key))
                said.append(str(self._found[key]))
            elif not self._more:
                self._more = True
                said.append(f"line {number}: further keys are ignored, the first is {_short(key)}")
        return said

    @property
    def found(self) -> tuple[IgnoredKey, ...]:
        """The keys that were ignored, in the order in which they came."""
        return tuple(self._found.values())

    def _near(self, key: str) -> str:
        from difflib import get_close_matches

        return next(iter(get_close_matches(key.lower(), sorted(self._known), n=1, cutoff=0.75)), "")


def _short(key: str) -> str:
    return repr(key if len(key) <= 60 else key[:59] + "\u2026")
