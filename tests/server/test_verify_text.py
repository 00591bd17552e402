"""The report of `aqe verify` on a terminal: totals first, then what does not hold, then what to do better."""

from __future__ import annotations

from dataclasses import replace

import pytest

from aqe.agents.gate.evidence import Evidence, MutantResult, SubjectMeasure, TestEvidence
from aqe.agents.gate.hints import hints_of, summarise
from aqe.agents.gate.verify import VerifyReport
from aqe.server.cli.verify_text import text_of


def a_test(number: int, verdict: str = "stable", message: str = "") -> TestEvidence:
    name = f"tests/test_shop.py::test_price_{number}"
    row = TestEvidence(name, "stable", 5, 5, 1.0, 4, 2, 1, 0, 0, 0, None, True, message)
    return row if verdict == "stable" else replace(row, verdict="failing", passed=0, adds_nothing=False)


def a_mutant(line: int) -> MutantResult:
    return MutantResult(f"shop:{line}:0:number:0", "number", "/p/shop.py", line, "f", "1", "2", "survived")


@pytest.fixture
def evidence() -> Evidence:
    return Evidence(
        aqe_version="0", python_version="3.11", python_executable="python", packages={"pytest": "9"}, rung="3",
        below_namespaces=False, layers=(), layers_missing=(), seed=0, hash_seeds=(0, 1), runs=5, budget_s=None,
        duration_s=1.5,
        subjects=(SubjectMeasure("shop", "/p/shop.py", "", 80, 160, 10, 20, tuple(range(1, 160, 2))),),
        tests=(*(a_test(number) for number in range(40)), a_test(40, "failing", "assert 1 == 2")),
        mutants=tuple(a_mutant(line) for line in range(1, 31)), mutants_total=60, mutants_killed=30,
        mutants_left_out=2,
    )  # fmt: skip


def shown(evidence: Evidence, *, verbose: bool = False) -> list[str]:
    report = VerifyReport(evidence, summarise(evidence), hints_of(evidence))
    return text_of(report, verbose=verbose).splitlines()


def test_totals_come_first_and_the_rest_fits_a_screen(evidence: Evidence) -> None:
    """41 tests with 30 survivors give less than 35 lines: totals, the failing test, ten survivors, one paragraph."""
    lines = shown(evidence)
    assert lines[0] == "41 tests of shop"
    assert lines[1].split() == ["stable", "40", "of", "41", "97.6", "%", "1", "failing"]
    assert lines[4].split() == ["mutants", "30", "of", "60", "50.0", "%", "killed,", "2", "left", "out"]
    assert len(lines) < 35
    assert max(map(len, lines)) <= 120
    failing = lines.index("  FAILS           tests/test_shop.py::test_price_40")
    survivors = [number for number, line in enumerate(lines) if " survives: " in line]
    surplus = next(number for number, line in enumerate(lines) if "40 tests add nothing to the others: " in line)
    assert failing < survivors[0] < survivors[-1] < surplus
    assert len(survivors) == 10
    assert any("and 68 more" in line for line in lines)


def test_verbose_has_a_row_for_each_test(evidence: Evidence) -> None:
    """With --verbose every test stands in a table with its figures."""
    rows = [line for line in shown(evidence, verbose=True) if line.startswith("tests/test_shop.py::")]
    assert len(rows) == 41


def test_what_was_not_measured_is_no_zero(evidence: Evidence) -> None:
    """Where the time was too short for coverage and mutants the report says so and shows no figure."""
    cut = replace(evidence, subjects=(), mutants=(), mutants_total=0, mutants_killed=0, mutants_not_run=60)
    text = "\n".join(shown(cut))
    assert "lines, branches  not measured" in text
    assert "mutants     not measured (2 left out, 60 not run)" in text
    assert summarise(cut).endswith("lines and branches not measured; mutants not measured.")
