"""Where the floors' sources are: in the tree, or in the installed copy when the suite runs against a wheel."""

from __future__ import annotations

import ast
import gc
from collections.abc import Iterator
from functools import cache
from importlib import import_module
from pathlib import Path

FLOORS = ("server", "agents", "engine", "simd")


def folder(package: str) -> Path:
    """The folder from which `package` is imported."""
    return Path(next(iter(import_module(package).__path__)))


def files() -> Iterator[tuple[str, Path]]:
    """Each Python file of the four floors, with its dotted module name."""
    for floor in FLOORS:
        root = folder(f"aqe.{floor}")
        for path in sorted(root.rglob("*.py")):
            if "data" in path.relative_to(root).parts[:-1]:
                continue  # a project that travels inside the wheel, not a part of the house
            parts = ["aqe", floor, *path.relative_to(root).with_suffix("").parts]
            yield ".".join(parts[:-1] if parts[-1] == "__init__" else parts), path


@cache
def tree(path: Path) -> ast.Module:
    """The syntax tree of a file, left alone by the collector, which would look through all of them time and again."""
    gc.disable()
    try:
        return ast.parse(path.read_bytes(), filename=str(path))
    finally:
        gc.freeze()
        gc.enable()


@cache
def nodes(path: Path) -> tuple[ast.AST, ...]:
    """Every node of a file's tree: walking all trees takes seconds, so each is walked once, and the collector, which
    would look through millions of nodes time and again, leaves them alone."""
    gc.disable()
    try:
        return tuple(ast.walk(tree(path)))
    finally:
        gc.freeze()
        gc.enable()


def _statements(node: ast.AST) -> Iterator[ast.stmt]:
    """Each statement below a node: a tenth of its nodes, of which no expression holds one."""
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.stmt):
            yield child
        if not isinstance(child, ast.expr):
            yield from _statements(child)


@cache
def imports(path: Path) -> tuple[str, ...]:
    """Each absolute module that a file imports, anywhere in it."""
    found: list[str] = []
    for node in _statements(tree(path)):
        if isinstance(node, ast.Import):
            found += [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.level == 0 and node.module:
            found.append(node.module)
    return tuple(found)
