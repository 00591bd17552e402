"""Mutants of one operand are told apart, and a sandbox that a mutant takes along is replaced."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from aqe.agents.gate.evidence import Evidence
from aqe.agents.gate.verify import VerifyRequest, verify

DOOR = """
def may_enter(is_member, has_ticket, is_staff):
    return is_member or has_ticket or is_staff


def may_leave(is_paid, is_open):
    return is_paid and is_open
"""

DOOR_TESTS = """
from door import may_enter, may_leave


def test_member_enters():
    assert may_enter(True, False, False) is True


def test_stranger_stays_out():
    assert may_enter(False, False, False) is False


def test_unpaid_stays():
    assert may_leave(False, True) is False
"""


def judged(folder: Path, name: str, source: str, tests: str) -> Evidence:
    """The evidence of all mutants of a module under some tests."""
    (folder / f"{name}.py").write_text(source)
    (folder / f"test_{name}.py").write_text(tests)
    request = VerifyRequest(tests=(f"test_{name}.py",), project=str(folder), max_mutants=None, leave_out=False)
    return verify(request).evidence


@pytest.mark.services
def test_an_operand_that_never_decides_survives_its_removal(tmp_path: Path) -> None:
    """Of a condition, the operand that some test lets decide is killed, and each one that no test needs survives."""
    evidence = judged(tmp_path, "door", DOOR, DOOR_TESTS)
    operands = {
        (one.function, one.replacement): (one.state, [name.rpartition("::")[2] for name in one.killed_by])
        for one in evidence.mutants
        if one.operator == "boolean operand"
    }
    assert operands == {
        ("may_enter", "without `is_member`"): ("killed", ["test_member_enters"]),
        ("may_enter", "without `has_ticket`"): ("survived", []),
        ("may_enter", "without `is_staff`"): ("survived", []),
        ("may_leave", "without `is_paid`"): ("killed", ["test_unpaid_stays"]),
        ("may_leave", "without `is_open`"): ("survived", []),
    }


def killing(functions: int) -> tuple[str, str]:
    """A module of small functions, and tests that end their sandbox where a function answers None."""
    numbers = range(functions)
    source = "\n\n".join(f"def add_{n}(number):\n    return number + {n + 1}\n" for n in numbers)
    body = "import os\nimport signal\n\nimport sums\n\n\ndef check(found, expected):\n    if found is None:\n"
    body += "        os.kill(os.getppid(), signal.SIGKILL)\n    assert found == expected\n"
    tests = "".join(f"\n\ndef test_{n}():\n    check(sums.add_{n}(1), {n + 2})\n" for n in numbers)
    return source, body + tests


@pytest.mark.services
def test_a_sandbox_that_a_mutant_ends_is_replaced(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Mutants under which a test ends the sandbox count as killed, and the others are judged in a new one."""
    monkeypatch.setattr(os, "cpu_count", lambda: 1)  # one sandbox at a time: without a new one the rest would not run
    evidence = judged(tmp_path, "sums", *killing(3))
    states = [(one.operator, one.function, one.state) for one in evidence.mutants]
    assert len([one for one in states if one[0] == "returned value"]) == 3
    assert len(states) == 4 * 3
    assert {state for _, _, state in states} == {"killed"}
    assert evidence.mutants_not_run == 0
    assert all(test.verdict == "stable" for test in evidence.tests)


@pytest.mark.services
def test_sandboxes_are_not_replaced_for_ever(tmp_path: Path) -> None:
    """Where test after test ends its sandbox, the mutants that are left are said not to have run; none is guessed."""
    evidence = judged(tmp_path, "sums", *killing(24))
    assert evidence.mutants_not_run > 0
    assert evidence.mutants_total + evidence.mutants_not_run == 4 * 24
    assert {one.state for one in evidence.mutants} == {"killed"}
    assert any("mutants were not run: the budget or their sandbox ended" in note for note in evidence.notes)
