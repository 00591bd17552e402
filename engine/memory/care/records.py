"""Rows out of single pages of a database: cells, payloads with their overflow, and the values in a record.

The form is that of SQLite's "Database File Format" (sections on b-tree pages and records). Whatever does not fit it is
left out, so any bytes may be given.
"""

from __future__ import annotations

import itertools
import struct
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field

from aqe.engine.memory.care.cells import (
    HEAD,
    INDEX_INTERIOR,
    KINDS,
    LARGEST,
    TABLE_INTERIOR,
    TABLE_LEAF,
    cells,
    end_of,
    fills,
    holds_record,
    local_size,
    size_of,
    varint,
    with_kind,
)
from aqe.engine.memory.care.image import Image

Value = int | float | str | bytes | None


@dataclass(frozen=True)
class Record:
    """A row as it lies on a page: its row number (0 in an index), its values (with U+FFFD for what is no UTF-8),
    whether all of it could be read, the bytes of texts that are no UTF-8 by their place, and all of its bytes."""

    row: int
    values: tuple[Value, ...]
    is_whole: bool
    odd: Mapping[int, bytes] = field(default_factory=dict)
    payload: bytes = b""


def kind_of(image: Image, number: int) -> int:
    """What kind of b-tree page this is, 0 for any other."""
    if number not in image.pages:
        return 0
    kind = _page(image, number)[_start(number)]
    return kind if kind in KINDS else 0


def children(image: Image, number: int) -> Iterator[int]:
    """The pages below an interior page, in order."""
    page, start = _page(image, number), _start(number)
    for at in _cells(image, number):
        yield int.from_bytes(page[at : at + 4], "big")
    yield int.from_bytes(page[start + 8 : start + 12], "big")


def last_keys(image: Image, number: int) -> Iterator[int]:
    """The highest row number below each child of an interior page of a table but the last, for which none stands."""
    page = _page(image, number)
    for at in _cells(image, number):
        key, _ = varint(page, at + 4)
        yield key - ((key >> 63) << 64)


def records(image: Image, number: int) -> Iterator[Record]:
    """The rows on a page: of a table leaf, or of any page of an index."""
    kind = kind_of(image, number)
    if kind == TABLE_INTERIOR or not kind:
        return
    whole, places = _page(image, number), _cells(image, number)
    ends = {*places, image.usable}
    for at in places:
        page = _with_length(whole, at, kind, image.usable, ends)
        at += 4 if kind == INDEX_INTERIOR else 0
        length, at = varint(page, at)
        row = 0
        if kind == TABLE_LEAF:
            row, at = varint(page, at)
            row -= (row >> 63) << 64
        if 0 < length <= LARGEST and at <= image.usable:
            payload, is_whole = _payload(image, page, at, length, kind)
            yield from read_record(row, payload, is_whole)


def _with_length(page: bytes, at: int, kind: int, usable: int, ends: Collection[int]) -> bytes:
    """The page on which the cell at this place ends where another one begins, or with the page, if one bit of its
    length flipped; else as it is."""
    if holds_record(page, at, kind, usable):
        return page
    begin = at + (4 if kind == INDEX_INTERIOR else 0)
    for place, bit in itertools.product(range(begin, min(begin + 3, usable)), range(8)):
        tried = bytearray(page)
        tried[place] ^= 1 << bit
        if end_of(tried, at, kind, usable) in ends and holds_record(tried, at, kind, usable):
            return bytes(tried)
    return page


def read_record(row: int, payload: bytes, is_whole: bool) -> Iterator[Record]:
    """The row that the bytes of a cell hold; without values behind the place where they are none."""
    head, at = varint(payload, 0)
    if not at <= head <= len(payload):
        yield Record(row, (), False, {}, payload)
        return
    types = []
    while at < head:
        kind, at = varint(payload, at)
        types.append(kind)
    values, odd, at = list[Value](), dict[int, bytes](), head
    for kind in types:
        size = size_of(kind)
        if size is None or at + size > len(payload):
            yield Record(row, tuple(values), False, odd, payload)
            return
        piece = payload[at : at + size]
        value = _value(kind, piece)
        if isinstance(value, str) and "\ufffd" in value and value.encode() != piece:
            odd[len(values)] = piece
        values.append(value)
        at += size
    yield Record(row, tuple(values), is_whole and at == len(payload), odd, payload)


def apart_from_texts(payload: bytes) -> list[int]:
    """The places of those bytes of a record that are of no text and no blob: of its head, and of its numbers."""
    head, at = varint(payload, 0)
    body, found = head, list(range(min(max(head, at), len(payload))))
    while at < min(head, len(payload)):
        kind, at = varint(payload, at)
        size = size_of(kind)
        if size is None:
            break
        if kind < 12:
            found += range(body, min(body + size, len(payload)))
        body += size
    return found


def _payload(image: Image, page: bytes, at: int, length: int, kind: int) -> tuple[bytes, bool]:
    """The bytes of a cell: those on the page, then the chain of overflow pages as far as it goes."""
    usable = image.usable
    local = local_size(length, kind, usable)
    if local == length:
        piece = page[at : min(at + length, usable)]
        return piece, len(piece) == length
    pieces, left = [page[at : at + local]], length - local
    following, seen = int.from_bytes(page[at + local : at + local + 4], "big"), set[int]()
    while left > 0 and following in image.pages and following not in seen:
        seen.add(following)
        page = image.pages[following]
        pieces.append(page[4 : 4 + min(left, usable - 4)])
        left -= usable - 4
        following = int.from_bytes(page[:4], "big")
    return b"".join(pieces), left <= 0


def count_unseen(image: Image, number: int, seen: int) -> int:
    """How many more rows than `seen` a page says that it has, where those do not fill it and so many can be."""
    page, start = _page(image, number), _start(number)
    count = int.from_bytes(page[start + 3 : start + 5], "big")
    can_be = kind_of(image, number) != TABLE_INTERIOR and start + 8 + 2 * count <= image.usable
    if not can_be or count <= seen or fills(page, start, _cells(image, number), image.usable):
        return 0
    return count - seen


def overflow_of(image: Image, number: int) -> Iterator[int]:
    """The overflow pages that hang on a page."""
    kind = kind_of(image, number)
    if kind in (0, TABLE_INTERIOR):
        return
    page = _page(image, number)
    for at in _cells(image, number):
        at += 4 if kind == INDEX_INTERIOR else 0
        length, at = varint(page, at)
        if kind == TABLE_LEAF:
            _, at = varint(page, at)
        local = local_size(length, kind, image.usable)
        if local < length <= LARGEST:
            at += local
            following, seen = int.from_bytes(page[at : at + 4], "big"), set[int]()
            while following in image.pages and following not in seen:
                seen.add(following)
                yield following
                following = int.from_bytes(image.pages[following][:4], "big")


def _cells(image: Image, number: int) -> list[int]:
    return cells(_page(image, number), _start(number), image.usable)


def _page(image: Image, number: int) -> bytes:
    """A page of a b-tree, its kind put right."""
    return with_kind(image.pages[number], _start(number), image.usable)


def _start(number: int) -> int:
    return HEAD if number == 1 else 0


def _value(kind: int, data: bytes) -> Value:
    if kind == 0:
        return None
    if kind <= 6:
        return int.from_bytes(data, "big", signed=True)
    if kind == 7:
        number: float = struct.unpack(">d", data)[0]
        return number
    if kind in (8, 9):
        return kind - 8
    return data if kind % 2 == 0 else data.decode("utf-8", "replace")
