"""Memories and hits, made as searches make them: many, and each for little.

A frozen dataclass sets each field by a call. Those made here are of a class with the same fields that may simply set
them, and are given their own class then: a memory takes a sixth of the instructions so, a hit a third, and both less
than half of the bytes.
"""

from __future__ import annotations

import marshal
from collections.abc import Iterable, Mapping, Sequence
from functools import lru_cache
from sys import getsizeof, intern
from typing import Any

from aqe.engine.memory.entry import Hit, Memory, Provenance, SearchAnswer

Packed = tuple[Any, ...]
"""A memory as a tuple of numbers, texts and bytes alone, for this process: one that the garbage collector need not look
at, and that needs no reading."""

AROUND = 400
"""Bytes that a packed memory takes beside its texts, as a value of a dictionary."""

A_PAIR = 64
"""Bytes of a key and its value in the metadata beside the value itself."""

_PLAIN = frozenset([str, int, float, bool, type(None)])
_UNKNOWN = Provenance()


class _OpenMemory:
    """A memory that is being made of what it is packed as."""

    def __init__(
        self,
        id: str,
        namespace: str,
        revision: int,
        text: str,
        metadata: bytes | tuple[Any, ...],
        created_at: int,
        valid_from: int,
        valid_to: int | None,
        embedder_id: str | None,
        dimension: int | None,
        provenance: Sequence[Any] | None,
        id_given: bool,
        expires_at: int | None,
        pinned: bool,
        end_note: str,
        file_digest: str,
        stale: bool,
    ) -> None:
        self.id = id
        self.namespace = namespace
        self.revision = revision
        self.text = text
        self.metadata = marshal.loads(metadata) if isinstance(metadata, bytes) else dict(metadata)
        self.created_at = created_at
        self.valid_from = valid_from
        self.valid_to = valid_to
        self.embedder_id = embedder_id
        self.dimension = dimension
        self.provenance = _provenance(*provenance) if provenance else _UNKNOWN
        self.id_given = id_given
        self.expires_at = expires_at
        self.pinned = pinned
        self.end_note = end_note
        self.file_digest = file_digest
        self.stale = stale


class _OpenHit:
    """A hit that is being made."""

    def __init__(self, memory: Memory, score: float, text_score: float | None, vector_score: float | None) -> None:
        self.memory = memory
        self.score = score
        self.text_score = text_score
        self.vector_score = vector_score
        self.prior = 0.0
        self.explained = None


class _OpenAnswer:
    """An answer that is being made."""

    def __init__(self, mode: str, hits: tuple[Hit, ...]) -> None:
        self.mode = mode
        self.hits = hits
        self.note = ""


def pack(memory: Memory) -> Packed:
    """What `memories` makes an equal memory of."""
    values = dict(memory.__dict__)
    values["namespace"] = intern(memory.namespace)  # most rows have the same ones
    if memory.embedder_id.__class__ is str:
        values["embedder_id"] = intern(memory.embedder_id)
    values["metadata"] = _packed(memory.metadata)
    origin = memory.provenance
    values["provenance"] = None if origin == _UNKNOWN else (*origin.__dict__.values(),)
    return (*values.values(),)


def size_of(packed: Packed) -> int:
    """About the bytes that a packed memory takes in memory."""
    metadata = packed[4]
    around = AROUND + getsizeof(packed[3]) + len(packed[0])
    if isinstance(metadata, bytes):
        return around + len(metadata)
    return around + sum([A_PAIR + getsizeof(value) for _, value in metadata])


def _packed(metadata: dict[str, Any]) -> bytes | tuple[Any, ...]:
    """As pairs where no value holds others, which are sooner read."""
    if metadata.__class__ is dict and all(value.__class__ in _PLAIN for value in metadata.values()):
        return tuple([(intern(key), value) for key, value in metadata.items()])
    return marshal.dumps(metadata)


def memories(packed: Mapping[int, Packed], rows: Iterable[int]) -> dict[int, Memory]:
    """The memories of those of some rows that are packed, by row."""
    found: dict[int, Memory] = {}
    get = packed.get
    for row in rows:
        one = get(row)
        if one is not None:
            memory: Any = _OpenMemory(*one)
            memory.__class__ = Memory
            found[row] = memory
    return found


def hit(memory: Memory, score: float, text_score: float | None, vector_score: float | None) -> Hit:
    """A hit by rank alone: nothing is known of it from before, and nothing of its score is explained."""
    found: Any = _OpenHit(memory, score, text_score, vector_score)
    found.__class__ = Hit
    made: Hit = found
    return made


def vector_answer(memories: Sequence[Memory], near: Sequence[float]) -> SearchAnswer:
    """The answer of a search by a vector alone: memories with their cosines."""
    hits: list[Any] = []
    for memory, cosine in zip(memories, near, strict=True):
        one: Any = _OpenHit(memory, cosine, None, cosine)
        one.__class__ = Hit
        hits.append(one)
    answer: Any = _OpenAnswer("vector", tuple(hits))
    answer.__class__ = SearchAnswer
    made: SearchAnswer = answer
    return made


@lru_cache(maxsize=256)
def _provenance(file: str, line: int, commit: str, run: str, worktree: str) -> Provenance:
    return Provenance(file, line, commit, run, worktree)
