"""What the search makes of modules: parsers, tables, options, operators, endless functions, deadly ones."""

from __future__ import annotations

from pathlib import Path

import pytest

from .test_search import cases_of, search


def expressions(result: dict, target: str) -> list[str]:
    return [case["steps"][-1]["expr"] for case in cases_of(result, target)]


def test_the_body_of_a_function_counts_as_its_own(tmp_path: Path) -> None:
    """The arms of a function's body, and of functions inside it, are listed and hit under its name."""
    source = """
    def sign(number: int) -> str:
        def name(value: int) -> str:
            if value > 0:
                return "plus"
            return "minus"
        if number == 0:
            return "zero"
        return name(number)
    """
    result = search(tmp_path, source, evaluations=800)
    (function,) = result["functions"]
    assert len(function["arms"]) >= 4
    assert function["hit"] == function["arms"]


def test_an_endless_iterator_is_cut(tmp_path: Path) -> None:
    """A function that returns an endless iterator gets a case with its first items, and no suspicion."""
    source = """
    import itertools

    def again(word: str, times: int = -1):
        if times < 0:
            return itertools.repeat(word)
        return itertools.repeat(word, times)
    """
    result = search(tmp_path, source, evaluations=600)
    shown = expressions(result, "again")
    assert any(one.startswith("list(islice(again(") for one in shown)
    assert any(one.startswith("list(again(") for one in shown)
    assert result["suspects"] == []


def test_a_deadly_function_takes_only_itself_along(tmp_path: Path) -> None:
    """A crash ends neither the search nor what was found before, and is suspected with the call that shows it."""
    source = """
    import os

    def deadly(number: int) -> int:
        if number > 2:
            os.abort()
        return number + 1

    def harmless(number: int) -> str:
        if number > 2:
            return "many"
        return "few"
    """
    result = search(tmp_path, source, evaluations=1500)
    assert {case["outcome"]["src"] for case in cases_of(result, "harmless")} == {'"many"', '"few"'}
    (suspect,) = result["suspects"]
    assert (suspect["target"], suspect["kind"]) == ("deadly", "crash")
    assert suspect["steps"][-1]["args"] or suspect["steps"][-1]["kwargs"]


def test_parsers_get_texts_of_the_common_formats(tmp_path: Path) -> None:
    """A parser of sections and keys is entered deeply without any example."""
    source = """
    def read(text: str) -> dict[str, dict[str, str]]:
        found: dict[str, dict[str, str]] = {}
        section = None
        for line in text.splitlines():
            if line.startswith("[") and line.endswith("]"):
                section = found.setdefault(line[1:-1], {})
            elif "=" in line:
                if section is None:
                    raise ValueError("key outside of a section")
                name, _, value = line.partition("=")
                section[name.strip()] = value.strip()
        return found
    """
    result = search(tmp_path, source, evaluations=1500)
    assert result["not_reached"] == []


def test_operators_meet_other_types(tmp_path: Path) -> None:
    """A comparison that refuses strangers is tried with one, and the refusal is asserted."""
    source = """
    class Size:
        def __init__(self, number: int) -> None:
            self.number = number

        def __lt__(self, other: object) -> bool:
            if not isinstance(other, Size):
                return NotImplemented
            return self.number < other.number
    """
    result = search(tmp_path, source, evaluations=1500)
    assert result["not_reached"] == []
    assert "TypeError" in {case["outcome"]["exception"] for case in cases_of(result, "Size.__lt__")}


def test_every_option_is_tried(tmp_path: Path) -> None:
    """Each choice of a Literal and the other value of a flag appear among the cases."""
    source = """
    from typing import Literal

    def show(text: str, style: Literal["plain", "loud", "quiet", "odd"] = "plain", twice: bool = False) -> str:
        if style == "loud":
            text = text.upper()
        elif style == "quiet":
            text = text.lower()
        elif style == "odd":
            text = text.swapcase()
        if twice:
            text = text * 2
        return text
    """
    result = search(tmp_path, source, evaluations=600)
    assert result["not_reached"] == []


def test_table_entries_are_tried_one_by_one(tmp_path: Path) -> None:
    """Most mutants of a table's entries are killed by a case that looks the entry up."""
    rows = ", ".join(f'"word{n:02}": {n}' for n in range(40))
    source = f"""
    _NUMBERS = {{{rows}}}

    def number_of(word: str) -> int:
        return _NUMBERS.get(word, -1)
    """
    result = search(tmp_path, source, evaluations=6000)
    early = [mutant for mutant in result["mutants"] if not mutant["function"] and not mutant["left_out"]]
    assert len(early) > 20
    assert sum(mutant["killed"] for mutant in early) > 0.6 * len(early)


@pytest.mark.services
def test_a_large_module_keeps_the_time(tmp_path: Path) -> None:
    """A search of more than it can do in its time ends by itself and hands over cases that it ran and checked."""
    work = """
def work_{n}(items: list[int], limit: int = {n}) -> int:
    total = 0
    for item in items:
        if item > limit:
            total += item * {n}
        else:
            total -= 1
    return total
"""
    result = search(tmp_path, "".join(work.replace("{n}", str(n)) for n in range(80)), evaluations=None, budget_s=3.0)
    assert result["seconds"] < 30
    assert result["executions"] > 0
    assert result["cases"]


def test_failing_doctests_of_one_docstring_are_one_suspicion(tmp_path: Path) -> None:
    """Several examples that fail in one docstring are one suspicion, which counts the others."""
    source = '''
    def double(number: int) -> int:
        """Twice the number.

        >>> double(1)
        3
        >>> double(2)
        5
        >>> double(3)
        7
        """
        return number * 2
    '''
    result = search(tmp_path, source, evaluations=300)
    (suspect,) = result["suspects"]
    assert "2 more" in suspect["why"]


def test_an_example_that_imports_what_is_not_installed_is_passed_over(tmp_path: Path) -> None:
    """A doctest whose import fails harms no other case of its function."""
    source = '''
    def double(number: int) -> int:
        """Twice the number.

        >>> import a_package_that_nobody_has
        >>> double(a_package_that_nobody_has.ONE)
        2
        """
        return number * 2
    '''
    assert search(tmp_path, source, evaluations=300)["cases"]
