"""Takes memories of a file into a store: checked whole before anything is written, each memory whole or not at all."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Any, Literal

import apsw

from aqe.engine.errors import UserError
from aqe.engine.ignored import IgnoredKey
from aqe.engine.memory.adding import current_memory, revise
from aqe.engine.memory.checking import check_remembered
from aqe.engine.memory.entry import Memory, check_new_namespace, metadata_json
from aqe.engine.memory.file.sums import seal, seal_current, sum_of
from aqe.engine.memory.growth.expiry import ALIVE
from aqe.engine.memory.meaning import vectors
from aqe.engine.memory.rows import COLUMNS, OF_TEXT, Row, Waiting, end_row, read_memory
from aqe.engine.memory.search.ranking import INDEX
from aqe.engine.memory.store import Store
from aqe.engine.memory.transfer.detecting import Contents
from aqe.engine.memory.transfer.reading import more_columns
from aqe.engine.memory.transfer.record import Record
from aqe.engine.progress import CancelToken, Progress, silent

Conflict = Literal["keep", "take", "fail"]
BATCH = 500
NAMED = 20
_OWN_FORMS = ("jsonl", "markdown")

_KINDS = {"INTEGER": int, "TEXT": str, "REAL": float, "BLOB": bytes}
_INSERT = """INSERT INTO memories (id, namespace, revision, valid_from, valid_to, created_at, text, text_hash, id_given,
    metadata, embedder, worktree, "commit", file, line, run, vector_sum{names})
    VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?{marks})"""
_HISTORY = (
    "SELECT revision, text_hash, metadata, valid_from, valid_to FROM memories"
    " WHERE namespace = ? AND id = ? ORDER BY revision"
)


@dataclass(frozen=True)
class Imported:
    """What became of the memories of a file. `added` were new, `continued` got the revisions that they lacked, `same`
    were there already (under their id, or the same text without one), `conflicts` differ from the store's own: `kept`
    as the store had them or `taken` from the file. `left_out` could not be memories; `named` has up to 20 conflicts;
    `ignored_keys` has up to 20 keys of JSON lines or of Markdown's comments that nothing reads.

    `ended` of the same and the kept ones hold in the file and have ended in the store (deleted, merged, pruned or
    expired), which they stay: `ended_named` has up to 20, and `aqe memory merge --undo` brings one back."""

    form: str
    memories: int
    added: int
    continued: int
    same: int
    kept: int
    taken: int
    revisions: int
    left_out: tuple[tuple[str, str], ...]
    named: tuple[str, ...]
    ended: int
    ended_named: tuple[str, ...]
    ignored_keys: tuple[IgnoredKey, ...]
    dry_run: bool


@dataclass(frozen=True)
class _Step:
    """What is to be done with one memory of the file."""

    key: tuple[str, str]
    what: Literal["added", "continued", "same", "kept", "taken"]
    insert: tuple[Record, ...] = ()
    end: int | None = None
    """When the store's current revision ends, for the inserted ones to follow."""
    join: tuple[str, Record] | None = None
    """The id of a memory with the same text, and the record whose metadata, pin and longer life join it."""
    stays_ended: bool = False
    """Whether it holds in the file and has ended in the store."""


