"""What coverage.py measured, read from its JSON report."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

from aqe.engine.errors import UserError

Arc = tuple[int, int]


@dataclass(frozen=True)
class FileCoverage:
    """One measured file: first lines of statements that ran or did not, and arms of branches that ran or did not."""

    path: str
    ran: frozenset[int]
    missing: frozenset[int]
    arms_ran: frozenset[Arc]
    arms_missing: frozenset[Arc]

    @property
    def lines(self) -> frozenset[int]:
        """All lines that can run."""
        return self.ran | self.missing


@dataclass(frozen=True)
class Measured:
    """All measured files of the project by their path; `has_branches` says whether arms were measured at all."""

    files: Mapping[str, FileCoverage]
    has_branches: bool
    coverage_version: str


def read_measured(text: str | bytes, project: Path, shown: str) -> Measured:
    """The files of the project in a JSON report of coverage.py.

    Relative names are relative to the project. Raises `UserError` (coverage-data) for anything else, named `shown`.
    """
    try:
        whole = json.loads(text)
        meta, entries = whole["meta"], whole["files"]
        has_branches = bool(meta.get("branch_coverage"))
        found: dict[str, FileCoverage] = {}
        for name, entry in entries.items():
            path = inside(name, project)
            if path is not None:
                found[path] = _file(path, entry)
        version = str(meta.get("version", ""))
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        raise unreadable(shown, "it is no JSON report of coverage.py") from None
    if has_branches and any("missing_branches" not in entry for entry in entries.values()):
        raise unreadable(shown, f"the report of coverage.py {version} does not name its branches")
    return Measured(found, has_branches, version)


def unreadable(shown: str, why: str) -> UserError:
    """The error for coverage data that cannot be used."""
    return UserError(
        f"The coverage data in {shown!r} cannot be read: {why}.",
        code="coverage-data",
        fix="Leave --data out to measure here, or give the file of `coverage run` or `coverage json`.",
    )


def inside(name: str, project: Path) -> str | None:
    """A measured file's name relative to the project, posix; None where it lies outside."""
    path = os.path.normpath(os.path.join(project, name.replace("\\", "/") if os.sep == "/" else name))
    for root in dict.fromkeys((str(project), os.path.realpath(project))):
        if path.startswith(root.rstrip(os.sep) + os.sep):
            return PurePosixPath(os.path.relpath(path, root).replace(os.sep, "/")).as_posix()
    return None


def _file(path: str, entry: Mapping[str, Any]) -> FileCoverage:
    return FileCoverage(
        path=path,
        ran=frozenset(map(int, entry["executed_lines"])),
        missing=frozenset(map(int, entry["missing_lines"])),
        arms_ran=_arcs(entry.get("executed_branches", ())),
        arms_missing=_arcs(entry.get("missing_branches", ())),
    )


def _arcs(pairs: Iterable[Iterable[int]]) -> frozenset[Arc]:
    return frozenset((int(first), int(last)) for first, last in pairs)
