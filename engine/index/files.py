"""Which files of a project are indexed: those that git would show, in a form that can be read.

In a git work tree `git ls-files` says what is there and not ignored; elsewhere the tree is walked under the same rules
(`.gitignore` of each folder, read by pathspec). Links are never followed.
"""

from __future__ import annotations

import os
import shutil
import stat
import subprocess
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import pathspec

MOST_BYTES = 1_000_000
"""A larger file is data or generated; it is left out with a word."""

PROSE = frozenset({".md", ".markdown", ".mdx", ".rst", ".txt"})
SOURCE = frozenset({".py", ".pyi"})
SETTINGS = frozenset({".toml", ".cfg", ".ini", ".yaml", ".yml"})
_BARE = frozenset({"README", "CHANGELOG", "CHANGES", "HISTORY", "NEWS", "CONTRIBUTING", "INSTALL", "AUTHORS", "FAQ"})
_FOREIGN = frozenset(
    {"node_modules", "site-packages", "__pycache__", "__pypackages__", "_vendor", "vendor", "vendored", "third_party"}
)
_UNTRACKED = frozenset({"build", "dist", "venv", "env"})
_GIT_S = 60


@dataclass(frozen=True)
class SourceFile:
    """A file to index: its name as shown and stored (relative, posix, odd bytes as `%XX`) and where it lies.

    `stamp` changes whenever the system saw the file change, the last time at `changed_us` by its clock.
    """

    name: str
    path: Path
    size: int
    stamp: str
    changed_us: int


@dataclass(frozen=True)
class LeftOut:
    """A file that is not indexed, or not as what its name says, and why in a few words."""

    file: str
    reason: str


def shown_name(path: str) -> str:
    """A file's name as it is stored: a byte that is no UTF-8 becomes `%XX`.

    >>> shown_name("docs/caf\\udce9.md")
    'docs/caf%E9.md'
    """
    return "".join(f"%{ord(char) - 0xDC00:02X}" if "\udc80" <= char <= "\udcff" else char for char in path)


def find_files(project: Path, paths: Sequence[Path] = ()) -> tuple[list[SourceFile], list[LeftOut]]:
    """The files to index below `project`, by name, and those of a readable kind that are left out.

    `paths` (absolute; files or folders inside the project) limit what is looked at.
    """
    names = _by_git(project)
    kept: list[SourceFile] = []
    every = set(walk_files(project) if names is None else names)
    left_out = [left for one in paths if (left := _named_in_vain(project, one, every))]
    for name in sorted(every):
        path, shown = project / name, shown_name(name)
        if not _is_of_a_kind(name) or not _is_wanted(path, paths):
            continue
        found = _look_at(path, shown)
        if shown != name and shown in every:
            found = LeftOut(shown, "the name of another file is written like its own, which is no UTF-8")
        if isinstance(found, SourceFile):
            kept.append(found)
        elif found is not None:
            left_out.append(found)
    return kept, left_out


def kind_of(name: str) -> str:
    """How a file is read: "source", "prose", "settings", or "" for one that is not."""
    bare, suffix = os.path.splitext(name.rpartition("/")[2])
    if suffix in SOURCE:
        return "source"
    if suffix.lower() in PROSE or (not suffix and bare in _BARE):
        return "prose"
    return "settings" if suffix in SETTINGS else ""


def _is_of_a_kind(name: str) -> bool:
    folders = name.split("/")[:-1]
    return bool(kind_of(name)) and not any(part in _FOREIGN or part.startswith(".") for part in folders)


def _is_wanted(path: Path, paths: Sequence[Path]) -> bool:
    return not paths or any(path.is_relative_to(wanted) for wanted in paths)


def _named_in_vain(project: Path, path: Path, every: Collection[str]) -> LeftOut | None:
    """Why a path that was named itself, or all that is in a folder that was, is not among those looked at."""
    name, is_folder = path.relative_to(project).as_posix(), os.path.isdir(path)
    if is_folder and os.path.islink(path):
        return LeftOut(shown_name(name), "a link")
    if is_folder and not os.access(path, os.R_OK | os.X_OK):
        return LeftOut(shown_name(name), "a folder that may not be entered")
    if os.path.exists(path) and not is_folder and not os.path.isfile(path):
        return LeftOut(shown_name(name), "no regular file")
    below = [one for one in every if one.startswith(f"{name}/")] if is_folder else [name] if name in every else []
    if not os.path.exists(path) or path == project or any(_is_of_a_kind(one) for one in below):
        return None
    if not is_folder and not kind_of(name):
        reason = "not a kind of file that is indexed"
    elif _lies_in_a_repository(project, path):
        reason = "in a repository of its own"
    elif not _is_of_a_kind(f"{name}/README" if is_folder else name):
        reason = "in a folder that is not indexed"
    elif is_folder and (below or not os.listdir(path)):
        reason = "a folder with nothing that is indexed"
    else:
        reason = "the rules for ignored files leave it out"
    return LeftOut(shown_name(name), reason)


