"""Settings that act on the next call: read anew when one of their files has changed since the last look."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from aqe.engine.settings import Settings, load_settings, user_file

RECENT_S = 0.1
"""For so long a look at the files serves the queries that ask no model, and so let nothing leave."""

Stamp = tuple[tuple[int, int, int] | None, ...]


class LiveSettings:
    """The settings in force now; a call costs two looks at the file system."""

    def __init__(
        self,
        project: Path,
        flags: Mapping[str, Any] | None = None,
        *,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._project, self._flags = project, flags
        self._paths = (str(project / "pyproject.toml"), str(user_file()))
        self._clock = clock
        self._known: tuple[Stamp, Settings] | None = None
        self._looked_at = -RECENT_S
        self.told: Callable[[Settings], None] | None = None
        """What is to be told of settings that changed, before they are handed out."""

    def __call__(self) -> Settings:
        now, stamp = self._clock(), tuple([_stamp(path) for path in self._paths])
        known = self._known
        if known is None or known[0] != stamp:
            changed = load_settings(self._project, self._flags)
            if known is not None and self.told is not None:
                self.told(changed)
            known = self._known = (stamp, changed)
        self._looked_at = now
        return known[1]

    def recent(self) -> Settings:
        """Those that were in force at some moment of the last `RECENT_S`: for what asks no model."""
        known = self._known
        if known is None or self._clock() - self._looked_at >= RECENT_S:
            return self()
        return known[1]


def live_settings(project: Path, flags: Mapping[str, Any] | None = None) -> LiveSettings:
    """A function that gives the settings in force now, at the price of two looks at the file system.

    A kill switch that the user writes into pyproject.toml while a server runs so holds from the next call on. The
    function raises what `load_settings` raises while a file is broken.
    """
    return LiveSettings(project, flags)


def recent(settings: Callable[[], Settings]) -> Callable[[], Settings]:
    """`LiveSettings.recent`, and another function that gives settings as it is."""
    return settings.recent if isinstance(settings, LiveSettings) else settings


def _stamp(path: str) -> tuple[int, int, int] | None:
    try:
        found = os.stat(path)
    except OSError:
        return None
    return found.st_mtime_ns, found.st_size, found.st_ino
