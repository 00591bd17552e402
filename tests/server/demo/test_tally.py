"""How flaky tests, gaps, a reviewed change, chosen tests and lessons are compared with what was planted."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest

from aqe.server.demo.script import PlantedFlaw, read_script
from aqe.server.demo.shop import PlantedFlaky, fixtures, read_truth
from aqe.server.demo.tally import (
    Lesson,
    Told,
    compare_flaky,
    compare_gaps,
    compare_review,
    compare_selection,
    has_changed,
    leads_with,
    lessons_bar,
    told_of,
)

VICTIM = PlantedFlaky("t.py::test_a", "order", "", ("t.py::test_polluter",))
RANDOM = PlantedFlaky("t.py::test_b", "unordered", "")


def said(flaky: bool = True, **more: Any) -> dict[str, Any]:
    return {"flaky": flaky, "verdict": "flaky" if flaky else "stable", "category": None, **more}


def test_a_flaky_test_counts_with_its_category_and_the_other_test() -> None:
    """Found, right category and right polluter are told apart; a stable test that is accused is a false alarm."""
    report = {
        "tests": {
            VICTIM.id: said(category="order", polluters=["t.py::test_other", "t.py::test_polluter"], score=0.9),
            RANDOM.id: said(category="time", polluters=[]),
            "t.py::test_c": said(category="network", why="It flips."),
            "t.py::test_d": said(flaky=False),
        },
        "executions": 15,
    }
    tally = compare_flaky([VICTIM, RANDOM], report)
    assert [(one.found, one.category_right, one.others_right) for one in tally.found] == [
        (True, True, True),
        (True, False, None),
    ]
    assert [(alarm.id, alarm.category) for alarm in tally.false_alarms] == [("t.py::test_c", "network")]
    assert (tally.tests, tally.executions) == (4, 15)
    row = tally.bar()
    assert (row.planted, row.found, row.false_alarms, row.met) == (2, 2, 1, True)
    assert row.remark == "category right for 1 of 2, the other test for 1 of 1"


@pytest.mark.parametrize(
    ("field", "named", "right"),
    [
        ("polluters", "t.py::test_polluter", True),
        ("setters", "t.py::test_polluter", True),
        ("polluters", "t.py::test_x", False),
    ],
)
def test_the_other_test_is_a_polluter_or_a_setter(field: str, named: str, right: bool) -> None:
    """The test that a victim or a brittle test hangs on counts under either name, and only the planted one."""
    tally = compare_flaky([VICTIM], {"tests": {VICTIM.id: said(**{field: [named]})}, "executions": 1})
    assert tally.found[0].others_right is right


def test_a_test_that_is_not_named_is_missed() -> None:
    """A planted flaky test that is absent or called stable is missed."""
    tally = compare_flaky([VICTIM, RANDOM], {"tests": {RANDOM.id: said(flaky=False)}, "executions": 12})
    assert [one.found for one in tally.found] == [False, False]
    assert not tally.bar().met


def gap(path: str, name: str, kind: str = "function", risk: float = 1.0) -> dict[str, Any]:
    return {"path": path, "name": name, "kind": kind, "risk": risk, "reasons": ["no test runs it"]}


def test_gaps_are_matched_by_place_and_keep_their_rank() -> None:
    """Untested functions stand by rank, the missing one last; a function that is run and called unrun is false."""
    gaps = [gap("a.py", "f", risk=9.0), gap("b.py", "run"), gap("a.py", "half", "branch"), gap("a.py", "C.g")]
    gaps.append(gap("a.py", "<module>"))
    report = {"gaps": gaps, "gaps_total": 6, "lines_percent": 80.0, "branches_percent": 70.0}
    tally = compare_gaps([("b.py", "f"), ("a.py", "C.g"), ("a.py", "f")], report)
    assert [(one.file, one.name, one.rank) for one in tally.found] == [
        ("a.py", "f", 1),
        ("a.py", "C.g", 4),
        ("b.py", "f", 0),
    ]
    assert tally.false_alarms == (("b.py", "run"),)
    row = tally.bar()
    assert (row.planted, row.found, row.false_alarms) == (3, 2, 1)
    assert row.remark == "1 of them among the first 3 of 6 ranked gaps"


FLAW = PlantedFlaw("a", "behaviour", "a.py", "f", "", ("behaviour-changed",), also=("untested-branch",))
SMELL = PlantedFlaw("b", "test smell", "t.py", "test_f", "", ("test-smell-*", "S110"))


def finding(rule: str, path: str, name: str) -> dict[str, Any]:
    place = {"path": path, "line": 3, "name": name}
    return {"id": f"{rule}{name}", "rule": rule, "severity": "warning", "message": "", "evidence": ["e"], **place}


@pytest.mark.parametrize(
    ("entry", "found", "besides", "alarms"),
    [
        (finding("behaviour-changed", "a.py", "f"), ["a"], 0, 0),
        (finding("untested-branch", "a.py", "f"), [], 1, 0),
        (finding("clone", "a.py", "f"), [], 0, 1),
        (finding("behaviour-changed", "b.py", "f"), [], 0, 1),
        (finding("behaviour-changed", "a.py", "harmless"), [], 0, 1),
        (finding("test-smell-no-assertion", "t.py", "test_f"), ["b"], 0, 0),
        (finding("S110", "t.py", "test_f"), ["b"], 0, 0),
        (finding("S101", "t.py", "test_f"), [], 0, 1),
    ],
    ids=["planted", "true as well", "other rule", "other file", "harmless", "pattern", "one of several", "no rule"],
)
def test_a_finding_counts_where_path_name_and_rule_agree(
    entry: dict[str, Any], found: list[str], besides: int, alarms: int
) -> None:
    """A finding speaks of a planted flaw by path, name and rule; what is true as well is besides; the rest is false."""
    script = dataclasses.replace(read_script(), planted=(FLAW, SMELL), harmless=(("a.py", "harmless"),))
    tally = compare_review(script, {"findings": [entry], "hidden": 1, "changed_lines": 7})
    assert [one.flaw.id for one in tally.found if one.findings] == found
    assert (len(tally.besides), len(tally.false_alarms), tally.hidden) == (besides, alarms, 1)


def test_chosen_tests_are_compared_with_those_that_break() -> None:
    """Tests that the change breaks and that were chosen are named with their reason; the others are missed."""
    report = {"tests": [{"nodeid": "t.py::a", "reason": "runs f"}], "all_tests": 9, "whole_suite": False}
    chosen = compare_selection(["t.py::a", "t.py::b"], report)
    assert (chosen.named, chosen.missed, chosen.reasons) == (("t.py::a",), ("t.py::b",), ("runs f",))
    assert chosen.bar().remark == "1 of 9 tests chosen"
    assert compare_selection([], report | {"whole_suite": True}).bar().remark.endswith("(the whole suite)")


def told(*texts: str, confidence: float = 0.5) -> Told:
    citations = [{"id": text, "quote": text, "file": "a.md", "line": 1} for text in texts]
    return told_of({"answered": bool(texts), "confidence": confidence, "citations": citations})


def test_another_confidence_alone_is_no_other_answer() -> None:
    """An answer has changed when its quotes or their order did, or when there is one now."""
    assert not has_changed(told("a", "b"), told("a", "b", confidence=0.9))
    assert has_changed(told("a", "b"), told("b", "a"))
    assert has_changed(told(), told("a"))


def test_a_lesson_counts_only_where_the_right_quote_comes_to_lead() -> None:
    """An answer that changed, but not to the right one, is no lesson learned, and the row says so."""
    lesson = Lesson("q", "rating 1", "", told("a"), told("b"), 1, changed=True, helped=False)
    row = lessons_bar([lesson, dataclasses.replace(lesson, helped=True)])
    assert (row.planted, row.found, row.remark) == (2, 1, "1 more changed, not to the right one")
    assert leads_with(told("the  right\nwords here"), "right words")
    assert not leads_with(told("first", "right words"), "right words")
    assert not leads_with(told(), "right")


def test_scores_of_a_ranking_are_read_with_what_feedback_added() -> None:
    """The ranked passages keep score and prior; a passage without feedback has none."""
    rows = [{"text": "t", "score": 1.0, "file": "a.py:3", "prior": -0.33}, {"text": "u", "score": 0.4}]
    passages = told_of({"answered": False, "confidence": None, "citations": []}, {"found": rows}).passages
    assert [(one.file, one.score, one.prior) for one in passages] == [("a.py:3", 1.0, -0.33), ("", 0.4, 0.0)]


def test_the_truth_of_suite_and_gaps_is_read() -> None:
    """The flaky tests, with the tests that they hang on, and the untested functions of the shop are read."""
    truth = read_truth()
    assert len(truth.flaky) == 8
    assert {test.partners for test in truth.flaky if test.category == "order"} == {
        ("tests/test_pricing.py::test_prices_can_be_shown_in_dollars",),
        ("tests/test_inventory.py::test_catalogue_is_read",),
    }
    assert ("shop/cart.py", "Cart.clear") in truth.untested
    assert all((fixtures() / "shop" / file).is_file() for file, _ in truth.untested)
