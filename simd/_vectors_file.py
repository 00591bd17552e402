"""The file of a `Vectors`: a line that names it, a header in JSON, then arrays, each at a multiple of 4096 bytes.

    bytes 0-7    b"aqevec1\\n"
    8-11         length of the header, little-endian; 12-15 its CRC-32
    16-          the header: {"facts": {}, "arrays": {name: [dtype, shape, offset, bytes, CRC-32]}, "size": of the file}

The last array, "sums", has a sum (`_guard`) for each 4096 bytes from the first array on, so that what a mapped file
gives is held against what was written when it is first read; files of before have none. A file is written under another
name in its folder, flushed to the disk and renamed, so a reader sees the old one or the new one. Opening reads the
header and checks its sum and the file's length; `check` reads everything.
"""

from __future__ import annotations

import io
import json
import math
import mmap
import os
import struct
import sys
import zlib
from collections.abc import Iterable, Mapping
from contextlib import suppress
from pathlib import Path
from pickle import PickleBuffer
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from aqe.simd import _funnel_path
from aqe.simd._guard import PIECE, Guard, Tally

MAGIC = b"aqevec1\n"
_HEAD = struct.Struct("<8sII")
_ALIGNED, _LEAST_ALIGNED = 4096, 64
_LONGEST_HEADER = 1 << 20
_AT_ONCE = 1 << 24
SUMS = "sums"
_KINDS = {"int64", "int32", "uint8", "uint16", "uint64", "int8", "float16", "float32"}

Array = NDArray[Any]
Held = bytes | bytearray | memoryview | PickleBuffer
"""The content of a file in memory."""

Told = tuple[str, tuple[int, ...], Iterable[Array]]


def write(path: Path, facts: Mapping[str, Any], arrays: Mapping[str, Told]) -> None:
    """Write arrays, each told as (dtype, shape, pieces in order), and `facts` beside them; raises OSError, also where
    what is there is a folder, a device or a pipe, which no file is to take the place of."""
    if not path.name or path.is_dir():
        raise IsADirectoryError(f"vectors are saved in a file, and {str(path)!r} names none")
    if path.exists() and not path.is_file():
        raise FileExistsError(f"vectors are saved in a file, and {str(path)!r} is a device or a pipe")
    part = path.with_name(f".{path.name}.{os.getpid()}-{os.urandom(4).hex()}.part")
    try:
        with part.open("xb") as file:
            _write(file, facts, arrays)
            file.flush()
            os.fsync(file.fileno())
        os.replace(part, path)
    except BaseException as failure:
        with suppress(OSError):
            part.unlink()
        if isinstance(failure, OSError) and failure.filename == str(part):
            raise OSError(failure.errno, failure.strerror, str(path)) from None
        raise


def content(facts: Mapping[str, Any], arrays: Mapping[str, Told]) -> bytes:
    """What `write` writes, in memory; raises OSError where it does."""
    file = io.BytesIO()
    _write(file, facts, arrays)
    return file.getvalue()


