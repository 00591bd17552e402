"""The rows that still stand in a damaged file, written into the tables of a new one, and where their vectors were."""

from __future__ import annotations

import functools
import struct
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, cast

import apsw

from aqe.engine.memory.care.image import Image
from aqe.engine.memory.care.placing import is_derived_name
from aqe.engine.memory.care.rebuilding import soundest
from aqe.engine.memory.care.salvage import (
    SEALED_NAMES,
    SPACE,
    Found,
    Losses,
    highest_unnamed,
    indexed_memories,
    indexed_nodes,
    is_derived,
    known_tables,
    salvage,
    value_at,
)
from aqe.engine.memory.file.row_sums import DAMAGED
from aqe.engine.memory.file.sums import sum_of_row
from aqe.engine.memory.meaning.vectors import CHUNK
from aqe.engine.memory.tiers.forms import WARM
from aqe.engine.progress import CancelToken, Progress

LOOK = 1000
_BARE = {"sessions": ("metadata", "{}"), "feedback": ("metadata", "{}"), "interactions": ("context", "[]")}
"""What stands in place of JSON that is none, in the rows that others name."""

HELD = 4_000_000
"""Bytes of blocks of vectors in memory at a time; two blocks at least."""


@dataclass(frozen=True)
class Block:
    """Where a block of vectors stands in the damaged file (`Found.where`), and how many bytes it has."""

    where: tuple[int, int]
    size: int


@dataclass
class Salvaged:
    """What a salvage brought: rows by table, where the blocks of vectors of each space stand and which rows are in
    them, and what is lost."""

    saved: dict[str, int] = field(default_factory=dict)
    chunks: dict[int, dict[int, tuple[bytes, bytes]]] = field(default_factory=dict)
    blocks: dict[int, dict[int, Block]] = field(default_factory=dict)
    places: dict[int, dict[int, tuple[int, int]]] = field(default_factory=dict)
    losses: Losses = field(default_factory=Losses)
    corrected: int = 0
    """Rows that no table takes as they stand, or with a text that is none, with the bit put right that flipped."""
    highest: int | None = None
    """The highest row number of memories that was seen, where some may be lost that nothing names."""

    @property
    def is_nothing(self) -> bool:
        """Whether no row could be saved, or of memories that were there none."""
        lost = self.losses
        was_more = lost.named or lost.unknown or lost.unread_pages or "memories" in {*lost.broken, *lost.pages}
        return not self.saved or bool(was_more and not self.saved.get("memories"))


def insert_rows(
    connection: apsw.Connection,
    image: Image,
    version: int,
    made: Salvaged,
    *,
    progress: Progress,
    cancel: CancelToken | None,
) -> None:
    """Write every row that stands in `image`, a file of this version, into the tables of a new one; `made` is filled on
    the way. Raises `Cancelled`."""
    tables = known_tables(version)
    for name in tables:
        if not is_derived(name):
            connection.execute(f'DELETE FROM "{name}"')
    damaged, nodes = list[Found](), list[Found]()
    for at, found in enumerate(salvage(image, tables, made.losses, progress=progress, cancel=cancel)):
        if at % LOOK == 0:
            progress("Saving rows", at)
        if (space := SPACE.fullmatch(found.table)) is not None:
            _note_block(made, int(space[1]), found)
        elif found.table == "memories" and _is_of_zeros(found):
            made.losses.broken["memories"] = made.losses.broken.get("memories", 0) + 1
        elif found.table == "memories" and not _has_its_sum(found):
            damaged.append(found)  # its name may be that of another, which comes later
        elif found.table == "nodes":
            nodes.append(found)
        else:
            _save(connection, found, made)
    for found in damaged:
        sound = _as_written(found)
        _save(connection, found if sound is None else replace(sound, is_corrected=True), made)
    for found in _named(connection, nodes, indexed_nodes(image), made.losses):
        _save(connection, found, made)
    sql = "SELECT 1 FROM memories WHERE namespace = ? AND id = ? AND revision = ?"
    gone = (one[:2] for one in indexed_memories(image) if connection.execute(sql, one).get is None)
    made.losses.named |= set(gone)
    made.highest = highest_unnamed(image)
    if made.highest is not None:
        made.highest = max(made.highest, connection.execute("SELECT max(row) FROM memories").get or 0)


