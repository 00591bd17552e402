"""The public face: what each package hands out, name by name."""

from __future__ import annotations

import ast
import difflib
import inspect
import runpy
from importlib import import_module
from pathlib import Path

import pytest
from sources import files, tree

PACKAGES = {name: path for name, path in files() if path.name == "__init__.py" and "_aqe_inject" not in name}
LAZY = [name for name, path in PACKAGES.items() if "_HOMES = {" in path.read_text(encoding="utf-8")]


def test_public_names_are_the_pinned_ones(repository: Path) -> None:
    """Names and signatures are those of public.txt; a wanted change takes `make public` and a line in CHANGELOG.md."""
    tool = runpy.run_path(str(repository / "tools" / "pin_public.py"))
    pinned = (repository / "tests" / "hygiene" / "public.txt").read_text(encoding="utf-8")
    now = tool["render"]()
    assert list(difflib.unified_diff(pinned.splitlines(), now.splitlines(), "pinned", "now", lineterm="", n=0)) == []


@pytest.mark.parametrize("package", PACKAGES)
def test_all_is_what_a_package_hands_out(package: str) -> None:
    """Every name in `__all__` can be had, and every public function or class that a package defines is in it."""
    module = import_module(package)
    handed_out = set(getattr(module, "__all__", ()))
    assert [name for name in handed_out if not hasattr(module, name)] == []
    own = {
        name
        for name, value in vars(module).items()
        if not name.startswith("_")
        and (inspect.isclass(value) or inspect.isroutine(value))
        and str(getattr(value, "__module__", "")).startswith("aqe.")
    }
    assert own <= handed_out


def names_for_types(package: str) -> set[str]:
    """What the file of a package imports from its own modules for type checkers alone."""
    return {
        alias.asname or alias.name
        for block in tree(PACKAGES[package]).body
        if isinstance(block, ast.If) and ast.unparse(block.test) == "TYPE_CHECKING"
        for node in block.body
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("aqe.")
        for alias in node.names
    }


@pytest.mark.parametrize("package", LAZY)
def test_a_lazy_package_hands_out_the_same_to_python_and_to_type_checkers(package: str) -> None:
    """`__all__`, the table of homes and the imports for type checkers name the very same things, each in its home."""
    module = import_module(package)
    assert set(module.__all__) == set(module._HOMES) == names_for_types(package)
    for name in module.__all__:
        assert not inspect.ismodule(getattr(module, name))


@pytest.mark.parametrize("package", PACKAGES)
def test_dir_shows_what_is_handed_out(package: str) -> None:
    """dir() lists every public name, so that completion finds what is loaded only when used."""
    module = import_module(package)
    assert set(getattr(module, "__all__", ())) <= set(dir(module))
