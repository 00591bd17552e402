"""Temporary folders of work that may be killed: what a killed process left is removed by the next one.

A folder is locked (flock) while the process that made it lives, whatever process namespace it is in; the kernel takes
the lock back at its end, also at kill -9. Where there is no flock nothing is swept.
"""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import stat
import sys
import tempfile
import time
from collections.abc import Iterator
from functools import cache
from pathlib import Path

YOUNG_S = 3600.0
"""A folder that was touched this lately is left alone: its maker may be about to lock it."""

_OURS = re.compile(r"aqe-[a-z]+\.\w{8}")


@contextlib.contextmanager
def scratch_folder(what: str) -> Iterator[Path]:
    """A new temporary folder `aqe-<what>.<random>`, its real path; removed at the end. `what` is one word of a-z.

    The first one of a process also removes those that killed processes of this user left. Raises `OSError` where it
    cannot be made, or the process may open no more files.
    """
    parent = tempfile.gettempdir()
    _sweep_once(parent)
    with tempfile.TemporaryDirectory(prefix=f"aqe-{what}.", dir=parent, ignore_cleanup_errors=True) as name:
        try:
            lock = _lock(name)
        except OSError:
            os.rmdir(name)  # which needs no descriptor, as removing a tree does
            raise
        try:
            yield Path(name).resolve()
        finally:
            if lock is not None:
                os.close(lock)


def sweep(parent: str, now: float) -> int:
    """Remove the folders in `parent` whose makers are gone; returns how many. `now` is in seconds since the epoch."""
    removed = 0
    if sys.platform == "win32":  # no flock
        return removed
    with contextlib.suppress(OSError), os.scandir(parent) as entries:
        for entry in entries:
            if _OURS.fullmatch(entry.name) and _is_old(entry, now):
                removed += _removed(entry.path)
    return removed


def _removed(folder: str) -> bool:
    """Remove a folder, unless its maker lives."""
    try:
        lock = _lock(folder)
    except OSError:
        return False
    if lock is None:
        return False
    shutil.rmtree(folder, ignore_errors=True)
    os.close(lock)
    return True


@cache
def _sweep_once(parent: str) -> None:
    sweep(parent, time.time())


def _is_old(entry: os.DirEntry[str], now: float) -> bool:
    """Whether it is a folder of this user that was not touched for a while."""
    try:
        facts = entry.stat(follow_symlinks=False)
    except OSError:
        return False
    is_own = stat.S_ISDIR(facts.st_mode) and facts.st_uid == os.geteuid()
    return is_own and now - facts.st_mtime > YOUNG_S


def _lock(folder: str) -> int | None:
    """Lock a folder for as long as the descriptor is open; None where another process holds it or none can. Raises
    `OSError` where it cannot be opened: a folder that is made and not locked would be swept under its maker."""
    if sys.platform == "win32":
        return None
    import fcntl

    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        os.close(descriptor)
        return None
    return descriptor
