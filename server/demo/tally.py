"""Planted against found for what the demo does beyond writing tests: flaky tests, gaps, a bad change, lessons.

Pure functions from the JSON reports of the tools to tallies. What was found and not planted is a false alarm, unless
the truth itself says that it is true as well.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import Any

from aqe.server.demo.scoring import Score
from aqe.server.demo.script import PlantedFlaw, Script
from aqe.server.demo.shop import PlantedFlaky

Place = tuple[str, str]
"""A file and a qualified name in it."""


@dataclass(frozen=True)
class Bar:
    """One row of planted and found. It is met with at least half found and at most one false alarm. `part` names the
    part of the demo, and `is_flaw` tells that something wrong was planted, to be found."""

    part: str
    what: str
    planted: int
    found: int
    false_alarms: int
    met: bool
    remark: str = ""
    is_flaw: bool = True


def bar(
    part: str, what: str, planted: int, found: int, false_alarms: int, remark: str = "", *, is_flaw: bool = True
) -> Bar:
    """A row with its verdict.

    >>> [bar("flaky", "flaky tests", 8, found, alarms).met for found, alarms in ((4, 1), (3, 0), (8, 2))]
    [True, False, False]
    """
    met = 2 * found >= planted and false_alarms <= 1
    return Bar(part, what, planted, found, false_alarms, met, remark, is_flaw)


@dataclass(frozen=True)
class FlakyFound:
    """What was said of one planted flaky test. `others` are the tests that it was said to hang on: its polluters, or
    those that set up what it needs. `category_right` and `others_right` compare with the truth; the latter is None
    where it depends on no other test."""

    test: PlantedFlaky
    found: bool
    verdict: str
    category: str
    category_right: bool
    others: tuple[str, ...]
    others_right: bool | None
    score: float | None
    why: str
    repro: str


@dataclass(frozen=True)
class FlakyAlarm:
    """A stable test that was called flaky."""

    id: str
    category: str
    why: str
    repro: str


@dataclass(frozen=True)
class FlakyTally:
    """Planted flaky tests in the order of the truth; `tests` were judged in `executions` runs of the suite."""

    found: tuple[FlakyFound, ...]
    false_alarms: tuple[FlakyAlarm, ...]
    tests: int
    executions: int
    partial: bool

    def bar(self) -> Bar:
        """Its row of planted and found."""
        hits = [entry for entry in self.found if entry.found]
        blamed = [entry for entry in hits if entry.others_right is not None]
        remark = f"category right for {sum(entry.category_right for entry in hits)} of {len(hits)}"
        if blamed:
            remark += f", the other test for {sum(bool(entry.others_right) for entry in blamed)} of {len(blamed)}"
        return bar("flaky", "flaky tests", len(self.found), len(hits), len(self.false_alarms), remark)


def compare_flaky(planted: Sequence[PlantedFlaky], report: Mapping[str, Any]) -> FlakyTally:
    """Compare a flaky hunter's report with the truth."""
    said: Mapping[str, Mapping[str, Any]] = report["tests"]
    known = {test.id for test in planted}
    alarms = tuple(
        FlakyAlarm(id, entry.get("category") or "", entry.get("why") or "", entry.get("repro") or "")
        for id, entry in said.items()
        if entry["flaky"] and id not in known
    )
    found = tuple(_flaky_found(test, said.get(test.id, {})) for test in planted)
    return FlakyTally(found, alarms, len(said), int(report["executions"]), bool(report.get("partial")))


def _flaky_found(test: PlantedFlaky, entry: Mapping[str, Any]) -> FlakyFound:
    others = (*entry.get("polluters", ()), *entry.get("setters", ()))
    category = entry.get("category") or ""
    return FlakyFound(
        test=test,
        found=bool(entry.get("flaky")),
        verdict=entry.get("verdict") or "",
        category=category,
        category_right=category == test.category,
        others=others,
        others_right=bool(set(test.partners) & set(others)) if test.partners else None,
        score=entry.get("score"),
        why=entry.get("why") or "",
        repro=entry.get("repro") or "",
    )


@dataclass(frozen=True)
class GapFound:
    """One function that no test runs, and its `rank` among the gaps, from 1; 0 where it is not among them."""

    file: str
    name: str
    rank: int
    risk: float
    reasons: tuple[str, ...]


