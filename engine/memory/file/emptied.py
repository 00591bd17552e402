"""A file of nothing where a store should be: it is told, and not taken for the file of a new one.

SQLite takes an empty file for a new database, and removes the log that lies beside it with all that was committed
there. One that another process is just making is empty for a moment too, so that is waited for.
"""

from __future__ import annotations

import os
import stat
import time
from pathlib import Path

HEAD = 100
"""Bytes that any database begins with."""

IN_THE_MAKING_S = 3.0
"""How long a file may be empty that a process is making."""


def cut_to_nothing(path: Path) -> str:
    """Why a file that is there can hold no database; "" where it may, or where there is none."""
    found = _look(path)
    if found is None or found.st_size >= HEAD:
        return ""
    age = time.time() - found.st_mtime
    end = time.monotonic() + min(max(IN_THE_MAKING_S - age, 0.0), IN_THE_MAKING_S)
    while found is not None and not found.st_size and time.monotonic() < end:
        time.sleep(0.01)
        found = _look(path)
    if found is None or found.st_size >= HEAD:
        return ""
    return f"it is cut off after {found.st_size} bytes" if found.st_size else "it is empty"


def _look(path: Path) -> os.stat_result | None:
    """What the system says of a file; None where there is none, or something else."""
    try:
        found = os.stat(path)
    except OSError:
        return None
    return found if stat.S_ISREG(found.st_mode) else None
