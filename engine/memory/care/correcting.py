"""What one flipped bit changed is found by what was noted of it, and put right where one value alone can be meant.

The CRC-32 of bytes of which one bit flipped differs from the noted one by a value that depends on the bit's place from
the end alone, and no two places within half a gigabyte have the same (Peterson and Brown, "Cyclic Codes for Error
Detection", Proc. IRE 1961): so the place is looked up. A text is compared by its SHA-256, and a row by its sum, with
each of its bits flipped in turn. The sum of a row is put together of three, whose bits can be mistaken for each other:
where more than one value could be the one that changed, none is put right. Nor is more than one bit. Of a row beside
the memories the sum is of one string of bytes, so that a bit of a text is looked up too; the bits of its numbers, and
those that say how long its values are, are flipped in turn, until it has the sum that it says.
"""

from __future__ import annotations

import contextlib
import hashlib
import struct
import zlib
from collections.abc import Callable, Container, Iterable, Iterator, Sequence
from typing import Any

from aqe.engine.memory.care.records import Record, apart_from_texts, read_record
from aqe.engine.memory.file.row_sums import Guarded
from aqe.engine.memory.file.sums import sum_of, sum_of_row

LONGEST_TEXT = 16_384
"""Bytes of a text whose bits are tried: a second or two."""

_ROW_VALUES = 4096
"""Bytes of a row's values whose bits are tried."""

_INTEGERS = {1: "b", 2: "h", 4: "i", 8: "q"}


def corrected_bytes(damaged: bytes, noted: int) -> bytes | None:
    """The bytes that have this sum and differ in one bit; None where more was changed."""
    differs = sum_of(damaged) ^ noted
    if not differs:
        return damaged
    after = [zlib.crc32(bytes([1 << bit])) ^ zlib.crc32(b"\0") for bit in range(8)]
    table = [zlib.crc32(bytes([byte])) ^ zlib.crc32(b"\0") for byte in range(256)]
    for at in range(len(damaged) - 1, -1, -1):
        if differs in after:
            found = bytearray(damaged)
            found[at] ^= 1 << after.index(differs)
            return bytes(found)
        after = [table[one & 0xFF] ^ one >> 8 for one in after]
    return None


def corrected_text(damaged: bytes, digest: bytes) -> str | None:
    """The text of this SHA-256 that differs in one bit; None where more was changed, or the text is long."""
    if len(damaged) > LONGEST_TEXT:
        return None
    before = hashlib.sha256()
    for at, byte in enumerate(damaged):
        for bit in range(8):
            tried = before.copy()
            tried.update(bytes([byte ^ 1 << bit]) + damaged[at + 1 :])
            if tried.digest() == digest:
                return (damaged[:at] + bytes([byte ^ 1 << bit]) + damaged[at + 1 :]).decode("utf-8", "surrogatepass")
        before.update(damaged[at : at + 1])
    return None


def corrected_row(values: Sequence[Any], noted: int, *, sound: Container[int] = ()) -> list[Any] | None:
    """The values of `SEALED` that have this sum and differ in one bit; None where more was changed, or where several
    could be meant. The values at the places in `sound` are known to be as they were written."""
    found: list[list[Any]] = []
    for place, value in enumerate(values):
        for other in () if place in sound else _others(value):
            tried = [*values[:place], other, *values[place + 1 :]]
            if sum_of_row(tried) == noted and tried not in found:
                found.append(tried)
    return found[0] if len(found) == 1 else None


def corrected_record(record: Record, names: Sequence[str], table: Guarded) -> Record | None:
    """The row of a table whose columns are `names` as it was written: the one that differs in one bit of its bytes and
    has the sum that it says; None where more was changed, or the row is long."""
    payload = record.payload
    if len(payload) > LONGEST_TEXT:
        return None
    tried = bytearray(payload)
    for at, bit in (*_bits_of_texts(record, names, table), *_bits(apart_from_texts(payload))):
        tried[at] ^= 1 << bit
        for found in read_record(record.row, bytes(tried), is_whole=True):
            if has_its_sum(found, names, table):
                return found
        tried[at] ^= 1 << bit
    return None


