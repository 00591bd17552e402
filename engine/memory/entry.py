"""What goes into the memory store and what comes out, checked at the door."""

from __future__ import annotations

import json
import math
import os
import random
import re
import secrets
from array import array
from collections.abc import Mapping, Sequence, Set
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import lru_cache
from typing import TYPE_CHECKING, Any, Literal, TypeVar

from aqe import simd
from aqe.engine.errors import UserError

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Numbers = Sequence[float] | NDArray[Any]

TEXT_BYTES = 1_000_000
ID_BYTES = 200
METADATA_BYTES = 65_536
DIMENSIONS = 8192
GIVEN = "given"
"""The embedder id of a vector whose maker was not named."""

Made = TypeVar("Made")
_encoder = json.JSONEncoder(ensure_ascii=False, allow_nan=False, separators=(",", ":"))
_make: Any = getattr(json.encoder, "c_make_encoder", None)
_write = _make and _make(None, _encoder.default, json.encoder.encode_basestring, None, ":", ",", False, False, False)
"""What `_encoder.encode` makes anew at every call, in C; it does not look for circles, which end at a certain depth."""
_NAMESPACE = re.compile(r"\w[\w./-]{0,99}")
_NEW_NAMESPACE = re.compile(r"[^\W_]([\w./-]{0,98}[\w.-])?")


@dataclass(frozen=True)
class Provenance:
    """Where a memory comes from: file (relative, posix), line, commit, run and git worktree; "" or 0 is unknown."""

    file: str = ""
    line: int = 0
    commit: str = ""
    run: str = ""
    worktree: str = ""


_UNKNOWN = Provenance()


@dataclass(frozen=True)
class NewMemory:
    """A memory to add. Without an `id` it gets a UUIDv7 and merges with its exact duplicate. `derived` says that aqe
    computed the vector from the text: a memory that is there already keeps the vector it has. `ttl_s` is how long it is
    kept, in seconds; `as_new` keeps a text even where it only repeats what was just recalled."""

    text: str
    namespace: str = "default"
    id: str | None = None
    metadata: Mapping[str, Any] = field(default_factory=dict)
    vector: Numbers | None = None
    embedder_id: str | None = None
    provenance: Provenance | None = None
    derived: bool = False
    ttl_s: float | None = None
    as_new: bool = False


@dataclass(frozen=True)
class Kept:
    """A memory that was added: its id, its namespace, when it ends (None: never), and whether it had been kept before.
    Then `joined` names what it took over: metadata, vector, provenance, expires_at. `recalled` says that the text
    repeats a memory that was recalled a moment ago, which may lie in another namespace; `kept_end` that the memory did
    not take the end that was asked for, since it has none or a later one."""

    id: str
    existed: bool
    recalled: bool = False
    namespace: str = ""
    expires_at: int | None = None
    joined: tuple[str, ...] = ()
    kept_end: bool = False


@dataclass(frozen=True)
class Memory:
    """One revision of a memory. Times are UTC microseconds; `valid_to` is None while it is the current one.

    `expires_at` is when it is over by itself (None: never), `pinned` keeps it from being pruned or merged away,
    `end_note` says why it ended where growth ended it, `file_digest` is that of its file when it was written, and
    `stale` says that the file changed since."""

    id: str
    namespace: str
    revision: int
    text: str
    metadata: dict[str, Any]
    created_at: int
    valid_from: int
    valid_to: int | None
    embedder_id: str | None
    dimension: int | None
    provenance: Provenance
    id_given: bool
    expires_at: int | None = None
    pinned: bool = False
    end_note: str = ""
    file_digest: str = ""
    stale: bool = False


@dataclass(frozen=True)
class Explained:
    """Why a hit of a search by words and meaning stands where it does: `similarity` is the place, between the worst (0)
    and the best (1) of the `candidates`, of vector_share * vector_standard + (1 - vector_share) * text_standard +
    prior. It is the hit's score, unless an order of one's own (memory.rank) or a changed file makes another of it.

    The standard scores are each side's score in standard deviations from the candidates' mean (0 for the vector of a
    memory without one). `text_rank` and `vector_rank` are the places by one side alone, from 1, None where that side
    did not have it. `graph_added` is what the edges between memories added, in a search for tests: there the score is
    the place of `similarity` + `graph_added` among all that was looked at, and what edges alone led to has no ranks.
    Beside it the other usual way to join them: `reciprocal_score` is the sum of 1 / (60 + rank), and
    `reciprocal_rank` the place that it would give.
    """

    text_standard: float
    vector_standard: float
    vector_share: float
    text_rank: int | None
    vector_rank: int | None
    reciprocal_score: float
    reciprocal_rank: int
    candidates: int
    similarity: float
    graph_added: float = 0.0


