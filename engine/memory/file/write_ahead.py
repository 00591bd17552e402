"""The log beside a database file as it lies on the disk: which frames are whole, and where one was damaged.

A process that was killed leaves its last commits in the log. SQLite takes them up to the first frame whose checksum
fails, and writes over what stands behind it, without a word. So whoever opens a file looks whether commits stand there.

The form of the log and its checksum are those of SQLite's "Database File Format", section 4. The checksum is linear
modulo 2**32: what a frame adds to that of the one before is a product of its words, and one bit that flipped shows as a
power of two times the factor of its word.
"""

from __future__ import annotations

import contextlib
import functools
import os
import struct
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import BinaryIO

import apsw
import numpy as np
import numpy.typing as npt

from aqe.engine.memory.file.failures import broken

HEAD = 32
FRAME = 24
"""Bytes before each page."""

SIZES = tuple(1 << power for power in range(9, 17))
"""Bytes that a page of a database may have."""

_VERSION = 3007000
_ORDERS = {0x377F0682: "<", 0x377F0683: ">"}
_FEW, _MANY = 2, 64
"""Frames that are read together, at first and then."""

_AGAIN_S = 0.05
_WORD = 0xFFFFFFFF
Sums = tuple[int, int]
Words = npt.NDArray[np.uint32]


@dataclass(frozen=True)
class Head:
    """What the first 32 bytes of a log say; `is_whole` unless one bit of them was put right."""

    order: str
    size: int
    salts: bytes
    sums: Sums
    is_whole: bool


@dataclass(frozen=True)
class Frame:
    """A frame of a log: the page that it holds, which lies at `at`, and how many pages the file has after the commit
    that it ends (0 where it ends none). `flips` is a byte of the page and the bits of it that are to be turned over.

    `state` is "whole", "mended" (all but one bit is whole), "damaged" (it is of this log, and its page stands as it
    may) or "foreign" (it is of an earlier log, or nothing of it stands). Where one of several bits flipped the frame is
    as it stands, and `others` are what it may have been."""

    number: int
    left: int
    at: int
    state: str
    flips: tuple[int, int] = (0, 0)
    others: tuple[Frame, ...] = ()

    def page(self, file: BinaryIO, size: int) -> bytes:
        """Its page of so many bytes, with what is to be turned over turned."""
        file.seek(self.at)
        content = bytearray(file.read(size))
        byte, bits = self.flips
        content[byte] ^= bits
        return bytes(content)


@dataclass(frozen=True)
class Commit:
    """The frames of a commit, or of several where only the later ones show that the first is one; `count` says how
    many. `damaged` is the place in the log, from 1, of the first frame that is not whole, 0 where all are."""

    frames: tuple[Frame, ...]
    count: int
    damaged: int


@contextlib.contextmanager
def opening(connection: apsw.Connection, path: Path) -> Iterator[None]:
    """A connection that is made ready: until the end of the block, where its log is looked at, closing it folds nothing
    of that into the file, and it is closed where anything goes wrong. Raises `UserError` (database-broken) where
    commits stand behind damage of the log."""
    try:
        connection.config(apsw.SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, 1)
        yield
        _check_log(connection, path)
        connection.config(apsw.SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, 0)
    except BaseException:
        connection.close()
        raise


def _check_log(connection: apsw.Connection, path: Path) -> None:
    """Raises `UserError` (database-broken) where commits stand in the log behind a place that SQLite reads no further
    than. The connection has read from the file."""
    log = Path(f"{os.path.realpath(path)}-wal")
    try:
        if os.stat(log).st_size <= HEAD + FRAME:
            return
    except OSError:
        return
    why = _behind(log, _taken(connection, log))
    if why:
        time.sleep(_AGAIN_S)  # another process may have been writing it
    if why and _behind(log, _taken(connection, log)) == why:
        raise broken(path, why)


def _taken(connection: apsw.Connection, log: Path) -> int:
    """How many frames of the log SQLite takes; -1 where the file has none."""
    try:
        _, taken, _ = connection.execute("PRAGMA wal_checkpoint(noop)").fetchall()[0]
    except apsw.ReadOnlyError:  # which it does not say where it may not even write beside the file
        return _committed(log)
    assert isinstance(taken, int)
    return taken


def _committed(log: Path) -> int:
    """How many frames stand up to the last commit before the first frame that is not whole."""
    taken = 0
    with contextlib.suppress(OSError), log.open("rb") as file:
        head = head_of(file)
        for commit in read_commits(file, head) if head and head.is_whole else ():
            if commit.damaged:
                break
            taken += len(commit.frames)
    return taken


def _behind(log: Path, taken: int) -> str:
    """What is wrong with a log behind the first `taken` frames, which SQLite takes; "" where nothing is."""
    if taken < 0:
        return ""
    where, count = "", 0
    try:
        with log.open("rb") as file:
            head = head_of(file)
            if head is None:
                return ""
            if not head.is_whole and not taken:
                where = "the head of its log"
            for commit in read_commits(file, head, taken):
                if not where and not commit.damaged:
                    return ""  # it was not acknowledged yet, or it is in the file already
                where = where or f"frame {commit.damaged} of its log"
                count += commit.count
    except OSError:
        return ""
    commits = "the commit" if count == 1 else f"the {count} commits"
    return f"{where} is damaged, and SQLite reads none of {commits} from there on" if count else ""


