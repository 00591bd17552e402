"""The files of codes beside a database: `<database>.codes/<table>-<namespace's hash>-<change>-<stamp>.vectors`.

Each holds the vectors of one namespace in one space as of one change of the database, and can be deleted at any time:
it is made anew from the database. A file is written under another name, flushed and renamed, so that any number of
processes may write and read; the name tells of which change of which history it is, and the file's header says the same
under its checksum, so that one which lies under another's name is not believed. Of an encrypted database there are
none.

What a file gives is held against sums that it carries when it is first read, whatever its date says. Files of before,
which have none, have a seal beside them: how long they were and when they changed last, as of the moment when they were
written or last read through. One that is not as its seal says is read through before anything is answered by it.
"""

from __future__ import annotations

import contextlib
import hashlib
import logging
import os
import re
import time
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from aqe.engine.memory.file.changelog import Mark

if TYPE_CHECKING:
    from aqe.simd import Vectors

ENDING = ".vectors"
SEAL = ".sealed"
SEALED_FOR_S = 86_400.0
"""Age of a seal after which the file is read through again, in the background."""

ORPHANED_S = 3600.0
"""Age after which what a writer left half done is swept away."""

_log = logging.getLogger(__name__)
_NAME = re.compile(r"(\d+)-([0-9a-f]{16})-(\d+)-(\d+)\.vectors")


@dataclass(frozen=True)
class CodeFile:
    """One file: of which table and namespace (by its hash), and as of which change."""

    path: Path
    table: int
    place: str
    mark: Mark


def place_of(namespace: str) -> str:
    """A namespace as it stands in a file's name."""
    return hashlib.sha256(namespace.encode()).hexdigest()[:16]


def folder_of(database: Path) -> Path:
    """Where the files of a database are."""
    return database.with_name(f"{database.name}.codes")


def _seal_of(path: Path) -> Path:
    return path.with_name(path.name + SEAL)


def _state(path: Path) -> str:
    """What a change of a file would change; nothing where it is gone."""
    with contextlib.suppress(OSError):
        found = path.stat()
        return f"{found.st_size} {found.st_mtime_ns} {found.st_ctime_ns}"
    return ""


def _read_seal(path: Path) -> str:
    with contextlib.suppress(OSError, ValueError):
        seal = _seal_of(path)
        return seal.read_text() if seal.is_file() else ""
    return ""


def _seal(path: Path, state: str) -> None:
    """Note that a file was sound in this state; where that cannot be written it is read through again next time."""
    seal = _seal_of(path)
    part = seal.with_name(f".{seal.name}.{os.getpid()}-{os.urandom(4).hex()}.part")
    with contextlib.suppress(OSError):
        part.write_text(state)
        os.replace(part, seal)


class CodeFolder:
    """The files of one database."""

    def __init__(self, database: Path) -> None:
        self.path = folder_of(database)

    def files(self) -> list[CodeFile]:
        """All files, the newest of each namespace first; none where the folder is missing or cannot be read."""
        found = []
        with contextlib.suppress(OSError):
            for entry in os.scandir(self.path):
                if (match := _NAME.fullmatch(entry.name)) and entry.is_file():
                    mark = Mark(int(match[3]), int(match[4]))
                    found.append(CodeFile(Path(entry.path), int(match[1]), match[2], mark))
        return sorted(found, key=lambda file: -file.mark.number)

    def of(self, table: int, namespace: str) -> list[CodeFile]:
        """The files of one namespace in one space, newest first."""
        place = place_of(namespace)
        return [file for file in self.files() if (file.table, file.place) == (table, place)]

    def write(self, table: int, namespace: str, mark: Mark, vectors: Vectors) -> Path:
        """Write the file of this moment and drop the older ones of its namespace; raises OSError, and then the older
        ones stand."""
        self.path.mkdir(exist_ok=True)
        path = self.path / f"{table}-{place_of(namespace)}-{mark.number}-{mark.stamp}{ENDING}"
        vectors.save(path, label=path.stem)
        _seal(path, _state(path))
        self.drop(file for file in self.of(table, namespace) if file.path != path and file.mark.number <= mark.number)
        return path

    def is_due(self, file: CodeFile) -> bool:
        """Whether it is long ago that a file was read through."""
        with contextlib.suppress(OSError):
            return time.time() - _seal_of(file.path).stat().st_mtime > SEALED_FOR_S
        return True

    def is_sound(self, file: CodeFile, vectors: Vectors, *, anew: bool = False) -> bool:
        """Whether a file, opened as `vectors`, is as it was written: so far where each part of it is checked when it is
        first read; else as its seal says or, where that says something else or `anew` is asked for, as reading it
        through does."""
        state = _state(file.path)
        if not anew and (vectors.is_guarded or (state and _read_seal(file.path) == state)):
            return True
        try:
            vectors.verify()
        except (OSError, ValueError) as error:
            _log.warning("A file of codes is damaged and made anew: %s", error)
            return False
        _seal(file.path, state)
        return True

    def drop(self, files: Iterable[CodeFile]) -> None:
        """Delete files; one that is open elsewhere and cannot be deleted yet stays."""
        for file in files:
            with contextlib.suppress(OSError):
                file.path.unlink()
                _seal_of(file.path).unlink()

    def sweep(self, known: Iterable[tuple[int, str]]) -> None:
        """Delete the files of what is not among the `known` tables and namespaces, and what writers left half done."""
        places = {(table, place_of(namespace)) for table, namespace in known}
        self.drop(file for file in self.files() if (file.table, file.place) not in places)
        with contextlib.suppress(OSError):
            for path in self.path.iterdir():
                alone = path.name.endswith(SEAL) and not path.with_suffix("").exists()
                if (path.name.endswith(".part") or alone) and time.time() - path.stat().st_mtime > ORPHANED_S:
                    path.unlink()

    def clear(self) -> None:
        """Delete every file and the folder."""
        with contextlib.suppress(OSError):
            for path in list(self.path.iterdir()):
                if path.name.endswith((ENDING, SEAL, ".part")):
                    path.unlink()
            self.path.rmdir()

    def size(self) -> int:
        """The bytes of all files."""
        total = 0
        for file in self.files():
            with contextlib.suppress(OSError):
                total += file.path.stat().st_size
        return total
