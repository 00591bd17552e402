"""From measured lines to ranked gaps: one for each function of which something is missing."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from pathlib import PurePosixPath
from typing import Literal

from aqe.agents.coverage import risk
from aqe.agents.coverage.callers import Key, Source
from aqe.agents.coverage.history import RECENT_DAYS, History
from aqe.agents.coverage.measured import Arc, FileCoverage
from aqe.agents.coverage.report import Gap
from aqe.agents.coverage.structure import MODULE, Function, branch_in_words

TEST_FOLDERS = frozenset({"tests", "test", "testing"})
SCRIPTS = frozenset({"conftest", "setup", "noxfile"})
SHOWN_BRANCHES = 3


@dataclass(frozen=True)
class Reached:
    """A function of the project and what of it was measured: lines and arms, all of them and the missing ones."""

    path: str
    function: Function
    lines: frozenset[int]
    missing: frozenset[int]
    arms: frozenset[Arc]
    arms_missing: frozenset[Arc]

    @property
    def is_gap(self) -> bool:
        return bool(self.missing or self.arms_missing)

    @property
    def never_ran(self) -> bool:
        """Whether it has lines and none of them ran."""
        return bool(self.lines) and self.missing == self.lines

    @property
    def missing_share(self) -> float:
        """The share of its lines and arms that is missing."""
        whole = len(self.lines) + len(self.arms)
        return (len(self.missing) + len(self.arms_missing)) / whole if whole else 0.0


def is_test(path: str) -> bool:
    """Whether a measured file is a test or a script of the build, of which gaps are not wanted.

    >>> is_test("tests/data.py"), is_test("pkg/conftest.py"), is_test("pkg/contest.py")
    (True, True, False)
    """
    pure = PurePosixPath(path)
    stem = pure.stem
    if stem in SCRIPTS or stem.startswith("test_") or stem.endswith("_test"):
        return True
    return bool(TEST_FOLDERS & set(pure.parts[:-1])) or pure.parts[-2:] in (("docs", "conf.py"), ("doc", "conf.py"))


def reach(source: Source, measured: FileCoverage) -> list[Reached]:
    """What was measured of each function of a file, and of the code outside them; those without any line left out."""
    found = []
    for function in source.structure.functions:
        lines = measured.lines & function.lines
        ran = frozenset(arc for arc in measured.arms_ran if arc[0] in function.lines)
        missed = frozenset(arc for arc in measured.arms_missing if arc[0] in function.lines)
        if lines:
            missing = measured.missing & function.lines
            found.append(Reached(source.path, function, lines, missing, ran | missed, missed))
    return found


def find_gaps(
    reached: Iterable[Reached],
    sources: Mapping[str, Source],
    callers: Mapping[Key, int],
    history: History,
    generable: Mapping[str, str],
) -> tuple[Gap, ...]:
    """All gaps, the riskiest first; `generable` names the module of each file that the generator can import."""
    everything = list(reached)
    functions = [one for one in everything if one.function.is_function]
    commits = {id(one): _commits(one, history) for one in everything}
    project = risk.Project(
        complexity=risk.Population(one.function.complexity for one in functions),
        callers=risk.Population(callers.get((one.path, one.function.name), 0) for one in functions),
        commits=risk.Population(found for one in functions if (found := commits[id(one)]) is not None),
        size=risk.Population(len(one.missing) for one in functions),
    )
    never_imported = _never_imported(everything)
    gaps = []
    for one in everything:
        if not one.is_gap or (one.path in never_imported and not one.function.is_function):
            continue
        facts = risk.Facts(
            complexity=one.function.complexity,
            callers=callers.get((one.path, one.function.name), 0),
            commits=commits[id(one)],
            missing_lines=len(one.missing),
            missing_share=one.missing_share,
            is_public=one.function.is_public and one.function.is_function,
            misses_errors=bool(_missed_handlers(one) or _missed_raises(one)),
        )
        words = _reasons(one, facts, project, sources[one.path], one.path in never_imported)
        gaps.append(_gap(one, facts, risk.risk(facts, project), words, generable.get(one.path, "")))
    return _levelled(sorted(gaps, key=lambda gap: (-gap.risk, gap.path, gap.line, gap.name)))


def _levelled(gaps: list[Gap]) -> tuple[Gap, ...]:
    risks = sorted(gap.risk for gap in gaps)
    return tuple(replace(gap, level=risk.level(gap.risk, risks)) for gap in gaps)


def _gap(one: Reached, facts: risk.Facts, value: float, words: tuple[str, ...], module: str) -> Gap:
    kind: Literal["function", "branch", "line"] = "branch" if one.arms_missing else "line"
    if one.never_ran and one.function.is_function:
        kind = "function"
    can_be_named = one.function.is_function and "<locals>" not in one.function.name
    return Gap(
        path=one.path,
        name=one.function.name,
        line=one.function.first_line,
        end_line=one.function.last_line,
        kind=kind,
        missing_lines=tuple(sorted(one.missing)),
        missing_branches=tuple(sorted(one.arms_missing)),
        risk=value,
        level="low",
        reasons=words,
        complexity=facts.complexity,
        callers=facts.callers,
        commits=facts.commits or 0,
        module=module if can_be_named else "",
    )


def _commits(one: Reached, history: History) -> int | None:
    function = one.function
    whole = range(function.first_line, function.last_line + 1)
    return history.commits(one.path, function.lines if function.name == MODULE else whole)


def _never_imported(reached: Iterable[Reached]) -> frozenset[str]:
    """Files of which not one line ran, and that have functions to say so."""
    ran: dict[str, bool] = {}
    has_functions = set()
    for one in reached:
        ran[one.path] = ran.get(one.path, False) or not one.never_ran
        if one.function.is_function:
            has_functions.add(one.path)
    return frozenset(path for path, is_ran in ran.items() if not is_ran and path in has_functions)


def _missed_handlers(one: Reached) -> list[int]:
    """First lines of `except` blocks no line of which ran."""
    return [
        first
        for first, last in one.function.handlers
        if (inner := {line for line in one.lines if first < line <= last}) and inner <= one.missing
    ]


def _missed_raises(one: Reached) -> list[int]:
    return sorted(one.function.raises & one.missing)


def _reasons(
    one: Reached, facts: risk.Facts, project: risk.Project, source: Source, is_never_imported: bool
) -> tuple[str, ...]:
    """Why this gap matters, in words, what is missing first."""
    words = list(_what_is_missing(one, source, is_never_imported))
    share = project.complexity.share_below(facts.complexity)
    if share >= risk.NOTABLE:
        words.append(
            f"complexity {facts.complexity}, more than {share:.0%} of the project's functions".replace("%", " %")
        )
    if facts.callers:
        words.append(f"called from {_count(facts.callers, 'place')}")
    if facts.commits and project.commits.share_below(facts.commits):
        words.append(f"changed by {_count(facts.commits, 'commit')} in the last {RECENT_DAYS // 30} months")
    if not one.never_ran:
        words += [f"the error handler on line {line} never runs" for line in _missed_handlers(one)[:2]]
        words += [f"the exception on line {line} is never raised" for line in _missed_raises(one)[:2]]
    elif facts.misses_errors:
        words.append("it raises or handles errors")
    if facts.is_public:
        words.append("its name is public")
    return tuple(words)


def _what_is_missing(one: Reached, source: Source, is_never_imported: bool) -> Iterable[str]:
    if one.never_ran:
        what = "no test imports its module" if is_never_imported else "no test runs it"
        yield f"{what} ({_count(len(one.missing), 'line')})" if one.function.is_function else "none of it runs"
        return
    parts = []
    if one.missing:
        parts.append(f"{len(one.missing)} of {_count(len(one.lines), 'line')}")
    if one.arms_missing:
        parts.append(f"{len(one.arms_missing)} of {_count(len(one.arms), 'branch')}")
    yield f"{' and '.join(parts)} missed"
    arms = sorted(one.arms_missing)
    for first, last in arms[:SHOWN_BRANCHES]:
        yield branch_in_words(source.structure, first, last)
    if len(arms) > SHOWN_BRANCHES:
        yield f"and {_count(len(arms) - SHOWN_BRANCHES, 'more branch')}"


def _count(number: int, noun: str) -> str:
    plural = "es" if noun.endswith("ch") else "s"
    return f"{number} {noun}" + ("" if number == 1 else plural)