def import_memories(
    store: Store,
    contents: Contents,
    *,
    namespace: str | None = None,
    conflict: Conflict = "keep",
    dry_run: bool = False,
    batch: int = BATCH,
    progress: Progress = silent,
    cancel: CancelToken | None = None,
) -> Imported:
    """Take in what `read_file` found, `batch` memories to a transaction; done again it goes on where it was cut off.

    A memory whose history the file continues gets its new revisions. One that differs stays as it is (`conflict`
    "keep"), becomes a new revision with the file's text ("take"), or ends the import before it begins ("fail"). With
    `namespace` all go there. Vectors of aqe's own embedders that are missing are made by `reembed` afterwards. Raises
    `UserError` (import-conflict, bad-limit, bad-namespace, bad-vector and those of the store) and `Cancelled`.
    """
    if isinstance(batch, bool) or not isinstance(batch, int) or not 1 <= batch <= 100_000:
        raise UserError(f"{batch!r:.40} is no size of a batch.", code="bad-limit", fix="Give 1 to 100000.")
    place, records = None if namespace is None else check_new_namespace(namespace), contents.records
    if contents.form == "lines":
        records = tuple(_as_added(store, record, place) for record in records)
    groups = _grouped(store, records, place)
    if namespace is not None or contents.form not in _OWN_FORMS:  # an export of aqe's own goes back where it was
        for name in dict.fromkeys(key[0] for key in groups):
            check_remembered(name)
    _check_columns(store, groups)
    _check_vectors(store, groups)
    keys = list(groups)
    if conflict == "fail" or dry_run:
        planned = _plan_all(store, groups, conflict)
        if conflict == "fail":
            _refuse_differing(planned)
        if dry_run:
            return _told(contents, planned, dry_run=True)
    done: list[_Step] = []
    for start in range(0, len(keys), batch):
        if cancel is not None:
            cancel.check()
        progress("Taking memories in", start, len(keys))
        with store.writing() as connection:
            now, more, waiting = store.now(), more_columns(connection), Waiting()
            for key in keys[start : start + batch]:
                step = _plan(connection, groups[key], conflict, now)
                _apply(connection, step, more, now, waiting)
                done.append(step)
            waiting.tell(connection)
    return _told(contents, done, dry_run=False)


def _refuse_differing(planned: Sequence[_Step]) -> None:
    differing = [step.key for step in planned if step.what in ("kept", "taken")]
    if differing:
        namespace, id = differing[0]
        many = f"{len(differing):,} memories differ from those of the store, the first is"
        raise UserError(
            f"{'One memory differs from that of the store,' if len(differing) == 1 else many} {id!r} in {namespace!r}.",
            code="import-conflict",
            fix="Choose --conflict keep or --conflict take; nothing was taken in.",
        )


def _grouped(
    store: Store, records: Sequence[Record], namespace: str | None
) -> dict[tuple[str, str], tuple[Record, ...]]:
    """The revisions of each memory in order, as the store keeps texts."""
    groups: dict[tuple[str, str], dict[int, Record]] = {}
    for record in records:
        kept = replace(record, text=store.as_kept(record.text), namespace=namespace or record.namespace)
        revisions = groups.setdefault(kept.key, {})
        if kept.revision in revisions and revisions[kept.revision].text != kept.text:
            raise UserError(
                f"Revision {kept.revision} of {kept.id!r} in {kept.namespace!r} stands twice in the file.",
                code="bad-record",
                fix="Import it under its own namespaces, without --namespace."
                if namespace
                else "Remove one of the two; where the file is of another kind, --format says which.",
            )
        revisions[kept.revision] = kept
    return {key: _closed([found[at] for at in sorted(found)]) for key, found in groups.items()}


def _as_added(store: Store, record: Record, namespace: str | None) -> Record:
    """The memory of a plain line with what `Store.add` would give it: the file that it is about as one of the project,
    with the digest that tells when it is stale, and the worktree and commit."""
    origin, here = record.provenance, store.here
    file = store.files.within(origin.file) if origin.file else ""
    origin = replace(origin, file=file, worktree=origin.worktree or here.worktree, commit=origin.commit or here.commit)
    digest = "" if (namespace or record.namespace).startswith(INDEX) else store.files.at_birth(file)
    return replace(record, provenance=origin, more={**record.more, "file_digest": digest})


def _check_columns(store: Store, groups: Mapping[tuple[str, str], tuple[Record, ...]]) -> None:
    """Refuse values that a column of this store cannot hold, before anything is written."""
    with store.reading() as connection:
        sql = "SELECT name, type FROM pragma_table_info('memories')"
        kinds = {str(name): _KINDS[str(kind)] for name, kind in connection.execute(sql)}
    for record in (record for revisions in groups.values() for record in revisions):
        for name, value in record.more.items():
            is_fitting = value is None or type(value) is kinds.get(name, type(value))
            is_held = not isinstance(value, int) or -(1 << 63) <= value < 1 << 63
            if not (is_fitting and is_held) or (name == "pinned" and value not in (0, 1)):
                raise UserError(
                    f"{record.id!r} in {record.namespace!r} has {name} {value!r:.40}.",
                    code="bad-record",
                    fix="Mend it in the file; nothing of it was taken in.",
                )


