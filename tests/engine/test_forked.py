"""Engines and stores in a process forked from the one that opened them: they are refused, and nothing hangs."""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import subprocess
import sys
import threading
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import anyio
import numpy as np
import pytest

from aqe.engine.engine import Engine as AsyncEngine
from aqe.engine.errors import UserError
from aqe.engine.memory import Store
from aqe.engine.sync import Engine

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork here")

PATIENCE_S = 60


def said_in_child(work: Callable[[], object]) -> object:
    """What `work` gives in a forked process, or the code of its error."""
    context = multiprocessing.get_context("fork")
    receiver, sender = context.Pipe(duplex=False)

    def answer() -> None:
        try:
            sender.send(work())
        except UserError as error:
            sender.send(error.code)

    child = context.Process(target=answer)
    child.start()
    try:
        assert receiver.poll(PATIENCE_S), "the child hangs"
        said: object = receiver.recv()
        child.join(PATIENCE_S)
        assert child.exitcode == 0
        return said
    finally:
        child.kill()
        child.join()


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """An empty project."""
    (tmp_path / "pyproject.toml").write_text('[project]\nname = "some"\n')
    return tmp_path


def test_a_forked_engine_is_refused_and_its_parent_goes_on(project: Path) -> None:
    """Each call of a child says so, whatever threads of its parent are at; closing is nothing; it may open its own."""
    with Engine.open(project) as engine:
        for number in range(20):
            engine.remember(f"Fact {number} is about totals that are rounded.")
        for number in range(6):  # until nothing is imported any more: Python itself hangs where a fork falls into that
            assert engine.search(f"rounded totals {number}", k=3).hits
        over = threading.Event()

        def ask() -> None:
            while not over.is_set():
                assert engine.search("rounded totals", k=3).hits

        threads = [threading.Thread(target=ask) for _ in range(2)]
        for thread in threads:
            thread.start()
        try:
            calls: list[Callable[[], object]] = [
                lambda: engine.search("totals"),
                lambda: engine.query("totals"),
                lambda: engine.remember("another"),
                lambda: engine.sessions.list(),
                engine.stats,
            ]
            assert [said_in_child(call) for call in calls] == ["engine-closed"] * len(calls)
            assert said_in_child(engine.close) is None
            assert said_in_child(lambda: _hits_of_its_own(project)) == 3
        finally:
            over.set()
            for thread in threads:
                thread.join()
        assert len(engine.search("rounded totals", k=3).hits) == 3


def _hits_of_its_own(project: Path) -> int:
    with Engine.open(project) as own:
        return len(own.search("rounded totals", k=3).hits)


def test_workers_that_open_their_own_engine_answer(project: Path) -> None:
    """A pool of processes that are forked while an engine is open asks engines of its own."""
    with Engine.open(project) as engine:
        for number in range(5):
            engine.remember(f"Fact {number} is about totals that are rounded.")
        with ProcessPoolExecutor(2, mp_context=multiprocessing.get_context("fork")) as pool:
            assert [*pool.map(_hits_of_its_own, [project] * 4, timeout=PATIENCE_S)] == [3] * 4


def test_a_forked_engine_of_an_event_loop_is_refused(project: Path) -> None:
    """So are calls by words and by vector in a loop of the child's own."""

    async def main() -> None:
        async with await AsyncEngine.open(project) as engine:
            await engine.remember("Totals are rounded.")
            vector = np.ones(384, np.float32)
            await engine.search(vector=vector)

            def by_words() -> object:
                return anyio.run(engine.search, "totals")

            def by_vector() -> object:
                async def search() -> object:
                    return await engine.search(vector=vector)

                return anyio.run(search)

            said = await anyio.to_thread.run_sync(lambda: [said_in_child(by_words), said_in_child(by_vector)])
            assert said == ["engine-closed"] * 2
            assert (await engine.search("totals")).hits

    anyio.run(main)


def test_a_forked_store_is_refused_while_a_thread_has_its_lock(tmp_path: Path) -> None:
    """A child neither waits for a lock that a thread of its parent holds nor goes through its parent's connection."""
    with Store.open(tmp_path / "aqe.db") as store:
        store.add("seen by the parent", id="a")
        held, over = threading.Event(), threading.Event()

        def write() -> None:
            with store.writing():
                held.set()
                over.wait()

        thread = threading.Thread(target=write)
        thread.start()
        held.wait()
        try:
            calls: list[Callable[[], object]] = [
                lambda: store.get("a"),
                lambda: store.add("another"),
                lambda: store.search("parent"),
            ]
            assert [said_in_child(call) for call in calls] == ["engine-closed"] * len(calls)
        finally:
            over.set()
            thread.join()
        assert store.get("a") is not None


@pytest.mark.services
def test_a_child_of_an_engine_ends_in_the_ordinary_way(project: Path) -> None:
    """A forked process that runs to its end, and lets go of its parent's engine, ends as if there were none."""
    program = (
        "import os, sys\nfrom pathlib import Path\nfrom aqe.engine.sync import Engine\n"
        "engine = Engine.open(Path(sys.argv[1]))\n"
        "engine.remember('prices round half up')\n"
        "if not os.fork():\n    del engine\n    sys.exit(0)\n"
        "print(os.waitpid(-1, 0)[1])\nengine.close()\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", program, str(project)], capture_output=True, text=True, timeout=PATIENCE_S, check=False
    )
    assert (done.stdout, done.returncode) == ("0\n", 0), done.stderr


def test_store_closed_in_a_child_goes_on_in_its_parent(project: Path) -> None:
    """Closing a forked store is nothing, whatever its parent's threads hold; what that one writes then stays."""
    with Store.open(project / "store.db") as store:
        store.add("rounded totals", id="before")
        taken, free = threading.Event(), threading.Event()

        def hold() -> None:
            with store.writing():
                taken.set()
                free.wait(PATIENCE_S)

        holder = threading.Thread(target=hold)
        holder.start()
        taken.wait()
        try:
            assert said_in_child(lambda: store.close()) is None
        finally:
            free.set()
            holder.join()
        store.add("another text", id="after")
        assert [hit.memory.id for hit in store.search("another").hits] == ["after"]
    with Store.open(project / "store.db") as store:
        assert [store.get(name) is not None for name in ("before", "after")] == [True, True]


@pytest.mark.parametrize("way", ["writing", "writing_durably", "writing_aside"])
def test_transaction_of_a_parent_is_not_ended_by_its_child(tmp_path: Path, way: str) -> None:
    """A child that was forked within a transaction and leaves it commits nothing, and its parent may still give up."""
    path = tmp_path / "aqe.db"
    with Store.open(path) as store:
        store.add("seen by the parent", id="a")
        with contextlib.ExitStack() as within:
            connection = within.enter_context(getattr(store, way)())
            connection.execute("UPDATE memories SET end_note = 'half done'")
            child = os.fork()
            if not child:
                left = 1
                try:
                    within.close()
                    left = 0
                finally:
                    os._exit(left)
            assert os.waitpid(child, 0)[1] == 0
            connection.execute("ROLLBACK")
            connection.execute("BEGIN")
        assert store.get("a") is not None
    with Store.open(path) as store, store.reading() as connection:
        assert connection.execute("SELECT end_note FROM memories").get == ""
