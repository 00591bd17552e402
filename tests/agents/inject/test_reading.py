"""What is read off a subject: shapes, docstrings of three styles, patterns, promises."""

from __future__ import annotations

import random
import re
import types
import warnings
from typing import Any

import pytest
from _aqe_inject import contracts, docstrings, hints, patterns, reading
from hypothesis import given
from hypothesis import strategies as st


def read(source: str) -> dict[str, Any]:
    """The targets of a module made of `source`, by qualified name."""
    module = types.ModuleType("sample")
    exec(compile(source, "sample.py", "exec"), module.__dict__)
    return {target.qualname: target for target in reading.read_module(module, source)}


def kinds(target: Any) -> list[str]:
    return [parameter.shapes[0].kind for parameter in target.parameters]


def test_shapes_come_from_hints_docstrings_defaults_use_and_names() -> None:
    """A hint wins, then the docstring's type, the default, the use in the body, and last the name."""
    targets = read(
        "def f(a: int, b, c='x', d=None, name=None, items=()):\n"
        "    '''Do it.\n\n    Args:\n        b (list of str): some.\n    '''\n"
        "    return d.strip()\n"
    )
    assert kinds(targets["f"]) == ["int", "list", "str", "str", "str", "tuples"]
    assert [parameter.is_stated for parameter in targets["f"].parameters][:3] == [True, True, False]


@pytest.mark.parametrize(
    "doc",
    [
        "Add.\n\n:param int x: one\n:raises ValueError: if x is negative\n:rtype: str",
        "Add.\n\nArgs:\n    x (int): one\n\nReturns:\n    str: it\n\nRaises:\n    ValueError: if x is negative",
        "Add.\n\nParameters\n----------\nx : int\n    one\n\nRaises\n------\nValueError\n    if x is negative",
    ],
    ids=["sphinx", "google", "numpy"],
)
def test_three_styles_of_docstrings_are_read(doc: str) -> None:
    """Types and exceptions are found in Sphinx, Google and NumPy docstrings."""
    found = docstrings.read_docstring(doc)
    assert found.types["x"] == "int"
    assert "ValueError" in found.raises


def test_examples_come_from_doctests_and_sentences() -> None:
    """A doctest with its set-up lines and an example in a sentence are both examples."""
    found = docstrings.read_docstring("Make ``slug('A b')`` -> ``'a-b'``.\n\n>>> x = 1\n>>> slug(x)\n'1'\n").examples
    assert [(one.setup, one.call, one.expected, one.origin) for one in found] == [
        (["x = 1"], "slug(x)", "'1'", "doctest"),
        ([], "slug('A b')", "'a-b'", "docstring"),
    ]


@pytest.mark.parametrize(
    ("words", "kind"),
    [("str", "str"), ("list of int", "list"), ("int or None", "union"), ("Optional[str]", "union"), ("foo", "any")],
)
def test_words_of_docstrings_are_shapes(words: str, kind: str) -> None:
    """The usual ways to write a type in prose are understood; others mean anything."""
    assert hints.shape_of_words(words).kind == kind


@given(st.from_regex(r"[a-z\\d+*?|()\[\]^$.{}2,-]{1,12}", fullmatch=True), st.integers(0, 99))
def test_text_made_from_a_pattern_matches_it(pattern: str, seed: int) -> None:
    """What is written for a regular expression is found by it, for any expression that compiles."""
    with warnings.catch_warnings():
        warnings.simplefilter("error", FutureWarning)
        try:
            compiled = re.compile(pattern)
        except (re.error, FutureWarning):  # no pattern, or one whose meaning is about to change
            return
    made = patterns.matching_text(pattern, random.Random(seed))
    assert made is None or compiled.search(made)


def test_constants_of_helpers_and_tables_belong_to_their_caller() -> None:
    """A function's constants include those of the helper that it calls and the table that it reads."""
    target = read(
        "CODES = {'EUR': 'e'}\n\ndef helper(x):\n    return x == 'magic'\n\n"
        "def f(x):\n    return CODES[x] if helper(x) else 42\n"
    )["f"]
    assert {"EUR", "magic", 42} <= set(target.constants)


