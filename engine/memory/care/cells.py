"""Where the cells of a b-tree page lie, and of which size the pages of a file are when its head says something else.

The form is that of SQLite's "Database File Format" (section on b-tree pages). The first cell of a page is written at
its very end, so that the highest cell of nearly every page ends with what the page holds: so the pages themselves tell
how large they are. Whatever does not fit is left out, so any bytes may be given.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path

TABLE_LEAF, TABLE_INTERIOR, INDEX_LEAF, INDEX_INTERIOR = 0x0D, 0x05, 0x0A, 0x02
LEAVES = (TABLE_LEAF, INDEX_LEAF)
KINDS = frozenset({TABLE_LEAF, TABLE_INTERIOR, INDEX_LEAF, INDEX_INTERIOR})
SIZES = tuple(1 << bits for bits in range(9, 17))
USUAL = 4096
MAGIC = b"SQLite format 3\0"
HEAD = 100
"""Bytes of the file's own head, which the first page begins with."""

Read = Callable[[int, int], bytes]
"""Gives so many bytes (the second) of a file from a place on; fewer where it ends."""

LOOKED_AT = 4096
"""Pages that are looked at, evenly over the file, to tell their size."""


def varint(data: bytes, at: int) -> tuple[int, int]:
    """A number in SQLite's form of 1 to 9 bytes, and where the next thing begins."""
    value = 0
    for step in range(9):
        if at + step >= len(data):
            return 0, len(data) + 1
        byte = data[at + step]
        if step == 8:
            return value << 8 | byte, at + 9
        value = value << 7 | byte & 0x7F
        if byte < 0x80:
            return value, at + step + 1
    return value, at + 9


def cells(page: bytes, start: int, usable: int) -> list[int]:
    """Where the cells of a b-tree page begin whose own head is at `start`; those that cannot be cells are left out."""
    head = start + (8 if page[start] in LEAVES else 12)
    count = int.from_bytes(page[start + 3 : start + 5], "big")
    if head + 2 * count > usable:
        return []
    places = struct.unpack(f">{count}H", page[head : head + 2 * count])
    return [at for at in places if head + 2 * count <= at < usable - 3]


def local_size(length: int, kind: int, usable: int) -> int:
    """How many bytes of a payload of this length stand on the page itself; the rest is on overflow pages."""
    most = usable - 35 if kind == TABLE_LEAF else (usable - 12) * 64 // 255 - 23
    if length <= most:
        return length
    least = (usable - 12) * 32 // 255 - 23
    local = least + (length - least) % (usable - 4)
    return local if local <= most else least


def is_full_page(page: bytes, start: int, usable: int) -> bool:
    """Whether this looks like a b-tree page whose highest cell ends with the `usable` bytes, or one of no cells."""
    if len(page) < max(usable, start + 12) or page[start] not in KINDS:
        return False
    count = int.from_bytes(page[start + 3 : start + 5], "big")
    begin = int.from_bytes(page[start + 5 : start + 7], "big") or 65_536
    if not count:
        return begin == usable
    found = cells(page, start, usable)
    return len(found) == count and begin <= min(found) and _end(page, max(found), page[start], usable) == usable


def _end(page: bytes, at: int, kind: int, usable: int) -> int:
    """Where the cell that begins at `at` ends."""
    begin = at
    if kind in (TABLE_INTERIOR, INDEX_INTERIOR):
        at += 4
    length, at = varint(page, at)
    if kind == TABLE_INTERIOR:
        return at
    if kind == TABLE_LEAF:
        _, at = varint(page, at)
    local = local_size(length, kind, usable)
    return max(at + local + (4 if local < length else 0), begin + 4)


def told_size(head: bytes) -> int:
    """The page size that the head of a file says, else the usual one."""
    said = int.from_bytes(head[16:18], "big") if len(head) >= 18 else 0
    size = 65_536 if said == 1 else said
    return size if size in SIZES else USUAL


def page_form(length: int, read: Read, reserved: Iterable[int]) -> tuple[int, int]:
    """The size of the pages of a clear file of this length, and how many bytes at the end of each hold nothing (one of
    `reserved`, or what the head says): what its head says unless more pages are of another form."""
    head = read(0, HEAD)
    said = told_size(head), head[20] if len(head) >= HEAD else 0
    frees = sorted({said[1], *reserved})
    forms: dict[tuple[int, int], int] = {}
    for size in SIZES:
        forms |= {(size, free): count for free, count in _count_full(length, read, size, frees).items()}
    best = max(forms, key=lambda form: (forms[form], form == said))
    return best if forms[best] else (said[0], said[1] if head.startswith(MAGIC) else 0)


def _count_full(length: int, read: Read, size: int, frees: Iterable[int]) -> dict[int, int]:
    """How many pages of a file have cells to their very end, were they of this size, for each number of bytes at the
    end that hold nothing; guessed from some of many."""
    count = length // size
    step = max(1, count // LOOKED_AT)
    found = dict.fromkeys(frees, 0)
    for number in range(0, count, step):
        start = 0 if number else HEAD
        if read(number * size + start, 1)[0] in KINDS:
            page = read(number * size, size)
            for free in found:
                found[free] += step * is_full_page(page, start, size - free)
    return found


def sealed_size(length: int, read: Read, whole: Callable[[Mapping[int, bytes]], object]) -> int:
    """The size of the pages of an encrypted file of this length: what its head says, unless only pages of another size
    are `whole`."""
    said = told_size(read(0, HEAD))
    for size in dict.fromkeys((said, USUAL, *SIZES)):
        count = length // size
        some = range(2, count + 1, max(1, count // 16))
        if whole({number: read((number - 1) * size, size) for number in some}):
            return size
    return said


def pages_of(path: Path, size: int, most: int) -> dict[int, bytes]:
    """Some whole pages of a file by number, evenly over it and without the first; none where it cannot be read."""
    try:
        count = path.stat().st_size // size
        found = {}
        with path.open("rb") as file:
            for number in range(2, count + 1, max(1, count // most)):
                file.seek((number - 1) * size)
                found[number] = file.read(size)
    except OSError:
        return {}
    return found


def stands_in_clear(path: Path) -> bool:
    """Whether a file has pages that can be read without a key; a database whose first page alone is damaged has."""
    return any(is_full_page(page, 0, USUAL) for page in pages_of(path, USUAL, LOOKED_AT // 4).values())
