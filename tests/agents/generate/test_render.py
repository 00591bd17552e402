"""Cases, in the shape in which the search hands them over, become tests that a person would keep."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from aqe.agents.generate import naming
from aqe.agents.generate.cases import Case, Step, read_result
from aqe.agents.generate.outline import Outline, read_outline
from aqe.agents.generate.render import Style, file_text, nodes, plan
from aqe.agents.generate.script import lists_inputs


def step(
    callee: str, *args: str, bind: str = "", awaited: bool = False, kind: str = "call", **kwargs: str
) -> dict[str, Any]:
    """One step; keyword arguments are sources."""
    pairs = [[name, src] for name, src in kwargs.items()]
    return {"bind": bind or None, "callee": callee, "args": list(args), "kwargs": pairs, "await": awaited, "kind": kind}


def returns(src: str | None, type_name: str = "str", *, approx: bool = False) -> dict[str, Any]:
    """A value."""
    return {"kind": "returns", "src": src, "type": type_name, "approx": approx}


def raises(exception: str, message: str = "", module: str = "builtins") -> dict[str, Any]:
    """An exception."""
    return {"kind": "raises", "exception": exception, "exception_module": module, "message": message}


def case(target: str, steps: Sequence[dict[str, Any]], outcome: dict[str, Any], **more: Any) -> dict[str, Any]:
    """One case; `checks` is a mapping of expression to source."""
    checks = [{"expr": expr, "src": src} for expr, src in more.pop("checks", {}).items()]
    return {"target": target, "steps": list(steps), "outcome": outcome, "checks": checks, **more}


def read_cases(*items: dict[str, Any]) -> tuple[Case, ...]:
    """The cases as the generator sees them."""
    return read_result({"cases": list(items)}, "shop.stack").cases


SUBJECT = """
class Stack:
    def __init__(self, items=None):
        self.items = list(items or [])

    def push(self, item):
        self.items.append(item)

    def pop(self):
        return self.items.pop()

    def __len__(self):
        return len(self.items)


def slugify(text, separator="-"):
    return text


def is_even(number):
    return number % 2 == 0


async def fetch(url):
    return url
"""


@pytest.fixture
def outline(tmp_path: Path) -> Outline:
    """What the subject of these tests defines."""
    path = tmp_path / "stack.py"
    path.write_text(SUBJECT, encoding="utf-8")
    return read_outline(path)


@pytest.fixture
def style() -> Style:
    """Imports as `from shop.stack import ...`, with shop in the project."""
    return Style("shop.stack", first_party=frozenset({"shop"}))


def test_cases_that_differ_in_values_share_one_parametrized_test(outline: Outline, style: Style) -> None:
    """Plain cases of one shape become rows, with pytest's own ids where they read well."""
    cases = read_cases(
        case("slugify", [step("slugify", '"A b"')], returns('"a-b"'), documented=True),
        case("slugify", [step("slugify", '"C d"')], returns('"c-d"'), documented=True),
    )
    text = file_text(plan(cases, outline, style), style)
    assert (
        text
        == '''"""Tests of `shop.stack`, each executed before it was written."""

import pytest

from shop.stack import slugify


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("A b", "a-b"),
        ("C d", "c-d"),
    ],
)
def test_slugify_by_text(text, expected):
    assert slugify(text) == expected
'''
    )


def test_rows_that_pytest_cannot_name_get_the_label_as_id(outline: Outline, style: Style) -> None:
    """An empty string or a list as argument gets a written id."""
    cases = read_cases(
        case("slugify", [step("slugify", '""')], returns('""'), label="empty string"),
        case("slugify", [step("slugify", '["a"]')], returns('"a"'), label="list"),
    )
    planned = plan(cases, outline, style)
    assert set(nodes(planned)) == {
        "test_slugify_by_text_for_empty_string_or_list[empty_string]",
        "test_slugify_by_text_for_empty_string_or_list[list]",
    }
    assert 'pytest.param("", "", id="empty_string")' in file_text(planned, style)