def corrected_head(record: Record, is_right: Callable[[Record], bool]) -> Record | None:
    """The row that differs in one bit of its head or of a number and `is_right`; None where there is none."""
    tried = bytearray(record.payload)
    for at, bit in _bits(apart_from_texts(record.payload)):
        tried[at] ^= 1 << bit
        for found in read_record(record.row, bytes(tried), is_whole=True):
            if is_right(found):
                return found
        tried[at] ^= 1 << bit
    return None


def _bits(places: Iterable[int]) -> Iterator[tuple[int, int]]:
    return ((at, bit) for at in places for bit in range(8))


def _bits_of_texts(record: Record, names: Sequence[str], table: Guarded) -> list[tuple[int, int]]:
    """The bits of a row that may be the one that flipped, if one of a text, of bytes or of a number did: the place in
    what the sum is of is looked up, and bytes like the one that stands there now are the ones."""
    if not record.is_whole or len(record.values) != len(names):
        return []
    at = {name: place for place, name in enumerate(names)}
    held = [record.values[at[name]] for name in table.columns]
    odd = {place: record.odd[at[name]] for place, name in enumerate(table.columns) if at[name] in record.odd}
    noted = record.values[at["row_sum"]]
    try:
        said = table.bytes_of(held, odd)
    except (TypeError, ValueError, OverflowError, struct.error):
        return []
    right = corrected_bytes(said, noted) if isinstance(noted, int) else None
    for now, before in zip(said, right or said, strict=True):
        if now != before:
            bit = (now ^ before).bit_length() - 1
            return [(place, bit) for place, byte in enumerate(record.payload) if byte == now]
    return []


def has_its_sum(record: Record, names: Sequence[str], table: Guarded) -> bool:
    """Whether a row of a table whose columns are `names` is whole and has the sum that it says."""
    if not record.is_whole or record.odd or len(record.values) != len(names):
        return False
    held = dict(zip(names, record.values, strict=True))
    try:
        return table.sum_of([held[name] for name in table.columns]) == held["row_sum"]
    except (TypeError, ValueError, OverflowError, struct.error):
        return False


def corrected_value(values: Sequence[Any], place: int, raw: bytes, noted: int) -> str | None:
    """The text at this place of the values of `SEALED`, of which these are the bytes, with which the values have this
    sum, and that differs in one bit; None where more was changed, or where several could be meant."""
    found = set[str]()
    for one in _flipped(raw) if len(raw) <= _ROW_VALUES else ():
        with contextlib.suppress(UnicodeDecodeError):
            text = one.decode("utf-8")
            if sum_of_row([*values[:place], text, *values[place + 1 :]]) == noted:
                found.add(text)
    return found.pop() if len(found) == 1 else None


def is_sum_alone(made: int, noted: object) -> bool:
    """Whether a noted sum is not the one that was made because one of its own bits flipped: a bit of the values changes
    many bits of their CRC-32."""
    return isinstance(noted, int) and ((made ^ noted) & 0xFFFF_FFFF).bit_count() <= 1


def _others(value: Any) -> Iterator[Any]:
    """What a value may have been before one of its bits flipped, whatever its length in the file."""
    if isinstance(value, int):
        for size, form in _INTEGERS.items():
            if -(1 << 8 * size - 1) <= value < 1 << 8 * size - 1:
                packed = struct.pack(f">{form}", value)
                yield from (int.from_bytes(one, "big", signed=True) for one in _flipped(packed))
        for size in (3, 6):
            if -(1 << 8 * size - 1) <= value < 1 << 8 * size - 1:
                packed = value.to_bytes(size, "big", signed=True)
                yield from (int.from_bytes(one, "big", signed=True) for one in _flipped(packed))
        yield 1 - value
    elif isinstance(value, bytes):
        yield from _flipped(value)
    elif isinstance(value, str) and len(packed := value.encode("utf-8", "surrogatepass")) <= _ROW_VALUES:
        for one in _flipped(packed):
            try:
                yield one.decode("utf-8")
            except UnicodeDecodeError:
                continue


def _flipped(packed: bytes) -> Iterator[bytes]:
    for at, byte in enumerate(packed):
        for bit in range(8):
            yield packed[:at] + bytes([byte ^ 1 << bit]) + packed[at + 1 :]
