"""The rows that still stand in a damaged file, written into the tables of a new one, and where their vectors were."""

from __future__ import annotations

import struct
from collections import Counter
from dataclasses import dataclass, field, replace
from typing import Any

import apsw

from aqe.engine.memory.care.image import Image
from aqe.engine.memory.care.placing import is_derived_name
from aqe.engine.memory.care.rebuilding import soundest
from aqe.engine.memory.care.salvage import (
    SPACE,
    Found,
    Losses,
    highest_unnamed,
    indexed_memories,
    is_derived,
    known_tables,
    salvage,
)
from aqe.engine.memory.file.sums import SEALED
from aqe.engine.memory.meaning.vectors import CHUNK
from aqe.engine.memory.tiers.forms import WARM
from aqe.engine.progress import CancelToken, Progress

LOOK = 1000


@dataclass
class Salvaged:
    """What a salvage brought: rows by table, vectors by space and row, and what is lost."""

    saved: dict[str, int] = field(default_factory=dict)
    chunks: dict[int, dict[int, tuple[bytes, bytes]]] = field(default_factory=dict)
    blocks: dict[int, dict[int, bytes]] = field(default_factory=dict)
    places: dict[int, dict[int, tuple[int, int]]] = field(default_factory=dict)
    losses: Losses = field(default_factory=Losses)
    corrected: int = 0
    """Rows that no table takes as they stand, with the bit put right that flipped in them."""
    highest: int | None = None
    """The highest row number of memories that was seen, where some may be lost that nothing names."""

    @property
    def is_nothing(self) -> bool:
        """Whether no row could be saved, or of memories that were there none."""
        lost = self.losses
        was_more = lost.named or lost.unknown or lost.unread_pages or "memories" in lost.broken
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
    for at, found in enumerate(salvage(image, tables, made.losses, progress=progress, cancel=cancel)):
        if at % LOOK == 0:
            progress("Saving rows", at)
        if (space := SPACE.fullmatch(found.table)) is not None:
            _note_block(made, int(space[1]), found)
            continue
        if not (is_there := _insert(connection, found)) and (sound := _as_written(found)) is not None:
            is_there = _insert(connection, sound)
            made.corrected += is_there
        if is_there or _insert_bare(connection, found, made.losses):
            made.saved[found.table] = made.saved.get(found.table, 0) + 1
    there = {(str(a), str(b), int(c)) for a, b, c in connection.execute("SELECT namespace, id, revision FROM memories")}
    made.losses.named |= {(a, b) for a, b, c in indexed_memories(image) if (a, b, c) not in there}
    made.highest = highest_unnamed(image)
    if made.highest is not None:
        made.highest = max(made.highest, connection.execute("SELECT max(row) FROM memories").get or 0)


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
    names = SEALED.replace('"', "").split(", ")
    if found.table != "memories" or row.get("row_sum") is None or not row.keys() >= {*names}:
        return None
    values, text, wrong = soundest(str(row["text"]).encode("utf-8"), [row[name] for name in names], row["row_sum"])
    if wrong:
        return None
    row |= dict(zip(names, values, strict=True)) | ({} if text is None else {"text": text})
    return replace(found, values=tuple(row.values()))


def _insert_bare(connection: apsw.Connection, found: Found, losses: Losses) -> bool:
    """Write a memory without its metadata, where those are what is damaged; what cannot be saved is counted."""
    row: dict[str, Any] = dict(zip(found.columns, found.values, strict=True))
    if found.table == "memories":
        taken = "SELECT 1 FROM memories WHERE row = ? OR (namespace = ? AND id = ? AND revision = ?)"
        if connection.execute(taken, (row["row"], row["namespace"], row["id"], row["revision"])).fetchone():
            return False
        losses.named.add((str(row["namespace"]), str(row["id"])))
        bare = tuple("{}" if name == "metadata" else value for name, value in row.items())
        if _insert(connection, replace(found, values=bare)):
            return True
    elif not found.is_sure:
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
        made.blocks.setdefault(space, {}).setdefault(int(row["_rowid_"]), row["vectors"])


def seen_spaces(made: Salvaged) -> dict[int, int]:
    """The dimension of each space of which whole blocks were found, by its number: what most of them have."""
    whole = {
        number: Counter(
            len(block) // (4 * CHUNK) for block in blocks.values() if block and not len(block) % (4 * CHUNK)
        )
        for number, blocks in made.blocks.items()
    }
    return {number: sizes.most_common(1)[0][0] for number, sizes in whole.items() if sizes}


def vectors_of(connection: apsw.Connection, made: Salvaged) -> dict[int, dict[int, list[bytes]]]:
    """The vectors in the blocks that were found, by space and row: where each is said twice, by block and by row."""
    found: dict[int, dict[int, list[bytes]]] = {}
    spaces: list[Any] = connection.execute("SELECT number, dimension FROM embedders").fetchall()
    for number, dimension in spaces:
        size, here = 4 * int(dimension), found.setdefault(int(number), {})
        blocks = made.blocks.get(int(number), {})
        places = [(row, *place) for row, place in made.places.get(int(number), {}).items()]
        for chunk, (validity, rows) in made.chunks.get(int(number), {}).items():
            for at, (row,) in enumerate(struct.iter_unpack("<q", rows[: len(rows) // 8 * 8])):
                if at // 8 < len(validity) and validity[at // 8] >> at % 8 & 1:
                    places.append((row, chunk, at))
        for row, chunk, at in places:
            block = blocks.get(chunk, b"")
            if isinstance(at, int) and at >= 0 and len(block) >= (at + 1) * size:
                vector = block[at * size : (at + 1) * size]
                if vector not in (there := here.setdefault(row, [])):
                    there.append(vector)
    return found
