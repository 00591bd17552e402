"""Opens the store that belongs to a project, as its settings say."""

from __future__ import annotations

import functools
import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, TypedDict

from aqe.engine.errors import UserError
from aqe.engine.memory.care.cut_off import check_whole
from aqe.engine.memory.care.place import UNWRITABLE, Place, is_encrypted, open_file, place_of
from aqe.engine.memory.care.unwritten import Unwritten
from aqe.engine.memory.entry import Provenance
from aqe.engine.memory.file.connection import BUSY_TIMEOUT_S, open_connection
from aqe.engine.memory.file.keys import share_pointer, store_key
from aqe.engine.memory.file.migrations import migrate, pending
from aqe.engine.memory.graph.searching import Graph
from aqe.engine.memory.growth.rules import GrowthRules
from aqe.engine.memory.search.shares import Shares
from aqe.engine.memory.store import Store, utc_now
from aqe.engine.project import DATABASE, check_enterable, database_path, store_home
from aqe.engine.settings import Settings, load_settings
from aqe.engine.spool import ingest
from aqe.engine.worktree import find_checkout, head_commit

if TYPE_CHECKING:
    import apsw

    from aqe.engine.memory.search.rank import Rank
    from aqe.engine.memory.settings import MemorySettings


def open_store(
    project: Path,
    *,
    settings: Settings | None = None,
    environ: Mapping[str, str] | None = None,
    now: Callable[[], int] = utc_now,
    take_spool: bool = True,
) -> Store:
    """The project's store; what is added carries its git worktree and commit, and what test runs left in the spool
    is taken in (`take_spool`).

    With AQE_DB_KEY set, or a key in the keyring, the file is encrypted. Raises what `Store.open`, `load_settings` and
    `store_key` raise.
    """
    environ = os.environ if environ is None else environ
    settings = load_settings(project, environ=environ) if settings is None else settings
    path = database_path(project, settings.store)
    key = store_key(path, environ)
    check_whole(Place(path, key))
    store = Store.open(
        path,
        key=key,
        durability=settings.durability,
        now=now,
        clean=_redacted if settings.memory.redact else None,
        **_rules(project, settings),
    )
    _set_up(store, settings.memory)
    share_pointer(path, project / ".aqe")
    if take_spool:
        try:
            ingest(store, project)
        except BaseException:
            store.close()
            raise
    return store


class _Rules(TypedDict):
    here: Provenance
    growth: GrowthRules
    shares: Shares


def _rules(project: Path, settings: Settings) -> _Rules:
    """What the project and its settings say of any store of it, however it is opened."""
    return _Rules(here=whereabouts(project), growth=_growth(project, settings), shares=_shares(settings))


def follow_settings(store: Store, project: Path, settings: Settings) -> None:
    """Have an open store search by settings that changed since: how words and meaning are weighed, the order of what is
    found, what becomes of stale memories and of what was just recalled. Raises `UserError` (bad-rank)."""
    store.follow(_growth(project, settings), _shares(settings))


def _growth(project: Path, settings: Settings) -> GrowthRules:
    memory = settings.memory
    return GrowthRules(
        root=project,
        recalled_s=60.0 * memory.recalled_minutes,
        half_life_days=memory.half_life_days,
        stale=memory.stale,
        rank=_rank(settings),
    )


def _shares(settings: Settings) -> Shares:
    return Shares(settings.memory.vector_share, settings.memory.shares)


def _set_up(store: Store, memory: MemorySettings) -> None:
    """Have an open store search as its settings say."""
    if memory.index == "hnsw":
        _use_graph(store, memory)
    if memory.graph:
        store.graph = Graph(store)


def _rank(settings: Settings) -> Rank | None:
    memory = settings.memory
    if memory.rank.strip() == "similarity":
        return None
    from aqe.engine.memory.search.rank import parse_rank

    return parse_rank(memory.rank, candidates=memory.rank_candidates, half_life_days=memory.half_life_days)


def _use_graph(store: Store, memory: MemorySettings) -> None:
    from aqe.engine.memory.meaning.hnsw import Shape

    try:
        store.use_graph(Shape(memory.hnsw_m, memory.hnsw_ef_construction, memory.hnsw_ef_search))
    except BaseException:
        store.close()
        raise


def _redacted(text: str) -> str:
    from aqe.engine.privacy.redactor import redact

    return redact(text).text


