"""What the author says about a function's behaviour: announced, denied, or nothing."""

from __future__ import annotations

import pytest

from aqe.agents.review.intent import (
    names,
    promised_exceptions,
    stance_of_docstring,
    stance_of_message,
    stance_of_tests,
)
from aqe.agents.review.sources import Source


@pytest.mark.parametrize(
    ("message", "stance"),
    [
        ("Fix parse_version for versions without a minor part", "announced"),
        ("Parsing versions now accepts a leading v", "announced"),
        ("Raise ValueError in parse_version when the text is empty", "announced"),
        ("Refactor parse_version for readability", "denied"),
        ("Refactor version parsing; no behaviour change", "denied"),
        ("Fix the cart. Rename variables in parse_version, no functional change", "denied"),
        ("Simplify parse_version with a comprehension", "denied"),
        ("Fix typo in parse_version", "denied"),
        ("Reformat with black", "denied"),
        ("", "silent"),
        ("Bump the year", "silent"),
    ],
)
def test_a_message_takes_a_stance(message: str, stance: str) -> None:
    """Words of doing about the function announce, words of form alone deny, anything else is silence."""
    assert stance_of_message(message, "parse_version", "shop/versions.py", alone=False).stance == stance


def test_a_fix_of_something_else_announces_nothing_here() -> None:
    """A message about another function says nothing about this one, unless this is all that changed."""
    message = "Fix rounding of the total"
    assert stance_of_message(message, "parse_version", "shop/versions.py", alone=False).stance == "silent"
    assert stance_of_message(message, "parse_version", "shop/versions.py", alone=True).stance == "announced"


def test_a_fix_outweighs_a_tidy_up_beside_it() -> None:
    """Where one sentence tidies and another mends the function, the mending is announced."""
    message = "Tidy the module.\nparse_version: reject negative numbers"
    told = stance_of_message(message, "parse_version", "shop/versions.py", alone=False)
    assert (told.stance, "reject negative" in told.where) == ("announced", True)


@pytest.mark.parametrize(
    ("sentence", "expected"),
    [
        ("call parse_version() twice", True),
        ("versions are parsed", True),
        ("Cart: the length counts pieces", False),
        ("parse the header", False),
    ],
)
def test_a_sentence_names_a_function_by_name_or_by_its_words(sentence: str, expected: bool) -> None:
    """The name itself counts, and most words of it in any form."""
    assert names(sentence, "parse_version", "shop/manifest_reader.py") is expected


def test_a_method_is_named_by_its_class_and_module_too() -> None:
    """One word of the name is enough beside a word of its class."""
    assert names("the cart adds up pieces of one article", "Cart.add_pieces", "shop/cart.py")


def test_a_changed_docstring_announces() -> None:
    """A docstring that was changed with the function speaks of the change; an unchanged one does not."""
    base = Source("a.py", 'class A:\n    def f(self):\n        """One."""\n        return 1\n', frozenset())
    head = Source("a.py", 'class A:\n    def f(self):\n        """Two."""\n        return 2\n', frozenset({3, 4}))
    assert stance_of_docstring(base, head, "A.f").stance == "announced"
    assert stance_of_docstring(base, base, "A.f").stance == "silent"


def test_a_changed_test_of_the_function_announces() -> None:
    """A changed line of a test that calls the function counts; its import line and other tests do not."""
    text = (
        "from shop import total\n\n\ndef test_total():\n    assert total([1]) == 2\n\n\ndef test_b():\n    assert 1\n"
    )
    assert stance_of_tests([Source("tests/test_a.py", text, frozenset({5}))], "total").stance == "announced"
    assert stance_of_tests([Source("tests/test_a.py", text, frozenset({1, 9}))], "total").stance == "silent"
    assert stance_of_tests([Source("tests/test_a.py", text, frozenset({5}))], "subtotal").stance == "silent"


@pytest.mark.parametrize(
    ("body", "after", "stance"),
    [
        ("cart.add('a', 0)", "", "silent"),
        ("cart.add('a', 0)\n    assert len(cart) == 1", "returns None", "announced"),
        ("cart.add('a', 0)\n    assert other", "returns None", "silent"),
        ("with pytest.raises(ValueError):\n        cart.add('a', 0)", "raises ValueError: no", "announced"),
        ("with pytest.raises(ValueError):\n        cart.add('a', 0)", "returns None", "silent"),
        ("found = cart.add('a', 0)\n    assert found is None", "returns None", "announced"),
        ("self.assertEqual(cart.add('a', 0), 1)", "returns 1", "announced"),
        ("self.assertRaises(ValueError, cart.add, 'a', 0)", "raises ValueError: no", "announced"),
        ("assert cart.add('a', 0) == 1", "raises ValueError: no", "silent"),
    ],
)
def test_a_changed_test_announces_only_what_it_asserts(body: str, after: str, stance: str) -> None:
    """A call without an assertion announces nothing, nor does an assertion on the other kind of outcome."""
    source = Source("tests/test_cart.py", f"def test_add(cart):\n    {body}\n", frozenset({1, 2, 3}))
    assert stance_of_tests([source], "Cart.add", after).stance == stance


@pytest.mark.parametrize(
    ("docstring", "promised"),
    [
        (
            "Add.\n\nRaises:\n    ValueError: if below 1.\n    shop.Gone:\n        if sold.\nReturns:\n    None: yes.",
            "Gone ValueError",
        ),
        ("Add.\n\n:raises ValueError: if below 1", "ValueError"),
        ("Add.\n\nRaises\n------\nKeyError\n    If it is not there.\n", "KeyError"),
        ("Add; raises `ValueError` below 1.", "ValueError"),
        ("Add pieces.", ""),
    ],
)
def test_promised_exceptions_are_read_in_every_style(docstring: str, promised: str) -> None:
    """Sections, fields and plain sentences name what a function raises."""
    assert promised_exceptions(docstring) >= set(promised.split())
    assert bool(promised_exceptions(docstring)) is bool(promised)
