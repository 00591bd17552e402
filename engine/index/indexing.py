"""Brings the project's passages in memory up to date with its files.

A file is read again when the system saw it change, and its passages are written again when its content did. A passage's
id is made of its file, name and text, so one that only moved keeps its row and its vector. Each batch of files is kept
as soon as it is done: what a cancelled run did is not done again.
"""

from __future__ import annotations

import codecs
import hashlib
import json
import os
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import apsw

from aqe.engine.errors import UserError
from aqe.engine.index.files import LeftOut, SourceFile, find_files, kind_of, shown_name
from aqe.engine.index.passages import Passage, lines_of, split
from aqe.engine.index.prose import is_records, read_prose, read_settings
from aqe.engine.index.source import decode_source, read_source
from aqe.engine.lease import Lease, holding
from aqe.engine.memory.entry import NewMemory, Provenance
from aqe.engine.memory.file.sums import seal_current
from aqe.engine.memory.graph.building import refresh_graph
from aqe.engine.memory.graph.linking import is_linked
from aqe.engine.memory.meaning.idling import give_back
from aqe.engine.memory.rows import close_row, leave_indexes
from aqe.engine.memory.store import Store
from aqe.engine.progress import CancelToken, Progress, silent
from aqe.engine.project import is_whole_machine, no_such_path
from aqe.engine.terminal import one_line
from aqe.engine.worktree import find_checkout, linked_worktrees

if TYPE_CHECKING:
    from aqe.engine.embedding import Embedder

READER = 3
"""The version of how files are cut into passages; another one has every file read again."""

BATCH = 256
RACY_US = 2_000_000
"""A file that changed less than this before it was read may have changed again within one tick of its clock."""

_UTF_16 = (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)
_LEAVES = ("docs", "code", "tests")


@dataclass(frozen=True)
class IndexReport:
    """What an index run found and did. `files` and `passages` are what the index holds now, of the paths looked at;
    `new`, `changed` and `gone` (also of git worktrees that were removed) count files; `left_out` has those that are not
    indexed as what their names say."""

    files: int
    passages: int
    new: int
    changed: int
    gone: int
    read: int
    embedder: str | None
    left_out: tuple[LeftOut, ...]
    seconds: float


@dataclass(frozen=True)
class _Known:
    """What the table of indexed files says of one."""

    content_hash: bytes
    stamp: str
    reader: int
    passages: int
    note: str
    indexed_at: int


@dataclass
class _Read:
    """A file whose passages are to be written: its row for the table, and its passages by namespace and id."""

    file: SourceFile
    content_hash: bytes
    note: str
    memories: dict[tuple[str, str], NewMemory]


@dataclass
class _Tally:
    """What was done so far."""

    new: int = 0
    changed: int = 0
    read: int = 0
    files: int = 0
    passages: int = 0
    left_out: list[LeftOut] = field(default_factory=list)
    refused: set[str] = field(default_factory=set)


def index_scope(store: Store) -> str:
    """The namespace tree of the project index that a search from here is meant for: each git worktree has its own."""
    return _root(store) + "/"


def index_project(
    store: Store,
    embedder: Embedder | None,
    project: Path,
    *,
    paths: Sequence[Path] = (),
    progress: Progress = silent,
    cancel: CancelToken | None = None,
) -> IndexReport:
    """Bring the passages of the project (or of `paths` inside it) up to date, and the vectors of all memories that wait
    for one of this `embedder`; without one by words alone.

    Another process that indexes the same project is waited for. Nothing is read where the command was only
    begun outside any project: in the root of the file system or the user's own folder, where no file makes it one.

    Raises `Cancelled`, after which what was done stays, and `UserError` (outside-project, no-such-path for one of
    `paths` that neither is there nor was indexed, and those of the store).
    """
    started = time.monotonic()
    project = project.resolve()
    wanted = [_inside(project, path) for path in paths]
    cancel = cancel or CancelToken()
    tally = _Tally()
    with holding(store, index_scope(store), progress=progress, cancel=cancel) as lease:
        progress("Looking for files")
        files, tally.left_out = _found(project, wanted)
        known = _known(store)
        for path in wanted:
            if not os.path.lexists(path) and not any(_is_below(project, name, [path]) for name in known):
                raise no_such_path(str(path), project)
        _write_changes(store, embedder, lease, _changed(store, files, known, tally, progress, cancel), tally)
        names = {file.name for file in files} - tally.refused
        gone = [name for name in known if name not in names and _is_below(project, name, wanted)]
        _forget(store, _root(store), gone)
        removed = 0 if wanted else _forget_worktrees(store, project)
        if store.graph is not None and (tally.new or tally.changed or gone or not is_linked(store, _root(store))):
            progress("Reading which code uses which")
            refresh_graph(store, _root(store), project, cancel=cancel)
    if embedder is not None:
        from aqe.engine.retrieval import catch_up

        catch_up(store, embedder, progress=progress, cancel=cancel)
    if tally.new or tally.changed or gone:
        _let_go(store)
    return IndexReport(
        files=tally.files,
        passages=tally.passages,
        new=tally.new,
        changed=tally.changed,
        gone=len(gone) + removed,
        read=tally.read,
        embedder=None if embedder is None else embedder.id,
        left_out=tuple(sorted(tally.left_out, key=lambda one: one.file)),
        seconds=time.monotonic() - started,
    )


