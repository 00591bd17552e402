"""Smells of tests: each is seen where it is, and nothing is seen in sound tests that look alike."""

from __future__ import annotations

import textwrap

import pytest

from aqe.agents.review.smells import PREFIX, SMELLS, find_smells
from aqe.agents.review.sources import Source

SMELLING = {
    "no-assertion": """
        def test_total():
            cart = Cart()
            cart.add("pen")
    """,
    "always-true": """
        def test_total():
            total = Cart().total
            assert total or True
    """,
    "returns-comparison": """
        def test_total():
            return Cart().total == 0
    """,
    "unreachable-assertion": """
        def test_refused():
            with pytest.raises(ValueError) as caught:
                Cart().add("")
                assert "empty" in str(caught.value)
    """,
    "uncalled-assertion": """
        def test_total():
            def check():
                assert Cart().total == 1
            assert Cart().total == 0
    """,
    "swallowed-exception": """
        def test_total():
            try:
                assert Cart().total == 1
            except Exception:
                pass
    """,
    "conditional-assertion": """
        def test_total():
            total = Cart().find("pen")
            if total:
                assert total == 1
    """,
    "duplicate-assertion": """
        def test_total():
            total = Cart().total
            assert total == 0
            assert total == 0
    """,
    "assertion-roulette": """
        def test_total():
            cart = Cart()
    """
    + "".join(f"        assert cart.total != {number}\n    " for number in range(1, 14)),
    "mocked-subject": """
        def test_total(monkeypatch):
            monkeypatch.setattr(shop, "total", lambda: 7)
            assert shop.total() == 7
    """,
    "sleep": """
        def test_total():
            time.sleep(1)
            assert Cart().total == 0
    """,
    "random-input": """
        def test_total():
            many = random.randint(1, 9)
            assert Cart(many).total == many
    """,
    "current-time": """
        def test_made():
            assert Cart().made == datetime.datetime.now()
    """,
    "leaked-state": """
        def test_language():
            os.environ["LANG"] = "de"
            assert Cart().total == 0
    """,
    "absolute-path": """
        def test_total():
            assert open("/home/me/total.txt").read() == "0"
    """,
    "network": """
        def test_total():
            assert requests.get("https://shop.invalid.org/total", timeout=1).text == "0"
    """,
    "skip-without-reason": """
        @pytest.mark.skip
        def test_total():
            assert Cart().total == 0
    """,
    "print": """
        def test_total():
            print(Cart().total)
            assert Cart().total == 0
    """,
    "shadowed-test": """
        def test_total():
            assert Cart().total == 0

        def test_total():
            assert Cart("pen").total == 1
    """,
    "duplicate-test": """
        def test_total():
            assert Cart().total == 0

        def test_sum():
            assert Cart().total == 0
    """,
}

SOUND = {
    "the name says that nothing is raised": """
        def test_closing_twice_does_not_raise():
            Cart().close()
    """,
    "a helper of the file asserts": """
        def holds(cart, many):
            assert len(cart) == many

        def test_total():
            holds(Cart(), 0)
    """,
    "another test does the checking": """
        def test_total(cart=None):
            assert (cart or Cart()).total == 0

        def test_total_of_a_member():
            test_total(cart=Cart("member"))
    """,
    "a helper of the tests asserts": """
        from tests.helpers import compare_carts

        def test_total():
            compare_carts(Cart(), Cart())
    """,
    "a mock asserts": """
        def test_told(listener):
            Cart(listener).add("pen")
            listener.told.assert_called_once_with("pen")
    """,
    "the long form of raises": """
        def test_refused():
            try:
                Cart().add("")
            except ValueError:
                pass
            else:
                pytest.fail("taken")
    """,
    "equality of a thing with itself": """
        def test_equality():
            cart = Cart()
            assert cart == cart
    """,
    "a condition on the system": """
        def test_total():
            if sys.platform == "win32":
                assert Cart().total == 0
            else:
                assert Cart().total == 1
    """,
    "a loop over cases": """
        def test_total():
            for many in (1, 2, 3):
                assert Cart(many).total == many
    """,
    "polling with an end": """
        def test_later():
            while not done():
                time.sleep(0.1)
            assert Cart().total == 0
    """,
    "a seeded generator": """
        def test_total():
            many = random.Random(3).randint(1, 9)
            assert Cart(many).total == many
    """,
    "a frozen clock": """
        def test_made(monkeypatch):
            monkeypatch.setattr(shop, "now", lambda: 3)
            assert Cart().made == datetime.datetime.now()
    """,
    "the environment by monkeypatch": """
        def test_language(monkeypatch):
            monkeypatch.setenv("LANG", "de")
            assert Cart().total == 0
    """,
    "a stateful call twice": """
        def test_pop():
            cart = Cart(2)
            assert cart.pop() == 1
            assert cart.pop() == 1
    """,
    "a missing file": """
        def test_missing():
            with pytest.raises(FileNotFoundError):
                open("/nonexistent/total.txt")
    """,
    "a local server": """
        def test_total():
            assert requests.get("http://localhost:8000/total", timeout=1).text == "0"
    """,
    "what another collaborator answers": """
        def test_total(monkeypatch):
            monkeypatch.setattr(shop, "price", lambda sku: 7)
            assert shop.total("pen") == 7
    """,
    "one name in two classes": """
        class TestOne:
            def test_total(self):
                assert Cart().total == 0

        class TestTwo:
            def test_total(self):
                assert Cart(2).total == 2
    """,
    "an assertion after the block": """
        def test_refused():
            with pytest.raises(ValueError) as caught:
                Cart().add("")
            assert "empty" in str(caught.value)
    """,
}


def seen(text: str, path: str = "tests/test_cart.py") -> list[str]:
    source = Source(path, textwrap.dedent(text), frozenset())
    assert source.tree is not None
    return [one.rule.removeprefix(PREFIX) for one in find_smells(source)]


@pytest.mark.parametrize("smell", SMELLING)
def test_a_smell_is_seen_where_it_is(smell: str) -> None:
    """Each smell is found in a test that has it, and no other with it."""
    assert seen(SMELLING[smell]) == [smell]


@pytest.mark.parametrize("what", SOUND)
def test_sound_tests_are_left_alone(what: str) -> None:
    """A test that only looks like a smelling one gets no finding."""
    assert seen(SOUND[what]) == []


def test_every_smell_of_the_table_has_an_example() -> None:
    """No smell is in the table without a test that shows it."""
    assert set(SMELLS) <= set(SMELLING)


def test_code_that_is_no_test_is_not_looked_at() -> None:
    """The same text in a module of the program gives nothing."""
    assert seen(SMELLING["sleep"], "shop/test.py") == []


def test_a_finding_names_the_line() -> None:
    """The line is that of the statement, not of the test."""
    source = Source(
        "test_x.py", "import time\n\ndef test_a():\n    x = 1\n    time.sleep(3)\n    assert x\n", frozenset()
    )
    assert [one.lines for one in find_smells(source)] == [(5, 5)]
