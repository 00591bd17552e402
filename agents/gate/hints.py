"""Evidence in words: one sentence on the whole, and what a better test would look at."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from aqe.agents.gate.evidence import Evidence, MutantResult, TestEvidence

MAX_SURVIVORS = 10
HARMLESS = ("stable", "xfail", "not-run")  # verdicts that no run turns red for
MAX_NAMES = 12

_WHY = {
    "comparison": "no test looks at the boundary",
    "condition": "no test depends on which way it goes",
    "boolean operand": "no test has that operand decide",
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
    """One sentence: how many tests hold, how much they cover and kill, and what there was no time to measure."""
    stable = sum(1 for test in evidence.tests if test.verdict == "stable")
    parts = [f"{stable} of {len(evidence.tests)} tests pass {evidence.runs} of {evidence.runs} shuffled runs"]
    expected = sum(1 for test in evidence.tests if test.verdict == "xfail")
    if expected:
        parts.append(f"{expected} {'is' if expected == 1 else 'are'} expected to fail, which proves nothing")
    if evidence.subjects:
        names = ", ".join(subject.module for subject in evidence.subjects)
        lines, branches = f"{evidence.lines_percent:.0f} %", f"{evidence.branches_percent:.0f} %"
        parts.append(f"{lines} of the lines and {branches} of the branches of {names}")
    else:
        parts.append("lines and branches not measured")
    if evidence.mutants_total:
        killed = f"{evidence.mutants_killed} of {evidence.mutants_total}"
        rest = f", {evidence.mutants_not_run} more not run" if evidence.mutants_not_run else ""
        parts.append(f"{killed} mutants killed ({evidence.mutants_percent:.0f} %{rest})")
    elif evidence.mutants_not_run:
        parts.append("mutants not measured")
    return "; ".join(parts) + "."


def hints_of(evidence: Evidence) -> tuple[str, ...]:
    """Tests that do not hold, the tests that add nothing (one hint), surviving mutants, lines that no test runs."""
    hints = [_verdict(test) for test in evidence.tests if test.verdict not in HARMLESS]
    surplus = [test for test in evidence.tests if test.adds_nothing]
    if surplus:
        hints.append(_surplus(surplus))
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


def _surplus(tests: list[TestEvidence]) -> str:
    """All tests without which nothing is lost, in one sentence."""
    if len(tests) == 1:
        beside = f"; the nearest is {tests[0].nearest}" if tests[0].nearest else ""
        return f"{short_name(tests[0].name)} adds nothing: all it covers and kills, others do too{beside}"
    names = ", ".join(short_name(test.name) for test in tests[:MAX_NAMES])
    more = f" and {len(tests) - MAX_NAMES} more" if len(tests) > MAX_NAMES else ""
    return f"{len(tests)} tests add nothing to the others: {names}{more}"


def short_name(name: str, width: int = 60) -> str:
    """A test's name without its folders; a long one loses its middle."""
    file, separator, test = name.partition("::")
    short = test if separator else Path(file).name
    return short if len(short) <= width else short[: width // 2 - 1] + "..." + short[-(width // 2 - 2) :]


def _survivor(mutant: MutantResult) -> str:
    place = f"{Path(mutant.path).name} line {mutant.line}"
    where = f" in {mutant.function}" if mutant.function else ""
    why = _WHY.get(mutant.operator, "no test notices")
    if mutant.operator == "boolean operand" and mutant.replacement.startswith("without "):
        operand = mutant.replacement.partition(" ")[2]
        return f"{place}: `{mutant.original}`{where} survives without {operand}: no test has {operand} decide"
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


def ranges(lines: Iterable[int], most: int = 12) -> str:
    """Line numbers as ranges: lines 3, 7-9, 12; at most `most` of them, and then how many lines more."""
    found: list[list[int]] = []
    for line in sorted(lines):
        if found and line == found[-1][1] + 1:
            found[-1][1] = line
        else:
            found.append([line, line])
    word = "line " if len(found) == 1 and found[0][0] == found[0][1] else "lines "
    shown = ", ".join(str(first) if first == last else f"{first}-{last}" for first, last in found[:most])
    rest = sum(last - first + 1 for first, last in found[most:])
    return word + shown + (f" and {rest} more" if rest else "")
