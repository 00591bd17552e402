"""Requests that are written a moment later."""

from __future__ import annotations

import threading
from collections.abc import Sequence

import pytest

from aqe.engine import request_log
from aqe.engine.request_log import RequestLog


def test_log_goes_on_after_any_failure() -> None:
    """A write that fails for a reason nobody thought of is tried again with what comes next."""
    written: list[int] = []
    failed, done = threading.Event(), threading.Event()

    def write(batch: Sequence[int]) -> None:
        if not failed.is_set():
            failed.set()
            raise RuntimeError("the disk said something new")
        written.extend(batch)
        done.set()

    log = RequestLog(write, delay_s=0.0)
    log.add(1)
    assert failed.wait(60)
    log.add(2)
    assert done.wait(60)
    log.close()
    assert written == [1, 2]


def test_what_comes_after_the_end_is_written_at_once() -> None:
    """A request that is added to a closed log does not wait for a writer that is no more."""
    written: list[int] = []
    log = RequestLog[int](written.extend)
    log.add(1)
    log.close()
    log.add(2)
    assert written == [1, 2]


def test_what_could_not_be_written_is_tried_again(monkeypatch: pytest.MonkeyPatch) -> None:
    """A request that met a locked file is written a while later, even where no other comes."""
    monkeypatch.setattr(request_log, "AGAIN_S", 0.01)
    tries: list[int] = []
    written = threading.Event()

    def write(batch: Sequence[int]) -> None:
        tries.extend(batch)
        if len(tries) < 3:
            raise RuntimeError("the database is locked")
        written.set()

    log = RequestLog(write, delay_s=0.0)
    log.add(1)
    assert written.wait(60)
    log.close()
    assert tries == [1, 1, 1]
