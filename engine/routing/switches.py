"""Settings that act on the next call: read anew when one of their files has changed since the last look."""

from __future__ import annotations

import contextlib
import os
import threading
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

from aqe.engine.settings import Settings, load_settings, user_file

Stamp = tuple[tuple[int, int, int] | None, ...]


class LiveSettings:
    """The settings in force now; a call costs two looks at the file system. Within `held` a thread looks once."""

    def __init__(self, project: Path, flags: Mapping[str, Any] | None = None) -> None:
        self._project, self._flags = project, flags
        self._paths = (str(project / "pyproject.toml"), str(user_file()))
        self._known: tuple[Stamp, Settings] | None = None
        self._thread = threading.local()

    def __call__(self) -> Settings:
        held: Settings | None = getattr(self._thread, "held", None)
        return self._look() if held is None else held

    @contextlib.contextmanager
    def held(self) -> Iterator[None]:
        """One request of this thread: what is in force at its start holds to its end."""
        before = getattr(self._thread, "held", None)
        self._thread.held = self() if before is None else before
        try:
            yield
        finally:
            self._thread.held = before

    def _look(self) -> Settings:
        stamp = tuple([_stamp(path) for path in self._paths])
        known = self._known
        if known is None or known[0] != stamp:
            known = self._known = (stamp, load_settings(self._project, self._flags))
        return known[1]


def live_settings(project: Path, flags: Mapping[str, Any] | None = None) -> LiveSettings:
    """A function that gives the settings in force now, at the price of two looks at the file system.

    A kill switch that the user writes into pyproject.toml while a server runs so holds from the next call on. The
    function raises what `load_settings` raises while a file is broken.
    """
    return LiveSettings(project, flags)


def held(settings: Callable[[], Settings]) -> contextlib.AbstractContextManager[None]:
    """`LiveSettings.held`, and nothing for another function that gives settings."""
    return settings.held() if isinstance(settings, LiveSettings) else contextlib.nullcontext()


def _stamp(path: str) -> tuple[int, int, int] | None:
    try:
        found = os.stat(path)
    except OSError:
        return None
    return found.st_mtime_ns, found.st_size, found.st_ino