def _found(project: Path, wanted: Sequence[Path]) -> tuple[list[SourceFile], list[LeftOut]]:
    if not is_whole_machine(project):
        return find_files(project, wanted)
    if not wanted:
        return [], [LeftOut(".", "no project, but all files of the machine or of its user")]
    raise UserError(
        f"{str(project)!r} is no project, but holds all files of the machine or of its user.",
        code="outside-project",
        fix="Name the folder of one with --project, or run `git init` in it.",
    )


def _let_go(store: Store) -> None:
    """Give back what the run needed: a server that found a changed file lives on, its next run may be days away."""
    with store.reading() as connection:
        connection.release_memory()
    give_back()


def _root(store: Store) -> str:
    """How the namespaces of this worktree's index begin: one store serves all worktrees of a repository."""
    return _root_of(store.here.worktree)


def _root_of(worktree: str) -> str:
    return f"index.{hashlib.sha256(worktree.encode()).hexdigest()[:8]}" if worktree else "index"


def _inside(project: Path, path: Path) -> Path:
    found = path if path.is_absolute() else project / path
    is_named = found.name not in ("", "..")
    found = Path(os.path.realpath(found.parent), found.name) if is_named else Path(os.path.realpath(found))
    if not found.is_relative_to(project):
        raise UserError(
            f"{str(path)!r} is not in the project {str(project)!r}.",
            code="outside-project",
            fix="Name the other project with --project.",
        )
    return found


def _is_below(project: Path, name: str, wanted: Sequence[Path]) -> bool:
    shown = [shown_name(path.relative_to(project).as_posix()) for path in wanted]
    return not shown or any(one == "." or name == one or name.startswith(f"{one}/") for one in shown)


def _known(store: Store) -> dict[str, _Known]:
    sql = "SELECT file, content_hash, stamp, reader, passages, note, indexed_at FROM indexed_files WHERE root = ?"
    with store.reading() as connection:
        return {str(row[0]): _Known(*row[1:]) for row in connection.execute(sql, (_root(store),))}


def _changed(
    store: Store,
    files: Sequence[SourceFile],
    known: Mapping[str, _Known],
    tally: _Tally,
    progress: Progress,
    cancel: CancelToken,
) -> Iterator[_Read]:
    """The files whose passages have to be written, each read when its turn comes; counts the others."""
    fresh: list[tuple[SourceFile, bytes]] = []
    for at, file in enumerate(files):
        if cancel.is_set:
            break
        before = known.get(file.name)
        if before is not None and _is_as_it_was(file, before):
            _count_kept(tally, file.name, before)
            continue
        progress(f"Reading {file.name}", at, len(files))
        data = _bytes(file, tally)
        if data is None:
            continue
        tally.read += 1
        digest = hashlib.sha256(data).digest()
        if before is not None and before.content_hash == digest and before.reader == READER:
            fresh.append((file, digest))
            _count_kept(tally, file.name, before)
            continue
        tally.new += before is None
        tally.changed += before is not None
        read = _read(store, file, data, digest)
        tally.files += 1
        tally.passages += len(read.memories)
        if read.note:
            tally.left_out.append(LeftOut(file.name, read.note))
        yield read
    _restamp(store, fresh)
    cancel.check()


def _is_as_it_was(file: SourceFile, before: _Known) -> bool:
    """Whether the file need not be read: the system saw no change, and the last one came well before the last look."""
    is_settled = file.changed_us < before.indexed_at - RACY_US
    return before.reader == READER and before.stamp == file.stamp and is_settled


def _count_kept(tally: _Tally, name: str, known: _Known) -> None:
    tally.files += 1
    tally.passages += known.passages
    if known.note:
        tally.left_out.append(LeftOut(name, known.note))


