"""Reads what changed: a commit against the working tree, or one folder against another."""

from __future__ import annotations

import difflib
import os
import shutil
import stat
from pathlib import Path

from aqe.agents.changes import git
from aqe.agents.changes.changeset import Changes, FileChange, Kind, as_text
from aqe.engine.errors import UserError
from aqe.engine.index.files import walk_files

ALIKE = 0.5
"""The share of equal lines from which a file that went and one of the same name that came are one that moved; git's."""

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
        return _by_git(project, since)
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
    return _by_folders(base, head)


def write_base(project: Path, changes: Changes, folder: Path) -> None:
    """Write the base's whole tree into `folder`, which must be empty: what git tracks, or what the base folder holds.

    Files keep their bytes, links and execute bits; nothing that git is configured to do on checkout is done.
    """
    if changes.base_folder:
        base = Path(changes.base_folder)
        for name in walk_files(base):
            _copy(base / name, folder / name)
        return
    if not changes.base_commit:
        return
    files = git.tracked(project, changes.base_commit)
    for one, data in zip(files, git.blobs(project, [file.blob for file in files]), strict=True):
        place = folder / one.name
        place.parent.mkdir(parents=True, exist_ok=True)
        if one.mode == git.LINK:
            os.symlink(os.fsdecode(data), place)
            continue
        place.write_bytes(data)
        if one.mode == "100755":
            place.chmod(0o755)


def _copy(source: Path, place: Path) -> None:
    if not source.is_symlink() and not stat.S_ISREG(source.lstat().st_mode):
        return
    place.parent.mkdir(parents=True, exist_ok=True)
    shutil.copy2(source, place, follow_symlinks=False)


def _by_git(project: Path, since: str | None) -> Changes:
    commit = git.base_commit(project, since)
    shown = since or "HEAD"
    if not commit:
        files = [_file(project, None, name, "added", None) for name in git.untracked(project) + _staged(project)]
        return Changes("nothing committed", "the working tree", _sorted(files))
    entries = [one for one in git.changed_entries(project, commit) if git.SUBMODULE not in (one.old_mode, one.new_mode)]
    lines = git.line_changes(project, commit)
    olds = [one for one in entries if one.letter not in "AC"]
    texts = dict(zip(olds, git.blobs(project, [one.old_blob for one in olds]), strict=True))
    files = []
    for one in entries:
        old_name = one.old_name if one in texts else None
        kind = _KINDS.get(one.letter, "modified")
        is_link = git.LINK in (one.old_mode, one.new_mode)
        found = _file(project, old_name, one.name, kind, texts.get(one), is_link=is_link)
        files.append(_with_lines(found, lines.get(one.name)))
    files += [_file(project, None, name, "added", None) for name in git.untracked(project)]
    return Changes(
        base=f"{shown} ({commit[:10]})",
        head="the working tree",
        files=_sorted(files),
        message=git.messages(project, commit),
        base_commit=commit,
    )


def _staged(project: Path) -> list[str]:
    """Files that were added to a repository in which nothing is committed yet."""
    said = git.ask_git(project, "ls-files", "-z") or b""
    return [os.fsdecode(name) for name in said.split(b"\0") if name and (project / os.fsdecode(name)).exists()]


def _by_folders(base: Path, head: Path) -> Changes:
    old_names, new_names = set(walk_files(base)), set(walk_files(head))
    changed = {name for name in old_names & new_names if _bytes(base / name) != _bytes(head / name)}
    gone, come = old_names - new_names, new_names - old_names
    moved = _moved(base, head, gone, come)
    pairs: list[tuple[str | None, str, Kind]] = [(name, name, "modified") for name in changed]
    pairs += [(old, new, "renamed") for new, old in moved.items()]
    pairs += [(None, name, "added") for name in come - moved.keys()]
    pairs += [(name, name, "deleted") for name in gone - set(moved.values())]
    files = []
    for old, new, kind in pairs:
        old_data = None if old is None else _bytes(base / old)
        is_link = old is not None and (base / old).is_symlink()
        files.append(_file(head, old, new, kind, old_data, is_link=is_link))
    return Changes(str(base), str(head), _sorted(files), base_folder=str(base))


def _moved(base: Path, head: Path, gone: set[str], come: set[str]) -> dict[str, str]:
    """New name to old name of the files that only moved: the same bytes, or the same bare name and alike."""
    found: dict[str, str] = {}
    left = {name: _bytes(base / name) or b"" for name in sorted(gone)}
    for is_same in (True, False):
        for name in sorted(come - found.keys()):
            data = _bytes(head / name) or b""
            for old, old_data in left.items():
                fits = data == old_data if is_same else _is_alike(old, old_data, name, data)
                if fits and data:
                    found[name] = old
                    break
            if name in found:
                del left[found[name]]
    return found


def _is_alike(old: str, old_data: bytes, new: str, data: bytes) -> bool:
    if old.rpartition("/")[2] != new.rpartition("/")[2]:
        return False
    return difflib.SequenceMatcher(None, old_data.splitlines(), data.splitlines(), autojunk=False).ratio() >= ALIKE


def _file(
    head: Path, old_name: str | None, name: str, kind: Kind, old_data: bytes | None, *, is_link: bool = False
) -> FileChange:
    """One change with its texts; its lines are those of difflib until git's are known."""
    new_data = None if kind == "deleted" else _bytes(head / name)
    old_text, new_text = as_text(old_name or name, old_data), as_text(name, new_data)
    sides = [(old_data, old_text), (new_data, new_text)]
    is_link = is_link or (head / name).is_symlink()
    if is_link or any(data is not None and text is None for data, text in sides):
        return FileChange(name, old_name, kind, True, None, None)
    added, removed = _line_changes(old_text or "", new_text or "")
    return FileChange(name, old_name, kind, False, old_text, new_text, added, removed)


def _with_lines(found: FileChange, lines: tuple[frozenset[int], frozenset[int]] | None) -> FileChange:
    if found.binary:
        return found
    added, removed = lines or (frozenset(), frozenset())
    kind, old, new = found.kind, found.old_text, found.new_text
    return FileChange(found.path, found.old_path, kind, False, old, new, added, removed)


def _line_changes(old: str, new: str) -> tuple[frozenset[int], frozenset[int]]:
    added: set[int] = set()
    removed: set[int] = set()
    matcher = difflib.SequenceMatcher(None, _lines(old), _lines(new), autojunk=False)
    for tag, old_first, old_end, new_first, new_end in matcher.get_opcodes():
        if tag != "equal":
            removed.update(range(old_first + 1, old_end + 1))
            added.update(range(new_first + 1, new_end + 1))
    return frozenset(added), frozenset(removed)


def _lines(text: str) -> list[str]:
    """The lines as git counts them; an empty text has none."""
    found = text.split("\n")
    return found[:-1] if found[-1] == "" else found


def _bytes(path: Path) -> bytes | None:
    try:
        if path.is_symlink():
            return os.fsencode(os.readlink(path))
        return path.read_bytes() if path.is_file() else None
    except OSError:
        return None


def _sorted(files: list[FileChange]) -> tuple[FileChange, ...]:
    return tuple(sorted(files, key=lambda one: one.path))
