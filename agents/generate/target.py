"""From what the user typed to the modules under test, read from files and never by importing them."""

from __future__ import annotations

import difflib
import os
import re
import tomllib
from collections.abc import Iterator, Sequence
from configparser import ConfigParser, Error
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path

from aqe.agents.gate.subjects import module_not_found
from aqe.agents.generate.outline import Outline, read_outline
from aqe.engine.errors import UserError
from aqe.engine.project import no_such_path

MAX_MODULES = 400
IGNORED = frozenset(
    {
        ".venv",
        "venv",
        ".git",
        ".hg",
        ".tox",
        ".nox",
        ".aqe",
        "build",
        "dist",
        "node_modules",
        "__pycache__",
        "site-packages",
    }
)
EXTENSION = re.compile(r"\.(?:[\w-]+\.)?(?:so|pyd)$")


@dataclass(frozen=True)
class Subject:
    """One module under test: its import name, its file, the folder that must be on the path, the names asked for."""

    module: str
    path: Path
    root: Path
    names: tuple[str, ...] | None
    outline: Outline

    def within(self) -> tuple[tuple[int, int], ...]:
        """First and last lines of the names asked for; empty where the whole module is meant."""
        asked = (self.outline.definitions[name] for name in self.names or ())
        return tuple(span for one in asked for span in sorted({(one.line, one.end_line), *one.also}))


def resolve(text: str, project: Path, sys_path: Sequence[str] = ()) -> tuple[Subject, ...]:
    """The modules that `PATH[::NAME]` or `MODULE[::NAME]` means; `UserError` says what is wrong with it.

    `sys_path` is the path of the project's interpreter. A folder gives each module below it that defines something.
    """
    target, _, name = text.partition("::")
    if not target.strip():
        raise UserError(f"{text!r} names no target.", code="no-such-path", fix="Name a file, a folder or a module.")
    path = _as_path(target, project)
    if path is None:
        path = _find_module(target, project, sys_path)
    roots = search_path(project, sys_path)
    if os.path.isdir(path):
        subjects = _folder(path, project, roots)
        if name:
            return _named_in_folder(name, path, subjects)
        return subjects
    subject = _file(path, project, roots)
    if _is_test_file(subject, project):
        raise _no_tests_of_tests(path)
    if name:
        return (_narrow(subject, name, roots),)
    if subject.outline.is_empty:
        raise UserError(
            f"{path} defines no function and no class.",
            code="nothing-to-test",
            fix="Name a module that has code to call.",
        )
    return (subject,)


def resolve_all(texts: Sequence[str], project: Path, sys_path: Sequence[str] = ()) -> tuple[Subject, ...]:
    """The modules that several targets mean, each once, with all names that were asked of it.

    A module that was also asked for as a whole is meant as a whole. Raises `UserError` as `resolve` does.
    """
    found: dict[Path, Subject] = {}
    for subject in (one for text in texts for one in resolve(text, project, sys_path)):
        known = found.setdefault(subject.path, subject)
        if known.names is not None and subject.names is not None:
            names = tuple(dict.fromkeys((*known.names, *subject.names)))
        else:
            names = None
        found[subject.path] = replace(known, names=names)
    return tuple(found.values())


def search_path(project: Path, sys_path: Sequence[str] = ()) -> tuple[Path, ...]:
    """Folders that a test run of the project imports from, first match first, each once."""
    wanted = [*pytest_pythonpath(project), project / "src", project, *(Path(entry) for entry in sys_path if entry)]
    return tuple(dict.fromkeys(_real(folder) for folder in wanted if os.path.isdir(folder)))


def module_name(path: Path, project: Path, roots: Sequence[Path]) -> tuple[str, Path]:
    """The import name of a file and the folder it is imported from.

    Packages with `__init__.py` end at the first folder without one; above it namespace packages reach up to the
    longest folder of `roots` (but a `src` folder or the project itself ends them).
    """
    real = _real(path)
    top = real.parent
    while os.path.isfile(top / "__init__.py") and top != top.parent:
        top = top.parent
    if top not in roots:
        above = [root for root in roots if root in top.parents and _all_identifiers(top.relative_to(root).parts)]
        inside = [root for root in above if root == _real(project) or _real(project) in root.parents]
        if above:
            top = max(inside or above, key=lambda root: len(root.parts))
    parts = list(real.relative_to(top).with_suffix("").parts)
    if parts[-1] == "__init__" and len(parts) > 1:
        parts.pop()
    return ".".join(parts), top


def near_names(name: str, names: Sequence[str]) -> str:
    """A sentence that suggests what `name` may have meant, or says what there is."""
    near = difflib.get_close_matches(name, names, n=3, cutoff=0.5)
    if near:
        return f"Did you mean {' or '.join(near)}?"
    return (
        f"It has {', '.join(sorted(names)[:6])}{' ...' if len(names) > 6 else ''}." if names else "It defines nothing."
    )


