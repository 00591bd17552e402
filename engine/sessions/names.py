"""A name that no session has: which ones are near, whether it looks mistyped, and what is said where it begins one."""

from __future__ import annotations

import re
from dataclasses import dataclass
from difflib import get_close_matches
from typing import TYPE_CHECKING, Any

import apsw

from aqe.engine.sessions.entry import check_name

if TYPE_CHECKING:
    from aqe.engine.memory.store import Store

MOST = 2000
"""Names, the last used ones, that are compared."""

NEAR, NAMED = 0.6, 3
MISTYPED = 0.75
"""How alike (by difflib's ratio) two names are of which one may be the other mistyped."""

_DIGITS = re.compile(r"\d+")


@dataclass(frozen=True)
class NewName:
    """A name that no session has, and those that there are near it, the nearest first."""

    name: str
    nearest: tuple[str, ...]

    @property
    def mistaken_for(self) -> str | None:
        """The session that was probably meant; one that differs from the nearest by a number alone is meant as it is.

        >>> NewName("pricng", ("pricing",)).mistaken_for, NewName("run-2", ("run-1", "runs-1")).mistaken_for
        ('pricing', None)
        """
        bare = _DIGITS.sub("", self.name)
        if self.nearest and _DIGITS.sub("", self.nearest[0]) == bare:
            return None
        others = [name for name in self.nearest if _DIGITS.sub("", name) != bare]
        return next(iter(get_close_matches(self.name, others, n=1, cutoff=MISTYPED)), None)

    @property
    def told(self) -> str:
        """It in a sentence, where a session begins by it.

        >>> NewName("pricng", ("pricing",)).told
        "The session 'pricng' begins with this question; there is one called 'pricing'."
        """
        meant = self.mistaken_for
        return f"The session {self.name!r} begins with this question" + (
            f"; there is one called {meant!r}." if meant else "."
        )

    @property
    def shown(self) -> dict[str, Any]:
        """It as the JSON of every form."""
        meant = self.mistaken_for
        return {"session": self.name, "nearest": list(self.nearest), "mistaken_for": meant, "told": self.told}


def new_name(store: Store, name: str | None) -> NewName | None:
    """The name where no session, ended or expired ones included, has it (or it as its id); None where one has, and
    where none is given. Raises `UserError` (bad-session)."""
    if name is None:
        return None
    sql = "SELECT 1 FROM sessions WHERE name = ?1 OR id = ?1"
    with store.reading() as connection:
        is_there = connection.execute(sql, (check_name(name),)).fetchone()  # no cursor stays: it would keep what it saw
        return None if is_there else NewName(name, near_names(connection, name))


def near_names(connection: apsw.Connection, name: str) -> tuple[str, ...]:
    """The names of sessions that are like this one, at most three."""
    names = [str(row[0]) for row in connection.execute(f"SELECT name FROM sessions ORDER BY used_at DESC LIMIT {MOST}")]
    return tuple(get_close_matches(name, names, n=NAMED, cutoff=NEAR))
