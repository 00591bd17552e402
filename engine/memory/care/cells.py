"""Where the cells of a b-tree page lie, and of which size the pages of a file are when its head says something else.

The form is that of SQLite's "Database File Format" (section on b-tree pages). The first cell of a page is written at
its very end, so that the highest cell of nearly every page ends with what the page holds: so the pages themselves tell
how large they are. Whatever does not fit is left out, so any bytes may be given.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from pathlib import Path

from aqe.engine.memory.file.write_ahead import SIZES

TABLE_LEAF, TABLE_INTERIOR, INDEX_LEAF, INDEX_INTERIOR = 0x0D, 0x05, 0x0A, 0x02
LEAVES = (TABLE_LEAF, INDEX_LEAF)
KINDS = frozenset({TABLE_LEAF, TABLE_INTERIOR, INDEX_LEAF, INDEX_INTERIOR})
USUAL = 4096
MAGIC = b"SQLite format 3\0"
LARGEST = 1 << 30
"""Bytes of a record; SQLite's own limit is lower."""

HEAD = 100
"""Bytes of the file's own head, which the first page begins with."""

Read = Callable[[int, int], bytes]
"""Gives so many bytes (the second) of a file from a place on; fewer where it ends."""

LOOKED_AT = 4096
"""Pages that are looked at, evenly over the file, to tell their size."""


def varint(data: bytes | bytearray, at: int) -> tuple[int, int]:
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
    """Where the cells of a b-tree page begin whose own head is at `start`; those that cannot be cells are left out.

    Where one bit of a place, or of how many there are, flipped, the cells beside it tell: a cell ends where another one
    or free room begins, or with the page, and no two share a byte.
    """
    least, said, places = _places(page, start, usable)
    found = [at for at in places if least <= at < usable - 3]
    kind = page[start]
    spans = {at: end_of(page, at, kind, usable) for at in found if holds_record(page, at, kind, usable)}
    if len(spans) == said and fills(page, start, found, usable):
        return found
    free, slack = {usable, *_free(page, start, usable)}, min(3, page[start + 7])
    taken = _apart(spans, free, slack)
    found = []
    for at in places:
        if at in taken and at not in found:
            found.append(at)
        elif near := _near(page, at, kind, range(least, usable - 3), usable, taken, free, slack):
            found.append(near)
            taken[near] = end_of(page, near, kind, usable)
        elif at not in taken and least <= at < usable - 3:
            found.append(at)
    more = max(0, _most(page, start, usable) - len(places))
    for at in struct.unpack(f">{more}H", page[least : least + 2 * more]):
        if not least <= at < usable - 3 or at in found or not holds_record(page, at, kind, usable):
            break
        found.append(at)
    return found


def _places(page: bytes, start: int, usable: int) -> tuple[int, int, Sequence[int]]:
    """What a page says of its cells: from where on they can begin, how many there are, and where each begins (none
    where so many have no room)."""
    head = _end_of_head(page, start)
    said = int.from_bytes(page[start + 3 : start + 5], "big")
    count = said if head + 2 * said <= usable else 0
    return head + 2 * count, said, struct.unpack(f">{count}H", page[head : head + 2 * count])


def _most(page: bytes, start: int, usable: int) -> int:
    """How many cells can be named before where a page says that the first one lies."""
    head = _end_of_head(page, start)
    return (min(int.from_bytes(page[start + 5 : start + 7], "big") or usable, usable) - head) // 2


def _end_of_head(page: bytes, start: int) -> int:
    return start + (8 if page[start] in LEAVES else 12)


def _apart(spans: Mapping[int, int], free: Collection[int], slack: int) -> dict[int, int]:
    """Of places and where what begins there ends, those that share no byte: of two that do, the one that ends where
    another one or free room begins, else the one that begins first. Up to `slack` bytes may lie between."""
    apart: dict[int, int] = {}
    for at, end in sorted(spans.items(), key=lambda span: (not _stops(span[1], spans, free, slack), span[0])):
        if _is_apart(at, end, apart):
            apart[at] = end
    return apart


