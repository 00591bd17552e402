"""Turns what both versions were seen to do into findings: a note where it was announced, a warning where nothing was
said, an error where the new version crashes or contradicts its hint."""

from __future__ import annotations

import re
from collections.abc import Sequence

from aqe.agents.review.executed import Difference
from aqe.agents.review.executed.shortening import shortened
from aqe.agents.review.finding import Finding, Severity, fingerprint
from aqe.agents.review.intent import (
    Told,
    docstring_of,
    promised_exceptions,
    stance_of_docstring,
    stance_of_message,
    stance_of_tests,
)
from aqe.agents.review.sources import Source

RULE = "behaviour-changed"
_RAISED = re.compile(r"raise[sd] ([\w.]+)")
LONGEST_CALL = 600

CONFIDENCE = {"error": 0.9, "denied": 0.88, "silent": 0.78, "announced": 0.3, "unfair": 0.35}


def judge(
    differences: Sequence[Difference], heads: Sequence[Source], bases: Sequence[Source], message: str
) -> list[Finding]:
    """A finding for each difference, judged by what message, docstrings and changed tests say."""
    head, base = {one.path: one for one in heads}, {one.path: one for one in bases}
    tests = [source for source in heads if source.is_test]
    alone = len({(one.path, one.name) for one in differences}) == 1
    found = []
    for one in differences:
        told = _told(one, head.get(one.path), base.get(one.path), tests, message, alone)
        found.append(_finding(one, told, head.get(one.path), broken_promise(one, head.get(one.path))))
    return found


def _told(
    one: Difference, head: Source | None, base: Source | None, tests: Sequence[Source], message: str, alone: bool
) -> Told:
    """What the author said, the most telling first: a test, the docstring, the message."""
    by_message = stance_of_message(message, one.name, one.path, alone=alone)
    for told in (stance_of_tests(tests, one.name, one.after), stance_of_docstring(base, head, one.name)):
        if told.stance == "announced" and by_message.stance != "denied":
            return told
    return by_message


def _finding(one: Difference, told: Told, head: Source | None, promised: str) -> Finding:
    severity, confidence = _weight(one, told, promised)
    line = max(1, one.line)
    return Finding(
        id=fingerprint(RULE, one.name or f"<{one.path}>", _body(one, head)),
        rule=RULE,
        severity=severity,
        confidence=confidence,
        path=one.path,
        line=line,
        end_line=line,
        name=one.name,
        message=f"{one.sentence}.",
        evidence=tuple(_evidence(one, told, promised)),
    )


def broken_promise(one: Difference, head: Source | None) -> str:
    """The exception that the new version no longer raises though its docstring still promises it; else empty."""
    before = _RAISED.match(one.before)
    if before is None or head is None:
        return ""
    name = before[1].rpartition(".")[2]
    after = _RAISED.match(one.after)
    if after is not None and after[1].rpartition(".")[2] == name:
        return ""
    return name if name in promised_exceptions(docstring_of(head, one.name) or "") else ""


def _weight(one: Difference, told: Told, promised: str) -> tuple[Severity, float]:
    share = one.differing / one.inputs if one.inputs else 0.0
    more = round(0.08 * min(1.0, share), 2)
    if promised:
        is_meant = told.stance == "announced"
        return ("warning" if is_meant else "error"), round(CONFIDENCE["denied" if is_meant else "error"] + more, 2)
    if not one.is_fair:
        return "note", CONFIDENCE["unfair"]
    if one.crash or one.breaks_hint:
        return "error", round(CONFIDENCE["error"] + more, 2)
    if told.stance == "announced":
        return "note", CONFIDENCE["announced"]
    return "warning", round(CONFIDENCE[told.stance] + more, 2)


def _evidence(one: Difference, told: Told, promised: str) -> list[str]:
    lines = [f"{one.differing} of {one.inputs} calls that were tried on both versions differ"] if one.inputs else []
    if one.is_cut:
        lines.append(f"the whole call: {shortened(one.call, LONGEST_CALL)}")
    if one.crash:
        lines.append("neither a raise statement nor the docstring speaks of this exception")
    if promised:
        lines.append(f"contradicts its docstring, which still promises {promised}")
    if one.breaks_hint:
        lines.append("the new value contradicts the return hint")
    if not one.is_fair and not promised:
        lines.append("the arguments may be outside of what the function is for")
    if told.stance == "announced":
        lines.append(f"announced: {told.where}")
    elif told.stance == "denied":
        lines.append(f"not announced: {told.where}")
    else:
        lines.append("neither message, docstring nor changed tests speak of it")
    return lines


def _body(one: Difference, head: Source | None) -> str:
    """What the finding is about: the function as it is now, so that it comes back only when that changes."""
    for definition in head.definitions if head is not None else ():
        if definition.qualname == one.name:
            return definition.digest
    return one.sentence