def _as_path(target: str, project: Path) -> Path | None:
    looks_like_path = (
        os.sep in target or "/" in target or target.endswith((".py", ".pyi", ".so")) or target.startswith(".")
    )
    for base in (Path.cwd(), project):
        candidate = base / os.path.expanduser(target)
        if os.path.exists(candidate) and (looks_like_path or "." in target or os.path.isdir(candidate)):
            return candidate
    if looks_like_path or not _is_module_name(target):
        raise no_such_path(target, project)
    return None


def _find_module(name: str, project: Path, sys_path: Sequence[str]) -> Path:
    """The file (or namespace folder) of a dotted module, found as the import system would, but not imported."""
    folders: list[Path] = list(search_path(project, sys_path))
    found: Path | None = None
    for part in name.split("."):
        found = next(filter(None, (_portion(folder, part) for folder in folders)), None)
        if found is None:
            found = _namespace(folders, part)
        if found is None:
            raise module_not_found(name)
        folders = [found.parent] if found.name == "__init__.py" else [found] if os.path.isdir(found) else []
    assert found is not None
    return found


def _portion(folder: Path, part: str) -> Path | None:
    for candidate in (folder / part / "__init__.py", folder / f"{part}.py"):
        if os.path.isfile(candidate):
            return candidate
    try:
        entries = sorted(entry for entry in os.listdir(folder) if entry.startswith(f"{part}."))
    except OSError:
        return None
    return next((folder / entry for entry in entries if EXTENSION.fullmatch(entry[len(part) :])), None)


def _namespace(folders: Sequence[Path], part: str) -> Path | None:
    return next((folder / part for folder in folders if os.path.isdir(folder / part)), None)


def _file(path: Path, project: Path, roots: Sequence[Path]) -> Subject:
    if EXTENSION.search(path.name):
        raise UserError(
            f"{path} is a compiled extension, and tests are searched by reading Python source.",
            code="c-extension",
            fix="Name the Python module that wraps it.",
        )
    if path.suffix != ".py":
        raise UserError(
            f"{path} is not a Python file.", code="not-python", fix="Name a .py file, a folder or a module."
        )
    outline = read_outline(path)
    module, root = module_name(path, project, roots)
    if not _is_module_name(module):
        raise UserError(
            f"{path} cannot be imported: {path.stem!r} is not a Python name.",
            code="not-importable",
            fix="Rename the file.",
        )
    return Subject(module, _real(path), root, None, outline)


def _folder(path: Path, project: Path, roots: Sequence[Path]) -> tuple[Subject, ...]:
    subjects: list[Subject] = []
    files = broken = tests = 0
    first: UserError | None = None
    for file in python_files(path, MAX_MODULES):
        files += 1
        if is_test_or_script(file, path):
            tests += file.stem.startswith("test_") or file.stem == "conftest"
            continue
        try:
            subject = _file(file, project, roots)
        except UserError as error:
            broken, first = broken + 1, first or error
            continue
        if not subject.outline.is_empty:
            subjects.append(subject)
    if not subjects and first is not None:
        raise first
    if not files:
        raise UserError(
            f"The folder {path} holds no Python file.", code="no-python", fix="Name a folder with .py files."
        )
    if not subjects and tests == files:
        raise _no_tests_of_tests(path)
    if not subjects:
        raise UserError(
            f"No module in {path} defines a function or a class.",
            code="nothing-to-test",
            fix="Name a folder that has code to call.",
        )
    return tuple(subjects)


def python_files(folder: Path, limit: int) -> Iterator[Path]:
    """The .py files below `folder` in sorted order, without environments, build output and hidden folders."""
    given = 0
    for base, folders, files in os.walk(folder):
        folders[:] = sorted(
            name
            for name in folders
            if name not in IGNORED and not name.startswith(".") and not name.endswith(".egg-info")
        )
        for file in sorted(files):
            if file.endswith(".py"):
                yield Path(base) / file
                given += 1
                if given >= limit:
                    return


def is_test_or_script(file: Path, top: Path) -> bool:
    """Whether a file of a folder target is itself a test, or starts something when imported."""
    stem = file.stem
    if stem in {"conftest", "setup", "__main__", "noxfile"} or stem.startswith("test_") or stem.endswith("_test"):
        return True
    inner = file.relative_to(top).parts[:-1] if file.is_relative_to(top) else ()
    return bool({"tests", "test"} & set(inner))


