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
_MOST_NESTED = 32
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
    that git ignores, and with `whole`: in all). In a repository nested there, a submodule too, its own git says so;
    one that git cannot list is unread.

    Virtual environments and the folders of tools are passed by in both cases; links are not followed.
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
    listed = None if whole else _by_git(path)
    names = _with_nested(path, listed) if listed else set(_by_walk(path))
    for name in sorted(names):
        file = path / name
        if _is_file(file) or _is_folder(file):
            yield file


def _with_nested(root: Path, listed: Sequence[str]) -> set[str]:
    """The files that git lists in `root`, each once (in a conflict it has a line for each side), and those of the
    repositories nested there, by their own rules. Folders among them are those of which nobody can say what they hold.
    """
    passed_by: dict[Path, bool] = {}
    names: set[str] = set()
    waiting = [("", listed, 0)]
    while waiting:
        before, here, depth = waiting.pop()
        for name in {before + one.rstrip("/") for one in here} - names:
            path = root / name
            is_folder = _is_folder(path)
            if _is_passed_by(root, path if is_folder else path.parent, passed_by):
                continue
            inside = _of_nested(path) if is_folder and depth < _MOST_NESTED else None
            if inside is None:
                names.add(name)
            else:
                waiting.append((f"{name}/", inside, depth + 1))
    return names


def _of_nested(folder: Path) -> list[str] | None:
    """What the git of a nested repository lists in it; None where that cannot be said.

    A submodule that is not checked out has no git of its own: whatever lies there is the answer, most often nothing. Of
    a folder where git knows a file yet, git lists what is in it by itself.
    """
    if not _may_be_listed(folder):
        return None
    if not os.path.lexists(folder / ".git"):
        known = _git(folder.parent, "--literal-pathspecs", "ls-files", "--stage", "--", folder.name, own=True)
        return [] if known and not known.startswith(b"160000 ") else list(_by_walk(folder))
    top = _git(folder, "rev-parse", "--show-toplevel", own=True)
    try:
        is_own = top is not None and os.path.samefile(os.fsdecode(top.rstrip(b"\r\n")), folder)
    except OSError:
        is_own = False
    return _by_git(folder, own=True) if is_own else None


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


def _is_folder(path: Path) -> bool:
    """Whether it is a folder and no link to one."""
    try:
        return stat.S_ISDIR(path.lstat().st_mode)
    except OSError:
        return False


def _by_git(folder: Path, *, own: bool = False) -> list[str] | None:
    """What git shows below a folder, a repository nested there as one name; None where git cannot say it."""
    listed = _git(folder, "ls-files", "-z", "-co", "--exclude-standard", own=own)
    return None if listed is None else [os.fsdecode(name) for name in listed.split(b"\0") if name]


def _git(folder: Path, *words: str, own: bool) -> bytes | None:
    """What git prints in a folder; None without git and where it fails. `own`: whatever repository the surroundings
    name, as those of a hook do, the one that is meant is the folder's.
    """
    git = shutil.which("git")
    if git is None:
        return None
    named = [name for name in os.environ if name.startswith("GIT_") and not name.startswith("GIT_CONFIG")]
    environ = {name: value for name, value in os.environ.items() if not own or name not in named}
    command = [git, "-c", "core.fsmonitor=false", *words]
    done = subprocess.run(command, cwd=folder, env=environ, capture_output=True, stdin=subprocess.DEVNULL, check=False)
    return done.stdout if done.returncode == 0 else None


def _is_passed_by(root: Path, folder: Path, known: dict[Path, bool]) -> bool:
    """Whether a folder below `root` is a virtual environment, a tool's own or a link by now, or lies in one."""
    if folder == root:
        return False
    if folder not in known:
        own = folder.name in _PASSED_BY or os.path.exists(folder / "pyvenv.cfg") or os.path.islink(folder)
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
