"""What lies in clear in a project's `.aqe`, and what of it is derived and can simply go."""

from __future__ import annotations

import shutil
from collections.abc import Iterable
from pathlib import Path

from aqe.engine.memory.care.place import CLEAR
from aqe.engine.memory.keys import POINTER

HARMLESS = frozenset({".gitignore", POINTER})
"""Files that hold nothing of the project's."""

DERIVED = ("results", "impact")
"""Folders of `.aqe` with what is made anew."""

_SQLITE = ("-wal", "-shm", "-journal")


def in_clear(folders: Iterable[Path]) -> list[Path]:
    """Each file in these `.aqe` folders that can be read without a key, but those that hold nothing."""
    found = sorted({path for folder in folders for path in folder.rglob("*") if path.is_file()})
    return [path for path in found if path.name not in HARMLESS and not _is_sealed(path)]


def drop_derived(folder: Path, database: str) -> list[str]:
    """Remove what is made anew from the store or the project, the files of codes beside the database too; returns the
    names of what went."""
    gone = []
    for path in sorted(folder.iterdir()):
        beside = path.name.startswith(f"{database}.") and path.suffix != ".bak"
        if path.is_dir() and (beside or path.name in DERIVED):
            shutil.rmtree(path, ignore_errors=True)
            gone.append(path.name)
        elif beside and path.is_file():
            path.unlink(missing_ok=True)
            gone.append(path.name)
    return gone


def databases(folder: Path, database: str) -> list[Path]:
    """The copies of a store that aqe keeps in its folder: of before a migration, a restore or a repair."""
    return sorted([*folder.glob(f"{database}.v*.bak"), *(folder / "backups").glob("*.db")])


def _is_sealed(path: Path) -> bool:
    """Whether a file is an encrypted database, or what SQLite keeps beside one (`-shm` holds no content)."""
    name = path.name
    for suffix in _SQLITE:
        name = name.removesuffix(suffix)
    if not name.endswith((".db", ".bak")):
        return False
    try:
        with path.with_name(name).open("rb") as file:
            return file.read(len(CLEAR)) != CLEAR
    except OSError:
        return True
