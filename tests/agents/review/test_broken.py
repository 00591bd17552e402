"""Tests that a change breaks: they pass on the base and fail on the head, and are not known to be flaky."""

from __future__ import annotations

import sys
import time
from pathlib import Path

import pytest

from aqe.agents.execute import TestFailure
from aqe.agents.gate.interpreter import find_interpreter
from aqe.agents.review.broken import find_broken, known_flaky
from aqe.agents.review.finding import Finding
from aqe.agents.review.sides import Sides
from aqe.engine.memory.opening import open_store
from aqe.engine.progress import CancelToken, silent

TESTS = """import pytest

from price import price


def test_price():
    assert price(2) == 6


@pytest.mark.parametrize("count", [0, -1])
def test_refuses(count):
    with pytest.raises(ValueError):
        price(count)


def test_was_red():
    assert price(1) == 4
"""
BASE = "def price(count):\n    if count < 1:\n        raise ValueError('none')\n    return count * 3\n"
HEAD = BASE.replace("< 1", "< 0")


@pytest.fixture
def trees(tmp_path: Path) -> tuple[Path, Path]:
    """The base's tree and the head's, which has a test more."""
    for name, text, more in (("base", BASE, ""), ("head", HEAD, "\n\ndef test_new():\n    assert price(1) == 9\n")):
        (tmp_path / name).mkdir()
        (tmp_path / name / "price.py").write_text(text)
        (tmp_path / name / "test_price.py").write_text(TESTS + more)
        (tmp_path / name / "pyproject.toml").write_text('[project]\nname = "price"\nversion = "1"\n')
    return tmp_path / "base", tmp_path / "head"


def sides(base: Path, head: Path, seconds: float = 120.0) -> Sides:
    interpreter = find_interpreter(head, sys.executable, None, trusted=True)
    return Sides(head, lambda: base, interpreter, True, time.monotonic() + seconds, silent, CancelToken())


def failed(*names: str) -> list[TestFailure]:
    return [TestFailure(f"test_price.py::{name}", "failed", "Failed: DID NOT RAISE ValueError", 12) for name in names]


@pytest.mark.services
def test_only_what_the_base_passes_is_broken(trees: tuple[Path, Path]) -> None:
    """A parametrised case that fails since is told with its message; red before, new, and red once only are not."""
    seen = failed("test_refuses[0]", "test_was_red", "test_new", "test_price")
    broken = find_broken(seen, [], sides(*trees))
    (found,) = broken.found
    assert isinstance(found, Finding)
    assert (found.rule, found.severity, found.path, found.line) == ("test-breaks", "error", "test_price.py", 12)
    assert found.confidence > 0.98
    assert "test_refuses[0] passed before the change and fails now" in found.message
    assert "Failed: DID NOT RAISE ValueError" in found.evidence
    assert not broken.partial


def test_without_time_nothing_is_claimed(trees: tuple[Path, Path]) -> None:
    """What could not be run on the base is no finding, and the result says that it is partial."""
    broken = find_broken(failed("test_refuses[0]"), [], sides(*trees, seconds=0.0))
    assert (broken.found, broken.partial) == ((), True)
    assert "No time was left" in broken.notes[0]


def test_known_flaky_tests_are_left_out(trees: tuple[Path, Path]) -> None:
    """A quarantined test and one that the hunter remembers as flaky are not told, nor run again."""
    base, head = trees
    (head / "aqe-quarantine.toml").write_text(
        '[[test]]\nid = "test_price.py::test_refuses"\nreason = "flips"\nsince = 2026-01-02\n'
    )
    with open_store(head) as store:
        for name, state in (("test_price", "flaky"), ("test_was_red", "stable since")):
            said = {"test": f"test_price.py::{name}", "state": state}
            store.add(f"{name} was found flaky", namespace="agents/flaky", metadata=said)
    assert known_flaky(head) == {"test_price.py::test_refuses", "test_price.py::test_price"}
    broken = find_broken(failed("test_refuses[0]", "test_price"), [], sides(base, head, seconds=0.0))
    assert (broken.found, broken.notes) == ((), ())
