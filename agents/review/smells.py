"""Smells of test code that a reader would want mended, each by a rule that is silent on good suites.

The names follow the literature that `aqe knowledge` cites (van Deursen et al. 2001, Meszaros 2007, Peruma et al. 2019).
Smells that good suites have everywhere (magic numbers, eager tests, text comparison) are left out on purpose.
"""

from __future__ import annotations

import ast
from collections.abc import Callable, Iterator

from aqe.agents.review.brought import Sighting
from aqe.agents.review.finding import Severity
from aqe.agents.review.smells_of_checks import (
    always_true,
    checks_under_condition,
    duplicate_assertions,
    many_assertions,
    mocked_subject,
    no_assertion,
    returned_comparison,
    swallowed_exception,
    uncalled_checks,
    unreachable_checks,
)
from aqe.agents.review.smells_of_runs import (
    absolute_paths,
    current_time,
    leaked_state,
    outside_network,
    printing,
    random_input,
    skipped_without_reason,
    sleeping,
)
from aqe.agents.review.sources import Source
from aqe.agents.review.test_functions import Checks, Function, TestFunction, checks_of, find_tests

PREFIX = "test-smell-"

Seen = Iterator[tuple[int, str]]
"""A line and what is to be said about it."""

SMELLS: dict[str, tuple[Severity, float, Callable[[TestFunction, Source, Checks], Seen]]] = {
    "no-assertion": ("warning", 0.8, no_assertion),
    "always-true": ("warning", 0.93, always_true),
    "returns-comparison": ("error", 0.95, returned_comparison),
    "unreachable-assertion": ("error", 0.92, unreachable_checks),
    "uncalled-assertion": ("error", 0.9, uncalled_checks),
    "swallowed-exception": ("warning", 0.88, swallowed_exception),
    "conditional-assertion": ("warning", 0.72, checks_under_condition),
    "duplicate-assertion": ("warning", 0.78, duplicate_assertions),
    "assertion-roulette": ("note", 0.4, many_assertions),
    "mocked-subject": ("warning", 0.85, mocked_subject),
    "sleep": ("warning", 0.8, sleeping),
    "random-input": ("warning", 0.66, random_input),
    "current-time": ("warning", 0.6, current_time),
    "leaked-state": ("warning", 0.74, leaked_state),
    "absolute-path": ("warning", 0.7, absolute_paths),
    "network": ("warning", 0.7, outside_network),
    "skip-without-reason": ("note", 0.62, skipped_without_reason),
    "print": ("note", 0.35, printing),
}
"""Each smell's severity, how far it is trusted, and what finds it in one test."""


def find_smells(source: Source) -> list[Sighting]:
    """The smells of every test in a test file; nothing for other files, and for what cannot be parsed."""
    tests = find_tests(source)
    if not tests:
        return []
    checks = checks_of(source)
    found = [*_shadowed(source), *_twins(tests)]
    for test in tests:
        try:
            seen = {name: list(look(test, source, checks)) for name, (_, _, look) in SMELLS.items()}
        except RecursionError:  # a test around an expression of a thousand terms: nothing is said of it
            continue
        if seen["returns-comparison"] or seen["skip-without-reason"]:
            seen["no-assertion"] = []  # the other one says why
        for name, places in seen.items():
            severity, confidence, _ = SMELLS[name]
            found += [Sighting(f"{PREFIX}{name}", severity, confidence, (line, line), said) for line, said in places]
    return sorted(found, key=lambda one: (one.lines, -one.confidence, one.rule))


def _shadowed(source: Source) -> Iterator[Sighting]:
    """Tests that a later one of the same name replaces, so that they never run."""
    assert source.tree is not None
    for body in (source.tree.body, *(node.body for node in source.tree.body if isinstance(node, ast.ClassDef))):
        last = {node.name: node for node in body if isinstance(node, Function)}
        for node in body:
            if isinstance(node, Function) and node.name.startswith("test") and last[node.name] is not node:
                message = f"{node.name} is defined again on line {last[node.name].lineno}: this one never runs."
                lines = (node.lineno, node.lineno)
                yield Sighting(f"{PREFIX}shadowed-test", "error", 0.97, lines, message)


def _twins(tests: list[TestFunction]) -> Iterator[Sighting]:
    """Tests of one class or module whose code is the same: the later one proves nothing."""
    seen: dict[tuple[str, ...], TestFunction] = {}
    for test in tests:
        try:
            body = [ast.unparse(node) for node in test.body]
        except RecursionError:
            continue
        if len(test.node.args.args) > len(test.parameters) or not any("assert" in line for line in body):
            continue
        marks = sorted(ast.unparse(one) for one in test.node.decorator_list)
        key = (test.owner.name if test.owner else "", ast.unparse(test.node.args), *marks, *body)
        if key in seen and seen[key].node.name != test.node.name:
            line = test.node.lineno
            message = f"{test.node.name} does the same as {seen[key].node.name} on line {seen[key].node.lineno}."
            yield Sighting(f"{PREFIX}duplicate-test", "warning", 0.86, (line, test.node.end_lineno or line), message)
        seen.setdefault(key, test)