def _lies_in_a_repository(project: Path, path: Path) -> bool:
    """Whether a folder below the project's, or this one, is a nested repository or a submodule."""
    folders = (path, *path.parents)
    return any(os.path.exists(folder / ".git") for folder in folders[: folders.index(project)])


def _look_at(path: Path, name: str) -> SourceFile | LeftOut | None:
    try:
        found = path.lstat()
    except OSError:
        return None  # git knows it still, the disk does not
    if stat.S_ISLNK(found.st_mode):
        return LeftOut(name, "a link")
    if not stat.S_ISREG(found.st_mode):
        return None
    if found.st_size > MOST_BYTES:
        return LeftOut(name, f"{found.st_size / 1e6:.1f} MB, more than {MOST_BYTES / 1e6:.0f} MB")
    stamp = f"{found.st_size}:{found.st_mtime_ns}:{found.st_ctime_ns}:{found.st_ino}"
    return SourceFile(name, path, found.st_size, stamp, max(found.st_mtime_ns, found.st_ctime_ns) // 1000)


def _by_git(project: Path) -> list[str] | None:
    """What git shows below `project`; None without git, outside a work tree, and where git ignores the project."""
    git = shutil.which("git")
    if git is None or not any(os.path.exists(folder / ".git") for folder in (project, *project.parents)):
        return None
    environ = {name: value for name, value in os.environ.items() if not name.startswith("GIT_")}
    # a project's own configuration may name a program to watch its files: that one is not started
    command = [git, "-c", "core.fsmonitor=false", "ls-files", "-z", "-co", "--exclude-standard"]
    try:
        done = subprocess.run(
            command,
            cwd=project,
            env=environ | {"GIT_OPTIONAL_LOCKS": "0"},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=_GIT_S,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    names = [os.fsdecode(name) for name in done.stdout.split(b"\0") if name]
    if done.returncode or not names:
        return None
    return [name for name in names if not _passes_a_link(project, name)]


def _passes_a_link(project: Path, name: str) -> bool:
    """Whether a folder on the way is a link by now, so that the file lies elsewhere."""
    folder = project
    for part in name.split("/")[:-1]:
        folder = folder / part
        if os.path.islink(folder):  # which, unlike the path's own, says no in a closed folder
            return True
    return False


def walk_files(project: Path) -> Iterator[str]:
    """The files below `project` that no `.gitignore` on the way excludes; the last rule that fits decides.

    Folders of other people's code, environments and what tools made are passed over.
    """
    waiting: list[tuple[str, list[tuple[str, pathspec.GitIgnoreSpec]]]] = [("", [])]
    while waiting:
        folder, rules = waiting.pop()
        own = _rules_of(project / folder)
        rules = [*rules, (folder, own)] if own is not None else rules
        try:
            entries = list(os.scandir(project / folder))
        except OSError:
            continue
        for entry in entries:
            name = f"{folder}{entry.name}"
            is_folder = entry.is_dir(follow_symlinks=False)
            if _is_ignored(name + "/" if is_folder else name, rules):
                continue
            if not is_folder:
                yield name
            elif not _is_foreign(entry):
                waiting.append((f"{name}/", rules))


def _rules_of(folder: Path) -> pathspec.GitIgnoreSpec | None:
    file = folder / ".gitignore"
    try:
        if not os.path.isfile(file):  # a pipe would be waited for
            return None
        lines = file.read_text(encoding="utf-8-sig", errors="surrogateescape").splitlines()
    except OSError:
        return None
    return pathspec.GitIgnoreSpec.from_lines([line for line in lines if _is_rule(line)])


def _is_rule(line: str) -> bool:
    """Whether a line can be read: git passes over one that cannot, such as a single `!`, and heeds the others."""
    try:
        pathspec.GitIgnoreSpec.from_lines([line])
    except ValueError:
        return False
    return True


def _is_ignored(name: str, rules: Sequence[tuple[str, pathspec.GitIgnoreSpec]]) -> bool:
    for folder, spec in reversed(rules):  # the deepest file that says anything decides
        said = spec.check_file(name[len(folder) :]).include
        if said is not None:
            return said
    return False


def _is_foreign(entry: os.DirEntry[str]) -> bool:
    """Whether a folder holds other people's code, an environment, or what tools made."""
    if entry.name.startswith(".") or entry.name in _FOREIGN or entry.name in _UNTRACKED:
        return True
    return entry.name.endswith(".egg-info") or os.path.exists(os.path.join(entry.path, "pyvenv.cfg"))