def _is_test_file(subject: Subject, project: Path) -> bool:
    """Whether a file that was named is there to be run by pytest: by its name, or by what it holds in a test folder."""
    stem = subject.path.stem
    if stem == "conftest" or stem.startswith("test_"):
        return True
    top = _real(project) if subject.path.is_relative_to(_real(project)) else subject.root
    in_tests = {"tests", "test"} & set(subject.path.relative_to(top).parts[:-1])
    holds_tests = any(re.match(r"test_|Test[A-Z]", name) for name in subject.outline.definitions)
    return holds_tests and (bool(in_tests) or stem.endswith("_test"))


def _no_tests_of_tests(path: Path) -> UserError:
    what = "holds nothing but tests" if os.path.isdir(path) else "is a test file"
    return UserError(
        f"{path} {what}, and tests of tests are not written.",
        code="test-file",
        fix=f"Name the module that it tests, or judge it: aqe verify {path}",
    )


def _named_in_folder(name: str, path: Path, subjects: tuple[Subject, ...]) -> tuple[Subject, ...]:
    holders = [subject for subject in subjects if name in subject.outline.definitions]
    if len(holders) == 1:
        return (Subject(holders[0].module, holders[0].path, holders[0].root, (name,), holders[0].outline),)
    if holders:
        modules = ", ".join(subject.module for subject in holders)
        raise UserError(f"{name} is defined in {modules}.", code="name-not-found", fix="Name one of these modules.")
    every = [known for subject in subjects for known in subject.outline.definitions]
    raise UserError(f"No module in {path} defines {name}.", code="name-not-found", fix=near_names(name, every))


def _narrow(subject: Subject, name: str, roots: Sequence[Path], seen: frozenset[Path] = frozenset()) -> Subject:
    """The subject that defines `name`, followed through what modules hand on; `seen` are those on the way."""
    seen |= {subject.path}
    if name in subject.outline.definitions:
        return Subject(subject.module, subject.path, subject.root, (name,), subject.outline)
    first, _, rest = name.partition(".")
    if first in subject.outline.reexports:
        source, level, original = subject.outline.reexports[first]
        home = _imported_file(subject, source, level, roots)
        if home is not None:
            inner = _file(home, subject.root, roots)
            return _narrow(inner, f"{original}.{rest}" if rest else original, roots, seen)
    for source, level in subject.outline.stars:
        home = _imported_file(subject, source, level, roots)
        if home is not None and home not in seen:
            with suppress(UserError):
                return _narrow(_file(home, subject.root, roots), name, roots, seen)
    known = list(subject.outline.definitions)
    raise UserError(f"{subject.module} defines no {name}.", code="name-not-found", fix=near_names(name, known))


def _imported_file(subject: Subject, source: str, level: int, roots: Sequence[Path]) -> Path | None:
    """The file that `from <source> import` of a subject reads, or None outside what files can tell."""
    if level:
        folder = subject.path.parent
        for _ in range(level - 1):
            folder = folder.parent
        folders = [folder]
    else:
        folders = [subject.root, *roots]
    found: Path | None = None
    for part in source.split("."):
        found = next(filter(None, (_portion(folder, part) for folder in folders)), None)
        if found is None:
            return None
        folders = [found.parent]
    return found if found is not None and found.suffix == ".py" and found != subject.path else None


def pytest_pythonpath(project: Path) -> list[Path]:
    """`pythonpath` of the project's pytest settings, as folders: of the first file of them that pytest takes."""
    for file, section in _PYTEST_SETTINGS:
        entries = _pythonpath(project / file, section)
        if entries is not None:
            return [project / entry for entry in entries]
    return []


_PYTEST_SETTINGS = (
    ("pytest.ini", "pytest"),
    (".pytest.ini", "pytest"),
    ("pyproject.toml", "tool.pytest"),
    ("tox.ini", "pytest"),
    ("setup.cfg", "tool:pytest"),
)


def _pythonpath(file: Path, section: str) -> list[str] | None:
    """What one file says of it; None where pytest goes on to the next file."""
    try:
        text = file.read_text(encoding="utf-8")
        if file.suffix == ".toml":
            table = tomllib.loads(text).get("tool", {}).get("pytest")
            if table is None:
                return None
            value = table.get("ini_options", table).get("pythonpath", [])
            return value.split() if isinstance(value, str) else [str(item) for item in value]
        parser = ConfigParser(interpolation=None, strict=False)
        parser.read_string(text)
        if not parser.has_section(section):
            return [] if file.name.endswith("pytest.ini") else None
        return parser.get(section, "pythonpath", fallback="").split()
    except (Error, OSError, ValueError, AttributeError, TypeError):
        return None


def _is_module_name(text: str) -> bool:
    return all(part.isidentifier() for part in text.split("."))


def _all_identifiers(parts: Sequence[str]) -> bool:
    return all(part.isidentifier() for part in parts)


def _real(path: Path) -> Path:
    return Path(os.path.realpath(path))