@pytest.mark.parametrize(
    ("doc", "arguments", "value", "kind"),
    [
        ("Raises:\n    ValueError: if `share` is below 0 or above 100.", {"share": 101}, 5, "docstring-broken"),
        ("Raises:\n    ValueError: if `share` is below 0 or above 100.", {"share": 100}, 5, None),
        ("The cost, at most 25.", {"share": 1}, 26, "docstring-broken"),
        ("The cost, at most 25 times.", {"share": 1}, 26, None),
        ("The rest; never negative.", {"share": 1}, -1, "docstring-broken"),
        ("Return a score between 0 and 10.", {"share": 1}, 11, "docstring-broken"),
        ("`share` must be at least 1.", {"share": 2}, 0, None),
        ("The share must be at least 1.", {"share": 2}, 0, None),
        ("A number; share is at least 0.", {"share": 2}, -1, None),
        ("A number with share at least 2.", {"share": 2}, 1, None),
        ("A number, where share is at most 5.", {"share": 2}, 7, None),
        ("A number for share >= 3.", {"share": 3}, 1, None),
        ("The share is non-negative.", {"share": 3}, -1, None),
        ("A number; share must be between 0 and 10.", {"share": 3}, 11, None),
        ("The rest for share up to 5, never negative.", {"share": 3}, -1, "docstring-broken"),
        ("The clamped share is at least 0.", {"share": 3}, -1, "docstring-broken"),
        ("A cost, at most 25; share must be at least 1.", {"share": 3}, 26, "docstring-broken"),
        ("Anything.", {"share": 1}, "text", "hint-broken"),
        ("Anything.", {"share": 1}, 3, None),
    ],
)
def test_promises_are_checked_against_values(doc: str, arguments: dict[str, Any], value: Any, kind: str | None) -> None:
    """A documented condition, bound or hint that a value contradicts is a broken promise; anything else is not."""
    target = read(f"def f(share: int) -> int:\n    '''Do.\n\n{doc}\n    '''\n    return share\n")["f"]
    broken = contracts.broken_promise(target, arguments, value, 2)
    assert (broken.kind if broken else None) == kind


@pytest.mark.parametrize(
    ("doc", "share", "level"),
    [
        ("A number; share must be at least 1.", 0, 0),
        ("A number; share must be at least 1.", 1, 2),
        ("A number for share up to 5.", 6, 0),
        ("A number; share must not be greater than 5.", 5, 2),
        ("A number; share must not be greater than 5.", 6, 0),
        ("A number; share must be positive.", 0, 0),
        ("Whether share is positive.", -1, 2),
        ("Nothing if share is at least 3.", 1, 2),
        ("A number; share must be zero or positive.", 0, 2),
        ("A number; share must be at least 1.\n\n    Raises:\n        ValueError: if share is below 1.", 0, 2),
    ],
)
def test_arguments_keep_to_the_conditions_of_the_docstring(doc: str, share: int, level: int) -> None:
    """A call that breaks a stated condition is owed nothing, unless an exception is announced for it."""
    target = read(f"def f(share: int) -> int:\n    '''{doc}'''\n    return share\n")["f"]
    assert contracts.well_typed(target, {"share": share}, {}) == level


@pytest.mark.parametrize(
    ("doc", "value", "is_kept"),
    [
        ("Shorten a text to at most 10 characters.", "x" * 11, False),
        ("Shorten a text to at most 10 characters.", "x" * 10, True),
        ("Shorten a text to at most width characters.", "x" * 6, False),
        ("Shorten a text to at most `width` characters.", "x" * 5, True),
        ("Fill a text up to at least width characters.", "x", False),
        ("Wrap a text to at most width characters.", "x" * 6, True),
        ("Shorten each line to at most width characters.", "x" * 6, True),
        ("Shorten a text to at most width characters plus an ellipsis.", "x" * 6, True),
    ],
)
def test_a_promised_length_is_checked(doc: str, value: str, is_kept: bool) -> None:
    """A text longer or shorter than its docstring says is a broken promise; what is said of its pieces is not."""
    target = read(f"def f(text: str, width: int = 5) -> str:\n    '''{doc}'''\n    return text\n")["f"]
    assert (contracts.broken_promise(target, {"text": "a", "width": 5}, value, 2) is None) == is_kept
