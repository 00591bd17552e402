"""Which memories are found together: counted in memory, written by the way, never on the path of a search.

The best of an answer's memories are one set; how often each set came is the weight of one `co-retrieved` edge of two
to `SIZE` members. At most `WAITING` sets wait to be written and at most `KEPT` are kept, those that came most often.
"""

from __future__ import annotations

import json
import logging
import threading
from collections import Counter
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

import apsw

from aqe.engine.errors import AqeError
from aqe.engine.memory.graph.edges import Edge, Key, put_edges
from aqe.engine.side_thread import started

if TYPE_CHECKING:
    from aqe.engine.memory.store import Store

SIZE = 3
WAITING = 1024
WRITTEN_AT = 64
"""Searches after which what was counted is written in the background."""

KEPT = 20_000
_log = logging.getLogger(__name__)


class Together:
    """Counts sets of memories found together; safe between threads. `close` writes what is left."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._lock = threading.Lock()
        self._counts: Counter[frozenset[int]] = Counter()
        self._noted = 0
        self._writer: threading.Thread | None = None

    def note(self, rows: Sequence[int]) -> None:
        """Count the rows of one answer, best first; a set that finds no room is not counted."""
        found = frozenset(rows[:SIZE])
        if len(found) < 2:
            return
        with self._lock:
            if len(self._counts) < WAITING or found in self._counts:
                self._counts[found] += 1
            self._noted += 1
            is_due = self._noted >= WRITTEN_AT and (self._writer is None or not self._writer.is_alive())
            if is_due:
                self._noted = 0
                self._writer = started(threading.Thread(target=self._write_quietly, name="aqe-together", daemon=True))

    def flush(self) -> int:
        """Write what was counted; returns how many sets were new."""
        with self._lock:
            counts, self._counts, self._noted = self._counts, Counter(), 0
        if not counts:
            return 0
        try:
            with self._store.writing() as connection:
                keys = _current_keys(connection, {row for rows in counts for row in rows})
                edges = [
                    Edge("co-retrieved", tuple(sorted(keys[row] for row in rows)), float(count), "recall")
                    for rows, count in counts.items()
                    if rows <= keys.keys()
                ]
                new = put_edges(connection, edges, now=self._store.now(), adding=True)
                _drop_rarest(connection)
                return new
        except BaseException:
            with self._lock:  # the next try has them
                self._counts.update(dict(counts.most_common(WAITING)))
            raise

    def close(self) -> None:
        """Wait for a writer at work, then write the rest, if the file can be written now."""
        writer = self._writer
        if writer is not None and writer.is_alive():
            writer.join()
        self._write_quietly()

    def _write_quietly(self) -> None:
        try:
            self.flush()
        except AqeError as error:
            _log.debug("What was found together is not kept: %s", error)
        except apsw.ConnectionClosedError:
            _log.debug("What was found together is not kept: the store is closed")


def _current_keys(connection: apsw.Connection, rows: Iterable[int]) -> dict[int, Key]:
    """The memory of each row that is a current one."""
    sql = "SELECT row, namespace, id FROM memories WHERE valid_to IS NULL AND row IN (SELECT value FROM json_each(?))"
    return {row: (namespace, id) for row, namespace, id in connection.execute(sql, (json.dumps([*rows]),))}


def _drop_rarest(connection: apsw.Connection) -> None:
    count = int(connection.execute("SELECT count(*) FROM edges WHERE origin = 'recall'").get)
    if count > KEPT:
        connection.execute(
            "DELETE FROM edges WHERE number IN (SELECT number FROM edges WHERE origin = 'recall'"
            " ORDER BY weight, changed_at LIMIT ?)",
            (count - KEPT * 9 // 10,),
        )
