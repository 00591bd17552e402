"""The house stands: imports go down only, and what is injected into users' projects is plain and old enough."""

from __future__ import annotations

import ast
import os
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest
from sources import FLOORS, files, folder, imports

pytestmark = pytest.mark.tree
INJECTED = sorted((folder("aqe.agents.inject") / "_aqe_inject").rglob("*.py"))
NEWER_THAN_3_9 = {"tomllib", "annotationlib", "compression", "concurrent.interpreters"}
THE_PROJECT_HAS = {"_aqe_inject", "pytest", "_pytest", "coverage"}


def test_import_linter_keeps_the_floors(repository: Path) -> None:
    """import-linter finds no import that goes up."""
    code = "import sys; from importlinter.cli import lint_imports; sys.exit(lint_imports(no_cache=True))"
    done = subprocess.run([sys.executable, "-c", code], cwd=repository, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "1 kept, 0 broken" in done.stdout


def test_every_floor_is_read() -> None:
    """What is held to the rules of the house is there: files of each floor, and those that are injected."""
    found = Counter(module.split(".")[1] for module, _ in files())
    assert found.keys() == set(FLOORS)
    assert min(*found.values(), len(INJECTED)) > 30


def test_every_import_goes_down_or_stays() -> None:
    """No file imports a floor above its own, not even inside a function."""
    height = {floor: place for place, floor in enumerate(FLOORS)}
    upward = [
        f"{module} imports {target}"
        for module, path in files()
        for target in imports(path)
        if target.startswith("aqe.") and height[target.split(".")[1]] < height[module.split(".")[1]]
    ]
    assert upward == []


def test_no_floor_is_imported_by_its_folder_name() -> None:
    """Nobody writes `import engine`: it would be a second copy of every class."""
    wrong = [f"{module} imports {target}" for module, path in files() for target in imports(path) if target in FLOORS]
    assert wrong == []


def test_injected_files_are_python_3_9() -> None:
    """Each injected file parses as Python 3.9."""
    for path in INJECTED:
        ast.parse(path.read_text(encoding="utf-8"), filename=path.name, feature_version=(3, 9))


def test_injected_files_need_nothing_installed() -> None:
    """Injected files import the standard library of 3.9, themselves, and at most the project's pytest and coverage."""
    allowed = set(sys.stdlib_module_names) | THE_PROJECT_HAS
    foreign = [
        f"{path.name} imports {name}"
        for path in INJECTED
        for name in imports(path)
        if name.split(".")[0] not in allowed or name in NEWER_THAN_3_9
    ]
    assert foreign == []


def test_nothing_else_becomes_importable(tmp_path: Path) -> None:
    """Installing aqe makes `aqe` importable and none of the floors' bare names."""
    code = "import importlib.util as u; print([n for n in ('server','agents','engine','simd') if u.find_spec(n)])"
    environ = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    done = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, env=environ, capture_output=True, text=True)
    assert done.stdout.strip() == "[]", done.stderr
