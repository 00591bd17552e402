"""A difference is evidence; what the author said of it decides whether it is a note, a warning or an error."""

from __future__ import annotations

from dataclasses import replace

from aqe.agents.review.behaviour import judge
from aqe.agents.review.executed import Difference
from aqe.agents.review.finding import Finding
from aqe.agents.review.sources import Source

BASE = Source("shop/a.py", "def total(x: int) -> int:\n    return x\n", frozenset({2}))
HEAD = Source("shop/a.py", "def total(x: int) -> int:\n    return x + 1\n", frozenset({2}))
SEEN = Difference("shop/a.py", "total", 2, "total(0)", "returned 0", "returns 1", "value", inputs=10, differing=10)


def judged(message: str, difference: Difference = SEEN, *more: Source) -> Finding:
    (found,) = judge([difference], [HEAD, *more], [BASE], message)
    return found


def test_silence_makes_a_warning_with_the_call() -> None:
    """Where nobody speaks of it, the smallest call that shows it is a warning."""
    found = judged("")
    assert (found.severity, found.rule, found.line) == ("warning", "behaviour-changed", 2)
    assert found.message == "total(0) returned 0, now returns 1."
    assert "10 of 10 calls that were tried on both versions differ" in found.evidence


def test_what_is_announced_is_a_note_that_says_where() -> None:
    """A message that speaks of the function makes a note and is quoted."""
    found = judged("Fix total: count the last one too")
    assert found.severity == "note"
    assert any("Fix total" in line for line in found.evidence)


def test_a_denial_makes_it_more_certain_than_silence() -> None:
    """What is called a refactoring and behaves differently is the surest warning."""
    denied = judged("Refactor total")
    assert denied.severity == "warning"
    assert denied.confidence > judged("").confidence
    assert any("'Refactor total'" in line for line in denied.evidence)


def test_a_changed_test_makes_a_note_unless_the_message_denies() -> None:
    """Tests that were changed with the function announce it; a message that denies outweighs them."""
    test = Source("tests/test_a.py", "def test_total():\n    assert total(0) == 1\n", frozenset({2}))
    assert judged("", SEEN, test).severity == "note"
    assert judged("Refactor total, no behaviour change", SEEN, test).severity == "warning"


def test_a_crash_or_a_broken_hint_is_an_error_whatever_was_said() -> None:
    """An exception that nobody planned, and a value against the return hint, are errors."""
    assert judged("Fix total", replace(SEEN, crash=True)).severity == "error"
    assert judged("Fix total", replace(SEEN, breaks_hint=True)).severity == "error"


def test_arguments_outside_of_what_a_function_is_for_make_a_note() -> None:
    """Where hints and use do not ask for such arguments, the difference is only noted."""
    found = judged("", replace(SEEN, is_fair=False, crash=True))
    assert (found.severity, found.confidence < 0.5) == ("note", True)


def test_an_exception_that_the_docstring_still_promises_is_an_error() -> None:
    """A promise that the code no longer keeps is an error, a warning where the change was announced."""
    text = (
        'def total(x: int) -> int:\n    """Add.\n\n    Raises:\n        ValueError: if x is 0.\n    """\n    return x\n'
    )
    head = Source("shop/a.py", text, frozenset({6}))
    lost = replace(SEEN, before="raised ValueError: none", after="returns 0", kind="exception")
    (silent,), (meant,) = judge([lost], [head], [head], ""), judge([lost], [head], [head], "total now accepts 0")
    assert (silent.severity, meant.severity) == ("error", "warning")
    assert "contradicts its docstring, which still promises ValueError" in silent.evidence
    (other,) = judge([replace(lost, before="raised KeyError: 1")], [head], [head], "")
    assert other.severity == "warning"


def test_the_id_stays_while_the_function_stays() -> None:
    """Another call that shows the difference gives the same finding; another body another."""
    other = replace(SEEN, call="total(5)", before="returned 5", after="returns 6")
    assert judged("").id == judged("", other).id
    changed = Source("shop/a.py", "def total(x: int) -> int:\n    return x + 2\n", frozenset({2}))
    (found,) = judge([SEEN], [changed], [BASE], "")
    assert found.id != judged("").id
