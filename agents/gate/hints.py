"""Evidence in words: one sentence on the whole, and what a better test would look at."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from aqe.agents.gate.evidence import Evidence, MutantResult, TestEvidence

MAX_SURVIVORS = 12

_WHY = {
    "comparison": "no test looks at the boundary",
    "condition": "no test depends on which way it goes",
    "boolean operator": "no test has one side true and the other false",
    "arithmetic": "no test looks at the result",
    "augmented assignment": "no test looks at the result",
    "number": "no test depends on the number",
    "string": "no test looks at the text",
    "boolean": "no test depends on the flag",
    "returned value": "no test looks at what is returned",
    "assigned value": "no test depends on the value",
    "remove call": "no test looks at what the call does",
    "remove raise": "no test expects the exception",
    "exception handler": "no test needs the exception to be handled",
    "loop jump": "no test needs the loop to stop or go on there",
    "slice": "no test depends on where the slice ends",
    "unary": "no test depends on the sign or negation",
    "call": "no test tells the two calls apart",
}


def summarise(evidence: Evidence) -> str:
    """One sentence: how many tests hold, how much they cover and kill."""
    stable = sum(1 for test in evidence.tests if test.verdict == "stable")
    parts = [f"{stable} of {len(evidence.tests)} tests pass {evidence.runs} of {evidence.runs} shuffled runs"]
    if evidence.subjects:
        names = ", ".join(subject.module for subject in evidence.subjects)
        lines, branches = f"{evidence.lines_percent:.0f} %", f"{evidence.branches_percent:.0f} %"
        parts.append(f"{lines} of the lines and {branches} of the branches of {names}")
    if evidence.mutants_total:
        killed = f"{evidence.mutants_killed} of {evidence.mutants_total}"
        parts.append(f"{killed} mutants killed ({evidence.mutants_percent:.0f} %)")
    return "; ".join(parts) + "."


def hints_of(evidence: Evidence) -> tuple[str, ...]:
    """Tests that do not hold, tests that add nothing, surviving mutants and lines that no test runs."""
    hints = [_verdict(test) for test in evidence.tests if test.verdict not in ("stable", "not-run")]
    hints.extend(_surplus(test) for test in evidence.tests if test.adds_nothing)
    survivors = [mutant for mutant in evidence.mutants if mutant.state == "survived"]
    hints.extend(_survivor(mutant) for mutant in _spread(survivors))
    if len(survivors) > MAX_SURVIVORS:
        hints.append(f"{len(survivors) - MAX_SURVIVORS} more mutants survive; --json lists them all")
    hints.extend(
        f"{Path(subject.path).name}: no test runs {ranges(subject.missing_lines)}"
        for subject in evidence.subjects
        if subject.missing_lines
    )
    return tuple(hints)


def _verdict(test: TestEvidence) -> str:
    words = {
        "failing": "fails",
        "flaky": "is flaky",
        "passes-on-broken-twin": "proves nothing",
    }
    return (
        f"{test.name} {words[test.verdict]}: {test.message}" if test.message else f"{test.name} {words[test.verdict]}"
    )


def _surplus(test: TestEvidence) -> str:
    beside = f"; the nearest is {test.nearest}" if test.nearest else ""
    return f"{test.name} adds nothing: all it covers and kills, others do too{beside}"


def _survivor(mutant: MutantResult) -> str:
    place = f"{Path(mutant.path).name} line {mutant.line}"
    where = f" in {mutant.function}" if mutant.function else ""
    why = _WHY.get(mutant.operator, "no test notices")
    return f"{place}: `{mutant.original}` -> `{mutant.replacement}`{where} survives: {why}"


def _spread(survivors: list[MutantResult]) -> list[MutantResult]:
    """Survivors to show: one for each line first, so that one expression does not fill the list."""
    seen: set[tuple[str, int]] = set()
    first: list[MutantResult] = []
    rest: list[MutantResult] = []
    for mutant in survivors:
        place = (mutant.path, mutant.line)
        (rest if place in seen else first).append(mutant)
        seen.add(place)
    return sorted((first + rest)[:MAX_SURVIVORS], key=lambda one: (one.path, one.line, one.id))


def ranges(lines: Iterable[int]) -> str:
    """Line numbers as ranges: lines 3, 7-9, 12."""
    found: list[list[int]] = []
    for line in sorted(lines):
        if found and line == found[-1][1] + 1:
            found[-1][1] = line
        else:
            found.append([line, line])
    word = "line " if len(found) == 1 and found[0][0] == found[0][1] else "lines "
    return word + ", ".join(str(first) if first == last else f"{first}-{last}" for first, last in found)
