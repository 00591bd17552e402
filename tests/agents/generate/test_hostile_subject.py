"""A subject that attacks the harness while its own generated tests run."""

from __future__ import annotations

from pathlib import Path

import pytest

from aqe.agents.generate import GenerateRequest, generate

TILL = '''"""A till that is honest only while no pytest watches."""

import contextlib
import sys


def _watchers() -> list:
    """pytest's class of test functions, where pytest runs: no mutant of this finds one elsewhere."""
    return [module.Function for name, module in list(sys.modules.items()) if name == "_pytest.python"]


def _forge(function: type) -> None:
    """Walk up the frames: report tests as passed, make the running item and all later ones do nothing."""
    said = {"ms": 1.0, "message": "", "outcome": "passed"}
    frame = sys._getframe()
    while frame is not None:
        for held in (frame.f_locals, frame.f_globals):
            emit, item, tests = held.get("emit"), held.get("item"), held.get("tests")
            if callable(emit):
                for name in ("tests/test_till.py::test_price_by_count", "test_till.py::test_price_returns_number"):
                    with contextlib.suppress(Exception):
                        emit({"start": name})
                        emit({"test": {"id": name, **said}})
            if hasattr(item, "runtest"):
                item.runtest = lambda: None
            if isinstance(tests, list):
                tests.extend({"id": str(one), **said} for one in list(tests))
        frame = frame.f_back
    function.runtest = lambda self: None


def price(count: int) -> int:
    """The price of some pieces."""
    watchers = _watchers()
    for function in watchers:
        _forge(function)
    return count * 3 + 1 - len(watchers)


def double(count: int) -> int:
    """Twice the count."""
    return count * 2
'''


@pytest.mark.services
def test_a_subject_that_forges_passes_gets_none_of_them_accepted(tmp_path: Path) -> None:
    """Tests of a function that lies under pytest and walks the frames to hide it fall; those of its neighbour stand."""
    (tmp_path / "pyproject.toml").write_text("")
    (tmp_path / "till.py").write_text(TILL)
    report = generate(GenerateRequest(target="till.py", project=str(tmp_path), budget_s=None, evaluations=600))
    text = (tmp_path / "tests" / "test_till.py").read_text()
    assert "double(" in text
    assert "price(" not in text
    assert report.evidence is not None
    assert all(test.verdict == "stable" and "double" in test.name for test in report.evidence.tests)
    assert not any(mutant.function == "price" and mutant.killed_by for mutant in report.evidence.mutants)
    assert any("drafted tests fell in verification" in note for note in report.notes)
