"""What git says about a folder, read from its files: no git program is started."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Checkout:
    """The checkout that a folder lies in.

    `root` is the folder with `.git`; `worktree` is git's name of a linked worktree ("" for the main one);
    `main_root` is the main worktree's folder (None when the repository is bare or gone, or knows no such worktree).
    """

    root: Path
    git_dir: Path
    worktree: str
    main_root: Path | None


def find_checkout(folder: Path) -> Checkout | None:
    """The checkout that holds `folder`, or None where there is no git."""
    for root in (folder, *folder.parents):
        entry = root / ".git"
        if entry.is_dir():
            return Checkout(root, entry, "", root)
        if entry.is_file():
            return _linked(root, entry)
    return None


def linked_worktrees(checkout: Checkout) -> list[str] | None:
    """Git's names of the linked worktrees that the checkout's repository knows; None where that cannot be told."""
    if checkout.main_root is None:
        return None
    try:
        return sorted(entry.name for entry in (checkout.main_root / ".git" / "worktrees").iterdir())
    except FileNotFoundError:
        return []
    except OSError:
        return None


def _linked(root: Path, entry: Path) -> Checkout | None:
    git_dir = _pointer(entry, "gitdir:", root)
    if git_dir is None:
        return None
    common = _pointer(git_dir / "commondir", "", git_dir)
    if common is None:  # a submodule, or a repository with its .git elsewhere
        return Checkout(root, git_dir, "", root)
    is_known = common.name == ".git" and git_dir.parent == common / "worktrees" and _points_back(git_dir, entry)
    return Checkout(root, git_dir, git_dir.name, common.parent if is_known else None)


def _points_back(git_dir: Path, entry: Path) -> bool:
    """Whether the repository knows of the worktree: a folder that only says it belongs to another one does not."""
    return _pointer(git_dir / "gitdir", "", git_dir) == entry.resolve()


def _pointer(file: Path, prefix: str, base: Path) -> Path | None:
    try:
        text = file.read_text(encoding="utf-8", errors="surrogateescape").strip()
    except OSError:
        return None
    if not text.startswith(prefix):
        return None
    return Path((base / text.removeprefix(prefix).strip()).resolve())


def head_commit(checkout: Checkout) -> str:
    """The commit of HEAD, or "" before the first one."""
    head = _line(checkout.git_dir / "HEAD")
    if not head.startswith("ref:"):
        return head
    ref = head.removeprefix("ref:").strip()
    common = _pointer(checkout.git_dir / "commondir", "", checkout.git_dir) or checkout.git_dir
    return _line(checkout.git_dir / ref) or _line(common / ref) or _packed(common / "packed-refs", ref)


def _packed(file: Path, ref: str) -> str:
    try:
        text = file.read_text(encoding="utf-8", errors="surrogateescape")
    except OSError:
        return ""
    for line in text.splitlines():
        commit, _, name = line.partition(" ")
        if name == ref:
            return commit
    return ""


def _line(file: Path) -> str:
    try:
        return file.read_text(encoding="utf-8", errors="surrogateescape").strip()
    except OSError:
        return ""
