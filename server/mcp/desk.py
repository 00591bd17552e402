"""One project's open store behind the memory tools and `stats`; reopened when its file was taken away."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import apsw

    from aqe.engine.embedding import Embedder
    from aqe.engine.memory.absence import Absent
    from aqe.engine.memory.entry import Hit, Kept, SearchAnswer
    from aqe.engine.memory.store import Store
    from aqe.engine.privacy import Guard
    from aqe.engine.sessions.names import NewName


class Desk:
    """Opened at its first use; every method but `known_figures` does file work and belongs in a thread."""

    def __init__(self, project: Path) -> None:
        self.project = project
        self.used = 0.0
        self._lock = threading.Lock()
        self._guard_lock = threading.Lock()
        self._embedder_lock = threading.Lock()
        self._store: Store | None = None
        self._watch: apsw.Connection | None = None
        self._end_upkeep: Callable[[], None] | None = None
        self._inode = 0
        self._counted: tuple[int, dict[str, Any]] | None = None
        self._empty: tuple[tuple[Path, ...], dict[str, Any]] | None = None
        self._guard: tuple[tuple[tuple[int, int], ...], Guard] | None = None
        self._embedder: tuple[tuple[tuple[int, int], ...], Embedder] | None = None

    def known_guard(self) -> Guard | None:
        """The privacy guard of before, if no file with its settings changed since (microseconds)."""
        known = self._guard
        return known[1] if known is not None and known[0] == self._stamps() else None

    def guard(self) -> Guard:
        """The project's privacy guard, opened anew when one of the files with its settings changed."""
        from aqe.engine.privacy import open_guard
        from aqe.engine.settings import load_settings

        with self._guard_lock:  # not the store's: opening that may take as long as a large spool
            stamps = self._stamps()
            known = self._guard
            if known is not None and known[0] == stamps:
                return known[1]
            guard = open_guard(self.project, load_settings(self.project), self._open)
            if known is not None:
                known[1].close()
            self._guard = stamps, guard
            return guard

    def embedder(self) -> Embedder:
        """The embedder that the project's settings name, asked for anew when one of their files changed."""
        from aqe.engine.embedding import open_embedder
        from aqe.engine.memory.opening import follow_settings
        from aqe.engine.settings import load_settings

        with self._embedder_lock:
            stamps = self._stamps()
            known = self._embedder
            if known is not None and known[0] == stamps:
                return known[1]
            settings = load_settings(self.project)
            embedder = open_embedder(settings)
            if known is not None and self._store is not None:
                follow_settings(self._store, self.project, settings)
            self._embedder = stamps, embedder
            return embedder

    def _stamps(self) -> tuple[tuple[int, int], ...]:
        """What changes with the files that hold the project's settings."""
        from aqe.engine.settings import user_file

        return tuple(_stamp(file) for file in (self.project / "pyproject.toml", user_file()))

    def add(
        self,
        text: str,
        namespace: str,
        id: str | None,
        file: str | None,
        line: int | None,
        metadata: dict[str, Any],
        ttl: str | float | None = None,
    ) -> Kept:
        """Remember `text`; returns its id, and whether it was kept before. Raises `UserError` as the store does."""
        from aqe.engine.memory.entry import NewMemory, Provenance
        from aqe.engine.memory.growth.expiry import read_ttl

        where = Provenance(file=file or "", line=line or 0) if file or line else None
        from aqe.engine.retrieval import remember

        ttl_s = None if ttl is None else read_ttl(ttl)
        memory = NewMemory(text, namespace, id, metadata, provenance=where, ttl_s=ttl_s)
        return remember(self._open(), self.embedder(), [memory])[0]

    def file_warning(self, file: str | None) -> str:
        """What is to be said where the file that a memory is about is not in the project, else nothing."""
        from aqe.engine.memory.growth.staleness import file_warning

        return file_warning(self.project, file or "")

    def search(
        self,
        query: str,
        namespace: str | None,
        k: int,
        metadata: dict[str, Any],
        *,
        explain: bool = False,
        as_of: str | None = None,
    ) -> SearchAnswer:
        """What the store finds, best first; with `as_of` among what held then. Raises `UserError` (bad-query) for a
        search for nothing, and as the store does."""
        from aqe.engine.door import given_search
        from aqe.engine.learning import success_prior
        from aqe.engine.memory.search.as_of import past_moment
        from aqe.engine.retrieval import find, find_as_of
        from aqe.engine.settings import load_settings

        given_search(query, None, None)
        with self._reading() as store:
            embedder, only = self.embedder(), metadata or None
            if as_of is not None:
                at = past_moment(as_of, store.now(), explain=explain)
                return find_as_of(store, embedder, query, at, namespace=namespace, k=k, filter=only)
            prior = success_prior(store, load_settings(self.project))
            return find(store, embedder, query, namespace=namespace, k=k, filter=only, prior=prior, explain=explain)

    def absence(self, namespace: str | None, *, ever: bool = False) -> Absent | None:
        """The namespace where no memory is in it (with `ever`: none ever was)."""
        from aqe.engine.memory.absence import absent

        with self._reading() as store:
            return absent(store, namespace, ever=ever)

    def new_session(self, name: str | None) -> NewName | None:
        """The name where no session has it yet. Raises `UserError` (bad-session)."""
        from aqe.engine.sessions.names import new_name

        with self._reading() as store:
            return new_name(store, name)

    def count(self) -> dict[str, Any]:
        """The figures of the store and of what was asked, counted anew."""
        from aqe.engine.activity import read_activity
        from aqe.engine.requests import RequestTable

        with self._reading() as store, self._lock:
            version = self._version() if store is self._store else None
            stats = store.stats()
            figures = {
                "memories": stats.memories,
                "namespaces": stats.namespaces,
                "jobs": stats.jobs,
                "test_outcomes": stats.test_outcomes,
                "bytes": sum(stats.bytes.values()) if version is not None else 0,
                "activity": dict(vars(read_activity(store, RequestTable(store)))),
                "project": str(self.project),
            }
            if version is None:
                self._empty = (self._homes(), figures)
            else:
                self._counted = (version, figures)
        return figures

    def known_figures(self) -> dict[str, Any] | None:
        """The figures counted before, if nothing was written since (microseconds); None where they must be counted."""
        if (self._counted is None and self._empty is None) or not self._lock.acquire(blocking=False):
            return None
        try:
            if self._counted is None:
                homes, figures = self._empty or ((), {})
                return None if any(home.exists() for home in homes) else figures
            if self._store is None or self._is_gone(self._store.path):
                return None
            version, figures = self._counted
            return figures if version == self._version() else None
        finally:
            self._lock.release()

    def close(self) -> None:
        """Close the file."""
        with self._lock:
            self._close()
        with self._guard_lock:
            if self._guard is not None:
                self._guard[1].close()
                self._guard = None

    def _close(self) -> None:
        if self._end_upkeep is not None:
            self._end_upkeep()
            self._end_upkeep = None
        if self._store is not None:
            self._store.close()
        if self._watch is not None:
            self._watch.close()
        self._store = self._watch = self._counted = None

    @contextlib.contextmanager
    def _reading(self) -> Iterator[Store]:
        """The store for a look: where nothing is kept yet an empty one in memory, so that looking writes nothing."""
        from aqe.engine.memory.opening import has_store, open_to_read

        if has_store(self.project):
            yield self._open()
            return
        with open_to_read(self.project) as empty:
            yield empty

    def _homes(self) -> tuple[Path, ...]:
        """The folders that appear as soon as something is kept: the project's, and its main worktree's."""
        from aqe.engine.project import store_home
        from aqe.engine.settings import load_settings

        homes = {self.project, store_home(self.project, load_settings(self.project).store)}
        return tuple(home / ".aqe" for home in homes)

    def _open(self) -> Store:
        with self._lock:
            if self._store is not None and self._is_gone(self._store.path):
                self._close()
            if self._store is None:
                from aqe.engine.memory import open_store
                from aqe.engine.memory.file.watching import watch_connection
                from aqe.engine.memory.growth.upkeep import start_upkeep
                from aqe.engine.settings import load_settings

                self._store = open_store(self.project)
                self._watch = watch_connection(self._store.path)
                self._inode = self._store.path.stat().st_ino
                self._end_upkeep = start_upkeep(self.project, lambda: load_settings(self.project))
            return self._store

    def _is_gone(self, path: Path) -> bool:
        try:
            return path.stat().st_ino != self._inode
        except OSError:
            return True

    def _version(self) -> int:
        """A number that changes with every commit of any other connection, here or in another process."""
        assert self._watch is not None
        return int(self._watch.pragma("data_version"))