def test_examples_that_read_an_attribute_become_rows(outline: Outline, style: Style) -> None:
    """`Stack("ab").items` and `Stack("c").items` share a test whose parameter is the one of the class."""
    cases = read_cases(
        case("Stack.items", [step('Stack("ab").items', kind="get")], returns('["a", "b"]', "list"), origin="doctest"),
        case("Stack.items", [step('Stack("c").items', kind="get")], returns('["c"]', "list"), origin="doctest"),
    )
    (test,) = plan(cases, outline, style).tests
    assert test.name == "test_stack_items_by_items_as_documented"
    assert test.lines[-1] == "    assert Stack(items).items == expected"


def test_a_comparison_says_how_two_things_compare(outline: Outline, style: Style) -> None:
    """Bare names of an example leave no line, and the name says the comparison."""
    steps = [step("Stack", bind="a"), step("Stack", bind="b"), step("a", kind="get"), step("a < b", kind="get")]
    (test,) = plan(read_cases(case("Stack", steps, returns("False", "bool"), label="after a")), outline, style).tests
    assert test.lines == (
        "# characterisation",
        "def test_stack_is_not_less():",
        "    a = Stack()",
        "    b = Stack()",
        "    assert not a < b",
    )


def test_flag_that_is_off_reads_as_without(outline: Outline, style: Style) -> None:
    """The label `not strict` becomes `without_strict`."""
    cases = read_cases(case("is_even", [step("is_even", "2")], returns("True", "bool"), label="not strict"))
    (test,) = plan(cases, outline, style).tests
    assert test.name == "test_is_even_returns_true_without_strict"


def test_names_say_what_differs_and_never_end_in_a_bare_number(outline: Outline, style: Style) -> None:
    """Small numbers are words with their parameter, calls give their keywords, and what reads as nothing is counted."""
    cases = read_cases(
        case("is_even", [step("is_even", "7")], returns("False", "bool")),
        case("is_even", [step("is_even", "9001"), step("is_even", "9003")], returns("False", "bool")),
        case("slugify", [step("slugify", "Text(size=3)")], returns("61", "int")),
        case("slugify", [step("slugify", "Text(width=4)")], returns("62", "int")),
        case("slugify", [step("slugify", "7")], returns("7", "int")),
        case("slugify", [step("slugify", '"P3D"')], returns('"p3-d"', "str")),
        case("slugify", [step("slugify", '"new york"')], returns('"new-york"', "str")),
    )
    names = [test.name for test in plan(cases, outline, style).tests]
    assert not [name for name in names if name[-1].isdigit()]
    numbers = {"test_slugify_returns_number", "test_slugify_returns_number_for_text_width"}
    assert numbers | {"test_slugify_returns_seven", "test_is_even_returns_false"} <= set(names)


@pytest.mark.parametrize(
    ("name", "src", "words"),
    [
        ("owner", '"new york"', "new_york"),
        ("limit", "3", "limit_3"),
        ("limit", "-3", "limit_minus_3"),
        ("word", '"s"', "word_s"),
        ("items", "[9, -2]", "two_items"),
        ("word", '"}"', ""),
    ],
)
def test_a_row_is_told_by_what_it_holds(name: str, src: str, words: str) -> None:
    """The id of a row is its literal where that reads well, else the parameter with its value."""
    assert naming.describe(name, src) == words


STREAMS = """
async def collect(items):
    for item in items:
        yield item


async def items(item):
    while True:
        yield item
"""


def test_what_collects_a_stream_hides_no_name_of_the_subject(tmp_path: Path, style: Style) -> None:
    """Where the subject itself is called `collect` or `items`, the coroutine and its variables take other names."""
    (tmp_path / "stack.py").write_text(STREAMS, encoding="utf-8")
    outline = read_outline(tmp_path / "stack.py")
    cases = read_cases(
        case("collect", [{**step("collect", "[1]"), "collect": True}], returns("[1]", "list")),
        case("items", [{**step("items", "1"), "collect": True, "first": 2}], returns("[1, 1]", "list")),
    )
    text = file_text(plan(cases, outline, style), style).replace("from shop.stack import collect, items\n", "")
    scope: dict[str, Any] = {}
    exec(STREAMS + text, scope)
    tests = [test for name, test in scope.items() if name.startswith("test_")]
    assert len(tests) == 2
    for test in tests:
        test()


