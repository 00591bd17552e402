"""When two texts say the same."""

from __future__ import annotations

import pytest

from aqe.engine.memory.growth.likeness import adds_nothing, alike_pairs, overlap, profile

LONG = (
    "Nightly exports of the order table are written to the archive bucket by the warehouse job before the reports start"
)


def test_inflection_case_and_small_words_do_not_count() -> None:
    """Two ways to write one sentence overlap wholly."""
    a, b = profile("The exports are written nightly"), profile("exports written NIGHTLY.")
    assert overlap(a, b) == 1.0


@pytest.mark.parametrize(
    ("a", "b"),
    [
        (f"{LONG} at 3 o'clock", f"{LONG} at 4 o'clock"),
        (LONG, LONG.replace("are written", "are not written")),
        (LONG, LONG.replace("are written", "aren't written")),
        (f"{LONG} on port 80", f"{LONG} on port 80 or 81"),
        (f"{LONG}: rows = old + new", f"{LONG}: rows = old - new"),
        (f"{LONG}, 80 first and 81 last", f"{LONG}, 81 first and 80 last"),
    ],
)
def test_numbers_and_negations_keep_texts_apart(a: str, b: str) -> None:
    """Texts that differ in one number, the order of two, one sign or one negation are never alike."""
    assert overlap(profile(a), profile(b)) == 0.0


def test_order_counts() -> None:
    """The same words in another order are no near-duplicates."""
    assert (
        overlap(profile("alice reviews bob and carol pays dave"), profile("bob reviews carol and dave pays alice"))
        < 0.8
    )


def test_whose_it_is_counts() -> None:
    """Personal words are words like others."""
    assert overlap(profile("my password hint is blue whale"), profile("your password hint is blue whale")) < 0.8


def test_texts_without_words_are_alike_to_nothing() -> None:
    """Signs alone, and one word, say too little."""
    assert overlap(profile("?!"), profile("?!")) == 0.0
    assert not adds_nothing("?!", LONG)
    assert not adds_nothing("exports", LONG)


def test_candidates_among_many_are_the_alike_ones() -> None:
    """Of hundreds of texts the bands name the pairs that overlap, and hardly any other."""
    words = [f"word{chr(97 + at % 26)}{chr(97 + at // 26)}" for at in range(600)]
    texts = [" ".join(words[start : start + 20]) for start in range(0, 580, 20)]
    changed = [text.replace(" ", " the ", 1) + " indeed" for text in texts]
    pairs = set(alike_pairs([profile(text) for text in [*texts, *changed]]))
    assert {(at, at + len(texts)) for at in range(len(texts))} <= pairs
    assert len(pairs) < 2 * len(texts)