def _stops(end: int, spans: Mapping[int, int], free: Collection[int], slack: int) -> bool:
    return any(end + gap in spans or end + gap in free for gap in range(slack + 1))


def _is_apart(at: int, end: int, spans: Mapping[int, int]) -> bool:
    return not any(at < other and begin < end for begin, other in spans.items())


def with_kind(page: bytes, start: int, usable: int) -> bytes:
    """A b-tree page with its kind put right where one bit of that flipped, as its cells fill it; else as it is."""
    kind = page[start] if len(page) > start else 0
    if kind in LEAVES or _is_sound(page, start, usable):
        return page
    for other in sorted(KINDS):
        if (kind ^ other).bit_count() == 1:
            tried = page[:start] + bytes([other]) + page[start + 1 :]
            if _is_sound(tried, start, usable):
                return tried
    return page


def _is_sound(page: bytes, start: int, usable: int) -> bool:
    """Whether the cells of a page are as many as it says, hold a record each, and fill it."""
    if len(page) < max(usable, start + 12) or page[start] not in KINDS:
        return False
    least, said, places = _places(page, start, usable)
    if not places or len(set(places)) != said or not all(least <= at < usable - 3 for at in places):
        return False
    return all(holds_record(page, at, page[start], usable) for at in places) and fills(page, start, places, usable)


def holds_record(page: bytes | bytearray, at: int, kind: int, usable: int) -> bool:
    """Whether the record of the cell at this place is as long as its head, and what that says of its values, are."""
    if kind == TABLE_INTERIOR:
        return True
    length, at = varint(page, at + (4 if kind == INDEX_INTERIOR else 0))
    if kind == TABLE_LEAF:
        _, at = varint(page, at)
    local = local_size(length, kind, usable)
    total, place = varint(page, at)
    end = at + total
    if not 0 < length <= LARGEST or at + local > usable or not place <= end <= at + local:
        return False
    while place < end:
        said, place = varint(page, place)
        size = size_of(said)
        if size is None:
            return False
        total += size
    return place == end and total == length


_SIZES: Mapping[int, int] = {0: 0, 1: 1, 2: 2, 3: 3, 4: 4, 5: 6, 6: 8, 7: 8, 8: 0, 9: 0}


def size_of(kind: int) -> int | None:
    """The bytes of a value of which a record's head says this; None where no value is of that kind."""
    return (kind - 12) // 2 if kind >= 12 else _SIZES.get(kind)


def _near(
    page: bytes, place: int, kind: int, inside: range, usable: int,
    taken: Mapping[int, int], free: Collection[int], slack: int,
) -> int:  # fmt: skip
    """Where a cell begins whose place has one bit that flipped: one that ends where another one or free room begins,
    and shares no byte with those that are `taken`; 0 where none does."""
    for at in (place ^ 1 << bit for bit in range(16)):
        if at in inside and at not in taken and holds_record(page, at, kind, usable):
            end = end_of(page, at, kind, usable)
            if _is_apart(at, end, taken) and _stops(end, taken, free, slack):
                return at
    return 0


def fills(page: bytes, start: int, found: Sequence[int], usable: int) -> bool:
    """Whether these cells, and what the page says is free, fill it from its first cell to its end."""
    begin = int.from_bytes(page[start + 5 : start + 7], "big") or 65_536
    free = page[start + 7] + sum(_free(page, start, usable).values())
    return sum(end_of(page, at, page[start], usable) - at for at in found) + free == usable - begin


def _free(page: bytes, start: int, usable: int) -> dict[int, int]:
    """Where the free blocks of a page begin, and how many bytes each has."""
    at, seen, found = int.from_bytes(page[start + 1 : start + 3], "big"), 0, dict[int, int]()
    while start < at < usable - 3 and seen < usable:
        size = int.from_bytes(page[at + 2 : at + 4], "big")
        found[at] = size
        at, seen = int.from_bytes(page[at : at + 2], "big"), seen + max(size, 4)
    return found


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
    return len(found) == count and begin <= min(found) and end_of(page, max(found), page[start], usable) == usable


def end_of(page: bytes | bytearray, at: int, kind: int, usable: int) -> int:
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
