"""A contradiction is no copy: what looks alike and says another thing is stored, and nothing ends it."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from aqe.engine.memory import NewMemory, Store
from aqe.engine.memory.growth.likeness import adds_nothing
from aqe.engine.memory.growth.upkeep import tend
from aqe.engine.memory.growth.wording import repeats, says_same
from aqe.engine.settings import load_settings

CONTRADICTIONS = [
    ("total = price + tax", "total = price - tax"),
    ("assert x > y", "assert x < y"),
    ("the timeout is -5", "the timeout is 5"),
    ("the offset is \u22125", "the offset is 5"),
    ("the total is price - tax", "the total is price"),
    ("use C++ for the parser", "use C for the parser"),
    ("the build needs C#", "the build needs C"),
    ("for the printer use C++", "for the printer use C"),
    ("the gate is (a + b) * c", "the gate is a + (b * c)"),
    ("orders listens on 8080 and refunds on 9090", "orders listens on 9090 and refunds on 8080"),
    ("waits 5 s in staging and 30 s in production", "waits 30 s in staging and 5 s in production"),
    ("Anna owns the parser and Bob the printer", "Bob owns the parser and Anna the printer"),
    ("Bob does not write and Anna reads", "Bob does write and Anna not reads"),
    ("my password hint is the blue door", "your password hint is the blue door"),
    ("the job starts at 5 am", "the job starts at 5"),
    ("the timeout is 5 minutes", "the timeout is 5"),
    ("exports run nightly if the flag is on", "exports run nightly"),
    ("Not so any more: exports run nightly at noon", "exports run nightly at noon"),
    ("the parser is blocked", "the parser blocks"),
    ("use node.js for it", "use node for it"),
    ("is it ready for production?", "it is ready for production"),
]

NAMES = st.sampled_from(["Anna", "Bob", "carol", "x", "y", "price", "tax", "order_id", "orderId", "C", "C++", "C#"])
NUMBERS = st.sampled_from(["0", "5", "-5", "50", "8080", "9090", "1.5", "15"])
OPERATORS = st.sampled_from(["+", "-", "*", "/", "<", ">", "<=", "==", "!=", "=", "**", "and", "or", "not"])
CLAUSES = st.lists(st.tuples(NAMES, OPERATORS, st.one_of(NAMES, NUMBERS)), min_size=1, max_size=3)


@pytest.mark.parametrize(("known", "new"), CONTRADICTIONS)
def test_a_contradiction_of_what_was_recalled_is_stored(store: Store, known: str, new: str) -> None:
    """After a search showed the one, the other is a memory of its own, either way round."""
    for number, (first, second) in enumerate([(known, new), (new, known)]):
        store.keep([NewMemory(first, f"n{number}")])
        store.search(first, namespace=f"n{number}")
        assert not store.keep([NewMemory(second, f"n{number}")])[0].existed


def test_upkeep_ends_no_contradiction(store: Store) -> None:
    """The work in the background leaves both of two texts that contradict each other, and joins a copy."""
    texts = [text for pair in CONTRADICTIONS for text in pair]
    store.keep([NewMemory(text, as_new=True) for text in dict.fromkeys(texts)])
    store.keep([NewMemory("Note: waits 5 s in staging and 30 s in production", as_new=True)])
    tend(store, load_settings(store.path.parent, environ={}))
    left = {memory.text for memory in store.list()}
    assert set(texts) - left == {"waits 5 s in staging and 30 s in production"}


@settings(max_examples=60, deadline=None)
@given(one=CLAUSES, other=CLAUSES)
def test_another_operator_sign_or_order_is_never_the_same(
    one: list[tuple[str, str, str]], other: list[tuple[str, str, str]]
) -> None:
    """Sentences of names, operators and numbers say the same only when all of these stand in the same order."""
    a, b = (" and then ".join(" ".join(clause) for clause in clauses) for clauses in (one, other))
    assert says_same(a, b) == (one == other)
    if one != other:
        assert not adds_nothing(a, b) or (one == other[: len(one)] and len(one) < len(other))


@settings(max_examples=40, deadline=None)
@given(words=st.lists(st.one_of(NAMES, NUMBERS), min_size=2, max_size=8), data=st.data())
def test_names_and_numbers_in_another_order_are_never_repeated(words: list[str], data: st.DataObject) -> None:
    """Any other order of the same names and numbers is another text; a frame and a full stop are not."""
    mixed = data.draw(st.permutations(words))
    text, other = " of ".join(words), " of ".join(mixed)
    assert says_same(f"Remember: {text}.", text)
    assert says_same(text, other) == (words == mixed)
    assert not repeats(other, text) or words == mixed
