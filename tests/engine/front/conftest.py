"""What the tests of the front door share: a small project, a small table of vectors, and an engine over both."""

from __future__ import annotations

import itertools
import os
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from aqe.engine.embedding import StaticEmbedder, write_table
from aqe.engine.embedding.static import open_static
from aqe.engine.engine import Engine

START_US = 1_700_000_000_000_000
Opened = Callable[..., AbstractAsyncContextManager[Engine]]


@pytest.fixture(autouse=True)
def _no_settings_of_this_machine(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Neither the user's settings file nor AQE_ variables reach a test."""
    for name in [name for name in os.environ if name.startswith("AQE_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config-home"))


@pytest.fixture
def anyio_backend() -> str:
    """The event loop of the async tests."""
    return "asyncio"


@pytest.fixture(scope="session")
def embedder(tmp_path_factory: pytest.TempPathFactory) -> StaticEmbedder:
    """The static embedder on a table of random rows: texts are as near as the words that they share."""
    chance = np.random.default_rng(7)
    path = tmp_path_factory.mktemp("table") / "table.aqet"
    write_table(
        path,
        words=[],
        rows=chance.integers(-127, 128, size=(4096, 64), dtype=np.int8),
        scales=np.full(4096, 0.01, np.float16),
        buckets=4096,
        name_weight=0.3,
        tf_k=1.0,
    )
    return open_static(path)


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A project with a module, a page and a test; the table of random rows cannot tell what is about testing."""
    root = tmp_path / "project"
    (root / "docs").mkdir(parents=True)
    (root / "pyproject.toml").write_text(
        '[project]\nname = "small"\nversion = "1"\n[tool.aqe]\nknowledge.enabled = false\n'
    )
    (root / "pricing.py").write_text(
        'def total(prices, discount=0):\n    """The sum of the prices after the discount in percent, never below zero.'
        '"""\n    return max(0, sum(prices) * (100 - discount) / 100)\n\n\n'
        'def refund(order):\n    """Pay back an order within thirty days; later ones raise TooLate."""\n'
        "    if order.age_days > 30:\n        raise TooLate(order)\n    return order.paid\n"
    )
    (root / "docs" / "shipping.md").write_text(
        "# Shipping\n\nParcels leave the warehouse on the next working day.\n\n"
        "## Free shipping\n\nShipping costs nothing above 50 euros.\n\n"
        "## Express\n\nAn express parcel arrives before noon.\n"
    )
    return root


@pytest.fixture
def opened(project: Path, embedder: StaticEmbedder) -> Opened:
    """Open an engine over the project: `async with opened(...) as engine`; its clock ticks a second at each look."""
    ticks = itertools.count(START_US, 1_000_000)

    @asynccontextmanager
    async def open_engine(**options: Any) -> AsyncIterator[Engine]:
        given = {"embedder": embedder, "providers": (), "now": lambda: next(ticks), **options}
        async with await Engine.open(project, **given) as engine:
            yield engine

    return open_engine