@dataclass(frozen=True)
class Hit:
    """A memory that a search found. `score` orders the hits of one answer: the cosine by a vector alone, else at most 1
    (by text alone the share of the best hit's BM25; by both the place between the worst candidate, 0, and the best, 1).
    `text_score` is BM25, `vector_score` the cosine similarity (None where that side did not take part), `prior` what
    earlier answers that rested on it added, in standard deviations of the fused score. `explained` is there where it
    was asked for and both sides took part."""

    memory: Memory
    score: float
    text_score: float | None
    vector_score: float | None
    prior: float = 0.0
    explained: Explained | None = None


WITHOUT_MEANING = "The vectors cannot be read, so the words alone were asked: `aqe memory repair` mends them."
"""The note of a search by words and meaning in a file whose vectors are damaged."""


@dataclass(frozen=True)
class SearchAnswer:
    """What a search found, best first, and by what: text alone, vector alone, or both. `note` says what it had to do
    without, and what to do about it; "" where that is nothing."""

    mode: Literal["text", "vector", "hybrid"]
    hits: tuple[Hit, ...]
    note: str = ""


def made(kind: type[Made], values: dict[str, Any]) -> Made:
    """A frozen dataclass of all its fields, without the cost of setting them one by one (a tenth of it)."""
    one = object.__new__(kind)
    object.__setattr__(one, "__dict__", values)
    return one


def rfc3339(microseconds: int) -> str:
    """A time of the store as users see it.

    >>> rfc3339(1_700_000_000_000_001)
    '2023-11-14T22:13:20.000001Z'
    """
    seconds, micro = divmod(microseconds, 1_000_000)
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%S") + f".{micro:06d}Z"


def uuid7(now_us: int) -> str:
    """A UUIDv7 (RFC 9562): milliseconds, then the rest of the microsecond clock, then 62 random bits."""
    milliseconds, micro = divmod(now_us, 1000)
    value = (milliseconds & (1 << 48) - 1) << 80 | 7 << 76 | (micro * 4096 // 1000) << 64 | 2 << 62
    digits = f"{value | _chance.getrandbits(62):032x}"
    return f"{digits[:8]}-{digits[8:12]}-{digits[12:16]}-{digits[16:20]}-{digits[20:]}"


_chance = random.Random(secrets.randbits(256))  # asking the system for each id takes longer than all the rest of it
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=lambda: _chance.seed(secrets.randbits(256)))


def check_text(text: str) -> str:
    """`text` if it can be stored; raises `UserError` (bad-text, text-too-long)."""
    size = stored_size(text, "The text", "bad-text")
    if not text or text.isspace():
        raise UserError("The text is empty.", code="bad-text", fix="Give some words.")
    if size > TEXT_BYTES:
        raise UserError(
            f"The text has {size} bytes; at most {TEXT_BYTES} are taken.",
            code="text-too-long",
            fix="Split it, or give a summary and the file's name.",
        )
    return text


def stored_size(text: str, what: str, code: str) -> int:
    """The bytes of a text that can be stored; raises `UserError` with this code, which calls it `what`."""
    if not isinstance(text, str):
        raise UserError(f"{what} is {type(text).__name__}, not a text.", code=code, fix="Give a string.")
    try:
        size = len(text if text.isascii() else text.encode("utf-8"))
    except UnicodeEncodeError as exc:
        unit = ord(text[exc.start])
        if 0xDC80 <= unit <= 0xDCFF:  # what Python makes of a byte of a command line that is no UTF-8
            found = f"the byte 0x{unit - 0xDC00:02X}, which is no UTF-8 there (U+{unit:04X})"
        else:
            found = f"a half character (surrogate U+{unit:04X})"
        raise UserError(f"{what} holds {found}, at offset {exc.start}.", code=code, fix="Give valid Unicode.") from None
    if "\0" in text:
        raise UserError(f"{what} holds a NUL byte at offset {text.index(chr(0))}.", code=code, fix="Remove it.")
    return size


def check_id(id: str) -> str:
    """`id` if it can name a memory; raises `UserError` (bad-id)."""
    size = stored_size(id, "The id", "bad-id")
    if not 0 < size <= ID_BYTES:
        raise UserError(f"The id has {size} bytes.", code="bad-id", fix=f"Give 1 to {ID_BYTES} bytes.")
    return id


def check_namespace(namespace: str) -> str:
    """`namespace` if memories can be in one, or in those below it (`name/`), also in the store of an earlier version;
    raises `UserError` (bad-namespace)."""
    return _fitting(namespace, _NAMESPACE)


def check_new_namespace(namespace: str) -> str:
    """`namespace` if a new memory can be in it; raises `UserError` (bad-namespace)."""
    return _fitting(namespace, _NEW_NAMESPACE)


def _fitting(namespace: str, form: re.Pattern[str]) -> str:
    if isinstance(namespace, str) and _fits(namespace, form):
        return namespace
    stored_size(namespace, "The namespace", "bad-namespace")
    raise UserError(
        f"{namespace!r:.120} is not a namespace.",
        code="bad-namespace",
        fix="Use letters, digits, `_`, `-`, `.` and `/`, at most 100, beginning with a letter or digit; a `/` at "
        "the end stands for all below it, and is none of a memory.",
    )