@dataclass(frozen=True)
class GapTally:
    """Untested functions in the order of their rank. `false_alarms` were called unrun and are run; `partly` counts the
    gaps of another kind (a line or a branch of a function that is run), of which the truth says nothing. `gaps` is how
    many there are in all."""

    found: tuple[GapFound, ...]
    false_alarms: tuple[Place, ...]
    partly: int
    gaps: int
    lines_percent: float
    branches_percent: float

    def bar(self) -> Bar:
        """Its row of planted and found."""
        hits = sum(entry.rank > 0 for entry in self.found)
        first = sum(0 < entry.rank <= len(self.found) for entry in self.found)
        remark = f"{first} of them among the first {len(self.found)} of {self.gaps} ranked gaps"
        return bar("gaps", "functions that no test runs", len(self.found), hits, len(self.false_alarms), remark)


def compare_gaps(untested: Sequence[Place], report: Mapping[str, Any]) -> GapTally:
    """Compare the ranked gaps of a coverage report with the functions that the truth calls untested."""
    ranked = {(gap["path"], gap["name"]): (rank, gap) for rank, gap in enumerate(report["gaps"], 1)}
    found = []
    for file, name in untested:
        rank, gap = ranked.get((file, name), (0, {}))
        found.append(GapFound(file, name, rank, float(gap.get("risk", 0.0)), tuple(gap.get("reasons", ()))))
    unrun = [place for place, (_, gap) in ranked.items() if gap["kind"] == "function" and place[1] != "<module>"]
    alarms = tuple(place for place in unrun if place not in set(untested))
    partly = sum(gap["kind"] != "function" for gap in report["gaps"])
    found.sort(key=lambda entry: (entry.rank == 0, entry.rank))
    return GapTally(
        found=tuple(found),
        false_alarms=alarms,
        partly=partly,
        gaps=int(report["gaps_total"]),
        lines_percent=float(report["lines_percent"]),
        branches_percent=float(report["branches_percent"]),
    )


@dataclass(frozen=True)
class ReviewFinding:
    """A finding of the review. `line` is 1-based."""

    id: str
    rule: str
    severity: str
    path: str
    line: int
    name: str
    message: str
    evidence: tuple[str, ...]


@dataclass(frozen=True)
class FlawFound:
    """A planted flaw and the findings that speak of it; none means that it was missed."""

    flaw: PlantedFlaw
    findings: tuple[ReviewFinding, ...]


@dataclass(frozen=True)
class ReviewTally:
    """Planted flaws in the order of the script. `besides` are findings that were not planted and that the truth calls
    true; the others are `false_alarms`. `hidden` counts findings that the review had and did not show, and
    `functions_compared` those of the changed functions whose two versions were executed."""

    found: tuple[FlawFound, ...]
    besides: tuple[ReviewFinding, ...]
    false_alarms: tuple[ReviewFinding, ...]
    harmless: int
    hidden: int
    changed_lines: int
    functions_changed: int
    functions_compared: int
    partial: bool

    def bar(self) -> Bar:
        """Its row of planted and found."""
        hits = sum(bool(entry.findings) for entry in self.found)
        remark = f"nothing is wrong with {self.harmless} other changed functions"
        return bar("change", "flaws of a change", len(self.found), hits, len(self.false_alarms), remark)


def compare_review(script: Script, report: Mapping[str, Any]) -> ReviewTally:
    """Match each finding of a review with the planted flaw that it speaks of."""
    findings = [_finding(entry) for entry in report["findings"]]
    figures = report.get("figures") or {}
    found = tuple(
        FlawFound(flaw, tuple(one for one in findings if _speaks_of(one, flaw, flaw.rules))) for flaw in script.planted
    )
    rest = [one for one in findings if not any(one in entry.findings for entry in found)]
    besides = [one for one in rest if any(_speaks_of(one, flaw, flaw.also) for flaw in script.planted)]
    return ReviewTally(
        found=found,
        besides=tuple(besides),
        false_alarms=tuple(one for one in rest if one not in besides),
        harmless=len(script.harmless),
        hidden=int(report.get("hidden", 0)),
        changed_lines=int(report.get("changed_lines", 0)),
        functions_changed=int(figures.get("functions_changed", 0)),
        functions_compared=int(figures.get("functions_compared", 0)),
        partial=bool(report.get("partial")),
    )


def _finding(entry: Mapping[str, Any]) -> ReviewFinding:
    plain = {name: entry[name] for name in ("id", "rule", "severity", "path", "line", "name", "message")}
    return ReviewFinding(**plain, evidence=tuple(entry.get("evidence", ())))