def head_of(file: BinaryIO) -> Head | None:
    """The head of a log, or what it must have been; None where a file is no log."""
    file.seek(0)
    return read_head(file.read(HEAD + FRAME)) or _made_head(file)


def read_head(data: bytes) -> Head | None:
    """The head of a log, which the bytes begin with, followed by its first frame. One flipped bit is put right; where
    several could be the one, so that the frame is of this log. None where the bytes are no log."""
    if len(data) < HEAD:
        return None
    if head := _head(data[:HEAD], is_whole=True):
        return head
    said = int.from_bytes(data[:HEAD], "big")
    mended = (_head((said ^ 1 << bit).to_bytes(HEAD, "big"), is_whole=False) for bit in range(8 * HEAD))
    return next((head for head in mended if head and data[HEAD:].startswith(head.salts, 8)), None)


def _made_head(file: BinaryIO) -> Head | None:
    """The head that a log must have had whose own is lost, maybe with the first frame: of the form in which two frames
    go on from the one before them. None where there is none."""
    return next((head for size in SIZES for order in _ORDERS.values() if (head := _made(file, size, order))), None)


def _made(file: BinaryIO, size: int, order: str) -> Head | None:
    step = FRAME + size
    for first in (0, 1):
        file.seek(HEAD + first * step)
        read = np.frombuffer(file.read(3 * step), np.uint8)
        if len(read) < 3 * step:
            return None
        rows = read.reshape(3, step)
        said = [row[:FRAME].tobytes() for row in rows]
        stored: list[Sums] = [struct.unpack(">II", one[16:]) for one in said]
        own, salts = _own(_words(rows, order)), said[0][8:16]
        goes_on = all(_added(stored[at - 1], own[at], step - 16) == stored[at] for at in (1, 2))
        if goes_on and any(salts) and said[1][8:16] == said[2][8:16] == salts:
            sums = (0, 0) if first else _before(stored[0], own[0], step - 16)
            return Head(order, size, salts, sums, is_whole=False)
    return None