def _bytes(file: SourceFile, tally: _Tally) -> bytes | None:
    try:
        data = file.path.read_bytes()
    except OSError as exc:
        _refuse(file, exc.strerror or "cannot be read", tally)
        return None
    if _is_binary(data):
        _refuse(file, "binary", tally)
        return None
    if kind_of(file.name) == "settings" and is_records(data):
        _refuse(file, "records, not settings", tally)
        return None
    return data


def _refuse(file: SourceFile, reason: str, tally: _Tally) -> None:
    tally.left_out.append(LeftOut(file.name, reason))
    tally.refused.add(file.name)


def _read(store: Store, file: SourceFile, data: bytes, digest: bytes) -> _Read:
    """A file's passages; what is no Python, whatever its name, is read as text."""
    note, kind, leaf = "", kind_of(file.name), "docs"
    if kind == "source":
        leaf = "tests" if is_test_file(file.name) else "code"
        try:
            passages = read_source(decode_source(data))
        except UserError as exc:
            note = f"read as text: {exc.message}"
            passages = _as_text(data)
    else:
        text, note = _decode(data)
        lines = lines_of(text)
        passages = read_settings(file.name, lines) if kind == "settings" else read_prose(file.name, lines)
    namespace = f"{_root(store)}/{leaf}"
    memories: dict[tuple[str, str], NewMemory] = {}
    for one in passages:
        made = _memory(namespace, file.name, one, len(memories), memories)
        if made.id is not None:
            memories[namespace, made.id] = made
    return _Read(file, digest, note, memories)


def is_test_file(name: str) -> bool:
    """Whether a Python file holds tests, by pytest's customs.

    >>> [is_test_file(name) for name in ("tests/shop/conftest.py", "shop/test_cart.py", "shop/testing.py")]
    [True, True, False]
    """
    *folders, last = name.split("/")
    return (
        last.startswith("test_")
        or last.endswith("_test.py")
        or last == "conftest.py"
        or any(folder in ("test", "tests") for folder in folders)
    )


def _as_text(data: bytes) -> list[Passage]:
    try:
        text = decode_source(data)
    except UserError:
        text, _ = _decode(data)
    lines = lines_of(text)
    return split(lines, 1, len(lines), "", "text")


def _is_binary(data: bytes) -> bool:
    """Whether a file holds what no text does. One that begins as UTF-16 is a text if all of it is UTF-16."""
    if not data.startswith(_UTF_16):
        return b"\0" in data
    try:
        return "\0" in data.decode("utf-16")
    except UnicodeDecodeError:
        return True


def _decode(data: bytes) -> tuple[str, str]:
    """The text of a file that is not binary; and what is to be said of it, where it is neither UTF-8 nor UTF-16."""
    if data.startswith(_UTF_16):
        return data.decode("utf-16"), ""
    try:
        return data.decode("utf-8-sig"), ""
    except UnicodeDecodeError as exc:
        line = exc.object.count(b"\n", 0, exc.start) + 1
        note = f"not UTF-8: byte {exc.object[exc.start]:#04x} in line {line}; what cannot be read is U+FFFD"
        return data.decode("utf-8-sig", errors="replace"), note


def _memory(
    namespace: str, file: str, one: Passage, number: int, before: Mapping[tuple[str, str], NewMemory]
) -> NewMemory:
    """A passage as a memory: a line that says where it stands, then its lines as they are in the file."""
    text = f"{label(file, one.name)}\n{one.text}"
    id = hashlib.sha256(text.encode()).hexdigest()[:24]
    if (namespace, id) in before:  # the same lines twice under one name
        id = f"{id}-{number}"
    metadata: dict[str, Any] = {"first": one.first, "last": one.last, "name": one.name, "kind": one.kind}
    return NewMemory(text, namespace, id, metadata, provenance=Provenance(file, one.first))


def label(file: str, name: str) -> str:
    """The first line of a passage's text in memory: its file and what it stands under there."""
    where = one_line(file)
    return f"{where}: {name}" if name else f"{where}:"


def _write_changes(
    store: Store, embedder: Embedder | None, lease: Lease, changes: Iterator[_Read], tally: _Tally
) -> None:
    batch: list[_Read] = []
    try:
        for read in changes:
            batch.append(read)
            if sum(len(one.memories) for one in batch) >= BATCH:
                _write(store, embedder, batch)
                lease.renew()
                batch = []
    finally:
        if batch:
            _write(store, embedder, batch)


