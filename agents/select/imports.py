"""Which file of the project imports which: read from the source, without running it.

Every import statement counts, also one inside a function or under a condition; `from a import b` may name a module b.
A name is sought from each folder that may be on the import path, and every file that fits is taken: an edge too many
selects a test too many, an edge too few misses one.
"""

from __future__ import annotations

import ast
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path, PurePosixPath

from aqe.agents.changes.changeset import MOST_BYTES
from aqe.engine.index.files import walk_files
from aqe.engine.progress import CancelToken

CONFTEST = "conftest.py"
_ROOTS = ("", "src", "lib")


class ImportGraph:
    """The files of a project and what each imports.

    `places` are further folders that imports are sought in, with the dotted name of each; `others` gives more texts of
    a file (another version), whose imports count as well; `cancel` ends the reading with `Cancelled`. `files` are all
    Python files of the project.
    """

    def __init__(
        self,
        project: Path,
        places: Iterable[tuple[str, str]] = (),
        others: Mapping[str, Iterable[str]] | None = None,
        cancel: CancelToken | None = None,
    ):
        others = others or {}
        names = {name for name in walk_files(project) if name.endswith(".py")} | set(others)
        self.files = frozenset(names)
        self._by_module: dict[str, set[str]] = {}
        self._modules: dict[str, set[str]] = {}
        roots = {*places, *((root, "") for root in (*_ROOTS, *_test_folders(names)))}
        for name in names:
            for root, prefix in roots:
                module = _module(name, root)
                if module:
                    module = f"{prefix}.{module}" if prefix else module
                    self._by_module.setdefault(module, set()).add(name)
                    self._modules.setdefault(name, set()).add(module)
        self.stars: set[str] = set()
        self._importers: dict[str, set[str]] = {}
        for name in sorted(names):
            if cancel is not None:
                cancel.check()
            texts: list[str | bytes] = list(others.get(name, ()))
            present = _read(project / name)
            for text in [*texts, present] if present is not None else texts:
                for found in self._imported(name, text):
                    self._importers.setdefault(found, set()).add(name)
            for implied in _implied(name):
                if implied in self.files and implied != name:
                    self._importers.setdefault(implied, set()).add(name)

    def add(self, importer: str, imported: str) -> None:
        """An edge that was seen when the code ran."""
        self._importers.setdefault(imported, set()).add(importer)

    def reaching(self, files: Iterable[str]) -> dict[str, str]:
        """The files that import one of `files`, directly or through others, with the next file on the way there."""
        found: dict[str, str] = {}
        waiting = [(name, name) for name in files]
        while waiting:
            name, onward = waiting.pop()
            if name in found:
                continue
            found[name] = onward
            waiting += [(importer, name) for importer in sorted(self._importers.get(name, ()))]
        return found

    def importers(self, file: str) -> frozenset[str]:
        """The files that import `file` themselves."""
        return frozenset(self._importers.get(file, ()))

    def _imported(self, name: str, text: str | bytes) -> Iterator[str]:
        try:
            tree = ast.parse(text)
        except (SyntaxError, ValueError, RecursionError):
            return
        packages = self._packages(name)
        for node in ast.walk(tree):
            if isinstance(node, ast.Import):
                for alias in node.names:
                    yield from self._files(alias.name)
            elif isinstance(node, ast.ImportFrom):
                for base in _bases(node, packages):
                    yield from self._files(base)
                    for alias in node.names:
                        if alias.name == "*":
                            self.stars |= self._by_module.get(base, set())
                        else:
                            yield from self._files(f"{base}.{alias.name}" if base else alias.name)
            elif isinstance(node, ast.Assign) and _names_plugins(node):
                for one in ast.walk(node.value):
                    if isinstance(one, ast.Constant) and isinstance(one.value, str):
                        yield from self._files(one.value)

    def _packages(self, name: str) -> list[str]:
        """The names that the package around a file may have."""
        found = self._modules.get(name, ())
        return [module if name.endswith("/__init__.py") else module.rpartition(".")[0] for module in found]

    def _files(self, module: str) -> Iterator[str]:
        """The files that importing a module executes: its own, and those of the packages around it."""
        while module:
            yield from self._by_module.get(module, ())
            module = module.rpartition(".")[0]


def _read(path: Path) -> bytes | None:
    """A file's source; None for what went, may not be read, or is no file that a person wrote."""
    try:
        if not path.is_file() or path.stat().st_size > MOST_BYTES:
            return None
        return path.read_bytes()
    except OSError:
        return None


def _implied(file: str) -> Iterator[str]:
    """What runs before a file without being named in it: packages around it, and conftests if it holds tests."""
    for parent in PurePosixPath(file).parents:
        yield str(parent / CONFTEST)
        yield str(parent / "__init__.py")


def _module(name: str, root: str) -> str:
    path = name
    if root:
        if not name.startswith(f"{root}/"):
            return ""
        path = name[len(root) + 1 :]
    path = path.removesuffix(".py")
    return path.removesuffix("/__init__").replace("/", ".")


def _test_folders(names: Iterable[str]) -> set[str]:
    """Folders that pytest puts on the path: those of test files and conftests that are in no package."""
    all_names = set(names)
    found = set()
    for name in all_names:
        path = PurePosixPath(name)
        if path.name == CONFTEST or path.name.startswith("test_") or path.stem.endswith("_test"):
            folder = path.parent
            while str(folder) != "." and f"{folder}/__init__.py" in all_names:
                folder = folder.parent
            found.add("" if str(folder) == "." else str(folder))
    return found


def _bases(node: ast.ImportFrom, packages: Iterable[str]) -> list[str]:
    if not node.level:
        return [node.module or ""]
    found = []
    for package in packages:
        parts = package.split(".")
        kept = parts[: len(parts) - node.level + 1]
        if kept:
            found.append(".".join([*kept, *([node.module] if node.module else [])]))
    return found


def _names_plugins(node: ast.Assign) -> bool:
    return any(isinstance(target, ast.Name) and target.id == "pytest_plugins" for target in node.targets)
