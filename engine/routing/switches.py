"""Settings that act on the next call: read anew when one of their files has changed since the last look."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from aqe.engine.settings import Settings, load_settings, user_file

Stamp = tuple[tuple[int, int, int] | None, ...]


def live_settings(project: Path, flags: Mapping[str, Any] | None = None) -> Callable[[], Settings]:
    """A function that gives the settings in force now, at the price of two looks at the file system.

    A kill switch that the user writes into pyproject.toml while a server runs so holds from the next call on. The
    function raises what `load_settings` raises while a file is broken.
    """
    paths = (project / "pyproject.toml", user_file())
    known: list[tuple[Stamp, Settings]] = []

    def current() -> Settings:
        stamp = tuple(_stamp(path) for path in paths)
        if not known or known[0][0] != stamp:
            known[:] = [(stamp, load_settings(project, flags))]
        return known[0][1]

    return current


def _stamp(path: Path) -> tuple[int, int, int] | None:
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_mtime_ns, found.st_size, found.st_ino
