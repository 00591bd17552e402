"""Which cases belong in one parametrized test: those that differ in plain values only."""

from __future__ import annotations

import ast
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from aqe.agents.generate import naming
from aqe.agents.generate.cases import Case
from aqe.agents.generate.layout import parse
from aqe.agents.generate.outline import Outline
from aqe.agents.generate.script import (
    Position,
    inner_literals,
    names_in,
    outline_of,
    positions,
    stable_message,
)

MAX_ROWS = 8
MAX_PARAMETERS = 5


@dataclass(frozen=True)
class Shape:
    """Cases of one test: `holes` names the places that differ, in the order of the parameters."""

    cases: tuple[Case, ...]
    holes: Mapping[Position, str]

    @property
    def rows(self) -> list[list[str]]:
        """The sources of each row, one for each parameter."""
        if not self.holes:
            return []
        return [[dict(positions(case))[position] for position in self.holes] for case in self.cases]


def group(cases: Sequence[Case], outline: Outline, max_rows: int = MAX_ROWS) -> list[Shape]:
    """Cases of one target by shape: the order of first appearance, each group at most `max_rows` cases."""
    buckets: dict[tuple[object, ...], list[Case]] = {}
    for case in cases:
        buckets.setdefault(_skeleton(case), []).append(case)
    shapes: list[Shape] = []
    for bucket in buckets.values():
        for part in _chunks(bucket, max_rows):
            shapes += _shape(part, outline)
    return shapes


def _skeleton(case: Case) -> tuple[object, ...]:
    """What must be equal for two cases to share one test; sources that name more than plain values count whole."""
    steps = tuple(
        (
            outline_of(step),
            step.kind,
            step.awaited,
            step.bind,
            len(step.args),
            tuple(name for name, _ in step.kwargs),
            step.collects,
            step.first,
        )
        for step in case.steps
    )
    outcome = case.outcome
    value = outcome.src if outcome.src in {"True", "False", "None", None} else "value"
    result = (outcome.kind, value, outcome.exception, outcome.approx, bool(stable_message(case)))
    fixed = tuple((position, src) for position, src in positions(case) if not is_plain(src))
    return (
        steps,
        result,
        outcome.type,
        tuple(check.expr for check in case.checks),
        fixed,
        case.documented,
        case.origin == "doctest",
    )


def is_plain(src: str) -> bool:
    """Whether a source is a literal without any name, so that building it while collecting runs no one's code."""
    if names_in(src):
        return False
    return not any(isinstance(node, ast.Call | ast.Lambda) for node in ast.walk(parse(src)))


def _chunks(cases: list[Case], size: int) -> list[list[Case]]:
    """At most `size` cases each, as even as can be: 9 become 5 and 4."""
    count = -(-len(cases) // size)
    even = -(-len(cases) // count)
    return [cases[start : start + even] for start in range(0, len(cases), even)]


def _shape(cases: list[Case], outline: Outline) -> list[Shape]:
    if len(cases) == 1:
        return [Shape((cases[0],), {})]
    sources = [dict(positions(case)) for case in cases]
    differing = [position for position in sources[0] if len({source[position] for source in sources}) > 1]
    if not differing or len(differing) > MAX_PARAMETERS:
        return [Shape((case,), {}) for case in cases]
    return [Shape(tuple(cases), _parameters(cases[0], differing, outline))]


def _parameters(case: Case, differing: list[Position], outline: Outline) -> dict[Position, str]:
    """A name for each differing place: the parameter it is passed to, `expected`, or the attribute it is read from."""
    taken = {step.bind for step in case.steps if step.bind}
    for _, src in positions(case):
        taken |= names_in(src)
    for step in case.steps:
        taken |= names_in(step.callee)
    values = [position for position in differing if position[0] in {"value", "check"}]
    holes: dict[Position, str] = {}
    for position in differing:
        kind, number, where = position
        if kind == "arg":
            wanted = argument_name(case, number, int(where), outline)
        elif kind == "kw":
            wanted = where
        elif kind == "inner":
            inner = inner_literals(case.steps[number])[int(where)]
            wanted = _parameter_of(inner.callee, inner.place, outline)
        elif kind == "message":
            wanted = "message"
        elif kind == "value" or len(values) == 1:
            wanted = "expected"
        else:
            wanted = f"expected_{naming.slug(case.checks[number].expr.rpartition('.')[2]) or 'state'}"
        holes[position] = naming.parameter(wanted, taken)
    return holes


def _parameter_of(callee: str, place: str, outline: Outline) -> str:
    """The parameter that a call inside an expression passes a literal to; a keyword says it itself."""
    if not place.isdigit():
        return place
    last = callee.rpartition(".")[2]
    found = outline.definitions.get(callee) or next(
        (known for name, known in outline.definitions.items() if name.rpartition(".")[2] == last), None
    )
    if found is None or int(place) >= len(found.parameters):
        return "value"
    return found.parameters[int(place)]


def argument_name(case: Case, number: int, index: int, outline: Outline) -> str:
    """The parameter that an argument of a step is given for."""
    definition = None
    step = case.steps[number]
    if step.callee == "monkeypatch.setenv":
        return ("variable", "value")[index]
    if number == len(case.steps) - 1:
        definition = outline.definitions.get(case.target)
    if definition is None or (
        step.callee.rpartition(".")[2] != definition.qualname.rpartition(".")[2] and definition.kind != "class"
    ):
        last = step.callee.rpartition(".")[2]
        found = [
            known
            for name, known in outline.definitions.items()
            if name == step.callee or name.rpartition(".")[2] == last
        ]
        definition = found[0] if found else definition
    if definition is None:
        return "value"
    if index < len(definition.parameters):
        return definition.parameters[index]
    return definition.star or "value"