def test_tables_of_one_name_are_told_apart_by_what_they_do_not_vary(outline: Outline, style: Style) -> None:
    """A table's name never names one of its own rows."""
    cases = [case("slugify", [step("slugify", repr("word" + chr(97 + n)))], returns(repr(f"{n}x"))) for n in range(12)]
    names = [test.name for test in plan(read_cases(*cases), outline, style).tests]
    assert names == ["test_slugify_by_text", "test_slugify_by_text_second_table"]


def test_what_only_records_today_is_marked(outline: Outline, style: Style) -> None:
    """A case that nothing documents stands under a characterisation comment, a documented one does not."""
    cases = read_cases(
        case("is_even", [step("is_even", "2")], returns("True", "bool"), documented=True),
        case("is_even", [step("is_even", "3")], returns("False", "bool")),
    )
    tests = {test.name: test.lines for test in plan(cases, outline, style).tests}
    assert tests["test_is_even_returns_false"][0] == "# characterisation"
    assert tests["test_is_even_returns_true"] == ("def test_is_even_returns_true():", "    assert is_even(2) is True")


def test_methods_are_called_on_a_built_object_and_state_is_asserted(outline: Outline, style: Style) -> None:
    """A sequence is arranged, run and checked, and the name says which attribute changes."""
    push = case(
        "Stack.push",
        [step("Stack", bind="stack"), step("stack.push", "1"), step("stack.push", "2")],
        returns("None", "NoneType"),
        checks={"stack.items": "[1, 2]"},
        documented=True,
    )
    (test,) = plan(read_cases(push), outline, style).tests
    assert test.lines == (
        "def test_stack_push_sets_items():",
        "    stack = Stack()",
        "    stack.push(1)",
        "    stack.push(2)",
        "    assert stack.items == [1, 2]",
    )


def test_special_methods_are_written_as_operators(outline: Outline, style: Style) -> None:
    """A reader sees len(stack), not stack.__len__()."""
    length = case("Stack.__len__", [step("Stack", "[1]", bind="stack"), step("stack.__len__")], returns("1", "int"))
    (test,) = plan(read_cases(length), outline, style).tests
    assert test.lines[-1] == "    assert len(stack) == 1"


def test_documented_message_is_matched_and_escaped(outline: Outline, style: Style) -> None:
    """The message of an exception is matched when a raise statement backs it, and not otherwise."""
    cases = read_cases(
        case("slugify", [step("slugify", "1")], raises("ValueError", "no text (1)"), documented=True),
        case("slugify", [step("slugify", "None")], raises("TypeError", "bad operand")),
    )
    text = file_text(plan(cases, outline, style), style)
    assert 'pytest.raises(ValueError, match=re.escape("no text (1)"))' in text
    assert "with pytest.raises(TypeError):" in text
    assert "import re\n\nimport pytest" in text


@pytest.mark.parametrize(
    ("message", "is_list"),
    [
        ("got 2 unexpected keyword argument(s): width, depth", True),
        ("unknown: 'depth' and 'width'", True),
        ("width must be below depth", False),
        ("width is wrong", False),
    ],
)
def test_message_that_counts_inputs_up_is_a_list(message: str, is_list: bool) -> None:
    """A message that names inputs one after the other may come from a set, whose order changes with the hash seed."""
    assert lists_inputs(message, Step("slugify", kwargs=(("depth", "1"), ("width", "2")))) is is_list


def test_exceptions_of_other_modules_are_imported_from_there(outline: Outline, style: Style) -> None:
    """An exception that is neither builtin nor the subject's own is imported from its module."""
    cases = read_cases(case("slugify", [step("slugify", "1")], raises("JSONDecodeError", module="json.decoder")))
    assert "from json.decoder import JSONDecodeError\n" in file_text(plan(cases, outline, style), style)