def _write(store: Store, embedder: Embedder | None, batch: Sequence[_Read]) -> None:
    """Keep what is new, then, in one transaction, drop what is gone, move what moved, and note the files as done.

    A run that dies between the two leaves rows that the next one finds by their file and drops or keeps.
    """
    with store.reading() as connection:
        there = {read.file.name: _rows(connection, _root(store), read.file.name) for read in batch}
    new = [memory for read in batch for key, memory in read.memories.items() if key not in there[read.file.name]]
    if embedder is None:
        store.keep(new)
    else:
        from aqe.engine.retrieval import keep

        keep(store, embedder, new)
    with store.writing() as connection:
        for read in batch:
            _drop(connection, there[read.file.name].keys() - read.memories.keys(), store.now())
            for key in there[read.file.name].keys() & read.memories.keys():
                _move(connection, store, key, read.memories[key], there[read.file.name][key])
            row = (_root(store), read.file.name, read.content_hash, read.file.stamp, READER, len(read.memories))
            connection.execute(
                "INSERT OR REPLACE INTO indexed_files VALUES (?, ?, ?, ?, ?, ?, ?, ?)", (*row, read.note, store.now())
            )


def _rows(connection: apsw.Connection, root: str, file: str) -> dict[tuple[str, str], str]:
    """The passages that memory has of a file: their metadata by namespace and id."""
    namespaces = [f"{root}/{leaf}" for leaf in _LEAVES]
    sql = (
        "SELECT namespace, id, metadata FROM memories WHERE valid_to IS NULL AND file = ? AND file != ''"
        f" AND namespace IN ({','.join('?' * len(namespaces))})"
    )
    return {(str(row[0]), str(row[1])): str(row[2]) for row in connection.execute(sql, (file, *namespaces))}


def _drop(connection: apsw.Connection, keys: set[tuple[str, str]], now: int) -> None:
    """Drop passages for good: they are derived, so no history of them is kept."""
    found = [close_row(connection, namespace, id, now) for namespace, id in keys]
    leave_indexes(connection, [row for row in found if row is not None], keep_vector=True)
    connection.executemany("DELETE FROM memories WHERE namespace = ? AND id = ?", keys)


def _move(connection: apsw.Connection, store: Store, key: tuple[str, str], memory: NewMemory, before: str) -> None:
    """Put the new lines into the row of a passage whose text is what it was."""
    if json.loads(before) == memory.metadata or memory.provenance is None:
        return
    connection.execute(
        'UPDATE memories SET line = ?, metadata = ?, "commit" = ? WHERE namespace = ? AND id = ? AND valid_to IS NULL',
        (memory.provenance.line, json.dumps(dict(memory.metadata), ensure_ascii=False), store.here.commit, *key),
    )
    seal_current(connection, *key)


def _restamp(store: Store, fresh: Sequence[tuple[SourceFile, bytes]]) -> None:
    """Note the stamps of files that changed in time but not in content, so that they are not read again."""
    if not fresh:
        return
    with store.writing() as connection:
        connection.executemany(
            "UPDATE indexed_files SET stamp = ?, indexed_at = ? WHERE root = ? AND file = ? AND content_hash = ?",
            [(file.stamp, store.now(), _root(store), file.name, digest) for file, digest in fresh],
        )


def _forget(store: Store, root: str, gone: Sequence[str]) -> None:
    """Drop the passages of files that are no longer there."""
    if not gone:
        return
    with store.writing() as connection:
        for name in gone:
            _drop(connection, set(_rows(connection, root, name)), store.now())
            connection.execute("DELETE FROM indexed_files WHERE root = ? AND file = ?", (root, name))


def _forget_worktrees(store: Store, project: Path) -> int:
    """Drop the indexes of worktrees that git knows no longer; returns how many files those had."""
    checkout = find_checkout(project)
    names = None if checkout is None else linked_worktrees(checkout)
    if names is None:
        return 0
    living = {_root(store), *map(_root_of, ["", *names])}
    with store.reading() as connection:
        rows = connection.execute("SELECT root, file FROM indexed_files ORDER BY 1").fetchall()
    files: dict[str, list[str]] = {}
    for root, file in rows:
        if root not in living:
            files.setdefault(str(root), []).append(str(file))
    for root, gone in files.items():
        _forget(store, root, gone)
        with store.writing() as connection:
            connection.execute("DELETE FROM source_mentions WHERE scope = ?", (root,))
    return sum(map(len, files.values()))
