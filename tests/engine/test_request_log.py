"""Requests that are written a moment later."""

from __future__ import annotations

import multiprocessing
import subprocess
import sys
import threading
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

from aqe.engine import request_log
from aqe.engine.request_log import RequestLog


def test_log_goes_on_after_any_failure() -> None:
    """A write that fails for a reason nobody thought of is tried again with what comes next."""
    written: list[int] = []
    failed, done = threading.Event(), threading.Event()

    def write(batch: Sequence[int], _: Callable[[], None]) -> None:
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
    log = RequestLog[int](lambda batch, _: written.extend(batch))
    log.add(1)
    log.close()
    log.add(2)
    assert written == [1, 2]


def test_what_waits_is_counted_in_words(caplog: pytest.LogCaptureFixture) -> None:
    """What a log of requests says of those that it could not write has one request, and several of them."""

    def write(batch: Sequence[int], _: Callable[[], None]) -> None:
        raise RuntimeError("the disk is gone")

    log = RequestLog(write, delay_s=60.0)
    log.add(1)
    log.close()
    log.add(2)
    told = [record.getMessage() for record in caplog.records]
    assert "1 request is not in the log yet: the disk is gone" in told
    assert told[-1] == "2 requests are not in the log yet: the disk is gone"


def test_what_could_not_be_written_is_tried_again(monkeypatch: pytest.MonkeyPatch) -> None:
    """A request that met a locked file is written a while later, even where no other comes."""
    monkeypatch.setattr(request_log, "AGAIN_S", 0.01)
    tries: list[int] = []
    written = threading.Event()

    def write(batch: Sequence[int], _: Callable[[], None]) -> None:
        tries.extend(batch)
        if len(tries) < 3:
            raise RuntimeError("the database is locked")
        written.set()

    log = RequestLog(write, delay_s=0.0)
    log.add(1)
    assert written.wait(60)
    log.close()
    assert tries == [1, 1, 1]


def test_pauses_of_the_background_end_when_it_is_to_end(monkeypatch: pytest.MonkeyPatch) -> None:
    """The background pauses between portions of what it writes, and whoever closes the log waits for no pause."""
    monkeypatch.setattr(request_log, "PAUSE_S", 3600.0)
    written: list[int] = []
    begun = threading.Event()

    def write(batch: Sequence[int], pause: Callable[[], None]) -> None:
        for number in batch:
            written.append(number)
            begun.set()
            pause()

    log = RequestLog(write, delay_s=0.01)
    for number in range(9):
        log.add(number)
    assert begun.wait(60)
    log.close()
    assert written == [*range(9)]


def test_writer_that_has_nothing_to_do_rests(monkeypatch: pytest.MonkeyPatch) -> None:
    """What the writer holds is let go of after a while without requests, and those that come later are written."""
    monkeypatch.setattr(request_log, "AGAIN_S", 0.01)
    written: list[int] = []
    rested = threading.Event()
    log = RequestLog[int](lambda batch, _: written.extend(batch), delay_s=0.0, rest=rested.set)
    log.add(1)
    assert rested.wait(60)
    log.add(2)
    log.close()
    assert written == [1, 2]


def test_request_that_no_file_takes_holds_no_other_up() -> None:
    """A row that cannot be written while others can is given up; those before and after it are written."""
    written: list[int] = []

    def write(batch: Sequence[int], _: Callable[[], None]) -> None:
        if 2 in batch:
            raise UnicodeEncodeError("utf-8", "\ud800", 0, 1, "surrogates not allowed")
        written.extend(batch)

    log = RequestLog[int](write, delay_s=60.0)
    for number in (1, 2, 3):
        log.add(number)
    log.flush()
    log.close()
    assert written == [1, 3]


LEFT = """
import sys
from aqe.engine.request_log import RequestLog

log = RequestLog(lambda batch, _: print(*batch), delay_s=60.0)
log.add(7)
"""


def test_program_that_never_closes_writes_what_waits() -> None:
    """What waits when a program ends is written, though nobody closed its log."""
    done = subprocess.run([sys.executable, "-c", LEFT], capture_output=True, text=True, timeout=60)
    assert (done.stdout, done.returncode) == ("7\n", 0), done.stderr


def test_forked_process_writes_its_own_requests_and_no_others(tmp_path: Path) -> None:
    """A child of a fork leaves what its parent has waiting to the parent, and writes what it asks itself."""
    told = tmp_path / "told"

    def write(batch: Sequence[str], _: Callable[[], None]) -> None:
        with told.open("a") as file:
            file.write("".join(batch))

    log = RequestLog[str](write, delay_s=60.0)
    log.add("parent ")

    def ask() -> None:
        log.add("child ")
        log.close()

    child = multiprocessing.get_context("fork").Process(target=ask)
    child.start()
    child.join(60)
    assert told.read_text() == "child "
    log.close()
    assert told.read_text() == "child parent "
