"""Scans files and folders for secrets and personal data; what is found is told by its place, never by its text."""

from __future__ import annotations

import bisect
import os
import shutil
import stat
import subprocess
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from aqe.engine.privacy.redactor import scan
from aqe.engine.project import as_seen_from_here

MOST_BYTES = 5_000_000
_PASSED_BY = frozenset((".git", ".hg", ".svn", ".aqe", "node_modules", "__pycache__"))


@dataclass(frozen=True)
class Finding:
    """One secret or personal datum: the file as the user named it, line and column from 1, offsets in characters."""

    path: str
    line: int
    column: int
    start: int
    end: int
    kind: str


@dataclass(frozen=True)
class ScanReport:
    """What a scan found; `skipped` are files that are too large or cannot be read, and binary ones that were named;
    `unread` are those of them that no gate passes: they cannot be read, or are too large and were named.
    """

    files: int
    findings: tuple[Finding, ...]
    skipped: tuple[str, ...]
    unread: tuple[str, ...] = ()


def scan_text(text: str, path: str) -> Iterator[Finding]:
    """The findings in one text."""
    lines = [0]
    for number, char in enumerate(text):
        if char == "\n":
            lines.append(number + 1)
    for span in scan(text, path):
        line = bisect.bisect_right(lines, span.start)
        yield Finding(path, line, span.start - lines[line - 1] + 1, span.start, span.end, span.kind)


def scan_paths(paths: Sequence[Path], *, whole: bool = False) -> ScanReport:
    """The findings in files and, below folders, in every text file that git does not ignore (without git, in a folder
    that git ignores, and with `whole`: in all).

    Virtual environments and the folders of tools are passed by in both cases.
    """
    findings: list[Finding] = []
    skipped: list[str] = []
    unread: list[str] = []
    files = 0
    for path in paths:
        for file in _files_of(path, whole=whole):
            name = as_seen_from_here(file)
            try:
                text = _read(file)
                is_large = text is None and file.stat().st_size > MOST_BYTES
            except OSError:
                skipped.append(name)
                unread.append(name)
                continue
            if text is None:
                skipped += [name] if file == path or is_large else []
                unread += [name] if file == path and is_large else []
                continue
            files += 1
            findings += scan_text(text, name)
    return ScanReport(files, tuple(findings), tuple(skipped), tuple(unread))


def _read(file: Path) -> str | None:
    """The text of a file; None for one that is binary or too large."""
    with file.open("rb") as opened:
        data = opened.read(MOST_BYTES + 1)
    if len(data) > MOST_BYTES or b"\0" in data[:8192]:
        return None
    return data.decode("utf-8", "replace")


def _files_of(path: Path, *, whole: bool) -> Iterator[Path]:
    """The file itself, or the files below a folder; of those that may not be looked at the names are yielded too."""
    if not os.path.isdir(path) or not _may_be_listed(path):
        yield path
        return
    listed = None if whole else _by_git(path) or None
    passed_by: dict[Path, bool] = {}
    for name in sorted(_by_walk(path) if listed is None else listed):
        file = path / name
        if listed is not None and _is_passed_by(path, file.parent, passed_by):
            continue
        if _is_file(file) or (os.path.isdir(file) and not _may_be_listed(file)):
            yield file


def _may_be_listed(folder: Path) -> bool:
    try:
        os.scandir(folder).close()
    except OSError:
        return False
    return os.access(folder, os.X_OK)


def _is_file(path: Path) -> bool:
    """Whether it is a file and no link, or stands where nobody may look, so that it may be one."""
    try:
        return stat.S_ISREG(path.lstat().st_mode)
    except PermissionError:
        return True
    except OSError:
        return False


def _by_git(folder: Path) -> list[str] | None:
    git = shutil.which("git")
    if git is None:
        return None
    command = [git, "-c", "core.fsmonitor=false", "ls-files", "-z", "-co", "--exclude-standard"]
    done = subprocess.run(command, cwd=folder, capture_output=True, stdin=subprocess.DEVNULL, check=False)
    return [os.fsdecode(name) for name in done.stdout.split(b"\0") if name] if done.returncode == 0 else None


def _is_passed_by(root: Path, folder: Path, known: dict[Path, bool]) -> bool:
    """Whether a folder below `root` is a virtual environment or a tool's own, or lies in one."""
    if folder == root:
        return False
    if folder not in known:
        own = folder.name in _PASSED_BY or os.path.exists(folder / "pyvenv.cfg")
        known[folder] = own or _is_passed_by(root, folder.parent, known)
    return known[folder]


def _by_walk(folder: Path) -> Iterator[str]:
    closed: list[OSError] = []
    for inside, folders, files in os.walk(folder, onerror=closed.append):
        folders[:] = [
            name
            for name in folders
            if name not in _PASSED_BY and not os.path.exists(os.path.join(inside, name, "pyvenv.cfg"))
        ]
        for file in files:
            yield os.path.relpath(os.path.join(inside, file), folder)
    for error in closed:
        yield os.path.relpath(error.filename, folder)
