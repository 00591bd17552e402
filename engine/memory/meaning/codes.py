"""The vectors of a store as `aqe.simd.Vectors`: what a search by meaning asks in place of vec0, some 50 times faster.

There is one `Vectors` for each space (embedder and dimension) and namespace, with `memories.row` as ids. They are
opened from the files beside the database (`codefiles`), brought up to date by the log of changes at every search, so
that what any process committed is seen at once, and written back in the background. vec0 stays the truth: whatever is
missing, damaged, too old or of another history is read from it anew; and the first searches of a store without files
ask vec0 itself.
"""

from __future__ import annotations

import contextlib
import logging
import time
from collections.abc import Callable, Iterable, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import apsw

from aqe.engine.errors import AqeError
from aqe.engine.memory.file.changelog import Mark, may_lack_since, read_mark, read_number, rows_since
from aqe.engine.memory.file.namespaces import names_below
from aqe.engine.memory.meaning import chunks
from aqe.engine.memory.meaning.background import Background
from aqe.engine.memory.meaning.codefiles import CodeFile, CodeFolder
from aqe.engine.memory.meaning.idling import Idling, give_back
from aqe.engine.memory.meaning.masks import Masks
from aqe.engine.memory.meaning.parts import DIGITS, FEW, WRITE_EVERY_S, Key, Part, apply, best_of, open_part, read_part
from aqe.engine.memory.meaning.reach import Few, Reach
from aqe.engine.memory.tiers import demoted

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from aqe.engine.memory.meaning.hnsw import Shape
    from aqe.engine.memory.search.ranking import Scope

SEARCHES = 3
"""Searches of a namespace without a file after which its vectors are read; vec0 answers those before."""

ASIDE = 30_000
"""Vectors from which they are read in the background, while vec0 answers."""

LATE = range(10_000, 300_000)
"""Vectors of a namespace that was searched without codes for which a store that closes makes a file."""

LOOKED_THROUGH = 16
"""Searches of a file after which all of it is read and checked again, in the background; one that was not for a day is
at the first."""

Level = Literal["f32", "f16", "int8", "bits"]
_log = logging.getLogger(__name__)