def _speaks_of(finding: ReviewFinding, flaw: PlantedFlaw, rules: Sequence[str]) -> bool:
    if (finding.path, finding.name) != (flaw.file, flaw.name):
        return False
    return any(fnmatchcase(finding.rule, rule) for rule in rules)


@dataclass(frozen=True)
class Selection:
    """The tests chosen for the change: `chosen` of `all_tests`; `named` are those that the change breaks and that were
    chosen, `missed` those that were not."""

    chosen: int
    all_tests: int
    whole_suite: bool
    why: str
    named: tuple[str, ...]
    missed: tuple[str, ...]
    reasons: tuple[str, ...]

    def bar(self) -> Bar:
        """Its row of planted and found; a chosen test that passes is no false alarm."""
        remark = f"{self.chosen} of {self.all_tests} tests chosen" + (" (the whole suite)" if self.whole_suite else "")
        return bar(
            *("select", "tests that the change breaks", len(self.named) + len(self.missed), len(self.named), 0, remark),
            is_flaw=False,
        )


def compare_selection(breaks: Sequence[str], report: Mapping[str, Any]) -> Selection:
    """Whether the tests that the change breaks are among the chosen ones."""
    reasons = {test["nodeid"]: str(test["reason"]) for test in report["tests"]}
    named = tuple(test for test in breaks if test in reasons)
    return Selection(
        chosen=len(reasons),
        all_tests=int(report["all_tests"]),
        whole_suite=bool(report["whole_suite"]),
        why=str(report.get("why") or ""),
        named=named,
        missed=tuple(test for test in breaks if test not in reasons),
        reasons=tuple(reasons[test] for test in named),
    )


@dataclass(frozen=True)
class Quote:
    """A passage under an answer. `file` is "" for something remembered; `line` is 1-based, 0 where there is none."""

    id: str
    file: str
    line: int
    text: str


@dataclass(frozen=True)
class Passage:
    """A passage as a search ranks it: its `score`, and what earlier feedback adds to it (`prior`)."""

    file: str
    text: str
    score: float
    prior: float


@dataclass(frozen=True)
class Told:
    """One answer: its quotes in order, its confidence from 0 to 1, and the ranked passages of one drawer."""

    answered: bool
    confidence: float | None
    quotes: tuple[Quote, ...]
    passages: tuple[Passage, ...] = ()


def told_of(answer: Mapping[str, Any], search: Mapping[str, Any] | None = None) -> Told:
    """The parts of the answers of `query` and `memory_search` that the demo shows."""
    quotes = tuple(
        Quote(one["id"], one.get("file") or "", one.get("line") or 0, one["quote"]) for one in answer["citations"]
    )
    passages = tuple(
        Passage(str(row.get("file") or ""), str(row["text"]), float(row["score"]), float(row.get("prior") or 0.0))
        for row in (search or {}).get("found", ())
    )
    return Told(bool(answer["answered"]), answer["confidence"], quotes, passages)


@dataclass(frozen=True)
class Lesson:
    """A question before and after feedback. `changed` is True where the answer itself differs: whether there is one, or
    its quotes or their order; another score alone does not count. `helped` is True where its first quote is the right
    one afterwards and was not before."""

    prompt: str
    given: str
    why: str
    before: Told
    after: Told
    marked: int
    changed: bool
    helped: bool


def leads_with(told: Told, words: str) -> bool:
    """Whether the first quote of an answer holds these words."""
    return bool(told.quotes) and words in " ".join(told.quotes[0].text.split())


def has_changed(before: Told, after: Told) -> bool:
    """Whether an answer is another one: answered or not, its quotes and their order."""
    first, second = ([(quote.file, quote.line, quote.text) for quote in told.quotes] for told in (before, after))
    return before.answered != after.answered or first != second


def lessons_bar(lessons: Sequence[Lesson]) -> Bar:
    """The lessons' row of planted and found."""
    helped, changed = sum(lesson.helped for lesson in lessons), sum(lesson.changed for lesson in lessons)
    remark = f"{changed - helped} more changed, not to the right one" if changed > helped else ""
    return bar("feedback", "answers that feedback mends", len(lessons), helped, 0, remark, is_flaw=False)


def bugs_bar(score: Score) -> Bar:
    """The bugs' row of planted and found."""
    readers = sum(entry.bug.found_by == "reading" for entry in score.found)
    remark = f"{readers} of them only a reader of the docs can see" if readers else ""
    return bar("bugs", "bugs", len(score.found), score.suspected, len(score.false_alarms), remark)
