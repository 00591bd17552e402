"""The file of a static embedding table: a header, int8 rows, one float16 scale for each row, and the words.

    b"AQET1\\n" | uint32 LE: bytes of the header | header (JSON) | int8 rows, C order | float16 LE scales | words

The header has `dimension`, `words` (how many rows belong to words), `buckets` (how many rows behind them belong to
4-grams), `name_weight` (share of the name part in the vector of code), `tf_k` (saturation of repeated words) and
`trained` (how the table was made: any JSON object). A row's vector is its int8 items times its scale. Words are stems
of `aqe.simd`'s tokeniser in row order, UTF-8, joined by line ends. Beside the file stands one of the same name that
ends in `.json`: the table's `sha256` and `bytes`, and `provenance`.
"""

from __future__ import annotations

import hashlib
import json
import math
import struct
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from aqe.engine.errors import UserError

MAGIC = b"AQET1\n"
LONGEST = 64
_COUNTS = ("dimension", "words", "buckets")
_WEIGHTS = ("name_weight", "tf_k")


@dataclass(frozen=True)
class Table:
    """A static table: `rows` int8 (words + buckets, dimension), `scales` float32 (words + buckets), `words` as bytes.

    `sha256` is the checksum of the file that it was read from.
    """

    words: tuple[bytes, ...]
    buckets: int
    rows: NDArray[np.int8]
    scales: NDArray[np.float32]
    name_weight: float
    tf_k: float
    sha256: str
    trained: Mapping[str, Any] = field(default_factory=dict)

    @property
    def dimension(self) -> int:
        """Items to a vector."""
        return int(self.rows.shape[1])


def note_of(path: Path) -> Path:
    """The file beside a table that holds its checksum."""
    return path.with_suffix(".json")


def write_table(
    path: Path,
    *,
    words: Sequence[str],
    rows: NDArray[np.int8],
    scales: NDArray[np.floating[Any]],
    buckets: int,
    name_weight: float,
    tf_k: float,
    trained: Mapping[str, Any] | None = None,
    provenance: Mapping[str, Any] | None = None,
) -> str:
    """Write a table and its `.json`; returns the table's SHA-256 in hex.

    `rows` is int8 (words + buckets, dimension), `scales` (words + buckets), finite in float16. Raises ValueError for
    shapes that do not fit and for words that are empty, repeated, longer than a stem, or hold a line end.
    """
    if rows.dtype != np.int8 or rows.ndim != 2 or len(rows) != len(words) + buckets:
        raise ValueError(f"rows must be int8 ({len(words)} + {buckets}, dimension), got {rows.dtype} {rows.shape}")
    with np.errstate(over="ignore"):
        halves = np.asarray(scales).astype("<f2")
    if halves.shape != (len(rows),) or not np.isfinite(halves).all():
        raise ValueError(f"scales must be {len(rows)} numbers that float16 can hold")
    if len(set(words)) != len(words) or any(not word or "\n" in word for word in words):
        raise ValueError("words must be distinct, not empty, and hold no line end")
    if any(len(word.encode("utf-8")) > LONGEST for word in words):
        raise ValueError(f"a word must have at most {LONGEST} bytes, as the tokeniser's stems do")
    header = json.dumps(
        {
            "dimension": rows.shape[1],
            "words": len(words),
            "buckets": buckets,
            "name_weight": name_weight,
            "tf_k": tf_k,
            "trained": dict(trained or {}),
        },
        sort_keys=True,
    ).encode("utf-8")
    joined = "\n".join(words).encode("utf-8")
    whole = b"".join((MAGIC, struct.pack("<I", len(header)), header, rows.tobytes(), halves.tobytes(), joined))
    digest = hashlib.sha256(whole).hexdigest()
    path.write_bytes(whole)
    note = {"sha256": digest, "bytes": len(whole), "provenance": dict(provenance or {})}
    note_of(path).write_text(json.dumps(note, indent=2, sort_keys=True) + "\n", encoding="utf-8")
    return digest


def read_table(path: Path) -> Table:
    """The table of a file, mapped into memory and checked against the `.json` beside it.

    Raises `UserError` (embedding-broken) when either file is missing or damaged.
    """
    try:
        expected = str(json.loads(note_of(path).read_bytes())["sha256"])
        whole = np.memmap(path, dtype=np.uint8, mode="r")
    except (OSError, ValueError, KeyError, TypeError) as exc:
        raise _broken(path, str(exc)) from exc
    digest = hashlib.sha256(whole.data).hexdigest()
    if digest != expected:
        raise _broken(path, f"its SHA-256 begins with {digest[:8]}, not with {expected[:8]}")
    try:
        return _parsed(whole, digest)
    except (ValueError, KeyError, TypeError, struct.error) as exc:
        raise _broken(path, str(exc)) from exc


def _parsed(whole: NDArray[np.uint8], digest: str) -> Table:
    """The parts of the file; raises ValueError, KeyError, TypeError or struct.error where they do not fit."""
    start = len(MAGIC) + 4
    if whole[: len(MAGIC)].tobytes() != MAGIC:
        raise ValueError("it does not begin as a table")
    (length,) = struct.unpack("<I", whole[len(MAGIC) : start].tobytes())
    header = json.loads(whole[start : start + length].tobytes())
    dimension, words, buckets = (_count(header[name], name) for name in _COUNTS)
    name_weight, tf_k = (_weight(header[name], name) for name in _WEIGHTS)
    rows_at = start + length
    scales_at = rows_at + (words + buckets) * dimension
    words_at = scales_at + (words + buckets) * 2
    if words_at > len(whole):
        raise ValueError(f"it has {len(whole)} bytes where its header needs at least {words_at}")
    listed = whole[words_at:].tobytes()
    found = tuple(listed.split(b"\n")) if listed else ()
    if len(found) != words:
        raise ValueError(f"it has {len(found)} words where its header says {words}")
    if len(set(found)) != words or any(not 0 < len(word) <= LONGEST for word in found):
        raise ValueError("its words are not distinct stems")
    return Table(
        words=found,
        buckets=buckets,
        rows=whole[rows_at:scales_at].view(np.int8).reshape(words + buckets, dimension),
        scales=np.frombuffer(whole[scales_at:words_at].tobytes(), "<f2").astype(np.float32),
        name_weight=name_weight,
        tf_k=tf_k,
        sha256=digest,
        trained=dict(header["trained"]),
    )


def _count(value: Any, name: str) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value < 2**31:
        raise ValueError(f"{name} is {value!r}")
    return value


def _weight(value: Any, name: str) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or not (math.isfinite(value) and value >= 0):
        raise ValueError(f"{name} is {value!r}")
    return float(value)


def _broken(path: Path, why: str) -> UserError:
    return UserError(
        f"The embedding table {path.name!r} cannot be used: {why}.",
        code="embedding-broken",
        fix="Install aqe anew: `pip install --force-reinstall --no-deps aqe`.",
    )