class Codes:
    """The codes of one store. Whoever calls holds the store's lock and, where a connection is asked for, is in a read
    transaction; one thread of its own writes files and reads large namespaces, through what `reopen` opens."""

    def __init__(
        self,
        database: Path,
        *,
        reopen: Callable[[Path], apsw.Connection],
        shrink: Callable[[], None],
        sealed: bool = False,
    ) -> None:
        is_kept = str(database) != ":memory:"
        self._database = database
        self._shrink = shrink
        self._reopen = reopen if is_kept else None
        self._folder = CodeFolder(database) if is_kept and not sealed else None
        if sealed and is_kept:
            CodeFolder(database).clear()
        self._parts: dict[Key, Part] = {}
        self._mark: Mark | None = None
        self.moment: int | None = None
        """The number of the last change that the transaction under way sees, where it is known."""
        self.held = 0
        """Grows with every change of what is at hand."""
        self._names: list[str] | None = None
        self._asked: dict[Key, int] = {}
        self._masks = Masks()
        self._background = Background("aqe-codes")
        self._done: list[tuple[Key, Part | None, Mark]] = []
        self._known: list[Key] = []
        self._damaged: list[tuple[Key, Part]] = []
        self._erasures = 0
        self._idling = Idling(self._let_go)
        self._reach = Reach()
        self._tiered = 0
        self._has_cold = False
        self.remake: demoted.Remake | None = None
        self.shape: Shape | None = None
        """Of the graph that is searched in place of codes, where the settings ask for one."""

    def search(
        self, connection: apsw.Connection, table: int, vector: bytes, k: int, scope: Scope
    ) -> dict[int, float] | None:
        """The `k` nearest rows of a scope by cosine similarity, nearest first, of equals the oldest; None where
        vec0 has to be asked."""
        import numpy as np

        parts = self._of_scope(connection, table, len(vector) // 4, scope)
        if parts is None:
            return None
        query = np.frombuffer(vector, np.float32)
        found = []
        for key, part in parts:
            self.count_search(key, part)
            allow = self._masks.of(connection, key, part, scope) if scope.condition else None
            exact = None
            if self._has_cold and self.remake is not None:
                exact = partial(demoted.exact_rows, connection, table, part.vectors, self.remake)
            found.append(part.searched.search(query, k, allow=allow, rescore=exact))
        return dict(zip(*best_of(found, k), strict=True))

    def may_reach(
        self, connection: apsw.Connection, table: int, vector: NDArray[np.float32], least: float, scope: Scope
    ) -> bool:
        """Whether any row of a scope may have this cosine: False is certain, True is for a search to tell."""
        parts = None if self._tiered else self._of_scope(connection, table, len(vector), scope)
        return parts is None or self._reach.may([part for _, part in parts], vector, least)

    def few_rows(self, parts: Sequence[tuple[Key, Part]]) -> Few | None:
        """The vectors of parts that hold few, all of them whole; None of others."""
        return None if self._tiered else self._reach.few([part for _, part in parts])

    def cosines(
        self, connection: apsw.Connection, table: int, vector: bytes, rows: Sequence[int], scope: Scope
    ) -> dict[int, float] | None:
        """The cosine similarity of each of `rows` of a scope that has a vector, as of the last `search`; None where
        vec0 has to be asked."""
        parts = [self._parts.get((table, name)) for name in self._names_of(scope) or ()]
        if None in parts:
            return None
        import numpy as np

        query, wanted = np.frombuffer(vector, np.float32), np.array(rows, np.int64)
        found: dict[int, float] = {}
        for part in parts:
            if part is not None:
                near = part.vectors.scores(query, wanted).astype(np.float64).round(DIGITS).tolist()
                found |= {row: one for row, one in zip(rows, near, strict=True) if one == one}
        made = demoted.remade_cosines(connection, table, vector, found, self.remake) if self._has_cold else {}
        return found | {row: round(cosine, DIGITS) for row, cosine in made.items()}

    def has(self, table: int) -> bool:
        """Whether vectors of this table are at hand."""
        return any(part_of == table for part_of, _ in self._parts)

    def follow(self, connection: apsw.Connection) -> None:
        """Bring what is at hand to the moment of the caller's transaction, and know the namespaces that there are."""
        self._follow(connection)
        self._every_name(connection)

    def is_at_hand(self, number: int, table: int, scope: Scope) -> bool:
        """Whether a search as of the change `number` reads nothing from the file but the memories it finds."""
        return self._at_hand(number, table, scope) is not None

    def ground(self, number: int, table: int, scope: Scope) -> tuple[tuple[Key, Part], ...] | None:
        """The parts of a scope without a condition as of the change `number`, until `held` grows; None where one is not
        at hand, or may have cold rows and nothing makes their vectors anew."""
        is_left = self._has_cold and self.remake is None
        parts = None if scope.condition or is_left else self._at_hand(number, table, scope)
        names = [(table, name) for name in self._names_of(scope) or ()]
        return None if parts is None else tuple(zip(names, parts, strict=True))

    def remaking(self, connection: apsw.Connection, table: int) -> demoted.Remaking | None:
        """What makes the vectors of cold rows anew; None where there are none, or nothing does."""
        return demoted.Remaking(connection, table, self.remake) if self._has_cold and self.remake is not None else None

    def stands(self, held: int, number: int) -> bool:
        """Whether what is at hand is what was when `held` was this, and as of the change `number`."""
        mark = self._mark
        return self.held == held and not (self._done or self._damaged) and mark is not None and mark.number == number

    def at_once(self, number: int, table: int, scope: Scope) -> tuple[tuple[Key, Part], ...] | None:
        """The parts of a scope that answer by what is at hand as of the change `number` alone, until `held` grows: the
        database is not looked at. None where that is not enough."""
        return None if self._has_cold else self.ground(number, table, scope)

    def search_parts(
        self, parts: Sequence[tuple[Key, Part]], query: NDArray[np.float32], k: int
    ) -> tuple[list[int], list[float]]:
        """The rows of `search` and their cosines, in parts that answer at once."""
        found = []
        for key, part in parts:
            self.count_search(key, part)
            found.append((part.graph or part.vectors).search(query, k))
        return best_of(found, k)

    def _at_hand(self, number: int, table: int, scope: Scope) -> list[Part] | None:
        names = self._names_of(scope)
        if names is None or self._done or self._damaged or self._mark is None or self._mark.number != number:
            return None
        parts = [self._parts.get((table, name)) for name in names]
        found = [part for part in parts if part is not None]
        return found if len(found) == len(parts) else None

    def demote(self, rows: Sequence[int], level: Level) -> int:
        """Keep no more than `level` of the vectors of `rows` at hand ("bits": the code alone); how many kept more."""
        return sum(part.vectors.demote(rows, level) for part in self._parts.values() if not part.vectors.is_damaged)

    def spare_damaged(self) -> bool:
        """Do without the files that were found damaged, from the next search on; whether there are any."""
        found = [(key, part) for key, part in self._parts.items() if part.vectors.is_damaged]
        self._damaged += found
        return bool(found)

    def open_files(self, connection: apsw.Connection) -> None:
        """Have every namespace at hand that has a file."""
        self._follow(connection)
        if self._folder is None or not self._folder.files():
            return
        tables: list[Any] = connection.execute("SELECT number, dimension FROM embedders").fetchall()
        for table, dimension in tables:
            for name in self._every_name(connection):
                if (table, name) not in self._parts:
                    part = self._open_file(connection, (table, name), dimension)
                    if part is not None:
                        self._hold((table, name), part)

    def at_hand(self, connection: apsw.Connection) -> dict[Key, Part]:
        """What is at hand, as of the caller's transaction."""
        self._follow(connection)
        return dict(self._parts)

    def size(self) -> int:
        """The bytes of the files beside the database."""
        return self._folder.size() if self._folder is not None else 0

    def forget(self) -> None:
        """Drop everything that is at hand and every file, so that nothing of an erased memory stays in them."""
        self._erasures += 1
        self._done.clear()
        self._drop(list(self._parts))
        if self._folder is not None:
            self._folder.clear()

    def close(self, connection: apsw.Connection) -> None:
        """Write the files that are worth it, those of large namespaces that were searched without codes too; closing
        twice is nothing."""
        closed = self._background.is_over
        self._background.end()
        self._idling.close()
        for part in self._parts.values():
            part.close()
        self._background.wait()
        if closed or self._folder is None or not (self._parts or self._asked):
            return
        with contextlib.suppress(apsw.Error):
            connection.execute("BEGIN")
            try:
                self._last_look(connection)
            finally:
                connection.execute("ROLLBACK")
        behind = [(key, part) for key, part in self._parts.items() if part.is_behind]
        for key, part in behind:
            if self._mark is not None:
                self._write(key, part, self._mark)
        if behind and self._known:
            self._folder.sweep(self._known)

    def _last_look(self, connection: apsw.Connection) -> None:
        self._follow(connection)
        for key in self._asked:
            if key not in self._parts and chunks.count_about(connection, *key) in LATE:
                self._read(connection, key, chunks.dimension_of(connection, key[0]))
        tables: list[Any] = connection.execute("SELECT number FROM embedders").fetchall()
        self._known = [(table, name) for (table,) in tables for name in self._every_name(connection)]

    def _of_scope(
        self, connection: apsw.Connection, table: int, dimension: int, scope: Scope
    ) -> list[tuple[Key, Part]] | None:
        self._follow(connection)
        if scope.within is None:
            self._every_name(connection)
        found, is_whole = [], True
        for name in self._names_of(scope) or ():
            key = (table, name)
            part = self._parts.get(key) or self._load(connection, key, dimension)
            if part is None:
                is_whole = False
            else:
                found.append((key, part))
        return found if is_whole else None

    def _names_of(self, scope: Scope) -> Sequence[str] | None:
        if scope.within is not None:
            return scope.within
        return None if self._names is None else [name for name in self._names if name not in scope.without]

    def _every_name(self, connection: apsw.Connection) -> list[str]:
        """The namespaces with a current row."""
        if self._names is None:
            self._names = names_below(connection)
        return self._names

    def _follow(self, connection: apsw.Connection) -> None:
        """Bring what is at hand to the moment of the transaction."""
        if self._done:
            self._take(connection)
        while self._damaged:
            key, part = self._damaged.pop()
            if self._folder is not None:
                self._folder.drop(self._files_of(key, part))
            if self._parts.get(key) is part:
                self._drop([key])
        number = read_number(connection) if self.moment is None else self.moment
        if self._mark is not None and self._mark.number == number:
            return
        if self._mark is not None and self._parts:
            rows = rows_since(connection, self._mark)
            if rows is None:
                self._drop(list(self._parts))
            else:
                self._drop([key for key, part in self._parts.items() if part.is_outrun(rows)])
                apply(connection, self._parts, rows)
        tiered, self._has_cold = demoted.marks(connection)
        if tiered != self._tiered:
            for part in self._parts.values():
                part.changed += demoted.put_down(connection, part.vectors)
        self._tiered = tiered
        self._mark, self._names = read_mark(connection), None
        self._masks.clear()
        self.held += 1
        for key, part in self._parts.items():
            self._write_soon(key, part)

    def _load(self, connection: apsw.Connection, key: Key, dimension: int) -> Part | None:
        """Vectors that are not at hand: from their file, else from the database where that is worth it by now."""
        part = self._open_file(connection, key, dimension)
        if part is not None:
            self._hold(key, part)
            self._write_soon(key, part)
            return part
        count = chunks.count_about(connection, *key)
        self._asked[key] = self._asked.get(key, 0) + 1
        if count > FEW and self._asked[key] < SEARCHES:
            return None
        if count >= ASIDE and self._reopen is not None:
            self._background.start(lambda: self._read_aside(key, dimension))
            return None
        return self._read(connection, key, dimension)

    def _open_file(self, connection: apsw.Connection, key: Key, dimension: int) -> Part | None:
        """Open the newest file that is of this history, brought up to date; those that can never serve are deleted."""
        if self._folder is None:
            return None
        now = read_mark(connection)
        for file in self._folder.of(*key):
            rows = rows_since(connection, file.mark)
            if rows is None:
                if file.mark.number <= now.number:  # else another process is ahead of this transaction
                    self._folder.drop([file])
                continue
            part = open_part(file.path, dimension, file.mark.number)
            if part is None or not self._folder.is_sound(file, part.vectors):
                self._folder.drop([file])
                continue
            if part.is_outrun(rows):
                continue
            part.searches = LOOKED_THROUGH if self._folder.is_due(file) else 0
            with contextlib.suppress(ValueError):  # where what these read of it is damaged
                apply(connection, {key: part}, rows)
                if demoted.marks(connection)[0] > file.mark.number:
                    part.changed += demoted.put_down(connection, part.vectors)
                return part
            self._folder.drop([file])
        return None

    def _read(self, connection: apsw.Connection, key: Key, dimension: int) -> Part | None:
        """Read the vectors out of the database; None where there is no room for them."""
        part = read_part(connection, key, dimension, lambda: False)
        if part is None:
            self._asked[key] = -1000  # asked again much later
            return None
        self._hold(key, part)
        self._write_soon(key, part)
        return part

    def _read_aside(self, key: Key, dimension: int) -> None:
        """Read a large namespace with a connection of its own; the next search takes it."""
        assert self._reopen is not None
        connection = self._reopen(self._database)
        try:
            connection.execute("BEGIN")
            mark = read_mark(connection)
            part = read_part(connection, key, dimension, lambda: self._background.is_over)
        finally:
            connection.close()
        if part is not None:
            self._write(key, part, mark)
        self._done.append((key, part, mark))

    def _take(self, connection: apsw.Connection) -> None:
        """Take over what the background made: a namespace that was read, or a file in place of what was written."""
        while self._done:
            key, part, mark = self._done.pop()
            rows = None if part is None else rows_since(connection, mark)
            if part is None or rows is None:
                self._asked[key] = -1000 if part is None else 0
                continue
            opened = self._open_file(connection, key, part.dimension)
            if opened is None:
                opened = part
                apply(connection, {key: part}, rows)
            self._hold(key, opened)

    def _hold(self, key: Key, part: Part) -> None:
        """Search this part from now on."""
        self._parts[key] = part
        self.held += 1
        if self.shape is not None and not self._background.is_over:
            part.join(self.shape)

    def count_search(self, key: Key, part: Part) -> None:
        """Have a file that is searched again and again checked whole, once; damage drops it at the next search."""
        self._idling.touch()
        if part.written is not None and not part.is_checked:
            part.searches += 1
            if part.searches >= LOOKED_THROUGH:
                self._background.start(lambda: self._check_aside(key, part))

    def _let_go(self) -> None:
        """While nobody searches, the memory of the files' pages, and what SQLite keeps of its own, is the system's."""
        for part in list(self._parts.values()):
            part.vectors.let_go()
        self._shrink()
        give_back()

    def _check_aside(self, key: Key, part: Part) -> None:
        part.is_checked = True
        for file in self._files_of(key, part):
            if self._folder is not None and not self._folder.is_sound(file, part.vectors, anew=True):
                self._damaged.append((key, part))

    def _files_of(self, key: Key, part: Part) -> list[CodeFile]:
        found = [] if self._folder is None else self._folder.of(*key)
        return [file for file in found if file.mark.number == part.written]

    def _write_soon(self, key: Key, part: Part) -> None:
        """Write the file of a part, and tend its inverted file, in the background: where there is anything to do and it
        was not tried just now."""
        if time.monotonic() - part.tried_at < WRITE_EVERY_S or not part.wants_work:
            return
        part.tried_at = time.monotonic()
        mark = self._mark
        if mark is not None:
            self._background.start(lambda: self._write_aside(key, part, mark))

    def _write_aside(self, key: Key, part: Part, mark: Mark) -> None:
        tended = part.vectors.tend(cancel=self._background) if part.graph is None else None
        if (tended or part.is_behind) and self._write(key, part, mark) and part.graph is None:
            self._done.append((key, part, mark))

    def _write(self, key: Key, part: Part, mark: Mark) -> bool:
        """Write a file as of a moment that the part has reached. What the part learns meanwhile may be in it: it is
        looked up again by whoever opens the file."""
        if self._folder is None:
            return False
        changed, erasures = part.changed, self._erasures
        try:
            path = self._folder.write(*key, mark, part.vectors)
        except (OSError, MemoryError, ValueError) as error:  # the last is of what was read from a damaged file
            _log.info("The codes of %r are kept in memory alone: %s", key[1], error)
            return False
        if erasures != self._erasures:
            self._folder.clear()
            return False
        if self._lacks_since(mark):
            self._folder.drop(file for file in self._folder.of(*key) if file.path == path)
            return False
        part.written, part.changed = mark.number, part.changed - changed
        return True

    def _lacks_since(self, mark: Mark) -> bool:
        """Whether anybody may have erased a memory since: whoever did deleted the files that there were then."""
        assert self._reopen is not None
        try:
            connection = self._reopen(self._database)
        except (apsw.Error, AqeError):
            return True
        try:
            return may_lack_since(connection, mark)
        finally:
            connection.close()

    def _drop(self, keys: Iterable[Key]) -> None:
        for key in keys:
            self._parts.pop(key).close()
            self._asked[key] = SEARCHES  # read at the next search
        self._masks.clear()
        self.held += 1
