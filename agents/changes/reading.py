"""Reads what changed: a commit against the working tree, or one folder against another."""

from __future__ import annotations

import filecmp
import hashlib
import os
import re
import shutil
import stat
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from pathlib import Path

from aqe.agents.changes import git
from aqe.agents.changes.changeset import MOST_BYTES, Changes, FileChange, Kind, as_text
from aqe.agents.changes.lines import all_lines, line_changes
from aqe.engine.errors import UserError
from aqe.engine.index.files import walk_files

ALIKE = 0.5
"""The share of equal lines from which a file that went and one of the same name that came are one that moved; git's."""

OWN = frozenset({"aqe-review.toml", "aqe-quarantine.toml"})
"""Files of aqe's own beside pyproject.toml."""

_UNREAD = b"\0"
"""Stands for a blob that is not read: no text."""
_POINTER = re.compile(rb"version https://git-lfs\.github\.com/spec/v1\n.*oid sha256:([0-9a-f]{64})\nsize (\d+)\n", re.S)
_POINTER_BYTES = 1024

PARENTS = (
    "The git repository is that of a folder above, which does not track this project: all of it counts as new. "
    "`git add` it there, make it a repository of its own, or compare two folders with --base DIR --head DIR."
)
_KINDS: dict[str, Kind] = {"A": "added", "D": "deleted", "R": "renamed", "C": "added"}


def read_changes(
    project: Path, *, since: str | None = None, base: Path | None = None, head: Path | None = None
) -> Changes:
    """What changed in the project.

    With `since` from that git reference (more exactly: from where HEAD's history left it) to the working tree, files
    that git does not know yet included; with nothing from HEAD to the working tree; with `base` and `head` from one
    folder to the other, for which no git is needed. Paths are relative to `project`, or to each of the folders.

    Raises `UserError`: no-git, unknown-ref, shallow-clone, bad-argument, no-such-path.
    """
    if base is None and head is None:
        return _without_own(_by_git(project, since))
    if since is not None or base is None or head is None:
        raise UserError(
            "A change lies between a git reference and the working tree, or between two folders.",
            code="bad-argument",
            fix="Give --since REF alone, or --base DIR and --head DIR together.",
        )
    for folder in (base, head):
        if not folder.is_dir():
            raise UserError(
                f"There is no folder {str(folder)!r}.", code="no-such-path", fix="Name a folder that holds a project."
            )
    return _without_own(_by_folders(base, head))


def _without_own(changes: Changes) -> Changes:
    """Without the files in which aqe keeps a team's decisions: they change nothing of what is tested or reviewed."""
    return replace(changes, files=tuple(one for one in changes.files if one.path not in OWN))


def write_base(project: Path, changes: Changes, folder: Path) -> None:
    """Write the base's whole tree into `folder`, which must be empty: what git tracks, or what the base folder holds.

    Files keep their bytes, links and execute bits; nothing that git is configured to do on checkout is done. A tree can
    be made by hand: names that lead out of `folder` or into a `.git`, at once or through a link of the same tree, are
    left out, as git leaves them out.
    """
    if changes.base_folder:
        base = Path(changes.base_folder)
        for name in walk_files(base):
            _copy(base / name, folder / name)
        return
    if not changes.base_commit:
        return
    files = [one for one in git.tracked(project, changes.base_commit) if _is_inside(one.name)]
    for one, data in zip(files, git.blobs(project, [file.blob for file in files]), strict=True):
        place = _place(folder.resolve(), one.name)
        if place is not None:
            _write(place, one.mode, data)


def _is_inside(name: str) -> bool:
    """Whether each part of a name is one of a file or folder, and none is git's own.

    >>> [_is_inside(name) for name in ("a/b.py", "../b.py", "/b.py", "a/.git/config", "a//b")]
    [True, False, False, False, False]
    """
    parts = name.replace("\\", "/").split("/") if os.name == "nt" else name.split("/")
    return not any(part in ("", ".", "..") or part.lower().rstrip(" .") in (".git", "git~1") for part in parts)


def _place(folder: Path, name: str) -> Path | None:
    """Where a file of the tree goes, its folder made; None where something that was written stands in the way."""
    place = folder / name
    if place.parent.resolve() != place.parent or not place.is_relative_to(folder) or os.path.lexists(place):
        return None
    try:
        place.parent.mkdir(parents=True, exist_ok=True)
    except (FileExistsError, NotADirectoryError):
        return None
    return place