def _before(sums: Sums, own: Words, length: int) -> Sums:
    """The sums from which `length` bytes that add `own` lead to these."""
    (a, b), (c, d) = _power(length // 8)  # whose determinant is 1
    one, other = sums[0] - int(own[0]), sums[1] - int(own[1])
    return (d * one - b * other) & _WORD, (a * other - c * one) & _WORD


def _head(data: bytes, *, is_whole: bool) -> Head | None:
    magic, version, size = struct.unpack(">III", data[:12])
    if magic not in _ORDERS or version != _VERSION or size not in SIZES:
        return None
    order = _ORDERS[magic]
    sums = _added((0, 0), _own(np.frombuffer(data[:24], f"{order}u4").astype(np.uint32)), 24)
    return Head(order, size, data[16:24], sums, is_whole) if sums == struct.unpack(">II", data[24:HEAD]) else None


def read_commits(file: BinaryIO, head: Head, first: int = 0) -> Iterator[Commit]:
    """The commits of a log behind its first frames, which are whole. Where more than a bit of the last one is damaged
    it is none of them: it may be what another process overwrote, or did not write to its end, of which nobody was
    told."""
    frames: list[Frame] = []
    count, chained, damaged, is_sure = 0, 0, 0, True
    for place, frame in enumerate(read_frames(file, head, first), first + 1):
        frames.append(frame)
        if frame.state != "whole":
            damaged = damaged or place
        if frame.state in ("damaged", "foreign"):
            is_sure, chained = False, 0  # what several processes overwrote has one commit behind each such place
        elif frame.left:
            count, chained = count + 1, chained + 1
            if is_sure or chained > 1:
                yield Commit(tuple(frames), count, damaged)
                frames, count, chained, damaged, is_sure = [], 0, 0, 0, True


def read_frames(file: BinaryIO, head: Head, first: int = 0) -> Iterator[Frame]:
    """The frames of a log behind the first ones, which are whole, until two of them are of the same earlier log."""
    step, sums, earlier, place = FRAME + head.size, head.sums, b"", first
    if first:
        file.seek(HEAD + (first - 1) * step + 16)
        stored = file.read(8)
        if len(stored) < 8:
            return
        sums = struct.unpack(">II", stored)
    while True:
        file.seek(HEAD + place * step)
        read = np.frombuffer(file.read((_FEW if place == first else _MANY) * step), np.uint8)
        rows = read[: len(read) // step * step].reshape(-1, step)
        if not len(rows):
            return
        words = _words(rows, head.order)
        own = _own(words)
        for row, here, added in zip(rows, words, own, strict=True):
            said, at = row[:FRAME].tobytes(), HEAD + place * step + FRAME
            place += 1
            follows = functools.partial(_is_whole, file, head, place)
            frame, sums = _judge(head, said, here, _added(sums, added, step - 16), at, follows)
            salts = said[8:16] if frame.state == "foreign" else b""
            if any(salts) and salts == earlier:
                return
            earlier = salts
            yield frame


def _judge(
    head: Head, said: bytes, words: Words, computed: Sums, at: int, follows: Callable[[Sums], bool]
) -> tuple[Frame, Sums]:
    """A frame, and the sums that the next one goes on from. `said` are the bytes before its page, `computed` the sums
    that it should say; `follows` tells whether the next frame is whole behind some sums."""
    number, left = struct.unpack(">II", said[:8])
    stored: Sums = struct.unpack(">II", said[16:])
    off_salts = _bits(said[8:16], head.salts)
    off_sums = _bits(said[16:], struct.pack(">II", *computed))
    if number and not off_sums and off_salts < 2:
        return Frame(number, left, at, "mended" if off_salts else "whole"), stored
    if off_salts:
        return Frame(number, left, at, "foreign"), stored
    if off_sums == 1 and number and not follows(stored):
        return Frame(number, left, at, "mended"), computed
    frame = Frame(number, left, at, "mended")
    others = tuple(_turned(frame, head.order, said, place) for place in _flipped(words, computed, stored))
    if len(others) == 1:
        return others[0], stored
    return replace(frame, state="mended" if others else "damaged", others=others), stored


def _turned(frame: Frame, order: str, said: bytes, place: tuple[int, int]) -> Frame:
    """A frame with a bit turned over, of a word that is summed: the first two are what is said before its page."""
    word, bit = place
    byte, bits = 4 * word + (bit // 8 if order == "<" else 3 - bit // 8), 1 << bit % 8
    if byte >= 8:
        return replace(frame, flips=(byte - 8, bits))
    fixed = bytearray(said)
    fixed[byte] ^= bits
    number, left = struct.unpack(">II", fixed[:8])
    return replace(frame, number=number, left=left)


def _is_whole(file: BinaryIO, head: Head, place: int, sums: Sums) -> bool:
    """Whether a frame is whole where the one before it has these sums."""
    step = FRAME + head.size
    file.seek(HEAD + place * step)
    row = np.frombuffer(file.read(step), np.uint8)
    if len(row) < step:
        return False
    expected = _added(sums, _own(_words(row[None], head.order))[0], step - 16)
    return expected == struct.unpack(">II", row[16:FRAME].tobytes())


def _words(rows: npt.NDArray[np.uint8], order: str) -> Words:
    """What the checksum is taken of in each frame: its first 8 bytes and its page."""
    summed = np.concatenate([rows[:, :8], rows[:, FRAME:]], axis=1)
    return summed.view(f"{order}u4").astype(np.uint32)


def _own(words: Words) -> Words:
    """What some words add to the checksum."""
    return words @ _factors(words.shape[-1])


@functools.lru_cache(maxsize=4)
def _factors(count: int) -> Words:
    """How often each of `count` words counts in the two sums: Fibonacci numbers, the last ones least."""
    found = np.empty((count, 2), np.uint32)
    one, other = 1, 1  # what the first word of the last pair adds to either sum
    for place in range(count - 2, -1, -2):
        found[place] = one, other
        found[place + 1] = (other - one) & _WORD, one
        one, other = (one + other) & _WORD, (one + 2 * other) & _WORD
    return found


def _added(sums: Sums, own: Words, length: int) -> Sums:
    """The sums after `length` bytes more, which add `own`."""
    one, other = sums
    (a, b), (c, d) = _power(length // 8)
    return (a * one + b * other + int(own[0])) & _WORD, (c * one + d * other + int(own[1])) & _WORD


@functools.lru_cache(maxsize=16)
def _power(pairs: int) -> tuple[Sums, Sums]:
    """What becomes of the sums by `pairs` pairs of words of nothing."""
    a, b, c, d = 1, 0, 0, 1
    for _ in range(pairs):
        a, b, c, d = (a + c) & _WORD, (b + d) & _WORD, (a + 2 * c) & _WORD, (b + 2 * d) & _WORD
    return (a, b), (c, d)


def _flipped(words: Words, computed: Sums, stored: Sums) -> list[tuple[int, int]]:
    """The words and bits one of which, turned over, gives the stored sums. The factors of the bits on the left repeat
    within a page, so that there may be several."""
    wanted = np.array([(now - then) & _WORD for now, then in zip(stored, computed, strict=True)], np.uint32)
    bits = np.uint32(1) << np.arange(32, dtype=np.uint32)
    added = np.where(words[:, None] & bits, np.uint32(0) - bits, bits)
    given = added[:, :, None] * _factors(len(words))[:, None, :]
    return [(int(word), int(bit)) for word, bit in np.argwhere((given == wanted).all(axis=2))]


def _bits(some: bytes, others: bytes) -> int:
    """In how many bits two texts of one length differ."""
    return (int.from_bytes(some, "big") ^ int.from_bytes(others, "big")).bit_count()