def has_store(project: Path, *, settings: Settings | None = None, environ: Mapping[str, str] | None = None) -> bool:
    """Whether something is kept for the project: its database, or a spool that is not taken in yet.

    Raises `UserError` (project-private) where another user alone may look.
    """
    environ = os.environ if environ is None else environ
    settings = load_settings(project, environ=environ) if settings is None else settings
    spool = project / ".aqe" / "spool"
    home = store_home(project, settings.store) / ".aqe"
    check_enterable(home)
    return (home / DATABASE).exists() or (spool.is_dir() and any(spool.iterdir()))


def open_to_read(project: Path) -> Store:
    """The project's store for a look: where nothing is kept yet an empty one in memory, so that looking writes nothing,
    and where nothing can be written (a folder of somebody else, a full disk) one that only reads.

    Raises what `open_store` raises.
    """
    return open_or_read(project)[0] if has_store(project) else Store.open(Path(":memory:"))


def open_or_read(
    project: Path, *, settings: Settings | None = None, now: Callable[[], int] = utc_now
) -> tuple[Store, UserError | None]:
    """The project's store, and None; where nothing can be written the one that is there, for reading alone, and why.

    Raises what `open_store` raises, that nothing can be written too where there is no store yet.
    """
    try:
        return open_store(project, settings=settings, now=now), None
    except UserError as error:
        if error.code not in UNWRITABLE:
            raise
        return _open_as_it_is(project, error, settings, now), error


def _open_as_it_is(
    project: Path, why: UserError, settings: Settings | None = None, now: Callable[[], int] = utc_now
) -> Store:
    """The store of a project where nothing can be written, for `why`, until it can be. One of an earlier version, but
    for an encrypted one, is brought up to date in memory. What test runs left in the spool is not in it."""
    settings = load_settings(project) if settings is None else settings
    place = place_of(project, settings=settings)
    if not place.path.is_file():
        raise why
    is_earlier = _is_earlier(place, why)
    unwritten = Unwritten(
        place.path,
        look=functools.partial(_in_memory if is_earlier else _as_it_is, key=place.key, why=why),
        write=None if is_earlier else functools.partial(open_connection, key=place.key, durability=place.durability),
        why=_of_an_earlier(place.path, why) if is_earlier else why,
    )
    connection = unwritten.connect()
    try:
        store = Store(
            connection,
            Path(":memory:") if is_earlier else place.path,
            now=now,
            clean=_redacted if settings.memory.redact else None,
            reopen=unwritten.reopen,
            sealed=bool(place.key),
            **_rules(project, settings),
        )
        unwritten.follow(store, connection)
    except BaseException:
        connection.close()
        raise
    _set_up(store, settings.memory)
    return store


def _is_earlier(place: Place, why: UserError) -> bool:
    """Whether a store is of an earlier version. Raises `UserError` where nothing can be made of it in memory."""
    connection = open_file(place.path, key=place.key)
    try:
        is_earlier = bool(pending(connection, place.path))
    finally:
        connection.close()
    if is_earlier and is_encrypted(place.path):  # SQLite copies nothing between a file with a key and memory
        raise _of_an_earlier(place.path, why)
    return is_earlier


def _of_an_earlier(path: Path, why: UserError) -> UserError:
    return UserError(
        f"The database {str(path)!r} is of an earlier version, and nothing could be written to bring it up to date.",
        code=why.code,
        fix=f"{why.fix} What has it open then brings it up to date when it starts again.",
    )


def _as_it_is(path: Path, *, key: str | None, why: UserError) -> apsw.Connection:
    """A connection to read a store of this version as it is now."""
    connection = open_file(path, key=key)
    try:
        if pending(connection, path):  # an earlier one was put in its place
            raise _of_an_earlier(path, why)
        connection.set_busy_timeout(int(1000 * BUSY_TIMEOUT_S))
    except BaseException:
        connection.close()
        raise
    return connection


def _in_memory(path: Path, *, key: str | None, why: UserError) -> apsw.Connection:
    """A copy in memory of a store that may be of an earlier version, brought up to date there."""
    from aqe.engine.memory.care.copying import copy_pages

    copy = Path(":memory:")
    source, connection = open_file(path, key=key), open_connection(copy)
    try:
        copy_pages(source, connection, text="Reading")
        migrate(connection, copy, now=utc_now, open_again=open_connection, keep_copy=False)
    except BaseException:
        connection.close()
        raise
    finally:
        source.close()
    return connection


def whereabouts(project: Path) -> Provenance:
    """The git worktree ("" for the main one) and commit of the project, both "" without git."""
    checkout = find_checkout(project)
    if checkout is None:
        return Provenance()
    return Provenance(worktree=checkout.worktree, commit=head_commit(checkout))
