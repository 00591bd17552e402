"""The frames of a log are judged by SQLite's checksum, and one flipped bit is found by it."""

from __future__ import annotations

import io
import struct

from hypothesis import given, settings
from hypothesis import strategies as st

from aqe.engine.memory.file.write_ahead import FRAME, HEAD, Frame, read_frames, read_head
from tests.engine.care.damage import flip

SIZE = 512
MAGIC = {"<": 0x377F0682, ">": 0x377F0683}
SALTS = b"saltedso"


def summed(data: bytes, order: str, sums: tuple[int, int]) -> tuple[int, int]:
    """The checksum as SQLite's "Database File Format" writes it down: a word after the other."""
    one, other = sums
    words = struct.unpack(f"{order}{len(data) // 4}I", data)
    for at in range(0, len(words), 2):
        one = (one + words[at] + other) & 0xFFFFFFFF
        other = (other + words[at + 1] + one) & 0xFFFFFFFF
    return one, other


def log_of(pages: list[bytes], order: str) -> bytes:
    """A log in which each page is a commit of its own."""
    head = struct.pack(">IIII", MAGIC[order], 3007000, SIZE, 0) + SALTS
    sums = summed(head, order, (0, 0))
    parts = [head, struct.pack(">II", *sums)]
    for number, page in enumerate(pages, 1):
        said = struct.pack(">II", number, len(pages))
        sums = summed(page, order, summed(said, order, sums))
        parts += [said, SALTS, struct.pack(">II", *sums), page]
    return b"".join(parts)


def frames_of(log: bytes, first: int = 0) -> list[Frame]:
    head = read_head(log)
    assert head is not None
    return list(read_frames(io.BytesIO(log), head, first))


def page_of(log: bytes, frame: Frame) -> bytes:
    page = bytearray(log[frame.at : frame.at + SIZE])
    page[frame.flips[0]] ^= frame.flips[1]
    return bytes(page)


pages = st.lists(st.binary(min_size=SIZE, max_size=SIZE), min_size=1, max_size=6)
orders = st.sampled_from("<>")


@given(pages, orders, st.data())
def test_whole_frames_are_whole(found: list[bytes], order: str, data: st.DataObject) -> None:
    """From any frame on, in either order of bytes."""
    log, first = log_of(found, order), data.draw(st.integers(0, len(found)))
    frames = frames_of(log, first)
    assert [(frame.number, frame.left, frame.state) for frame in frames] == [
        (number, len(found), "whole") for number in range(first + 1, len(found) + 1)
    ]
    assert [page_of(log, frame) for frame in frames] == found[first:]


@settings(max_examples=300)
@given(pages, orders, st.data())
def test_a_flipped_bit_is_found_or_left(found: list[bytes], order: str, data: st.DataObject) -> None:
    """The frame with the flipped bit is told, no other is; no sound bit is ever turned over."""
    log = log_of(found, order)
    bit = data.draw(st.integers(8 * HEAD, 8 * len(log) - 1))
    damaged = flip(log, bit)
    frames = frames_of(damaged)
    place, at = divmod(bit // 8 - HEAD, FRAME + SIZE)
    assert [frame.state for frame in frames] == ["mended" if here == place else "whole" for here in range(len(found))]
    frame = frames[place]
    if frame.flips[1]:
        assert page_of(damaged, frame) == found[place]
    else:
        assert at < FRAME or page_of(damaged, frame) == flip(found[place], bit - 8 * frame.at)


@given(pages, orders, st.integers(0, 8 * HEAD - 1))
def test_a_flipped_bit_of_the_head_is_put_right(found: list[bytes], order: str, bit: int) -> None:
    """The frames are read as if nothing were."""
    log = log_of(found, order)
    head = read_head(flip(log, bit))
    assert head is not None
    assert not head.is_whole
    assert [frame.state for frame in frames_of(flip(log, bit))] == ["whole"] * len(found)


@given(st.binary(max_size=4 * SIZE), st.binary(max_size=4 * SIZE))
def test_any_bytes_may_be_given(head: bytes, rest: bytes) -> None:
    """What is no log has no head; what is none behind a head has no whole frame."""
    assert read_head(head) is None
    assert all(frame.state != "whole" for frame in frames_of(log_of([], "<") + rest))


def test_frames_of_an_earlier_log_are_foreign() -> None:
    """A log that was begun anew is shorter than the file that it lies in."""
    earlier = log_of([bytes([number]) * SIZE for number in range(5)], "<")
    head = struct.pack(">IIII", MAGIC["<"], 3007000, SIZE, 1) + b"begunnew"
    log = head + struct.pack(">II", *summed(head, "<", (0, 0))) + earlier[HEAD:]
    assert [frame.state for frame in frames_of(log)] == ["foreign"]
