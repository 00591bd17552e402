"""The pages of a database file as they lie on the disk, damaged or not, with the commits that still stand in its log.

Nothing here asks SQLite: a file is read page by page, so that one bad page hides no other. The form of file and log is
that of SQLite's "Database File Format"; only frames of the log up to the last commit whose checksums hold are taken.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from aqe.engine.errors import UserError
from aqe.engine.memory.care import cipher
from aqe.engine.memory.care.cells import SIZES, USUAL, page_form, sealed_size
from aqe.engine.memory.care.copying import read_pieces
from aqe.engine.project import unwritable

_LOG = {0x377F0682: "<", 0x377F0683: ">"}
_FRAME = 24


@dataclass(frozen=True)
class Image:
    """The pages that can be read, by number from 1; `count` is how many the file should have, and `usable` how many
    bytes of each hold content."""

    pages: Mapping[int, bytes]
    count: int
    size: int
    usable: int
    version: int

    @property
    def bad(self) -> list[int]:
        """The numbers of pages that are missing, or fail their checksum where they are encrypted."""
        return [number for number in range(1, self.count + 1) if number not in self.pages]


def read_image(path: Path, key: str | None) -> Image:
    """Read a database file with its log. Raises `UserError` (no-such-path, database-key where the key cannot be told,
    project-read-only where the file cannot be read)."""
    try:
        if not path.exists():
            raise FileNotFoundError(path)
        path = path.resolve()
        data = b"".join(read_pieces(path))
        log_path = path.with_name(f"{path.name}-wal")
        log = log_path.read_bytes() if log_path.exists() else b""
    except FileNotFoundError:
        raise UserError(f"There is no file {str(path)!r}.", code="no-such-path", fix="Check the path.") from None
    except OSError as exc:
        raise unwritable(path, exc) from exc
    frames, log_size, log_count = _frames(log)
    first = frames.get(1) or data[:USUAL]
    secret = None if key is None else cipher.derive_key(key, first[: cipher.SALT])
    size, reserved = _form(data, secret)
    size = log_size or size
    count = log_count or -(-len(data) // size)
    pages: Mapping[int, bytes] = _Pages(data, size, count, frames)
    if secret is not None:
        stored, pages = pages, cipher.decrypt_pages(pages, secret)
        if not pages:
            raise _no_page(path)
        if 1 not in pages and 1 in stored:
            pages |= cipher.decrypt_first(stored[1], secret)
    head = pages.get(1, b"")
    if len(head) >= 100 and head.startswith(cipher.MAGIC):
        said = int.from_bytes(head[28:32], "big")
        if not log_count and said > count and head[24:28] == head[92:96]:
            count = min(said, count * 64 + 65_536)
    version = int.from_bytes(head[60:64], "big") if len(head) >= 64 else 0
    return Image(pages, count, size, size - reserved, version)


def _form(data: bytes, secret: bytes | None) -> tuple[int, int]:
    """The size of the pages, and how many bytes at the end of each hold nothing: as the pages are, whatever the head
    says, which a damaged one says wrongly."""
    if secret is None:
        return page_form(data, (0, cipher.RESERVED))
    return sealed_size(data, lambda some: cipher.decrypt_pages(some, secret)), cipher.RESERVED


def _no_page(path: Path) -> UserError:
    return UserError(
        f"No page of {str(path)!r} can be read with this key: it has another one, or its first page, which holds the"
        " salt of the key, is lost.",
        code="database-key",
        fix="Set AQE_DB_KEY to the key it was made with; without its first page only a backup helps.",
    )


class _Pages(Mapping[int, bytes]):
    """A file in pages, cut when they are asked for: the last one is filled up with zeros, and those of the log stand in
    the place of earlier ones."""

    def __init__(self, data: bytes, size: int, count: int, frames: Mapping[int, bytes]) -> None:
        self._data = data
        self._size = size
        self._count = count
        self._frames = frames

    def __getitem__(self, number: int) -> bytes:
        if number in self._frames and 0 < number <= self._count:
            return self._frames[number]
        if number not in self:
            raise KeyError(number)
        return self._data[(number - 1) * self._size : number * self._size].ljust(self._size, b"\0")

    def __contains__(self, number: object) -> bool:
        if not isinstance(number, int) or not 0 < number <= self._count:
            return False
        return number in self._frames or (number - 1) * self._size < len(self._data)

    def __iter__(self) -> Iterator[int]:
        return (number for number in range(1, self._count + 1) if number in self)

    def __len__(self) -> int:
        return sum(1 for _ in self)


def _frames(log: bytes) -> tuple[dict[int, bytes], int, int]:
    """The newest committed content of each page in a log; the page size, and how many pages the last commit left."""
    if len(log) < 32 or int.from_bytes(log[:4], "big") not in _LOG:
        return {}, 0, 0
    order = _LOG[int.from_bytes(log[:4], "big")]
    size = int.from_bytes(log[8:12], "big")
    if size not in SIZES:
        return {}, 0, 0
    salts = log[16:24]
    sums = _checksum(log[:24], order, (0, 0))
    if sums != struct.unpack(">II", log[24:32]):
        return {}, 0, 0
    committed: dict[int, bytes] = {}
    waiting: dict[int, bytes] = {}
    count = 0
    for at in range(32, len(log) - _FRAME - size + 1, _FRAME + size):
        head, page = log[at : at + _FRAME], log[at + _FRAME : at + _FRAME + size]
        number, left = struct.unpack(">II", head[:8])
        sums = _checksum(page, order, _checksum(head[:8], order, sums))
        if head[8:16] != salts or sums != struct.unpack(">II", head[16:24]) or not number:
            break
        waiting[number] = page
        if left:
            committed |= waiting
            waiting, count = {}, left
    return committed, size if committed else 0, count


def _checksum(data: bytes, order: str, sums: tuple[int, int]) -> tuple[int, int]:
    one, other = sums
    words = struct.unpack(f"{order}{len(data) // 4}I", data)
    for at in range(0, len(words), 2):
        one = (one + words[at] + other) & 0xFFFFFFFF
        other = (other + words[at + 1] + one) & 0xFFFFFFFF
    return one, other