def test_floats_are_compared_with_approx(outline: Outline, style: Style) -> None:
    """A float outcome allows for rounding."""
    cases = read_cases(case("slugify", [step("slugify", "1")], returns("0.1", "float", approx=True)))
    assert "assert slugify(1) == pytest.approx(0.1)" in file_text(plan(cases, outline, style), style)


def test_coroutines_run_in_a_plain_test(outline: Outline, style: Style) -> None:
    """An async function needs no plugin; several awaits share one loop."""
    one = case("fetch", [step("fetch", '"u"', awaited=True)], returns('"u"'))
    two = case("fetch", [step("fetch", '"v"', awaited=True), step("fetch", '"w"', awaited=True)], returns('"w"'))
    text = file_text(plan(read_cases(one, two), outline, style), style)
    assert 'assert asyncio.run(fetch("u")) == "u"' in text
    assert '    async def scenario():\n        await fetch("v")\n        assert await fetch("w") == "w"' in text
    assert "    asyncio.run(scenario())" in text


def test_addresses_and_temporary_paths_never_reach_a_test(outline: Outline, style: Style) -> None:
    """A case whose sources hold what changes with the process is left out and counted."""
    cases = read_cases(
        case("slugify", [step("slugify", "1")], returns('"<Stack object at 0x7f0011223344>"')),
        case("slugify", [step("slugify", "2")], returns('"/tmp/xyz/file"')),
        case("slugify", [step("slugify", "3")], returns('"fine"')),
    )
    planned = plan(cases, outline, style)
    assert (len(planned.tests), planned.left_out) == (1, 2)


def test_no_test_is_longer_than_fifteen_lines(outline: Outline, style: Style) -> None:
    """Many cases are spread over several tests, each named apart and each at most fifteen lines."""
    cases = read_cases(*(case("slugify", [step("slugify", f'"text {n}"')], returns(f'"text-{n}"')) for n in range(40)))
    tests = plan(cases, outline, style).tests
    assert sum(len(test.cases) for test in tests) == 40
    assert len({test.name for test in tests}) == len(tests) == 6
    assert max(len(test.lines) for test in tests) <= 15


def test_module_is_read_as_the_project_reads_it(outline: Outline) -> None:
    """With `import shop.stack` as the project's way, the subject's names are read off the module."""
    style = Style("shop.stack", prefix="shop.stack", first_party=frozenset({"shop"}))
    cases = read_cases(case("is_even", [step("is_even", "2")], returns("True", "bool")))
    text = file_text(plan(cases, outline, style), style)
    assert "import shop.stack\n" in text
    assert "assert shop.stack.is_even(2) is True" in text


def test_what_is_not_source_is_dropped() -> None:
    """A worker's answer is data: a step that is not one expression, or an import that is not one, is refused."""
    good = case("f", [step("f", "1")], returns("1", "int"))
    evil = case("f", [step("f", "1); import os; (2")], returns("1", "int"))
    smuggled = case("f", [step("f", "1")], returns("1", "int"), imports=["import os; os.remove('x')"])
    result = read_result({"cases": [good, evil, smuggled, "nonsense"]}, "m")
    assert (len(result.cases), result.dropped) == (1, 2)


def test_output_is_stable_under_ruff(outline: Outline, style: Style) -> None:
    """The whole file comes back from `ruff format` byte for byte, long values included."""
    long = "[" + ", ".join(f'"item {n}"' for n in range(12)) + "]"
    cases = read_cases(
        case("slugify", [step("slugify", long, separator='"_"')], returns(long, "list")),
        case("slugify", [step("slugify", '"a"')], returns(long, "list")),
        case(
            "Stack",
            [step("Stack", long, bind="stack")],
            returns(None, "shop.stack.Stack"),
            checks={"stack.items": long},
        ),
        case("fetch", [step("fetch", '"u"', awaited=True)], returns("None", "NoneType")),
        case("slugify", [step("slugify", "1")], raises("ValueError", "x" * 60), documented=True),
    )
    text = file_text(plan(cases, outline, style), style)
    command = [sys.executable, "-m", "ruff", "format", "--isolated", "-"]
    assert subprocess.run(command, input=text, capture_output=True, text=True, check=True).stdout == text
