"""TOML files beside pyproject.toml that a team edits by hand and aqe edits too: one writer at a time, words kept.

A change is made from reading to writing under a lock. What would not read back as it was meant is never written, and a
link is written through only where its file lies in the project.
"""

from __future__ import annotations

import contextlib
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from aqe.engine.errors import UserError
from aqe.engine.marker import lock_target, write_bytes_atomic

WAIT_S = 30.0
_PARTED = re.compile(r"^([^\n#\[][^\n]*)\n\[\[", re.MULTILINE)
_STRING_OR_COMMENT = re.compile(r'"(?:[^"\\]|\\.)*"|\'[^\']*\'|#([^\n]*)')


@contextlib.contextmanager
def editing(project: Path, name: str, code: str) -> Iterator[Path]:
    """Hold the file `name` of the project against other writers, and give the file that is to be written.

    Waits up to `WAIT_S` for another writer. Raises `UserError`: target-busy, or `code` where the name is a link out of
    the project.
    """
    place = project / name
    with lock_target(project, name, wait_s=WAIT_S):
        try:
            file = place.resolve()
        except (OSError, RuntimeError):  # links that lead in a circle
            file = place
        if place.is_symlink() and not file.is_relative_to(project.resolve()):
            raise UserError(
                f"{name} is a link to {str(file)!r}, which is not in the project; nothing was written.",
                code=code,
                fix="Edit that file by hand, or put a copy in the link's place.",
            )
        yield file


def parsed(file: Path, head: str) -> Any:
    """The tomlkit document of a file; a new one, whose first line is the comment `head`, where there is none."""
    import tomlkit

    if file.exists():
        return tomlkit.parse(file.read_bytes().decode("utf-8-sig"))
    document = tomlkit.document()
    document.add(tomlkit.comment(head))
    document.add(tomlkit.nl())
    return document


def tables(document: Any, key: str) -> Any:
    """The array of tables `key` of a document, made where it is missing.

    An inline array (`key = [{...}]`) becomes `[[key]]` tables at the document's end, its comments above them.
    """
    import tomlkit

    rows = document.get(key)
    if rows is None or not isinstance(rows, tomlkit.items.AoT):
        found = tomlkit.aot()
        if rows is not None:
            document.remove(key)
            for match in _STRING_OR_COMMENT.finditer(rows.as_string()):
                if match[1] is not None:
                    document.add(tomlkit.comment(match[1].strip()))
            for row in rows:
                found.append(_table(row))
        document.append(key, found)
    return document[key]


def _table(row: Any) -> Any:
    import tomlkit

    made = tomlkit.table()
    for key, value in row.items():
        made[key] = value
    return made


def save(file: Path, document: Any, code: str, means: Callable[[str], bool]) -> None:
    """Write the document whole, if its text `means` what was meant; else `UserError` (`code`), and nothing is written.

    Raises also project-read-only, disk-full.
    """
    import tomlkit

    text = tomlkit.dumps(document).rstrip("\n") + "\n"
    parted = _PARTED.sub(r"\1\n\n[[", text)  # a text of several lines may hold what looks like a table
    good = next((one for one in (parted, text) if _has_meaning(one, means)), None)
    if good is None:
        raise UserError(
            f"{file.name} cannot be changed without harm to what stands there; nothing was written.",
            code=code,
            fix="Write its entries as [[...]] tables, one after the other, or edit it by hand.",
        )
    write_bytes_atomic(file, good.encode("utf-8"))


def _has_meaning(text: str, means: Callable[[str], bool]) -> bool:
    try:
        return means(text) and bool(text.encode("utf-8"))
    except (UserError, ValueError):
        return False
