"""What the project already says about a subject: tests and call sites that import it, and how they write it."""

from __future__ import annotations

import ast
import tomllib
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from aqe.agents.generate.layout import WIDTH
from aqe.agents.generate.outline import read_outline, read_source
from aqe.agents.generate.render import Style
from aqe.agents.generate.target import Subject, python_files
from aqe.engine.errors import UserError
from aqe.engine.marker import is_ours

MAX_FILES_SEEN = 3000
MAX_FILES = 24
MAX_BYTES = 400_000
MAX_FILE_BYTES = 200_000


@dataclass(frozen=True)
class Examples:
    """Files that import the subject (path, text), tests first, and the style they are written in."""

    sources: tuple[tuple[str, str], ...]
    style: Style


def find_examples(subject: Subject, project: Path) -> Examples:
    """Existing tests and call sites of the subject, bounded in files and bytes; files that aqe wrote do not count."""
    exports, package = _package_exports(subject)
    votes: Counter[str] = Counter()
    found: list[tuple[bool, str, str]] = []
    last = subject.module.rpartition(".")[2]
    for path in python_files(project, MAX_FILES_SEEN):
        if path.resolve() == subject.path or is_ours(path):
            continue
        text = _text(path, (last, package))
        if not text:
            continue
        forms = _imports_of(subject, package, exports, path, text)
        if not forms:
            continue
        is_test = path.stem.startswith("test_") or path.stem.endswith("_test") or "tests" in path.parts
        for form in forms:
            votes[form] += 5 if is_test else 1
        found.append((not is_test, path.relative_to(project).as_posix(), text))
    return Examples(_bounded(sorted(found)), style_of(subject, project, votes, exports, package))


def style_of(subject: Subject, project: Path, votes: Mapping[str, int], exports: frozenset[str], package: str) -> Style:
    """The style most of the project's own imports of the subject use; `from module import name` without any."""
    form = max(sorted(votes), key=lambda name: votes[name], default="module")
    first_party = first_party_names(project)
    width = line_length(project)
    if form == "prefix":
        return Style(subject.module, prefix=subject.module, width=width, first_party=first_party)
    if form == "package" and exports:
        return Style(subject.module, package, exports, width=width, first_party=first_party)
    return Style(subject.module, width=width, first_party=first_party)


def line_length(project: Path) -> int:
    """The line length of ruff's or black's settings, else 88."""
    tables = [_toml(project / "ruff.toml"), _toml(project / ".ruff.toml")]
    tool = _toml(project / "pyproject.toml").get("tool")
    tool = tool if isinstance(tool, dict) else {}
    tables += [tool.get("ruff", {}), tool.get("black", {})]
    for table in tables:
        value = table.get("line-length") if isinstance(table, dict) else None
        if isinstance(value, int) and 40 <= value <= 400:
            return value
    return WIDTH


def first_party_names(project: Path) -> frozenset[str]:
    """Top-level names that lie in the project itself, for the grouping of imports."""
    names: set[str] = set()
    for folder in (project, project / "src"):
        try:
            entries = list(folder.iterdir())
        except OSError:
            continue
        names |= {entry.stem for entry in entries if entry.suffix == ".py"}
        names |= {entry.name for entry in entries if entry.is_dir() and entry.name.isidentifier()}
    return frozenset(names)


def _package_exports(subject: Subject) -> tuple[frozenset[str], str]:
    """Names of the subject that its package hands on, and the package."""
    package = subject.module.rpartition(".")[0]
    init = subject.path.parent / "__init__.py"
    if not package or subject.path.name == "__init__.py" or not init.is_file():
        return frozenset(), package
    try:
        outline = read_outline(init)
    except UserError:
        return frozenset(), package
    last = subject.module.rpartition(".")[2]
    sources = {(last, 1), (subject.module, 0)}
    given = {
        name
        for name, (source, level, original) in outline.reexports.items()
        if (source, level) in sources and name == original
    }
    if "*" in given:
        given |= {name for name in subject.outline.names if not name.startswith("_")}
    return frozenset(given - {"*"}), package


def _imports_of(subject: Subject, package: str, exports: frozenset[str], path: Path, text: str) -> set[str]:
    """How a file imports the subject: `module`, `package`, `prefix` or `relative`; empty when it does not."""
    try:
        tree = ast.parse(text)
    except (SyntaxError, ValueError, RecursionError):
        return set()
    last = subject.module.rpartition(".")[2]
    forms: set[str] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            forms |= {"prefix" for alias in node.names if alias.name == subject.module and not alias.asname}
            forms |= {"alias" for alias in node.names if alias.name == subject.module and alias.asname}
        elif isinstance(node, ast.ImportFrom):
            names = {alias.name for alias in node.names}
            if node.level == 0 and node.module == subject.module:
                forms.add("module")
            elif node.level == 0 and node.module == package and package:
                forms |= {"package"} if names & exports else {"alias"} if last in names else set()
            elif node.level and path.is_relative_to(subject.root) and (node.module or "").rpartition(".")[2] == last:
                forms.add("relative")
    forms = {"module" if form in {"alias", "relative"} else form for form in forms}
    return forms


def _text(path: Path, words: Iterable[str]) -> str:
    try:
        if path.stat().st_size > MAX_FILE_BYTES:
            return ""
        text = read_source(path)
    except (OSError, UserError):
        return ""
    return text if any(word and word in text for word in words) else ""


def _bounded(found: list[tuple[bool, str, str]]) -> tuple[tuple[str, str], ...]:
    kept: list[tuple[str, str]] = []
    size = 0
    for _, path, text in found[:MAX_FILES]:
        size += len(text)
        if size > MAX_BYTES:
            break
        kept.append((path, text))
    return tuple(kept)


def _toml(path: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
