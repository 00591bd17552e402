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


def test_many_requests_are_written_in_portions_and_in_order() -> None:
    """No write of the background is long, and all of them come in the order in which they were asked."""
    portions: list[Sequence[int]] = []
    log = RequestLog(portions.append, delay_s=0.01)
    for number in range(100):
        log.add(number)
    log.close()
    assert [number for portion in portions for number in portion] == [*range(100)]


def test_whoever_looks_has_all_of_it_written(monkeypatch: pytest.MonkeyPatch) -> None:
    """A reader waits for no pause of the background."""
    monkeypatch.setattr(request_log, "PAUSE_S", 3600.0)
    written: list[int] = []
    log = RequestLog[int](written.extend, delay_s=0.0)
    for number in range(100):
        log.add(number)
    log.flush()
    assert written == [*range(100)]
    log.close()


def test_writer_that_has_nothing_to_do_rests(monkeypatch: pytest.MonkeyPatch) -> None:
    """What the writer holds is let go of after a while without requests, and those that come later are written."""
    monkeypatch.setattr(request_log, "AGAIN_S", 0.01)
    written: list[int] = []
    rested = threading.Event()
    log = RequestLog[int](written.extend, delay_s=0.0, rest=rested.set)
    log.add(1)
    assert rested.wait(60)
    log.add(2)
    log.close()
    assert written == [1, 2]
