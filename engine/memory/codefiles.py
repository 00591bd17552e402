"""The files of codes beside a database: `<database>.codes/<table>-<namespace's hash>-<change>-<stamp>.vectors`.

Each holds the vectors of one namespace in one space as of one change of the database, and can be deleted at any time:
it is made anew from the database. A file is written under another name, flushed and renamed, so that any number of
processes may write and read; the name tells of which change of which history it is. Of an encrypted database there are
none.
"""

from __future__ import annotations

import contextlib
import hashlib
import re
import time
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from aqe.engine.memory.changelog import Mark

if TYPE_CHECKING:
    from aqe.simd import Vectors

ENDING = ".vectors"
ORPHANED_S = 3600.0
"""Age after which what a writer left half done is swept away."""

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


class CodeFolder:
    """The files of one database."""

    def __init__(self, database: Path) -> None:
        self.path = folder_of(database)

    def files(self) -> list[CodeFile]:
        """All files, the newest of each namespace first; none where the folder is missing or cannot be read."""
        found = []
        with contextlib.suppress(OSError):
            for path in self.path.iterdir():
                if match := _NAME.fullmatch(path.name):
                    mark = Mark(int(match[3]), int(match[4]))
                    found.append(CodeFile(path, int(match[1]), match[2], mark))
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
        vectors.save(path)
        self.drop(file for file in self.of(table, namespace) if file.path != path and file.mark.number <= mark.number)
        return path

    def drop(self, files: Iterable[CodeFile]) -> None:
        """Delete files; one that is open elsewhere and cannot be deleted yet stays."""
        for file in files:
            with contextlib.suppress(OSError):
                file.path.unlink()

    def sweep(self, known: Iterable[tuple[int, str]]) -> None:
        """Delete the files of what is not among the `known` tables and namespaces, and what writers left half done."""
        places = {(table, place_of(namespace)) for table, namespace in known}
        self.drop(file for file in self.files() if (file.table, file.place) not in places)
        with contextlib.suppress(OSError):
            for path in self.path.iterdir():
                if path.name.endswith(".part") and time.time() - path.stat().st_mtime > ORPHANED_S:
                    path.unlink()

    def clear(self) -> None:
        """Delete every file and the folder."""
        with contextlib.suppress(OSError):
            for path in list(self.path.iterdir()):
                if path.name.endswith((ENDING, ".part")):
                    path.unlink()
            self.path.rmdir()

    def size(self) -> int:
        """The bytes of all files."""
        total = 0
        for file in self.files():
            with contextlib.suppress(OSError):
                total += file.path.stat().st_size
        return total
