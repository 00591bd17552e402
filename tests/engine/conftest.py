"""What the engine's tests share: a store with a clock of its own."""

from __future__ import annotations

import itertools
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from aqe.engine.memory import Store
from tests.environments import install_into, made_once

START_US = 1_700_000_000_000_000
TORCH = "torch==2.13.0"
"""The version whose wheel is the CPU build."""


@pytest.fixture(scope="session")
def _made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The file of an empty store that was made at `START_US`: most of the time that a store takes is making it."""
    path = tmp_path_factory.mktemp("made") / "aqe.db"
    Store.open(path, now=lambda: START_US).close()
    return path


@pytest.fixture
def store(tmp_path: Path, _made: Path) -> Iterator[Store]:
    """An empty store whose clock ticks a second at each look, the first of which was when it was made."""
    shutil.copyfile(_made, tmp_path / "aqe.db")
    ticks = itertools.count(START_US + 1_000_000, 1_000_000)
    with Store.open(tmp_path / "aqe.db", now=lambda: next(ticks)) as opened:
        yield opened


@pytest.fixture(autouse=True)
def _no_settings_of_this_machine(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Neither the user's settings file nor AQE_ variables reach a test."""
    import os

    for name in [name for name in os.environ if name.startswith("AQE_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config-home"))


@pytest.fixture(scope="session")
def torch(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder that holds torch and what it needs, for all tests that want it: it takes half a minute to install."""
    return made_once(tmp_path_factory, "torch", lambda folder: install_into(folder, TORCH))