def _stamp(file: Path) -> tuple[int, int]:
    try:
        status = file.stat()
    except OSError:
        return 0, 0
    return status.st_mtime_ns, status.st_size


def nearness(row: dict[str, Any]) -> str:
    """How near a row is by itself; its score compares it with the others of its answer alone."""
    from aqe.server.nearness import shown_words

    parts = (shown_words(row), "" if row.get("vector_score") is None else f"cosine {row['vector_score']}")
    return ", ".join(part for part in parts if part)


def row_of(hit: Hit) -> dict[str, Any]:
    """A hit as a client is shown it."""
    memory = hit.memory
    row = {"id": memory.id, "namespace": memory.namespace, "score": float(f"{hit.score:.4g}"), "text": memory.text}
    for name, part in (("text_score", hit.text_score), ("vector_score", hit.vector_score)):
        if part is not None:
            row[name] = float(f"{part:.3g}")
    if hit.prior:
        row["prior"] = float(f"{hit.prior:.3g}")
    if hit.explained is not None:
        row["explained"] = {
            name: float(f"{value:.3g}") if isinstance(value, float) else value
            for name, value in vars(hit.explained).items()
        }
    if memory.metadata:
        row["metadata"] = memory.metadata
    if memory.stale:
        row["stale"] = True
    if memory.provenance.file:
        row["file"] = f"{memory.provenance.file}:{memory.provenance.line}".removesuffix(":0")
    return row