@lru_cache(maxsize=1024)
def _fits(namespace: str, form: re.Pattern[str]) -> bool:
    return form.fullmatch(namespace) is not None and ".." not in namespace


def check_limit(limit: int, most: int) -> None:
    """Refuse what is no number of results from 1 to `most`. Raises `UserError` (bad-limit)."""
    if limit.__class__ is int and 1 <= limit <= most:
        return
    if isinstance(limit, bool) or not isinstance(limit, int) or not 1 <= limit <= most:
        raise UserError(f"{limit!r:.40} is no number of results.", code="bad-limit", fix=f"Give 1 to {most}.")


def metadata_json(metadata: Mapping[str, Any] | None) -> str:
    """Metadata as JSON; raises `UserError` (bad-metadata) for what JSON cannot hold."""
    if metadata is not None and not isinstance(metadata, (dict, Mapping)):  # a dict is told faster by its own name
        raise UserError(
            f"The metadata is {type(metadata).__name__}, not an object.",
            code="bad-metadata",
            fix="Give keys and values.",
        )
    if not metadata:
        return "{}"
    found = dict(metadata)
    for key in found:
        if not isinstance(key, str):
            raise UserError(f"The metadata key {key!r} is not a text.", code="bad-metadata", fix="Give string keys.")
    try:
        text = _encoded(found)
    except (TypeError, ValueError, RecursionError) as exc:
        raise UserError(f"The metadata is not JSON: {exc}.", code="bad-metadata", fix="Give JSON values.") from None
    if stored_size(text, "The metadata", "bad-metadata") > METADATA_BYTES:
        raise UserError(
            f"The metadata is larger than {METADATA_BYTES} bytes.", code="bad-metadata", fix="Store less of it."
        )
    return text


def _encoded(found: dict[str, Any]) -> str:
    """As `_encoder.encode`, for less than half of it; what cannot be encoded it says itself."""
    try:
        return "".join(_write(found, 0)) if _write is not None else _encoder.encode(found)
    except (TypeError, ValueError, RecursionError):
        return _encoder.encode(found)


def pack_vector(vector: Numbers) -> bytes:
    """A vector as float32 bytes; raises `UserError` (bad-vector) for what has no direction."""
    packed: bytes = as_floats(vector).tobytes()
    return packed


def as_floats(vector: Numbers) -> Any:
    """A vector as float32 numbers one behind the other, the caller's own where it is that; raises `UserError`
    (bad-vector) for what has no direction."""
    packed = _floats(vector)
    if not 0 < len(packed) <= DIMENSIONS:
        raise UserError(
            f"The vector has {len(packed)} dimensions.", code="bad-vector", fix=f"Give 1 to {DIMENSIONS} numbers."
        )
    if not 0 < simd.dot(packed, packed) < math.inf:  # which may also overflow, or vanish
        length = math.hypot(*packed)
        if not math.isfinite(length) or length == 0:
            raise UserError(
                "The vector is zero or not finite, so it has no direction.",
                code="bad-vector",
                fix="Embed the text again.",
            )
    return packed


def _floats(given: Numbers) -> Any:
    vector: Any = given
    try:
        if isinstance(vector, array) and vector.typecode == "f":
            return vector
        if getattr(vector, "ndim", 0) == 1 and vector.dtype.char == "f" and vector.dtype.isnative:
            return vector if vector.flags.c_contiguous else array("f", vector.tolist())
        if isinstance(vector, str | bytes | bytearray | Mapping | Set):  # bytes would be taken as packed numbers
            raise TypeError
        return array("f", vector.tolist() if hasattr(vector, "tolist") else vector)
    except (TypeError, ValueError, OverflowError):
        raise UserError(
            "The vector holds something else than numbers.", code="bad-vector", fix="Give numbers."
        ) from None


def check_embedder(embedder_id: str | None) -> str:
    """The name of a vector's embedder, `GIVEN` when it was not named."""
    if embedder_id is None:
        return GIVEN
    return _checked_once(embedder_id) if embedder_id.__class__ is str else check_id(embedder_id)


@lru_cache(maxsize=64)
def _checked_once(embedder_id: str) -> str:
    return check_id(embedder_id)


def check_provenance(provenance: Provenance) -> Provenance:
    """`provenance` if it can be stored; raises `UserError` (bad-provenance)."""
    if provenance == _UNKNOWN:
        return provenance
    for name in ("file", "commit", "run", "worktree"):
        stored_size(getattr(provenance, name), f"The provenance's {name}", "bad-provenance")
    line = provenance.line
    if not isinstance(line, int) or not 0 <= line < 1 << 62:
        raise UserError(f"The provenance's line is {line!r:.40}.", code="bad-provenance", fix="Give a line number.")
    return provenance
