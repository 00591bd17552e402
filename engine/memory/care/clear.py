"""What lies in clear in a project's `.aqe`, and what of it is derived and can simply go."""

from __future__ import annotations

import contextlib
import os
import re
import shutil
from collections.abc import Iterable
from pathlib import Path

from aqe.engine.memory.care.alone import LOCK
from aqe.engine.memory.care.place import CLEAR
from aqe.engine.memory.file.keys import POINTER
from aqe.engine.owner import process_start
from aqe.engine.worktree import find_checkout

HARMLESS = frozenset({".gitignore", POINTER, LOCK})
"""Files that hold nothing of the project's."""

DERIVED = ("results", "impact")
"""Folders of `.aqe` with what is made anew."""

_PART = re.compile(r"\.(\d+)\.[0-9a-f]{8}\.part(-wal|-shm|-journal)?$")
_PAGE = 4096
_MANY = 200
"""Different bytes in a page that is encrypted, at least: 4,096 random ones hold nearly all 256, text holds some 100."""

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


def drop_orphans(folder: Path) -> None:
    """Remove what processes that run no more left half written in an `.aqe`: it may hold anything."""
    for path in [*folder.glob(".*.part*"), *(folder / "backups").glob(".*.part*")]:
        made = _PART.search(path.name)
        if made is not None and int(made[1]) != os.getpid() and not process_start(int(made[1])):
            path.unlink(missing_ok=True)


def shared_folders(folder: Path, database: str) -> list[Path]:
    """The `.aqe` folders of linked git worktrees that use the store in `folder`, as far as git knows of them."""
    checkout = find_checkout(folder.parent)
    if checkout is None or checkout.worktree or checkout.main_root is None:
        return []
    inner = folder.parent.resolve().relative_to(checkout.root.resolve())
    found = []
    for entry in sorted((checkout.git_dir / "worktrees").glob("*/gitdir")):
        with contextlib.suppress(OSError):
            root = (entry.parent / entry.read_text(encoding="utf-8", errors="surrogateescape").strip()).resolve().parent
            own = root / inner / folder.name
            if own.is_dir() and not (own / database).exists():
                found.append(own)
    return found


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
    if name.startswith("damaged-"):  # its first page says nothing of the others
        return path.name.endswith("-shm") or _is_noise(path)
    try:
        with path.with_name(name).open("rb") as file:
            return file.read(len(CLEAR)) != CLEAR
    except OSError:
        return True


def _is_noise(path: Path) -> bool:
    """Whether every page of a file is encrypted, or holds one byte over and over."""
    try:
        with path.open("rb") as file:
            while page := file.read(_PAGE):
                if 1 < len(set(page)) < min(_MANY, len(page) // 8):
                    return False
    except OSError:
        return False
    return True
