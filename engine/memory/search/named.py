"""The rows of memories that a caller names, looked up once for as long as no memory changes."""

from __future__ import annotations

from collections.abc import Sequence

import apsw

MOST_NAMED = 16_384
"""Memories whose rows are kept; beyond it all are looked up anew."""

AT_ONCE = 16
"""Memories that one statement names, some of them again where there are fewer, so that it is always the same one, which
SQLite has at hand."""

_SQL = f"SELECT id, row FROM memories WHERE namespace = ? AND valid_to IS NULL AND id IN ({', '.join('?' * AT_ONCE)})"


class NamedRows:
    """The current row of each memory that was asked for by namespace and id. Whoever calls holds the store's lock and
    is in a read transaction."""

    def __init__(self) -> None:
        self._number = -1
        self._known: dict[str, dict[str, int | None]] = {}
        self._count = 0

    def find(self, connection: apsw.Connection, number: int, namespace: str, ids: Sequence[str]) -> dict[int, str]:
        """Those of the memories that are there as of the change `number`, by row."""
        if number != self._number or self._count > MOST_NAMED:
            self._number, self._count = number, 0
            self._known.clear()
        known = self._known.setdefault(namespace, {})
        if missing := [id for id in ids if id not in known]:
            found: dict[str, int | None] = dict.fromkeys(missing)
            for at in range(0, len(missing), AT_ONCE):
                some = missing[at : at + AT_ONCE]
                found.update(connection.execute(_SQL, (namespace, *some, *[some[0]] * (AT_ONCE - len(some)))))
            known.update(found)  # not before all is read: a reading that fails says nothing of a memory
            self._count += len(missing)
        return {row: id for id in ids if (row := known[id]) is not None}
