"""What stands behind the tools: nothing is closed under a call, and no call waits on the event loop for another."""

from __future__ import annotations

import threading
from pathlib import Path

import anyio
import pytest

from aqe.engine import Engine, EngineStats
from aqe.server.mcp import Service, engines
from aqe.server.mcp.engines import Engines


def test_engine_is_not_closed_under_a_running_call(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An engine that idled is closed at the next call of any project, one that is used only after its last call."""
    monkeypatch.setattr(engines, "IDLE_S", 0.0)
    other = project.parent / "other"
    other.mkdir()
    (other / "pyproject.toml").write_text("")
    held = Engines()
    seen = []

    async def talk() -> None:
        entered, go_on = threading.Event(), threading.Event()

        async def long(engine: Engine) -> EngineStats:
            entered.set()
            await anyio.to_thread.run_sync(go_on.wait)
            return await engine.stats()

        async def call() -> None:
            seen.append(await held.call(project, long))

        async with anyio.create_task_group() as group:
            group.start_soon(call)
            await anyio.to_thread.run_sync(entered.wait)
            (project / ".aqe" / "aqe.db").rename(project / "taken_away.db")
            await held.call(other, lambda engine: engine.stats())
            assert list(held._open) == [other]
            go_on.set()

    try:
        anyio.run(talk)
        assert [type(one) for one in seen] == [EngineStats]
    finally:
        held.close()


def test_a_call_finds_its_project_while_the_store_is_held(project: Path) -> None:
    """While a thread opens the project's store, other calls learn their project and its privacy guard at once."""
    service = Service()
    desk = service.desk(project)
    release, is_held = threading.Event(), threading.Event()

    def hold() -> None:
        with desk._lock:
            is_held.set()
            release.wait(60)

    holder = threading.Thread(target=hold)
    holder.start()
    is_held.wait(60)
    timer = threading.Timer(30, release.set)
    timer.start()
    try:
        assert anyio.run(service.project, str(project), None) == project
        assert not release.is_set(), "it waited for the store"
        assert desk.known_guard() is desk.guard()
    finally:
        timer.cancel()
        release.set()
        holder.join()
        service.close()


def test_looking_writes_nothing_in_a_fresh_project(project: Path) -> None:
    """Figures and a search in a project where nothing is kept yet leave no `.aqe` behind."""
    service = Service()
    desk = service.desk(project)
    assert desk.count()["memories"] == 0
    assert desk.search("anything", None, 5, {}).hits == ()
    service.close()
    assert sorted(path.name for path in project.iterdir()) == ["ages.py", "pyproject.toml"]
