"""What a shielded run did to its project: read from the upper folder of an overlay, or from two snapshots of a copy.

Told are files and folders; a folder's name ends in "/". One that came with files in it is told by its files, one that
went is told alone. Caches are never a change, nor is git's index where only the times in it were brought up to date.
"""

from __future__ import annotations

import filecmp
import fnmatch
import os
import stat

CACHES = ("__pycache__", ".pytest_cache", ".hypothesis", ".mypy_cache", ".ruff_cache", ".aqe", ".tox", ".nox")
CACHE_FILES = ("*.pyc", ".coverage", ".coverage.*")
MOST_CHANGES = 1000
OPAQUE = ("user.overlay.opaque", "trusted.overlay.opaque")

Changes = list[tuple[str, str]]
Snapshot = dict[str, tuple[int, int, int]]


def changes_in_upper(upper: str, lower: int) -> Changes:
    """What an overlay's upper folder adds to the lower one, changes in it or takes from it.

    `lower` is a descriptor of the lower folder, opened before the overlay was laid over it.
    """
    found: Changes = []
    _compare(upper, lower, "", found)
    return sorted(found)[:MOST_CHANGES]


def _compare(upper: str, lower: int, inside: str, found: Changes) -> None:
    for name in sorted(entry.name for entry in _entries(os.path.join(upper, inside))):
        path = os.path.join(inside, name)
        new, old = os.lstat(os.path.join(upper, path)), _facts(path, lower)
        if stat.S_ISCHR(new.st_mode) and new.st_rdev == 0:  # how an overlay says that something is gone
            if old is not None:
                found.append((_shown(path, old), "deleted"))
        elif not stat.S_ISDIR(new.st_mode):
            if old is None:
                found.append((path, "added"))
            elif _differs(os.path.join(upper, path), new, path, old, lower):
                found.append((path, "changed"))
        elif old is not None and stat.S_ISDIR(old.st_mode):
            if new.st_mode != old.st_mode:
                found.append((path + "/", "changed"))
            if _is_opaque(os.path.join(upper, path)):  # removed and made again: what is not in it is gone
                found += _missing(upper, path, lower)
            _compare(upper, lower, path, found)
        else:
            before = len(found)
            _compare(upper, lower, path, found)
            if old is not None or len(found) == before:
                found.append((path + "/", "added" if old is None else "changed"))


def _entries(folder: str) -> list[os.DirEntry[str]]:
    """What is no cache in a folder of the copy; one that the run closed is opened, since nobody needs it any more."""
    if not os.access(folder, os.R_OK | os.X_OK):
        os.chmod(folder, 0o700)
    with os.scandir(folder) as entries:
        return [entry for entry in entries if not is_cache(entry.name)]


def is_cache(name: str) -> bool:
    """Whether a file or folder of that name may come, change and go as it likes."""
    return name in CACHES or any(fnmatch.fnmatch(name, pattern) for pattern in CACHE_FILES)


def _facts(path: str, lower: int) -> os.stat_result | None:
    try:
        return os.stat(path, dir_fd=lower, follow_symlinks=False)
    except OSError:
        return None


def _shown(path: str, facts: os.stat_result) -> str:
    return path + "/" if stat.S_ISDIR(facts.st_mode) else path


def _is_opaque(path: str) -> bool:
    for name in OPAQUE:
        try:
            if os.getxattr(path, name) in (b"y", b"x"):
                return True
        except OSError:
            continue
    return False


def _missing(upper: str, folder: str, lower: int) -> Changes:
    """What the lower folder holds and the new one of that name does not."""
    try:
        handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW, dir_fd=lower)
    except OSError:
        return []
    try:
        names = [name for name in os.listdir(handle) if not is_cache(name)]
    finally:
        os.close(handle)
    paths = [os.path.join(folder, name) for name in names]
    gone = [(path, _facts(path, lower)) for path in paths if not os.path.lexists(os.path.join(upper, path))]
    return [(_shown(path, facts), "deleted") for path, facts in gone if facts is not None]


def _differs(whole: str, new: os.stat_result, path: str, old: os.stat_result, lower: int) -> bool:
    if new.st_mode != old.st_mode or new.st_size != old.st_size:
        return True
    if new.st_mtime_ns == old.st_mtime_ns or path.endswith(".git/index"):
        return False
    if stat.S_ISLNK(new.st_mode):
        return os.readlink(whole) != os.readlink(path, dir_fd=lower)
    try:
        handle = os.open(path, os.O_RDONLY | os.O_NOFOLLOW, dir_fd=lower)
    except OSError:
        return True
    try:
        return not filecmp.cmp(whole, f"/proc/self/fd/{handle}", shallow=False)
    finally:
        os.close(handle)


def snapshot(folder: str) -> Snapshot:
    """Mode, size and time of change of each file and folder that is no cache; a folder has no size and no time."""
    found: Snapshot = {}
    waiting = [""]
    while waiting:
        inside = waiting.pop()
        for entry in _entries(os.path.join(folder, inside)):
            path, facts = os.path.join(inside, entry.name), entry.stat(follow_symlinks=False)
            if stat.S_ISDIR(facts.st_mode):
                waiting.append(path)
                found[path + "/"] = (facts.st_mode, 0, 0)
            else:
                found[path] = (facts.st_mode, facts.st_size, facts.st_mtime_ns)
    return found


def changes_since(before: Snapshot, after: Snapshot) -> Changes:
    """What came, went or changed between two snapshots."""
    new, gone = after.keys() - before.keys(), before.keys() - after.keys()
    folders_gone = {path for path in gone if path.endswith("/")}
    turned = {path for path in new if (path[:-1] if path.endswith("/") else path + "/") in gone}
    found = [(path, "changed") for path in turned]  # a file that is a folder now, or the other way round
    gone = {path for path in gone if (path[:-1] if path.endswith("/") else path + "/") not in turned}
    new = new - turned
    found += [(path, "added") for path in new if not (path.endswith("/") and _holds(path, new))]
    found += [(path, "deleted") for path in gone if not _is_below(path, folders_gone)]
    found += [(path, "changed") for path in after.keys() & before.keys() if after[path] != before[path]]
    return sorted(found)[:MOST_CHANGES]


def _holds(folder: str, paths: set[str]) -> bool:
    return any(path.startswith(folder) and path != folder for path in paths)


def _is_below(path: str, folders: set[str]) -> bool:
    parts = path.rstrip("/").split("/")[:-1]
    return any("/".join(parts[: length + 1]) + "/" in folders for length in range(len(parts)))
