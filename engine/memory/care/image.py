"""The pages of a database file as they lie on the disk, damaged or not, with the commits that still stand in its log.

Nothing here asks SQLite: a file is read page by page, so that one bad page hides no other, and only a few pages are in
memory at a time. The form of the file is that of SQLite's "Database File Format".
"""

from __future__ import annotations

import contextlib
import functools
import operator
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import BinaryIO

from aqe.engine.errors import UserError
from aqe.engine.memory.care import cipher
from aqe.engine.memory.care.cells import USUAL, Read, page_form, sealed_size
from aqe.engine.memory.care.copying import OpenFile
from aqe.engine.memory.file.write_ahead import Frame, head_of, read_commits
from aqe.engine.progress import CancelToken, Progress, silent
from aqe.engine.project import unwritable

_RUN = 1 << 18
"""Bytes of the pages that are read and decrypted together: those of a table mostly lie side by side."""

_RUNS = 16
"""How many such runs are held."""


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


@contextlib.contextmanager
def read_image(
    path: Path, key: str | None, *, progress: Progress = silent, cancel: CancelToken | None = None
) -> Iterator[Image]:
    """A database file with its log, whose pages are read as they are asked for, until the block ends. Raises
    `UserError` (no-such-path, database-key where the key cannot be told, project-read-only where the file cannot be
    read), `Cancelled`."""
    path = path.resolve()
    if not path.exists():
        raise UserError(f"There is no file {str(path)!r}.", code="no-such-path", fix="Check the path.")
    with contextlib.ExitStack() as stack:
        try:
            file, log = stack.enter_context(OpenFile.of(path)), None
            with contextlib.suppress(FileNotFoundError):
                log = stack.enter_context(path.with_name(f"{path.name}-wal").open("rb"))
            image = _image(path, file, log, key, progress, cancel)
        except OSError as exc:
            raise unwritable(path, exc) from exc
        yield image


