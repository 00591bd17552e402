"""Docstring examples are run by import name; --doctest-modules would import engine.x beside aqe.engine.x."""

from __future__ import annotations

import doctest
import sys
from importlib import import_module
from pathlib import Path

import pytest
from sources import files, folder

INJECT = folder("aqe.agents.inject")
_LEFT_OUT = ("__main__", "_twin")


def _names() -> list[str]:
    """Modules with an example in them: aqe.* by that name, injected ones by the name that projects see."""
    found = []
    for module, path in files():
        if path.stem in _LEFT_OUT or ">>> " not in path.read_text(encoding="utf-8"):
            continue
        inside = Path(path).is_relative_to(INJECT) and path.parent != INJECT
        found.append(module.removeprefix("aqe.agents.inject.") if inside else module)
    return found


@pytest.mark.parametrize("name", _names())
def test_docstring_examples_hold(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each example in a docstring gives what it shows."""
    if name.startswith("_aqe_inject"):
        monkeypatch.setattr(sys, "path", [str(INJECT), *sys.path])
    result = doctest.testmod(import_module(name), optionflags=doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE)
    assert result.attempted > 0
    assert result.failed == 0
