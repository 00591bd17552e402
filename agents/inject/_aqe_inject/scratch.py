"""What cases leave in the folders that they may write to, taken away again, so that no case sees another one's files.

Without this a test that leaves a file behind, and fails where it finds one, would look like a killer of every mutant.
"""

from __future__ import annotations

import os
import stat
from typing import Dict, Sequence, Set

_scandir, _lstat, _chmod, _geteuid = os.scandir, os.lstat, os.chmod, os.geteuid
_unlink, _rmdir, _rename, _join = os.unlink, os.rmdir, os.rename, os.path.join


class Scratch:
    """Folders with what they held when `keep` was called last; `restore` removes what came since.

    Files that were there and were changed are left as they are: what aqe itself put there is mounted read-only where
    there are mounts.
    """

    def __init__(self, places: Sequence[str]) -> None:
        self._places = places
        self._kept: Dict[str, Set[str]] = {}
        self.keep()

    def keep(self) -> None:
        """Everything that is there now belongs there."""
        self._kept = {}
        for place in self._places:
            try:
                device = _lstat(place).st_dev
            except OSError:
                continue
            waiting = [place]
            while waiting:
                folder = waiting.pop()
                names = self._kept[folder] = set()
                try:
                    with _scandir(folder) as entries:
                        for entry in entries:
                            names.add(entry.name)
                            facts = entry.stat(follow_symlinks=False)
                            if stat.S_ISDIR(facts.st_mode) and facts.st_dev == device:
                                waiting.append(entry.path)
                except OSError:
                    continue

    def restore(self) -> None:
        """Remove what was not there. No link is followed."""
        for folder, names in self._kept.items():
            try:
                facts = _lstat(folder)
                if stat.S_ISDIR(facts.st_mode):
                    if facts.st_uid == _geteuid() and facts.st_mode & 0o700 != 0o700:
                        _chmod(folder, 0o700)
                    with _scandir(folder) as entries:
                        new = [entry.path for entry in entries if entry.name not in names]
                    for path in new:
                        remove(path)
            except OSError:
                continue


def remove(path: str) -> None:
    """Remove a file, a link or a folder with all that it holds, however deep: inner folders are moved up into it.

    What a case made impossible to remove stays; the folder as a whole is limited in size.
    """
    try:
        if not stat.S_ISDIR(_lstat(path).st_mode):
            _unlink(path)
            return
        waiting, number = _folders(path), 0
    except OSError:
        return
    while waiting:
        folder = _join(path, waiting.pop())
        try:
            for name in _folders(folder):
                number += 1
                moved = "aqe-%d" % number
                _chmod(_join(folder, name), 0o700)
                _rename(_join(folder, name), _join(path, moved))
                waiting.append(moved)
            _rmdir(folder)
        except OSError:
            continue
    try:
        _rmdir(path)
    except OSError:
        return


def _folders(folder: str) -> "list[str]":
    """The folders in `folder`, of which everything else is removed."""
    _chmod(folder, 0o700)
    found = []
    with _scandir(folder) as entries:
        for entry in entries:
            if entry.is_dir(follow_symlinks=False):
                found.append(entry.name)
            else:
                _unlink(entry.path)
    return found