def _write(place: Path, mode: str, data: bytes) -> None:
    if mode == git.LINK:
        try:
            os.symlink(os.fsdecode(data), place)
        except (OSError, ValueError):  # empty, too long, or with a NUL: git could not make it either
            return
        return
    place.write_bytes(data)
    if mode == "100755":
        place.chmod(0o755)


def _copy(source: Path, place: Path) -> None:
    """Copy a file or a link; what may not be read is as good as not there."""
    if not os.path.islink(source) and not (stat.S_ISREG(source.lstat().st_mode) and os.access(source, os.R_OK)):
        return
    place.parent.mkdir(parents=True, exist_ok=True)
    shutil.copy2(source, place, follow_symlinks=False)


def _by_git(project: Path, since: str | None) -> Changes:
    commit = git.base_commit(project, since)
    shown = since or "HEAD"
    if not commit:
        files = [_file(project, None, name, "added", None) for name in git.untracked(project) + _staged(project)]
        return Changes("nothing committed", "the working tree", _sorted(files))
    files = _changed(project, commit)
    files += [_file(project, None, name, "added", None) for name in git.untracked(project)]
    return Changes(
        base=f"{shown} ({commit[:10]})",
        head="the working tree",
        files=_sorted(files),
        message=git.messages(project, commit),
        base_commit=commit,
        notes=(PARENTS,) if git.is_unknown_folder(project, commit) else (),
    )


def _changed(project: Path, commit: str) -> list[FileChange]:
    """The changes of what git tracks."""
    entries = [one for one in git.changed_entries(project, commit) if git.SUBMODULE not in (one.old_mode, one.new_mode)]
    texts = _old_contents(project, [one for one in entries if one.letter not in "AC"])
    filtered = git.filtered(project, [one.name for one in texts])
    unread = [one for one in entries if one.name in filtered or _is_large(project, one, texts.get(one))]
    lines = git.line_changes(project, commit, but=sorted({name for one in unread for name in (one.old_name, one.name)}))
    files = []
    for one in entries:
        old_data = texts.get(one)
        if one.name in filtered and old_data is not None:
            if one.old_mode == one.new_mode and one.old_name == one.name and _is_content(project / one.name, old_data):
                continue
            old_data = _UNREAD
        old_name = None if old_data is None else one.old_name
        kind = _KINDS.get(one.letter, "modified")
        is_link = git.LINK in (one.old_mode, one.new_mode)
        known = lines.get(one.name, (frozenset(), frozenset()))
        files.append(_file(project, old_name, one.name, kind, old_data, is_link=is_link, lines=known))
    return files


def _old_contents(project: Path, entries: Sequence[git.Entry]) -> dict[git.Entry, bytes]:
    """What each file held in the base; of what is too large only that it was there."""
    many = git.sizes(project, [one.old_blob for one in entries])
    small = [one for one, size in zip(entries, many, strict=True) if size <= MOST_BYTES]
    read = dict(zip(small, git.blobs(project, [one.old_blob for one in small]), strict=True))
    return {one: read.get(one, _UNREAD) for one in entries}


def _is_large(project: Path, entry: git.Entry, old_data: bytes | None) -> bool:
    """Whether either side is too large to be read: git would at least digest it."""
    return old_data is _UNREAD or (entry.letter != "D" and _size(project / entry.name) > MOST_BYTES)


def _is_content(path: Path, pointer: bytes) -> bool:
    """Whether a blob is Git LFS's pointer to what the file holds: then it only looks changed.

    The pointer's form: Git LFS specification, version 1.
    """
    match = _POINTER.fullmatch(pointer) if len(pointer) <= _POINTER_BYTES else None
    try:
        if match is None or os.path.islink(path) or path.stat().st_size != int(match[2]):
            return False
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest() == match[1].decode()
    except OSError:
        return False


def _staged(project: Path) -> list[str]:
    """Files that were added to a repository in which nothing is committed yet."""
    said = git.ask_git(project, "ls-files", "-z") or b""
    return [os.fsdecode(name) for name in said.split(b"\0") if name and os.path.exists(project / os.fsdecode(name))]