def _image(
    path: Path, file: OpenFile, beside: BinaryIO | None, key: str | None, progress: Progress, cancel: CancelToken | None
) -> Image:
    log = _Log.of(beside)
    is_sure = 1 in log.frames and not (log.is_unsure and file.size)
    first = log.read(1) if is_sure else file.read(0, USUAL)
    secret = None if key is None else cipher.derive_key(key, first[: cipher.SALT])
    if log.is_unsure:
        log = _Log.of(beside, _by_likeness(file) if secret is None else _by_tag(secret))
    size, reserved = _form(file.size, file.read, secret)
    size = log.size if log.count else size
    count = log.count or -(-file.size // size)
    pages: Mapping[int, bytes] = (stored := _Pages(path, file, size, count, log))
    if secret is not None:
        pages = _Sealed(stored, secret, progress, cancel)
        if not pages:
            raise _no_page(path)
    head = pages.get(1, b"")
    if len(head) >= 100 and head.startswith(cipher.MAGIC):
        said = int.from_bytes(head[28:32], "big")
        if not log.count and said > count and head[24:28] == head[92:96]:
            count = min(said, count * 64 + 65_536)
    version = int.from_bytes(head[60:64], "big") if len(head) >= 64 else 0
    return Image(pages, count, size, size - reserved, version)


def _form(length: int, read: Read, secret: bytes | None) -> tuple[int, int]:
    """The size of the pages, and how many bytes at the end of each hold nothing: as the pages are, whatever the head
    says, which a damaged one says wrongly."""
    if secret is None:
        return page_form(length, read, (0, cipher.RESERVED))
    return sealed_size(length, read, lambda some: cipher.whole_pages(some, secret)), cipher.RESERVED


def _no_page(path: Path) -> UserError:
    return UserError(
        f"No page of {str(path)!r} can be read with this key: it has another one, or its first page, which holds the"
        " salt of the key, is lost.",
        code="database-key",
        fix="Set AQE_DB_KEY to the key it was made with; without its first page only a backup helps.",
    )


class _Pages(Mapping[int, bytes]):
    """The pages of a file, read when they are asked for: the last one is filled up with zeros, and those of the log
    stand in the place of earlier ones."""

    def __init__(self, path: Path, file: OpenFile, size: int, count: int, log: _Log) -> None:
        self._path = path
        self._file = file
        self._log = log
        self.size = size
        self.count = count
        self.together = max(1, _RUN // size)
        self._run = functools.lru_cache(maxsize=_RUNS)(self._read)

    def __getitem__(self, number: int) -> bytes:
        if number not in self:
            raise KeyError(number)
        if number in self._log.frames:
            return self._log.read(number)
        run, place = divmod(number - 1, self.together)
        return self._run(run)[place * self.size : (place + 1) * self.size].ljust(self.size, b"\0")

    def _read(self, run: int) -> bytes:
        try:
            return self._file.read(run * self.together * self.size, self.together * self.size)
        except OSError as exc:
            raise unwritable(self._path, exc) from exc

    def __contains__(self, number: object) -> bool:
        if not isinstance(number, int) or not 0 < number <= self.count:
            return False
        return number in self._log.frames or (number - 1) * self.size < self._file.size

    def __iter__(self) -> Iterator[int]:
        return (number for number in range(1, self.count + 1) if number in self)

    def __len__(self) -> int:
        return sum(1 for _ in self)


class _Sealed(Mapping[int, bytes]):
    """The pages of an encrypted file that are whole, decrypted when they are asked for."""

    def __init__(self, stored: _Pages, secret: bytes, progress: Progress, cancel: CancelToken | None) -> None:
        self._stored = stored
        self._secret = secret
        self._is_whole = bytearray(stored.count + 1)
        for first in range(1, stored.count + 1, stored.together):
            if cancel is not None:
                cancel.check()
            progress("Reading pages", first, stored.count)
            for number in cipher.whole_pages(self._taken((first - 1) // stored.together), secret):
                self._is_whole[number] = 1
        self._first: dict[int, bytes] = {}
        if stored.count and not self._is_whole[1] and 1 in stored:
            self._first = cipher.decrypt_first(stored[1], secret)
        self._run = functools.lru_cache(maxsize=_RUNS)(self._decrypted)

    def _taken(self, run: int) -> dict[int, bytes]:
        first, stored = run * self._stored.together + 1, self._stored
        return {number: stored[number] for number in range(first, first + stored.together) if number in stored}

    def _decrypted(self, run: int) -> dict[int, bytes]:
        return cipher.decrypt_pages(self._taken(run), self._secret)

    def __getitem__(self, number: int) -> bytes:
        if number not in self:
            raise KeyError(number)
        return (
            self._first[number] if number in self._first else self._run((number - 1) // self._stored.together)[number]
        )

    def __contains__(self, number: object) -> bool:
        if not isinstance(number, int) or not 0 < number < len(self._is_whole):
            return False
        return bool(self._is_whole[number]) or number in self._first

    def __iter__(self) -> Iterator[int]:
        return (number for number in range(1, len(self._is_whole)) if number in self)

    def __len__(self) -> int:
        return sum(self._is_whole) + len(self._first)


class _Log:
    """The newest committed frame of each page in a log; the page size, and how many pages the last commit left. Where
    one of several bits of a frame flipped, `settle` says which it was."""

    def __init__(self, file: BinaryIO | None = None) -> None:
        self._file = file
        self.frames: dict[int, Frame] = {}
        self.size = self.count = 0
        self.is_unsure = False

    def read(self, number: int) -> bytes:
        """The content of a page that is in `frames`."""
        return self.page(self.frames[number])

    def page(self, frame: Frame) -> bytes:
        """The content of a frame."""
        assert self._file is not None
        return frame.page(self._file, self.size)

    @classmethod
    def of(cls, file: BinaryIO | None, settle: Settle | None = None) -> _Log:
        """The log in a file, up to the last commit that is whole; a frame before it that is not stands as it may."""
        found = cls(file)
        if file is None:
            return found
        head = head_of(file)
        if head is None:
            return found
        found.size = head.size
        for commit in read_commits(file, head):
            waiting: dict[int, Frame] = {}
            for frame in commit.frames:
                if frame.others or frame.state == "damaged":
                    found.is_unsure = True
                    frame = frame if settle is None else settle(frame, found, waiting)
                if frame.state != "foreign":
                    waiting[frame.number] = frame
            found.frames |= waiting
            found.count = frame.left
        return found


Settle = Callable[[Frame, _Log, Mapping[int, Frame]], Frame]
"""Which of a frame's `others` it was, or the frame as it stands, by what stands in the log before it: of the commits
that ended, and of the one that it is part of."""


def _by_tag(secret: bytes) -> Settle:
    """The one whose page is whole."""

    def settle(frame: Frame, log: _Log, waiting: Mapping[int, Frame]) -> Frame:
        every = (*frame.others, replace(frame, others=()))
        fits = (one for one in every if cipher.whole_pages({one.number: log.page(one)}, secret))
        return next(fits, replace(frame, state="foreign"))

    return settle


def _by_likeness(file: OpenFile) -> Settle:
    """Of several pages that it may be of the one that was most like it before, of several sizes of the file the
    nearest to that of before; what its page says is left to the checksums of its rows. Of a frame with more damage
    nothing, unless half of what stood on its page before stands there still: it may be of another page."""

    def settle(frame: Frame, log: _Log, waiting: Mapping[int, Frame]) -> Frame:
        def before(number: int) -> bytes:
            known = waiting.get(number) or log.frames.get(number)
            return file.read((number - 1) * log.size, log.size) if known is None else log.page(known)

        def alike(number: int) -> int:
            return sum(map(operator.eq, before(number), page))

        page, every = log.page(frame), (frame, *frame.others)
        if frame.state == "damaged":
            held = [(old, new) for old, new in zip(before(frame.number), page, strict=False) if old]
            is_alike = 2 * sum(old == new for old, new in held) >= len(held)
            return frame if is_alike else replace(frame, state="foreign")
        numbers = {one.number for one in every} - {0}
        number = max(sorted(numbers), key=alike) if len(numbers) > 1 else frame.number
        count = log.count or file.size // log.size
        left = min((one.left for one in every), key=lambda left: abs(left - count))
        return replace(frame, number=number, left=left)

    return settle