def _write(file: BinaryIO, facts: Mapping[str, Any], arrays: Mapping[str, Any]) -> None:
    if sys.byteorder != "little":
        raise OSError("vectors are saved on little-endian machines only")
    places: dict[str, list[Any]] = {}
    offset = _ALIGNED * -(-_room(facts, arrays) // _ALIGNED)
    tally = Tally(_funnel_path.chosen())

    def put(name: str, kind: str, shape: tuple[int, ...], pieces: Iterable[Array]) -> None:
        nonlocal offset
        file.seek(offset)
        length = checksum = 0
        for piece in pieces:
            data = np.ascontiguousarray(piece).reshape(-1).view(np.uint8).data
            file.write(data)
            tally.take(data)
            checksum, length = zlib.crc32(data, checksum), length + len(data)
        tally.pad()
        places[name] = [kind, list(shape), offset, length, checksum]
        offset = _ALIGNED * -(-(offset + length) // _ALIGNED)

    for name, (kind, shape, pieces) in arrays.items():
        put(name, kind, shape, pieces)
    sums = tally.sums()
    put(SUMS, "uint64", sums.shape, [sums])
    file.write(bytes(offset - file.seek(0, os.SEEK_END)))
    header = json.dumps({"facts": facts, "arrays": places, "size": offset}).encode()
    file.seek(0)
    file.write(_HEAD.pack(MAGIC, len(header), zlib.crc32(header)) + header)


def _room(facts: Mapping[str, Any], arrays: Mapping[str, Any]) -> int:
    return _HEAD.size + len(json.dumps(facts)) + sum(len(name) + 160 for name in (*arrays, SUMS)) + 200


class File:
    """An open file: `facts`, and `arrays` by name, read-only; mapped, or read and checked. With `held` it is not read:
    that is its content, and `path` names it in messages alone."""

    def __init__(self, path: Path, mapped: bool, held: Held | None = None) -> None:
        self._data: Any
        if held is not None:
            self._data, mapped = memoryview(held).toreadonly().cast("B"), False
            header = _header(io.BytesIO(self._data[: _HEAD.size + _LONGEST_HEADER]), len(self._data), path)
        else:
            with path.open("rb") as file:
                header = _header(file, os.fstat(file.fileno()).st_size, path)
                self._data = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) if mapped else _whole(file)
        self.path, self.facts = path, header["facts"]
        self._places = header["arrays"]
        self.arrays = {name: self._array(name) for name in self._places}
        self.guard = self._guard() if mapped else None
        if not mapped:
            self.check()

    def _guard(self) -> Guard | None:
        """The sums of the pieces, which are checked themselves; None in a file of before. Raises ValueError."""
        sums = self.arrays.pop(SUMS, None)
        if sums is None:
            return None
        _, _, offset, _, wanted = self._places[SUMS]
        first = offset - sums.size * PIECE
        if sums.dtype != np.uint64 or sums.ndim != 1 or first < 0 or zlib.crc32(sums.data) != wanted:
            raise ValueError(f"{self.path} is damaged: its sums are not those that were saved")
        data = np.frombuffer(self._data, np.uint8, offset - first, first)
        return Guard(self.path, data, sums, _funnel_path.chosen())

    def look_at(self, names: Iterable[str]) -> None:
        """Hold these arrays, those that there are, against their sums; raises ValueError."""
        for name in names:
            if self.guard is not None and name in self.arrays:
                self.guard.look(self.arrays[name])

    def _array(self, name: str) -> Array:
        kind, shape, offset, length, _ = self._places[name]
        if not length:
            return np.empty(shape, kind)
        count = length // np.dtype(kind).itemsize
        return np.frombuffer(self._data, kind, count, offset).reshape(shape)

    def check(self) -> None:
        """Read everything; raises ValueError that names the first array whose sum is not the one written."""
        if self.guard is not None:
            self._check_pieces(self.guard)
            return
        view = memoryview(self._data)
        for name, (_, _, offset, length, wanted) in self._places.items():
            checksum = 0
            for start in range(offset, offset + length, _AT_ONCE):
                end = min(start + _AT_ONCE, offset + length)
                checksum = zlib.crc32(view[start:end], checksum)
                self._let_go(start, end)
            if checksum != wanted:
                raise ValueError(f"{self.path} is damaged: its {name} are not those that were saved")

    def _check_pieces(self, guard: Guard) -> None:
        first = self._places[SUMS][2] - guard.native[0].size
        for start, size in guard.look_again():
            self._let_go((first + start) // mmap.PAGESIZE * mmap.PAGESIZE, first + start + size)
        bad = guard.first_damaged()
        for name, (_, _, offset, length, _) in self._places.items():
            if bad is not None and offset <= first + bad < max(offset + length, offset + 1):
                raise ValueError(f"{self.path} is damaged: its {name} are not those that were saved")
        guard.refuse()

    def let_go(self) -> None:
        """Let the system take back the memory of all that was mapped."""
        self._let_go(0, len(self._data))

    def _let_go(self, start: int, end: int) -> None:
        """Let the system take back the memory of a part that was read through; what is needed comes from its cache."""
        if isinstance(self._data, mmap.mmap) and hasattr(mmap, "MADV_DONTNEED"):
            self._data.madvise(mmap.MADV_DONTNEED, start, end - start)


def _whole(file: BinaryIO) -> bytes:
    file.seek(0)
    return file.read()


def _header(file: BinaryIO, size: int, path: Path) -> dict[str, Any]:
    """The header, checked against itself and the file's length; raises ValueError."""
    head = file.read(_HEAD.size)
    if len(head) < _HEAD.size or head[:8] != MAGIC:
        raise ValueError(f"{path} is not a file of vectors")
    _, length, checksum = _HEAD.unpack(head)
    data = file.read(length) if length <= _LONGEST_HEADER else b""
    if len(data) != length or zlib.crc32(data) != checksum:
        raise ValueError(f"{path} is damaged: its header is not the one that was saved")
    try:
        header = json.loads(data)
    except (ValueError, RecursionError):
        header = None
    if not _is(header, dict) or not all(_is(header.get(name), dict) for name in ("facts", "arrays")):
        raise ValueError(f"{path} is damaged: its header does not tell what it should")
    if size != header.get("size"):
        said = header.get("size")
        what = "is truncated" if not _is(said, int) or size < said else "has more at its end than was saved"
        raise ValueError(f"{path} {what}: it has {size} of {said} bytes")
    for name, place in header["arrays"].items():
        if not _fits(place, size):
            raise ValueError(f"{path} is damaged: the header's {name} do not fit")
    found: dict[str, Any] = header
    return found


def _is(value: Any, kind: type) -> bool:
    return isinstance(value, kind) and not isinstance(value, bool)


def _fits(place: Any, size: int) -> bool:
    """Does a file of this size hold an array there, where arrays of its kind may begin?"""
    if not _is(place, list) or len(place) != 5 or not _is(place[0], str) or not _is(place[1], list):
        return False
    kind, shape, offset, count, checksum = place
    numbers = [*shape, offset, count, checksum]
    if kind not in _KINDS or not all(_is(number, int) and 0 <= number < 1 << 62 for number in numbers):
        return False
    whole = bool(shape) and np.dtype(kind).itemsize * math.prod(shape) == count
    return whole and offset % _LEAST_ALIGNED == 0 and offset + count <= size