def _named(
    connection: apsw.Connection, nodes: Sequence[Found], names: Mapping[int, tuple[str, str]], losses: Losses
) -> Iterator[Found]:
    """The memories that edges join, by the name that their index has where a row's own is no memory's, or another
    node's, and by the number that it has where it has none for a row's own; those of the index alone too."""
    sql = "SELECT 1 FROM memories WHERE namespace = ? AND id = ?"
    numbers, there = {name: number for number, name in names.items()}, set[int]()
    for found in nodes:
        name = cast("tuple[str, str]", found.values[1:])
        number = cast("int", found.values[0])
        number = number if number in names else numbers.get(name, number)
        there.add(number)
        told = names.get(number, name)
        is_anothers = told != name and (name in numbers or connection.execute(sql, name).get is None)
        if told != name and not is_anothers:  # either may be what was written
            losses.broken["nodes"] = losses.broken.get("nodes", 0) + 1
        values = (number, *(told if is_anothers else name))
        yield found if values == found.values else replace(found, values=values, is_corrected=True)
    for number, told in names.items():
        if number not in there and losses.broken.get("nodes"):
            losses.broken["nodes"] -= 1
            if not losses.broken["nodes"]:
                del losses.broken["nodes"]
            yield Found("nodes", ("number", "namespace", "id"), (number, *told), True, (0, 0), is_corrected=True)


def _save(connection: apsw.Connection, found: Found, made: Salvaged) -> None:
    """Write a row as it stands, as it was written, or without what is damaged in it, and count what became of it."""
    if not (is_there := _insert(connection, found)) and (sound := _as_written(found)) is not None:
        is_there = _insert(connection, sound)
        made.corrected += is_there
    if is_there or _insert_bare(connection, found, made.losses):
        made.saved[found.table] = made.saved.get(found.table, 0) + 1
        made.corrected += found.is_corrected
        if found.is_replaced and found.table != "memories":  # whose checksums tell
            made.losses.replaced[found.table] = made.losses.replaced.get(found.table, 0) + 1


def _is_of_zeros(found: Found) -> bool:
    """Whether the name of a memory's namespace is none, as where a file was cut off and zeros fill its last page."""
    row: dict[str, Any] = dict(zip(found.columns, found.values, strict=True))
    return "\0" in str(row.get("namespace", ""))


def _has_its_sum(found: Found) -> bool:
    """Whether a memory's row has the sum that it says; one without a sum has."""
    row: dict[str, Any] = dict(zip(found.columns, found.values, strict=True))
    if row.get("row_sum") is None or not row.keys() >= {*SEALED_NAMES}:
        return True
    try:
        return bool(sum_of_row([row[name] for name in SEALED_NAMES]) == row["row_sum"])
    except (TypeError, ValueError):
        return False


def _insert(connection: apsw.Connection, found: Found) -> bool:
    """Write a row, where it is one and not there already."""
    names = ", ".join(f'"{name}"' if name != "_rowid_" else name for name in found.columns)
    marks = ", ".join("?" * len(found.values))
    try:
        connection.execute(f'INSERT OR IGNORE INTO "{found.table}" ({names}) VALUES ({marks})', found.values)
    except apsw.ConstraintError:
        return False
    return connection.changes() > 0


def _as_written(found: Found) -> Found | None:
    """A row that its table refuses because one bit of it flipped, as it was written, or so that what stands elsewhere
    can tell the rest (the length of a smaller vector its tier, that of a block a dimension); None where that cannot be
    told."""
    row: dict[str, Any] = dict(zip(found.columns, found.values, strict=True))
    if found.table == "embedders" and "derived" in row:
        row |= {"derived": int(is_derived_name(row["embedder_id"])), "dimension": max(1, row["dimension"])}
        return replace(found, values=tuple(row.values()))
    if found.table == "demoted":
        return replace(found, values=tuple((row | {"tier": WARM}).values()))
    names = SEALED_NAMES
    if found.table != "memories" or row.get("row_sum") is None or not row.keys() >= {*names}:
        return None
    values, text, wrong = soundest(str(row["text"]).encode("utf-8"), [row[name] for name in names], row["row_sum"])
    if wrong:
        return None
    row |= dict(zip(names, values, strict=True)) | ({} if text is None else {"text": text})
    return replace(found, values=tuple(row.values()))


