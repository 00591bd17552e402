"""What memories are called: all that a question needs of them which is told what there is, and shown nothing.

Namespace and id, what the text weighs, and the file that it is about take some 350 bytes, so that many more are kept
than of whole memories. Once a few questions had to look names up, those of the newest rows are read in the background;
from then on the log of changes says which to read anew.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from sys import intern
from typing import Any, cast

import apsw

from aqe.engine.memory.search.ahead import RowsAhead
from aqe.engine.memory.search.hits import FEW
from aqe.engine.memory.search.hybrid import Found

KEPT = 16_384
"""Memories whose names are kept."""

_COLUMNS = "SELECT row, namespace, id, text, file, file_digest FROM memories"
_SOME = f"{_COLUMNS} WHERE row IN "
_NEWEST = f"{_COLUMNS} WHERE valid_to IS NULL ORDER BY row DESC LIMIT {KEPT}"

Named = tuple[tuple[str, str], int, tuple[str, str] | None]
"""A memory by namespace and id, what its text weighs, and the file that it is about with that one's digest then."""

Weigh = Callable[[str, str], int]
"""What a text of a namespace weighs."""


class Names:
    """The names of the memories of one store. Whoever calls holds the store's lock."""

    def __init__(self, database: Path, *, reopen: Callable[[Path], apsw.Connection]) -> None:
        self._weigh: Weigh | None = None
        self._rows: RowsAhead[Named] = RowsAhead(
            "aqe-names", database, reopen=reopen, newest=_NEWEST, make=self._named, size=lambda _: 1, most=KEPT
        )

    def of(self, connection: apsw.Connection, number: int, found: Sequence[Found], weigh: Weigh) -> list[Named]:
        """What the memories of some rows are called as of the change `number`, in their order; a row that is not there
        is left out. `weigh` is the same each time, or all are weighed anew."""
        if weigh is not self._weigh:
            self._weigh = weigh
            self._rows.clear()
        get = self._rows.follow(connection, number).get
        names = [get(one[0]) for one in found]
        if None not in names:
            return cast("list[Named]", names)
        read = self._look_up(connection, [one[0] for one, name in zip(found, names, strict=True) if name is None])
        names = [name or read.get(one[0]) for one, name in zip(found, names, strict=True)]
        return [name for name in names if name is not None]

    def close(self) -> None:
        """End what is being read in the background."""
        self._rows.close()

    def _look_up(self, connection: apsw.Connection, rows: Sequence[int]) -> dict[int, Named]:
        if len(rows) <= FEW:
            found: Any = connection.execute(f"{_SOME}({','.join('?' * len(rows))})", rows)
        else:
            found = connection.execute(f"{_SOME}(SELECT value FROM json_each(?))", (json.dumps(rows),))
        read = self._named(found)
        self._rows.add(read)
        return read

    def _named(self, rows: Iterable[Any]) -> dict[int, Named]:
        weigh = self._weigh
        assert weigh is not None
        return {
            row: ((intern(namespace), id), weigh(namespace, text), (file, digest) if digest else None)
            for row, namespace, id, text, file, digest in rows
        }
