"""A store that is closed while other threads use it."""

from __future__ import annotations

import random
import threading
import time
from pathlib import Path

from aqe.engine.errors import UserError
from aqe.engine.memory import NewMemory, Store

SEARCHES = 12
"""More than it takes until rows, names and lists are read in the background."""

WORKERS, CLOSERS = 2, 2


def test_closing_while_others_search_ends_everything(tmp_path: Path) -> None:
    """Of threads that search and threads that close at the same time each search is answered or told that the engine is
    closed, no close fails, and no connection and no thread is left."""
    path = tmp_path / "aqe.db"
    with Store.open(path) as store:
        store.add_many([NewMemory(f"note {number} of the parser", vector=[1.0, 0.01 * number]) for number in range(80)])
    failed: list[str] = []
    for turn in range(25):
        _close_among_searches(Store.open(path), random.Random(turn), failed)
        assert not path.with_name("aqe.db-wal").exists(), "a connection is left"
    assert failed == []
    assert [thread.name for thread in threading.enumerate() if thread.name in ("aqe-rows", "aqe-names")] == []


def _close_among_searches(store: Store, draw: random.Random, failed: list[str]) -> None:
    begin = threading.Event()
    waits = [draw.random() * 0.02 for _ in range(CLOSERS)]

    def search() -> None:
        begin.wait()
        try:
            for number in range(SEARCHES):
                store.search("parser", k=3 + number)
                store.search(vector=[1.0, 0.1], k=3 + number)
        except UserError as error:
            if error.code != "engine-closed":
                failed.append(f"{error.code}: {error}")
        except BaseException as error:
            failed.append(f"search: {error!r}")

    def close(wait_s: float) -> None:
        begin.wait()
        time.sleep(wait_s)
        try:
            store.close()
        except BaseException as error:
            failed.append(f"close: {error!r}")

    threads = [threading.Thread(target=search) for _ in range(WORKERS)]
    threads += [threading.Thread(target=close, args=(wait_s,)) for wait_s in waits]
    for thread in threads:
        thread.start()
    begin.set()
    for thread in threads:
        thread.join()
