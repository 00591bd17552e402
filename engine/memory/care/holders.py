"""Which other processes have a store's file open, as far as the system tells."""

from __future__ import annotations

import contextlib
import os
from dataclasses import dataclass
from pathlib import Path

from aqe.engine.errors import UserError


@dataclass(frozen=True)
class Holder:
    """A process that has the file open: its number and the words it was started with."""

    pid: int
    words: str

    def __str__(self) -> str:
        return f"process {self.pid} ({self.words})" if self.words else f"process {self.pid}"


def holders(path: Path) -> list[Holder]:
    """The other processes of this user (of all, for root) that have the file open; none where there is no /proc."""
    found: list[Holder] = []
    with contextlib.suppress(OSError):
        wanted = path.stat()
        others = [entry for entry in Path("/proc").iterdir() if entry.name.isdigit() and int(entry.name) != os.getpid()]
        found += [Holder(int(entry.name), _words(entry)) for entry in others if _has_open(entry, wanted)]
    return sorted(found, key=lambda holder: holder.pid)


def locked(path: Path, what: str) -> UserError:
    """The error for work that needs the file alone while others have it; it names who."""
    others = holders(path)
    who = " and ".join(str(holder) for holder in others[:3]) or "another program"
    return UserError(
        f"The database {str(path)!r} is open in {who}, and {what} needs it alone.",
        code="database-locked",
        fix="End that program, and try again.",
    )


def _has_open(process: Path, wanted: os.stat_result) -> bool:
    with contextlib.suppress(OSError):
        for descriptor in (process / "fd").iterdir():
            with contextlib.suppress(OSError):
                status = descriptor.stat()
                if (status.st_dev, status.st_ino) == (wanted.st_dev, wanted.st_ino):
                    return True
    return False


def _words(process: Path) -> str:
    try:
        words = (process / "cmdline").read_bytes().rstrip(b"\0").split(b"\0")
    except OSError:
        return ""
    return " ".join(word.decode("utf-8", "replace") for word in words)[:120]
