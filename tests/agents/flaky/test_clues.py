"""What failures and sources hint at."""

from __future__ import annotations

from pathlib import Path

import pytest

from aqe.agents.flaky.clues import Sources, from_failure, from_source, is_rounding
from aqe.agents.flaky.runs import Observation


@pytest.mark.parametrize(
    ("kinds", "message", "category"),
    [
        (("ConnectionRefusedError", "ConnectionError", "OSError"), "refused", "network"),
        (("requests.exceptions.HTTPError",), "503", "network"),
        (("TimeoutError", "OSError"), "no answer", "async_wait"),
        (("_queue.Empty",), "", "async_wait"),
        (("OSError", "errno 24"), "Too many open files", "resource"),
        (("MemoryError",), "", "resource"),
        (("threading.BrokenBarrierError", "RuntimeError"), "", "concurrency"),
        (("RuntimeError",), "RuntimeError: dictionary changed size during iteration", "concurrency"),
        (("Failed",), "Failed: Timeout (>2.0s) from pytest-timeout.", "timeout"),
        (("AssertionError",), "assert 1 == 2", None),
    ],
)
def test_a_failure_names_its_category_or_none(kinds: tuple[str, ...], message: str, category: str | None) -> None:
    """Exceptions, error numbers and messages of the field name a category; a plain assertion names none."""
    assert from_failure(Observation("failed", kinds=kinds, message=message)) == category


def test_a_test_that_was_interrupted_is_a_timeout_whatever_it_raised() -> None:
    """A hang is named before anything that the interruption looked like."""
    assert from_failure(Observation("failed", kinds=("ConnectionError",), hung=True)) == "timeout"


@pytest.mark.parametrize(
    ("message", "rounding"),
    [
        ("assert 0.7000000000000001 == 0.7", True),
        ("assert 1.25 == 1.5", False),
        ("assert 0.5 == 0.5", False),
        ("assert [0.1, 0.30000000000000004] == [0.1, 0.3]", True),
        ("assert 'v1.2.3' == 'v1.2.4'", False),
    ],
)
def test_rounding_is_a_difference_in_the_last_digits(message: str, rounding: bool) -> None:
    """Two floats that are nearly alike and not equal show rounding; other numbers do not."""
    assert is_rounding(Observation("failed", message=message)) is rounding


@pytest.fixture
def project(tmp_path: Path) -> Path:
    (tmp_path / "tests").mkdir()
    (tmp_path / "shop.py").write_text(
        "import random as chance\nfrom inner import ask\n\ndef pick():\n    return chance.choice([1, 2])\n"
        "def remote():\n    return ask()\n",
        encoding="utf-8",
    )
    (tmp_path / "inner.py").write_text(
        "import socket\n\ndef ask():\n    return socket.create_connection(('a', 1))\n", encoding="utf-8"
    )
    (tmp_path / "tests" / "conftest.py").write_text(
        "import pytest, threading\n@pytest.fixture\ndef worker():\n    return threading.Thread()\n", encoding="utf-8"
    )
    return tmp_path


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        ("def test_it():\n    assert pick() == 1\n", ("random", 1)),
        ("def test_it():\n    assert remote()\n", ("network", 2)),
        ("def test_it(worker):\n    worker.start()\n", ("concurrency", 1)),
        ("def test_it(worker):\n    queue = [1]\n    assert queue.pop()\n", ("concurrency", 1)),
        ("import asyncio\nclass TestIt:\n    def test_it(self):\n        asyncio.run(None)\n", ("async_wait", 0)),
        ("import threading, time\ndef test_it():\n    threading.Thread()\n    time.sleep(1)\n", ("async_wait", 0)),
        ("from time import perf_counter as now\ndef test_it():\n    now()\n", ("timeout", 0)),
        (
            "import threading, time\ndef test_it():\n    def work():\n        time.sleep(0.1)\n"
            "    threading.Thread(target=work).join()\n",
            ("concurrency", 0),
        ),
        ("import time\ndef test_it():\n    start = time.time()\n    assert time.time() - start < 1\n", ("timeout", 0)),
        ("import time\ndef test_it():\n    assert time.time() % 2 < 1\n", ("time", 0)),
        ("import datetime\ndef test_it():\n    datetime.date(2024, 1, 1)\n", (None, 0)),
        ("import datetime as d\ndef test_it():\n    d.date.today()\n", ("time", 0)),
        ("def test_it():\n    assert list({'a', 'b'})\n", ("unordered", 0)),
        ("def test_it():\n    assert 1 + 1 == 2\n", (None, 0)),
    ],
)
def test_a_source_hints_at_what_it_uses_nearest_first(
    project: Path, body: str, expected: tuple[str | None, int]
) -> None:
    """Imports under any name, fixtures and functions of the project are followed; the nearest use counts."""
    file = project / "tests" / "test_it.py"
    file.write_text(f"from shop import pick, remote\n{body}", encoding="utf-8")
    name = "tests/test_it.py::TestIt::test_it" if "class" in body else "tests/test_it.py::test_it"
    assert from_source(Sources(project).uses(name)) == expected


def test_a_source_that_cannot_be_read_hints_at_nothing(project: Path) -> None:
    """A file that is gone or no Python has no uses."""
    (project / "tests" / "test_bad.py").write_text("def (:", encoding="utf-8")
    sources = Sources(project)
    assert sources.uses("tests/test_bad.py::test_it") == []
    assert sources.uses("tests/test_gone.py::test_it[a-b]") == []
