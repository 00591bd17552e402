"""Habits that a reader relies on, kept by a machine."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest
from sources import files, tree

pytestmark = pytest.mark.tree
VAGUE = {"utils", "util", "helpers", "helper", "manager", "base", "common", "misc"}
# Put together from halves, so that this file does not hold what it looks for.
UNFINISHED = re.compile("|".join(["FIX" + "ME", "TO" + "DO", "XX" + "X", "NotImplemented" + "Error"]))


def our_tests(repository: Path) -> list[Path]:
    """Each test file of the suite itself."""
    outside = ("hostile", "subjects", "data")
    paths = sorted((repository / "tests").rglob("test_*.py"))
    return [path for path in paths if not set(path.relative_to(repository).parts) & set(outside)]


def test_files_are_short(repository: Path) -> None:
    """No file of the floors, of the tests or of the benchmarks passes 500 lines, in Python or in C."""
    floors = [path for _, path in files()]
    beside = [path for folder in ("tests", "benchmarks") for path in (repository / folder).rglob("*.py")]
    kernels = [path for ending in ("*.c", "*.h") for path in (repository / "simd").rglob(ending)]
    assert len(floors) > 400
    assert len(beside) > 300
    sizes = {path: len(path.read_text(encoding="utf-8").splitlines()) for path in [*floors, *beside, *kernels]}
    assert {path.name: size for path, size in sizes.items() if size > 500} == {}


def test_modules_are_named_by_the_field() -> None:
    """No module has a name that says nothing."""
    assert [module for module, _ in files() if module.rpartition(".")[2] in VAGUE] == []


def test_nothing_is_left_unfinished() -> None:
    """No file of the floors holds a mark of work left over."""
    found = [module for module, path in files() if UNFINISHED.search(path.read_text(encoding="utf-8"))]
    assert found == []


def test_every_test_states_its_behaviour(repository: Path) -> None:
    """Each test function has a docstring that ends as a sentence."""
    silent = []
    for path in our_tests(repository):
        tops = tree(path).body
        for node in [*tops, *(inner for top in tops if isinstance(top, ast.ClassDef) for inner in top.body)]:
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and node.name.startswith("test_"):
                first = (ast.get_docstring(node) or "").split("\n\n")[0]
                if not first.endswith("."):
                    silent.append(f"{path.relative_to(repository)}::{node.name}")
    assert silent == []