def _check_vectors(store: Store, groups: Mapping[tuple[str, str], tuple[Record, ...]]) -> None:
    """Refuse vectors that callers gave of another length than those of their embedder, as adding them does."""
    given = [
        (one.embedder_id, len(one.vector) // 4)
        for revisions in groups.values()
        for one in revisions
        if one.is_current and one.vector is not None and one.embedder_id is not None
        if not (one.derived or vectors.is_own(one.embedder_id))
    ]
    known: dict[str, list[int]] = {}
    with store.reading() as connection:
        for embedder_id, dimension in dict.fromkeys(given):
            if embedder_id not in known:
                known[embedder_id] = vectors.in_use(connection, embedder_id) or [dimension]
            if dimension not in known[embedder_id]:
                raise vectors.other_dimension(dimension, embedder_id, known[embedder_id])


def _closed(revisions: list[Record]) -> tuple[Record, ...]:
    """Revisions of one memory, each but the last ended where the next begins."""
    ended = (
        replace(one, valid_to=max(one.valid_from, later.valid_from)) if one.valid_to is None else one
        for one, later in pairwise(revisions)
    )
    return (*ended, revisions[-1])


def _plan_all(store: Store, groups: Mapping[tuple[str, str], tuple[Record, ...]], conflict: Conflict) -> list[_Step]:
    with store.reading() as connection:
        return [_plan(connection, revisions, conflict, store.now()) for revisions in groups.values()]


def _plan(connection: apsw.Connection, revisions: tuple[Record, ...], conflict: Conflict, now: int) -> _Step:
    last = revisions[-1]
    held: list[Any] = connection.execute(_HISTORY, last.key).fetchall()
    if not held:
        same = _same_text(connection, last, now) if last.is_current and not last.id_given else None
        if same is None:
            return _Step(last.key, "added", revisions)
        join = None if _joined(same, last) is None else (same.id, last)
        return _Step(last.key, "same" if join is None else "continued", join=join)
    stays_ended = last.is_current and held[-1][4] is not None
    mine = {row[0]: (bytes(row[1]), json.loads(row[2])) for row in held}
    theirs = {one.revision: (_hash(one.text), dict(one.metadata)) for one in revisions}
    if all(mine[at] == theirs[at] for at in mine.keys() & theirs.keys()):
        new = tuple(one for one in revisions if one.revision > held[-1][0])
        ended_by_them = next((one.valid_to for one in revisions if one.revision == held[-1][0]), None)
        is_open = held[-1][4] is None
        if new and (not is_open or new[0].revision == held[-1][0] + 1):
            return _Step(last.key, "continued", new, end=new[0].valid_from if is_open else None)
        if not new and is_open and ended_by_them is not None:
            return _Step(last.key, "continued", (), end=ended_by_them)
        if not new and mine.keys() & theirs.keys():
            return _Step(last.key, "same", stays_ended=stays_ended)
    if (_hash(last.text), dict(last.metadata)) == mine[held[-1][0]] and held[-1][4] is None and last.is_current:
        return _Step(last.key, "same")
    if conflict != "take":
        return _Step(last.key, "kept", stays_ended=stays_ended)
    at = max(now, held[-1][3])
    taken = replace(last, revision=held[-1][0] + 1, valid_from=at, valid_to=None if last.is_current else at)
    return _Step(last.key, "taken", (taken,), end=at if held[-1][4] is None else None)


def _hash(text: str) -> bytes:
    return hashlib.sha256(text.encode("utf-8")).digest()


def _same_text(connection: apsw.Connection, record: Record, now: int) -> Memory | None:
    """The memory without a caller's id that has this text, and is not over."""
    sql = f"SELECT {COLUMNS} WHERE {OF_TEXT} AND +namespace = ?2 AND id_given = 0 AND {ALIVE} LIMIT 1"
    row = connection.execute(sql, (_hash(record.text), record.namespace, now)).fetchone()
    return None if row is None else read_memory(row)


def _joined(same: Memory, record: Record) -> tuple[dict[str, Any], bool, int | None] | None:
    """Metadata, pin and end of a memory once it is joined by a record of the same text; None where nothing changes."""
    metadata = {**record.metadata, **same.metadata}
    pinned = same.pinned or bool(record.more.get("pinned"))
    theirs = record.more.get("expires_at")
    ends = None if same.expires_at is None or theirs is None else max(same.expires_at, int(theirs))
    before = (same.metadata, same.pinned, same.expires_at)
    return None if (metadata, pinned, ends) == before else (metadata, pinned, ends)


def _apply(connection: apsw.Connection, step: _Step, more: Collection[str], now: int, waiting: Waiting) -> None:
    if step.join is not None or step.end is not None:
        waiting.tell(connection)
    if step.join is not None:
        _join(connection, *step.join, now)
    if step.end is not None:
        namespace, id = step.key
        end_row(connection, namespace, id, step.end)
    for record, size in zip(step.insert, _dimensions(step.insert), strict=True):
        _insert(connection, record, more, waiting, size=size)


def _join(connection: apsw.Connection, id: str, record: Record, now: int) -> None:
    """Join what a record says to the memory with the same text, as a new revision."""
    same = current_memory(connection, id, record.namespace)
    joined = None if same is None else _joined(same, record)
    if same is None or joined is None:
        return
    metadata, pinned, ends = joined
    row = Row(
        id=None,
        namespace=same.namespace,
        text=same.text,
        text_hash=_hash(same.text),
        metadata=metadata_json(metadata),
        vector=None,
        embedder_id=same.embedder_id or "",
        provenance=same.provenance,
    )
    revise(connection, same, row, now)
    sql = "UPDATE memories SET pinned = ?, expires_at = ? WHERE namespace = ? AND id = ? AND valid_to IS NULL"
    connection.execute(sql, (pinned, ends, same.namespace, id))
    seal_current(connection, same.namespace, id)


def _dimensions(records: Sequence[Record]) -> list[int]:
    """The dimension of the space of each of a memory's revisions, 0 where nothing tells it: a vector goes on to the
    next revision as long as the text stays the same."""
    later: dict[tuple[str, str | None], int] = {}
    sizes = []
    for record in reversed(records):
        space = record.text, record.embedder_id
        if record.vector is not None:
            later[space] = len(record.vector) // 4
        sizes.append(later.get(space, 0))
    return sizes[::-1]


def _insert(connection: apsw.Connection, record: Record, more: Collection[str], waiting: Waiting, *, size: int) -> None:
    """Write a revision as it was, of a space of `size` dimensions; what the indexes are told of it waits for the others
    of the batch."""
    table = None
    if size and record.embedder_id is not None:
        table = waiting.table(connection, record.embedder_id, size, derived=record.derived)
    known = [name for name in more if name in record.more]
    origin = record.provenance
    sql = _INSERT.format(names="".join(f', "{name}"' for name in known), marks=", ?" * len(known))
    what = (record.text, _hash(record.text), record.id_given, metadata_json(record.metadata), table)
    when = (record.id, record.namespace, record.revision, record.valid_from, record.valid_to, record.created_at)
    whence = (origin.worktree, origin.commit, origin.file, origin.line, origin.run)
    noted = None if table is None or record.vector is None else sum_of(record.vector)
    connection.execute(sql, (*when, *what, *whence, noted, *(record.more[name] for name in known)))
    number = connection.last_insert_rowid()
    seal(connection, number)
    waiting.texts[number] = record.text if record.is_current else None
    if table is not None and record.vector is not None:
        if record.is_current:
            waiting.vectors[number] = table, record.namespace, record.vector
        else:
            connection.execute("INSERT INTO retired_vectors VALUES (?, ?)", (number, record.vector))


def _told(contents: Contents, steps: Sequence[_Step], *, dry_run: bool) -> Imported:
    count = {what: sum(step.what == what for step in steps) for what in ("added", "continued", "same", "kept", "taken")}
    differing = [step.key for step in steps if step.what in ("kept", "taken")]
    ended = [step.key for step in steps if step.stays_ended]
    return Imported(
        form=contents.form,
        memories=len(steps),
        **count,
        revisions=sum(len(step.insert) for step in steps),
        left_out=tuple(contents.left_out),
        named=_names(differing),
        ended=len(ended),
        ended_named=_names(ended),
        ignored_keys=contents.ignored_keys,
        dry_run=dry_run,
    )


def _names(keys: Sequence[tuple[str, str]]) -> tuple[str, ...]:
    return tuple(f"{namespace}: {id}" for namespace, id in keys[:NAMED])
