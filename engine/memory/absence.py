"""A namespace that no memory is in: what is said of it where somebody looks there, and which ones there are instead."""

from __future__ import annotations

from dataclasses import dataclass
from difflib import get_close_matches
from typing import TYPE_CHECKING, Any

import apsw

from aqe.engine.memory.growth.expiry import ALIVE, first_end
from aqe.engine.memory.search.filters import namespace_sql

if TYPE_CHECKING:
    from aqe.engine.memory.store import Store

MOST = 2000
"""Names that are compared."""

NAMED = 3


@dataclass(frozen=True)
class Absent:
    """A namespace that no memory is in, and those that there are, nearest by name first: at most three, and how many
    `others`."""

    namespace: str
    nearest: tuple[str, ...]
    others: int = 0

    @property
    def told(self) -> str:
        """It in a sentence.

        >>> Absent("deflt", ("default", "notes")).told
        "No memory is in the namespace 'deflt'; there are memories in default and notes."
        >>> Absent("deflt", ("default",), others=2).told
        "No memory is in the namespace 'deflt'; there are memories in default, and in 2 others."
        """
        listed = " and ".join(part for part in (", ".join(self.nearest[:-1]), *self.nearest[-1:]) if part)
        more = f", and in {self.others} {'other' if self.others == 1 else 'others'}" if self.others else ""
        rest = f"; there are memories in {listed}{more}" if listed else ", nor in any other"
        return f"No memory is in the namespace {self.namespace!r}{rest}."

    @property
    def shown(self) -> dict[str, Any]:
        """It as the JSON of every form."""
        return {"namespace": self.namespace, "nearest": list(self.nearest), "told": self.told}


def absent(store: Store, namespace: str | None, *, ever: bool = False) -> Absent | None:
    """The namespace where no memory is in it that is current and not over (with `ever`: no revision of any), or below
    it if it ends with a slash; None where one is, and where no namespace is meant."""
    if namespace is None:
        return None
    with store.reading() as connection:
        return absent_in(connection, namespace, ever=ever, now=store.now())


def absent_in(
    connection: apsw.Connection, namespace: str, *, ever: bool = False, now: int | None = None
) -> Absent | None:
    """As `absent`, in the caller's transaction; what is over at `now` (microseconds) is in no namespace."""
    current, at = "1" if ever else "valid_to IS NULL", list[object]()
    if now is not None and not ever and (first := first_end(connection)) is not None and first <= now:
        current, at = f"{current} AND {ALIVE}", [now]
    where, bound = namespace_sql(namespace, ())
    if connection.execute(f"SELECT 1 FROM memories WHERE {current} AND {where} LIMIT 1", [*at, *bound]).fetchone():
        return None
    sql = f"SELECT DISTINCT namespace FROM memories WHERE {current} ORDER BY 1 LIMIT {MOST}"
    names = [str(name) for (name,) in connection.execute(sql, at)]
    below = [f"{namespace}/"] if any(name.startswith(f"{namespace}/") for name in names) else []
    near = get_close_matches(namespace, names, n=NAMED, cutoff=0.6)
    nearest = tuple([*below, *(near or names)][:NAMED])
    others = sum(name not in nearest and not (below and name.startswith(below[0])) for name in names)
    return Absent(namespace, nearest, others)
