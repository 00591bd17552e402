"""What differs, for the rules: between the two sides of a change, and between the map and the present files."""

from __future__ import annotations

import hashlib
import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from aqe.agents.changes import FileChange
from aqe.agents.inject._aqe_inject import anatomy
from aqe.agents.inject._aqe_inject.doings import DATA, LISTING, content_digest
from aqe.agents.select.choose import FileDelta
from aqe.agents.select.impact_map import FileParts, ImpactMap, describe
from aqe.agents.select.taking import MODULE

SINCE_RECORDED = "which changed since the map was recorded"
_OF_TOOLS = frozenset(
    (
        *("aqe", "autopep8", "basedpyright", "bandit", "black", "bumpversion", "codespell", "commitizen", "coverage"),
        *("deptry", "flake8", "isort", "mypy", "pydocstyle", "pylint", "pyright", "ruff", "semantic_release"),
        *("towncrier", "ty", "vulture", "yapf"),
    )
)
"""Tables of pyproject.toml from which no test's outcome depends."""
_ABOUT = frozenset(
    ("authors", "classifiers", "description", "keywords", "license", "license-files", "maintainers", "readme", "urls")
)


def of_change(change: FileChange) -> FileDelta:
    """The delta of one changed file (no rename: that is one file that went and one that came)."""
    old, new = _parts(change.old_text), _parts(change.new_text)
    if change.binary:
        old, new = FileParts("", is_known=False), FileParts("", is_known=False)
    return FileDelta(
        path=change.path,
        old=None if change.kind == "added" else old or FileParts("", is_known=False),
        new=None if change.kind == "deleted" else new or FileParts("", is_known=False),
        words=_words(change),
        lines=_lines(change, old, new),
        old_text=change.old_text or "",
    )


def halves(change: FileChange) -> tuple[FileChange, ...]:
    """A rename as a file that went and one that came; anything else as it is."""
    if change.kind != "renamed" or change.old_path is None:
        return (change,)
    gone = replace(change, path=change.old_path, kind="deleted", new_text=None, added=frozenset())
    return gone, replace(change, old_path=None, kind="added", old_text=None, removed=frozenset())


def is_only_for_tools(change: FileChange) -> bool:
    """Whether a change of pyproject.toml touches nothing that a test may feel."""
    if change.path != "pyproject.toml" or change.old_text is None or change.new_text is None:
        return False
    try:
        return _felt(tomllib.loads(change.old_text)) == _felt(tomllib.loads(change.new_text))
    except tomllib.TOMLDecodeError:
        return False


@dataclass(frozen=True)
class Present:
    """The project's files as they are now, compared with the map."""

    project: Path
    found: ImpactMap

    def deltas(self) -> Iterator[FileDelta]:
        """The recorded Python files that are no longer what they were."""
        for path, before in sorted(self.found.files.items()):
            data = self._bytes(path)
            if data is None:
                yield FileDelta(path, before, None, "was deleted")
            elif hashlib.sha256(data).hexdigest() != before.content:
                yield FileDelta(path, before, described(data), SINCE_RECORDED)

    def stale_parts(self) -> Iterator[tuple[int, str]]:
        """Numbers of parts that are not what the tests met that depended on them, each with the end of a reason.

        A test that was not run in the last recorded runs may have met an older version than the map's last one.
        """
        current: dict[str, FileParts] = {}
        for path, before in self.found.files.items():
            data = self._bytes(path)
            same = data is not None and hashlib.sha256(data).hexdigest() == before.content
            current[path] = before if same or data is None else described(data)
        for number, (file, name, digest) in self.found.parts.items():
            if name in (DATA, LISTING):
                if content_digest(str(self.project / file), name) != digest:
                    yield number, f"{'reads' if name == DATA else 'lists'} {file}, {SINCE_RECORDED}"
            elif file in current and digest:
                now = current[file]
                if (now.module if name == MODULE else now.functions.get(name)) != digest:
                    yield number, f"depends on {file if name == MODULE else name}, {SINCE_RECORDED}"

    def _bytes(self, path: str) -> bytes | None:
        try:
            return (self.project / path).read_bytes()
        except OSError:
            return None


def described(data: bytes | str) -> FileParts:
    """What a source text consists of; `is_known` False where it is no Python."""
    try:
        return describe(data)
    except (SyntaxError, ValueError, RecursionError):
        return FileParts("", is_known=False)


def _parts(text: str | None) -> FileParts | None:
    return None if text is None else described(text.removeprefix("\ufeff"))


def _words(change: FileChange) -> str:
    if change.kind == "added":
        return "which is new"
    if change.kind == "deleted":
        return "which was deleted"
    if change.added or change.removed:
        return f"changed at line {min(change.added or change.removed)}"
    return "which changed"


def _lines(change: FileChange, old: FileParts | None, new: FileParts | None) -> dict[str, int]:
    """By changed function the first changed line of the head in it (of the base, where it only lost lines)."""
    found: dict[str, int] = {}
    inside: set[int] = set()
    for text, lines in ((change.new_text, change.added), (change.old_text, change.removed)):
        if text is None or not lines:
            continue
        try:
            functions: Mapping[str, Any] = anatomy.dissect(text.removeprefix("\ufeff")).functions
        except (SyntaxError, ValueError, RecursionError):
            continue
        for name, (_, first, last) in functions.items():
            within = [line for line in lines if first <= line <= last]
            inside.update(within if text is change.new_text else ())
            if within:
                found.setdefault(name, min(within))
    outside = change.added - inside
    if outside:
        found[MODULE] = min(outside)
    return found


def _felt(found: dict[str, Any]) -> dict[str, Any]:
    tools = {name: value for name, value in found.get("tool", {}).items() if name not in _OF_TOOLS}
    about = {name: value for name, value in found.get("project", {}).items() if name not in _ABOUT}
    return {**found, "tool": tools, "project": about}
