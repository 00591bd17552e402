"""The table of word meanings: what is near in meaning, what it does not know, and texts as sums of words."""

from __future__ import annotations

import numpy as np
import pytest

from aqe.engine.memory.terms.text import query_terms
from aqe.engine.providers.meanings import meanings


def near(a: str, b: str) -> float:
    """The cosine of two texts."""
    table = meanings()
    places = [table.places(query_terms(text)) for text in (a, b)]
    rows = table.of_texts(np.concatenate(places), np.array([len(one) for one in places]))
    return float(rows[0] @ rows[1])


@pytest.mark.parametrize(
    ("word", "kin", "other"),
    [
        ("irrigation", "watering", "invoice"),
        ("biggest", "largest", "colour"),
        ("email", "mail", "temperature"),
        ("heater", "heating", "coupon"),
        ("parallel", "concurrency", "garden"),
    ],
)
def test_words_that_mean_the_like_are_nearer_than_others(word: str, kin: str, other: str) -> None:
    """A word is much nearer to one of the same field than to one of another."""
    assert near(word, kin) > near(word, other) + 0.2


def test_texts_are_nearer_to_what_they_are_about() -> None:
    """A sentence is nearer to a paraphrase without a common word than to another sentence."""
    asked = "deleting old backups"
    assert near(asked, "remove an archived copy") > near(asked, "painting colourful houses")


def test_what_the_table_does_not_know_means_nothing() -> None:
    """Unknown, long, empty and foreign words have no place, and a text of them is no nearer to anything."""
    table = meanings()
    asked = ["zzyzxq", "w" * 200, "", "größe", "mail"]
    assert (table.places(asked) >= 0).tolist() == [False, False, False, False, True]
    assert not table.vectors(table.places(asked))[:4].any()
    assert not table.of_texts(np.array([], np.intp), np.array([0, 0])).any()


def test_a_text_is_the_weighted_sum_of_its_words() -> None:
    """Several texts at once, empty ones among them, are what each would be alone."""
    table = meanings()
    texts = [table.places(query_terms(text)) for text in ("send a mail", "", "lock the queue file", "queue")]
    whole = table.of_texts(np.concatenate(texts), np.array([len(one) for one in texts]))
    for row, places in zip(whole, texts, strict=True):
        summed = (table.vectors(places) * table.weights[places][:, None]).sum(0)
        length = float(np.linalg.norm(summed))
        assert np.allclose(row, summed / length if length else summed, atol=1e-6)