def _insert_bare(connection: apsw.Connection, found: Found, losses: Losses) -> bool:
    """Write a row without its metadata, where those are what is damaged; what cannot be saved is counted. A row beside
    the memories gets a sum that no row has, so that it is told and marked (`mend_other_rows`)."""
    row: dict[str, Any] = dict(zip(found.columns, found.values, strict=True))
    if found.table == "memories":
        taken = "SELECT row, text_hash FROM memories WHERE row = ? OR (namespace = ? AND id = ? AND revision = ?)"
        there = connection.execute(taken, (row["row"], row["namespace"], row["id"], row["revision"])).fetchone()
        if there is not None and there == (row["row"], row.get("text_hash")):
            return False  # the same row on two pages
        losses.named.add((str(row["namespace"]), str(row["id"])))
        bare = tuple("{}" if name == "metadata" else value for name, value in row.items())
        if _insert(connection, replace(found, values=bare)):
            return True
    else:
        if found.table in _BARE:
            told = {"row_sum": DAMAGED} if "row_sum" in row else {}  # before version 20 what is counted here tells it
            bare_row = row | dict([_BARE[found.table]]) | told
            if _insert(connection, replace(found, values=tuple(bare_row.values()))):
                losses.broken.update({} if told else {found.table: losses.broken.get(found.table, 0) + 1})
                return True
        if not found.is_sure:
            return False
    losses.broken[found.table] = losses.broken.get(found.table, 0) + 1
    return False


def _note_block(made: Salvaged, space: int, found: Found) -> None:
    """Keep a block of vectors, what says which rows are in it, or where a row is."""
    row: dict[str, Any] = dict(zip(found.columns, found.values, strict=True))
    if any(value is None for name, value in row.items() if name in ("chunk_id", "chunk_offset")):
        return
    if found.table.endswith("_chunks"):
        made.chunks.setdefault(space, {}).setdefault(int(row["chunk_id"]), (row["validity"], row["rowids"]))
    elif found.table.endswith("_rowids"):
        made.places.setdefault(space, {}).setdefault(
            int(row["rowid"]), (row.get("chunk_id", 0), row.get("chunk_offset", -1))
        )
    else:
        made.blocks.setdefault(space, {}).setdefault(int(row["_rowid_"]), Block(found.where, len(row["vectors"])))


def seen_spaces(made: Salvaged) -> dict[int, int]:
    """The dimension of each space of which whole blocks were found, by its number: what most of them have."""
    whole = {
        number: Counter(
            block.size // (4 * CHUNK) for block in blocks.values() if block.size and not block.size % (4 * CHUNK)
        )
        for number, blocks in made.blocks.items()
    }
    return {number: sizes.most_common(1)[0][0] for number, sizes in whole.items() if sizes}


@dataclass(frozen=True)
class Places:
    """Where the vectors of a space stand in the blocks that were found: by row the block and the place in it, which is
    said twice, by row and by block."""

    image: Image
    blocks: Mapping[int, Block]
    dimension: int
    known: Mapping[int, Sequence[tuple[int, int]]]

    def of(self, row: int) -> list[bytes]:
        """The vectors that stand for a row, the one that is named by row first."""
        size, found = 4 * self.dimension, list[bytes]()
        for chunk, at in self.known.get(row, ()):
            vector = self._block(chunk)[at * size : (at + 1) * size]
            if len(vector) == size and vector not in found:
                found.append(vector)
        return found

    @functools.cached_property
    def _block(self) -> Callable[[int], bytes]:
        largest = max((block.size for block in self.blocks.values()), default=0)
        return functools.lru_cache(maxsize=max(2, HELD // max(1, largest)))(self._read)

    def _read(self, chunk: int) -> bytes:
        block = self.blocks.get(chunk)
        return b"" if block is None else cast("bytes", value_at(self.image, block.where))


def places_of(image: Image, made: Salvaged, number: int, dimension: int) -> Places:
    """Where the vectors of a space stand."""
    known: dict[int, list[tuple[int, int]]] = {}
    for row, (chunk, at) in made.places.get(number, {}).items():
        if isinstance(at, int) and at >= 0:
            known.setdefault(row, []).append((chunk, at))
    for chunk, (validity, rows) in made.chunks.get(number, {}).items():
        for at, (row,) in enumerate(struct.iter_unpack("<q", rows[: len(rows) // 8 * 8])):
            if at // 8 < len(validity) and validity[at // 8] >> at % 8 & 1:
                there = known.setdefault(row, [])
                if (chunk, at) not in there:
                    there.append((chunk, at))
    return Places(image, made.blocks.get(number, {}), dimension, known)
