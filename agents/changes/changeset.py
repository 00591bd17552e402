"""A change as plain data: which files, with both texts, and which lines of each side."""

from __future__ import annotations

import io
import tokenize
from dataclasses import dataclass
from typing import Literal

Kind = Literal["added", "deleted", "modified", "renamed"]
MOST_BYTES = 5_000_000
"""A larger file is data: it is told as binary, and not read."""
_HEAD_BYTES = 8000
"""How far git looks for a NUL byte before it takes a file for text."""


@dataclass(frozen=True)
class FileChange:
    """One file that differs.

    `path` is relative to the project and posix: the head's name, or the base's for a deleted file; `old_path` is the
    base's name (None for an added one). A text is None where its side has no file or no text. `added` are 1-based
    lines of the head, `removed` of the base; both are empty for a binary file. What is larger than 5 MB counts as
    binary, and so does a changed file that git is configured to read through a filter (Git LFS, git-crypt).
    """

    path: str
    old_path: str | None
    kind: Kind
    binary: bool
    old_text: str | None
    new_text: str | None
    added: frozenset[int] = frozenset()
    removed: frozenset[int] = frozenset()

    @property
    def is_python(self) -> bool:
        """Whether either name is that of a Python source file."""
        return any(name.endswith((".py", ".pyi")) for name in (self.path, self.old_path or ""))


@dataclass(frozen=True)
class Changes:
    """All that differs between `base` and `head`, each described in a few words; files are sorted by path.

    `message` joins the messages of the commits between them, newest first; empty where there are none.
    `base_commit` is git's name of the base's commit, `base_folder` its folder; each is empty where it is the other.
    `notes` say what a reader of the change should know of it.
    """

    base: str
    head: str
    files: tuple[FileChange, ...]
    message: str = ""
    base_commit: str = ""
    base_folder: str = ""
    notes: tuple[str, ...] = ()

    @property
    def added_lines(self) -> int:
        """How many lines of the head are new or changed."""
        return sum(len(one.added) for one in self.files)


def as_text(name: str, data: bytes | None) -> str | None:
    """A file's text, decoded as its kind demands; None for no file, for what is no text, and for what is too large.

    >>> as_text("a.py", b"# coding: latin-1\\nx = '\\xe9'\\n")
    "# coding: latin-1\\nx = 'é'\\n"
    >>> as_text("a.bin", b"\\x00\\x01") is None
    True
    """
    if data is None or len(data) > MOST_BYTES or b"\0" in data[:_HEAD_BYTES]:
        return None
    encoding = "utf-8-sig"
    if name.endswith((".py", ".pyi")):
        try:
            encoding = tokenize.detect_encoding(io.BytesIO(data).readline)[0]
        except SyntaxError:
            return None
    try:
        return data.decode(encoding)
    except (UnicodeDecodeError, LookupError):
        return None