def _by_folders(base: Path, head: Path) -> Changes:
    old_names, new_names = set(walk_files(base)), set(walk_files(head))
    changed = {name for name in old_names & new_names if not _is_same(base / name, head / name)}
    gone, come = old_names - new_names, new_names - old_names
    moved = _moved(base, head, gone, come)
    pairs: list[tuple[str | None, str, Kind]] = [(name, name, "modified") for name in changed]
    pairs += [(old, new, "renamed") for new, old in moved.items()]
    pairs += [(None, name, "added") for name in come - moved.keys()]
    pairs += [(name, name, "deleted") for name in gone - set(moved.values())]
    files = []
    for old, new, kind in pairs:
        old_data = None if old is None else _bytes(base / old)
        is_link = old is not None and os.path.islink(base / old)
        files.append(_file(head, old, new, kind, old_data, is_link=is_link))
    return Changes(str(base), str(head), _sorted(files), base_folder=str(base))


def _is_same(one: Path, other: Path) -> bool:
    """Whether two files hold the same, or two links say the same; what cannot be read is as good as not there."""
    try:
        if os.path.islink(one) or os.path.islink(other) or not (os.path.isfile(one) and os.path.isfile(other)):
            return _bytes(one) == _bytes(other)
        return filecmp.cmp(one, other, shallow=False)
    except OSError:
        return _bytes(one) == _bytes(other)


def _moved(base: Path, head: Path, gone: set[str], come: set[str]) -> dict[str, str]:
    """New name to old name of the files that only moved: the same bytes, or the same bare name and alike."""
    found: dict[str, str] = {}
    by_size: dict[int, list[str]] = {}
    by_bare: dict[str, list[str]] = {}
    for name in sorted(gone):
        by_size.setdefault(_size(base / name), []).append(name)
        by_bare.setdefault(name.rpartition("/")[2], []).append(name)
    taken: set[str] = set()

    def take(name: str, near: Iterable[str], fits: Callable[[Path, Path], bool]) -> None:
        old = next((old for old in near if old not in taken and fits(base / old, head / name)), None)
        if old is not None:
            found[name] = old
            taken.add(old)

    for name in sorted(come):
        size = _size(head / name)
        take(name, by_size.get(size, ()) if size else (), _is_same)
    for name in sorted(come - found.keys()):
        take(name, by_bare.get(name.rpartition("/")[2], ()), _is_alike)
    return found


def _size(path: Path) -> int:
    try:
        return path.lstat().st_size
    except OSError:
        return 0


def _is_alike(old: Path, new: Path) -> bool:
    """Whether at least half of the lines are in both, wherever they stand: the share that git goes by, of lines."""
    old_data, data = _bytes(old) or b"", _bytes(new) or b""
    if not data or max(len(old_data), len(data)) > MOST_BYTES:
        return False
    ours, theirs = Counter(old_data.splitlines()), Counter(data.splitlines())
    return 2 * (ours & theirs).total() >= ALIKE * (ours.total() + theirs.total())


def _file(
    head: Path,
    old_name: str | None,
    name: str,
    kind: Kind,
    old_data: bytes | None,
    *,
    is_link: bool = False,
    lines: tuple[frozenset[int], frozenset[int]] | None = None,
) -> FileChange:
    """One change with its texts. Its lines are those given, which are git's; else they are found here."""
    new_data = None if kind == "deleted" else _bytes(head / name)
    old_text, new_text = as_text(old_name or name, old_data), as_text(name, new_data)
    sides = [(old_data, old_text), (new_data, new_text)]
    is_link = is_link or os.path.islink(head / name)
    if is_link or any(data is not None and text is None for data, text in sides):
        return FileChange(name, old_name, kind, True, None, None)
    if lines is None and (old_text is None or new_text is None):
        lines = all_lines(new_text), all_lines(old_text)
    added, removed = line_changes(old_text or "", new_text or "") if lines is None else lines
    return FileChange(name, old_name, kind, False, old_text, new_text, added, removed)


def _bytes(path: Path) -> bytes | None:
    """What a file holds, or where a link leads; of what is too large only so much that this shows."""
    try:
        if os.path.islink(path):
            return os.fsencode(os.readlink(path))
        if not os.path.isfile(path):
            return None
        with path.open("rb") as file:
            return file.read(MOST_BYTES + 1)
    except OSError:
        return None


def _sorted(files: list[FileChange]) -> tuple[FileChange, ...]:
    return tuple(sorted(files, key=lambda one: one.path))
