"""Waiting for other writers."""

from __future__ import annotations

import threading
import time
from pathlib import Path

import pytest

from aqe.engine.errors import UserError
from aqe.engine.memory import Store


def test_writer_waits_while_others_come_on(tmp_path: Path) -> None:
    """A writer whose patience is shorter than the queue before it is served all the same, while others write."""
    path = tmp_path / "aqe.db"
    with Store.open(path) as store, Store.open(path, busy_timeout_s=0.5) as patient:
        with store.writing() as connection:
            added = threading.Thread(target=patient.add, args=("at last",), kwargs={"id": "last"})
            added.start()
            for number in range(8):
                time.sleep(0.12)
                connection.execute("INSERT INTO change_log (row, stamp) VALUES (0, ?)", (number,))
                connection.cache_flush()
        added.join(timeout=60)
        assert store.get("last") is not None


def test_writer_gives_up_on_one_that_is_stuck(tmp_path: Path) -> None:
    """Behind a writer that does nothing, a write fails with one sentence."""
    path = tmp_path / "aqe.db"
    with Store.open(path) as store, Store.open(path, busy_timeout_s=0.2) as patient, store.writing():
        with pytest.raises(UserError) as caught:
            patient.add("never")
        assert caught.value.code == "database-locked"
