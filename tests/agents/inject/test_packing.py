"""A case that travels as data runs the same calls and reads the same."""

from __future__ import annotations

import json
import re
import types

import pytest
from _aqe_inject.namespace import Namespace
from _aqe_inject.packing import pack, read_recipe, unpack
from _aqe_inject.recipes import Case, Items, Late, Make, Pairs, Step


@pytest.mark.parametrize(
    "text",
    ["1", '"a/b"', 'float("nan")', "[1, Decimal(\"1.5\")]", "{\"k\": date(2024, 2, 29)}", "lambda x: x * 2", "...",
     "set()", "(1,)", "-2.5", "timedelta(days=1)", "timezone.utc", "re.compile(\"a+\")"],
)  # fmt: skip
def test_an_argument_reads_back_to_an_equal_value(text: str) -> None:
    """Source that becomes a recipe again builds what the source evaluates to."""
    names = Namespace(types.ModuleType("subject"))
    made, meant = read_recipe(text).build(names.globals), names.evaluate(text)
    assert _plain(made) == _plain(meant)


def _plain(value: object) -> str:
    return re.sub(r"0x[0-9a-f]+", "", repr(value))


def test_structure_survives_so_that_a_case_can_be_shortened() -> None:
    """Containers and calls come back as recipes with parts, not as opaque text."""
    assert isinstance(read_recipe("[f(1), 2]"), Items)
    assert isinstance(read_recipe("{f(1): 2}"), Pairs)
    assert isinstance(read_recipe("f([1], k=2)"), Make)


def test_what_names_a_variable_of_an_earlier_line_is_built_when_it_is_there() -> None:
    """An argument that leans on a bound name waits for it."""
    assert isinstance(read_recipe("f(stack)", frozenset({"stack"})), Late)


def test_a_case_is_the_same_after_a_journey_as_json() -> None:
    """Steps, bindings, options and forms are all kept."""
    make = Step("Stack", bind="stack", args=(read_recipe("[1, 2]"),))
    call = Step("stack.push", receiver="stack", args=(read_recipe('"x"'),), kwargs=(("top", read_recipe("True")),))
    case = Case("Stack.push", (make, call), "doctest")
    back = unpack(json.loads(json.dumps(pack(case))))
    assert (back.key(), back.target, back.origin) == (case.key(), case.target, case.origin)
