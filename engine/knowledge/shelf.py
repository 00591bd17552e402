"""The starter knowledge in a project's store: put there, brought up to date, removed for good, or put back.

Each entry is a memory in its namespace under its own id. One that the user removed or rewrote is left alone by later
versions; the history of its revisions tells.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from aqe.engine.errors import UserError
from aqe.engine.knowledge.starter import NAMESPACES, Entry, starter_entries
from aqe.engine.memory.entry import Memory, NewMemory, check_text
from aqe.engine.memory.store import Store
from aqe.engine.retrieval import keep

if TYPE_CHECKING:
    from aqe.engine.embedding import Embedder

TREE = "knowledge/"


@dataclass(frozen=True)
class Shelved:
    """An entry as the project has it. `version` is that of the shipped entry, 0 for one of the project's own."""

    id: str
    namespace: str
    title: str
    text: str
    source: str
    version: int


def refresh(store: Store, embedder: Embedder | None, entries: Sequence[Entry] | None = None) -> int:
    """Bring the shelf up to the shipped version; returns how many entries were added or changed.

    What was removed stays removed, and what the user rewrote stays as it is.
    """
    wanted = starter_entries() if entries is None else entries
    shelved = {(one.namespace, one.id): one for one in _latest(store)}
    new, stale = [], []
    for entry in wanted:
        found = shelved.get((entry.namespace, entry.id))
        if found is None:
            new.append(entry)
        elif found.valid_to is None and 0 < int(found.metadata.get("starter", 0)) < entry.version:
            stale.append(entry)
    for entry in stale:
        store.delete(entry.id, namespace=entry.namespace)
    _put(store, embedder, [*new, *stale])
    return len(new) + len(stale)


def list_entries(store: Store, *, namespace: str | None = None) -> list[Shelved]:
    """What is on the shelf, or will be once `refresh` has run, namespace by namespace, by id."""
    latest = {(one.namespace, one.id): one for one in _latest(store)}
    found = [_shelved(memory) for memory in latest.values() if memory.valid_to is None]
    found += [_coming(entry) for entry in starter_entries() if (entry.namespace, entry.id) not in latest]
    wanted = None if namespace is None else check_shelf(namespace)
    return sorted((one for one in found if wanted in (None, one.namespace)), key=lambda one: (one.namespace, one.id))


def add_entry(
    store: Store, embedder: Embedder | None, text: str, *, namespace: str, title: str, source: str = "",
    id: str | None = None,
) -> str:  # fmt: skip
    """Put an entry of the project's own on the shelf; returns its id. Raises `UserError` as `Store.add` does, and
    (bad-id) for the id of a shipped entry of another part."""
    if not title.strip():
        raise UserError("The entry has no title.", code="bad-text", fix="Give a few words with --title.")
    body = f"{' '.join(title.split())}\n{check_text(text)}"
    shelf = check_shelf(namespace)
    other = next((one.namespace for one in starter_entries() if one.id == id and one.namespace != shelf), None)
    if other is not None:
        raise UserError(
            f"{id!r} is the id of an entry of {other}.", code="bad-id", fix="Give it another one with --id."
        )
    memory = NewMemory(body, shelf, id, {"source": source} if source else {})
    return keep(store, embedder, [memory])[0].id


def remove_entries(store: Store, ids: Sequence[str] = (), *, namespace: str | None = None) -> list[str]:
    """Take entries off the refreshed shelf, by id or (no ids) all of a namespace or of the shelf; returns their ids.

    Raises `UserError` (unknown-id) before anything is removed.
    """
    shelf = list_entries(store, namespace=namespace)
    found = [one for one in shelf if not ids or one.id in ids]
    missing = [id for id in ids if id not in {one.id for one in found}]
    if missing:
        raise UserError(
            f"There is no entry {missing[0]!r} on the shelf.",
            code="unknown-id",
            fix="`aqe knowledge list` shows the ids.",
        )
    for one in found:
        store.delete(one.id, namespace=one.namespace)
    return [one.id for one in found]


def restore_entries(store: Store, embedder: Embedder | None, ids: Sequence[str] = ()) -> list[str]:
    """Put shipped entries back as they were shipped (no ids: all that are missing); returns the ids of those put.

    Raises `UserError` (unknown-id) for one that is not shipped, before anything is put.
    """
    shipped = {entry.id: entry for entry in starter_entries()}
    missing = [id for id in ids if id not in shipped]
    if missing:
        raise UserError(
            f"aqe ships no entry {missing[0]!r}.", code="unknown-id", fix="Add one of your own with a title and a text."
        )
    there = {(one.namespace, one.id): one for one in list_entries(store)}
    put = []
    for entry in [shipped[id] for id in ids] if ids else shipped.values():
        found = there.get((entry.namespace, entry.id))
        if found is None:
            put.append(entry)
        elif ids and (found.text != entry.text or found.version != entry.version):
            store.delete(entry.id, namespace=entry.namespace)
            put.append(entry)
    _put(store, embedder, put)
    return [entry.id for entry in put]


def check_shelf(namespace: str) -> str:
    """One of the four namespaces, with or without the `knowledge/`. Raises `UserError` (bad-namespace)."""
    full = namespace if namespace.startswith(TREE) else TREE + namespace
    if full not in NAMESPACES:
        names = ", ".join(one.removeprefix(TREE) for one in NAMESPACES)
        raise UserError(f"{namespace!r} is no part of the knowledge.", code="bad-namespace", fix=f"Use {names}.")
    return full


def _put(store: Store, embedder: Embedder | None, entries: Sequence[Entry]) -> None:
    keep(
        store,
        embedder,
        [
            NewMemory(entry.body, entry.namespace, entry.id, {"source": entry.source, "starter": entry.version})
            for entry in entries
        ],
    )


def _latest(store: Store) -> list[Memory]:
    """The last revision of everything that ever was on the shelf."""
    from aqe.engine.memory.rows import COLUMNS, read_memory

    marks = ", ".join("?" * len(NAMESPACES))
    sql = f"SELECT {COLUMNS} WHERE namespace IN ({marks}) ORDER BY namespace, id, revision"
    with store.reading() as connection:
        found = [read_memory(row) for row in connection.execute(sql, NAMESPACES)]
    return list({(memory.namespace, memory.id): memory for memory in found}.values())


def _coming(entry: Entry) -> Shelved:
    return Shelved(entry.id, entry.namespace, entry.title, entry.text, entry.source, entry.version)


def _shelved(memory: Memory) -> Shelved:
    title, _, text = memory.text.partition("\n")
    source, version = memory.metadata.get("source", ""), memory.metadata.get("starter", 0)
    return Shelved(memory.id, memory.namespace, title, text, str(source), int(version))
