"""The public face: what each package hands out, name by name."""

from __future__ import annotations

import difflib
import inspect
import runpy
from importlib import import_module
from pathlib import Path

import pytest

FLOORS = ("aqe.server", "aqe.agents", "aqe.engine", "aqe.simd")
PACKAGES = (*FLOORS, "aqe.server.http", "aqe.server.mcp", "aqe.agents.generate", "aqe.agents.gate")


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


@pytest.mark.parametrize("package", PACKAGES)
def test_dir_shows_what_is_handed_out(package: str) -> None:
    """dir() lists every public name, so that completion finds what is loaded only when used."""
    module = import_module(package)
    assert set(getattr(module, "__all__", ())) <= set(dir(module))
