"""`Lexicon` in C and in Python: which terms of a question are asked for, and which stand nowhere."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from aqe import simd

STOP = (b"to", b"the", b"is")
DOCUMENTS = [b"red green", b"red to", b"red blue the", b"red deep deep", b"green green", b"is blue", b"long", b"", b"x"]


@pytest.fixture(params=[name for name in (simd.paths()[0], "numpy") if name in simd.paths()])
def path(request: pytest.FixtureRequest) -> Iterator[str]:
    """Each path in turn; the id of a failing test names it."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(simd, "active", lambda: request.param)
        yield str(request.param)


def _small(word: bytes) -> list[bytes]:
    return [word.lower()]


def _filled(documents: Sequence[bytes] = DOCUMENTS) -> simd.Postings:
    postings = simd.Postings()
    postings.add(range(len(documents)), documents, groups=[at % 2 for at in range(len(documents))])
    return postings


def _chosen(text: str, **how: Any) -> tuple[tuple[bytes, ...], tuple[bytes, ...]] | None:
    return simd.Lexicon(_small, STOP).choose(_filled(), text, **how)


def test_the_rarest_come_first_and_the_absent_are_named(path: str) -> None:
    """Terms come by how few documents have them, each once; those of no document are told beside."""
    assert _chosen("blue, Deep BLUE or green?") == ((b"deep", b"blue", b"green"), (b"or",))


def test_stop_words_are_left_out_but_of_names(path: str) -> None:
    """A stop word is asked for within a name, or where nothing else of the question stands anywhere."""
    assert _chosen("is the long to blue") == ((b"long", b"blue"), ())
    assert _chosen("what red_to") == ((b"to", b"red"), (b"what",))
    assert _chosen("isTo x") == ((b"x",), (b"isto",))
    assert _chosen("iS x") == ((b"is", b"x"), ())
    assert _chosen("the nowhere is") == ((b"the", b"is"), (b"nowhere",))


def test_the_budget_ends_the_list(path: str) -> None:
    """Beyond the fewest only what fits the budget is asked for, never more than the most, and nothing that more than
    half of the documents have."""
    documents = [b"a b c d"] * 3 + [b"a b c"] * 2 + [b"a"] * 5 + [b"z"] * 20
    postings = _filled(documents)
    lexicon = simd.Lexicon(_small)
    assert lexicon.choose(postings, "a b c d z", fewest=1, budget=8) == ((b"d", b"b"), ())
    assert lexicon.choose(postings, "a b c d z", fewest=1, budget=7) == ((b"d",), ())
    assert lexicon.choose(postings, "a b c d z", most=2) == ((b"d", b"b"), ())
    assert lexicon.choose(postings, "a b c d z") == ((b"d", b"b", b"c", b"a"), ())
    assert lexicon.choose(postings, "z") == ((b"z",), ())


def test_groups_say_what_stands_nowhere(path: str) -> None:
    """A rare term that only other groups have stands nowhere; of a frequent one that is not asked."""
    for alike in (np.array([1, 0]), np.array([True, True, False, False])[::2]):
        assert _chosen("deep long", groups=alike) == ((b"deep", b"long"), (b"deep",))
    only = np.array([True, False])
    assert _chosen("deep long", groups=only) == ((b"deep", b"long"), (b"deep",))
    assert _chosen("deep long", groups=only, few=0) == ((b"deep", b"long"), ())


@pytest.mark.parametrize(
    "text", ["caf\u00e9", "\udc80 x", "y" * 65, " ".join(f"n{at}" for at in range(65)), "y " * 4097]
)
def test_what_is_not_read_is_said(path: str, text: str) -> None:
    """Texts beyond ASCII, long ones, long words and more than 64 terms are left to the caller."""
    assert _chosen(text) is None
    assert _chosen("y " * 4096) == ((b"y",), (b"y",))


def test_a_text_of_many_words_that_have_no_terms_ends(path: str) -> None:
    """More words than are kept, of one text, are not learnt anew for ever."""
    many = " ".join(f"{at:x}" for at in range(70_000))
    assert simd.Lexicon(lambda word: []).choose(_filled(), many) is None


def test_documents_that_change_are_seen(path: str) -> None:
    """What is added and deleted counts at the next question."""
    postings, lexicon = _filled(), simd.Lexicon(_small)
    postings.add([90], [b"new"])
    postings.delete([3])
    assert lexicon.choose(postings, "new deep") == ((b"new",), (b"deep",))


def test_words_may_have_any_number_of_terms(path: str) -> None:
    """A word of two terms counts as both, one of none as nothing; the terms are asked for once a word."""
    seen: list[bytes] = []

    def terms_of(word: bytes) -> list[bytes]:
        seen.append(word)
        return {b"redBlue": [b"red", b"blue"], b"mute": []}.get(word, [word])

    lexicon = simd.Lexicon(terms_of)
    for _ in range(2):
        assert lexicon.choose(_filled(), "redBlue mute") == ((b"blue", b"red"), ())
    assert lexicon.choose(_filled(), "") == ((), ())
    assert simd.Lexicon(lambda word: [b"%d" % at for at in range(65)]).choose(_filled(), "many") is None
    assert seen == [b"redBlue", b"mute"]


def test_what_does_not_fit_is_refused(path: str) -> None:
    """Terms that are no bytes and a text that is none raise, and the next question is answered."""
    text: Any = "text"
    no_text: Any = b"red"
    lexicon = simd.Lexicon(lambda word: [word] if word == b"red" else [text])
    with pytest.raises(TypeError):
        lexicon.choose(_filled(), "blue")
    with pytest.raises(TypeError):
        lexicon.choose(_filled(), no_text)
    for name in ("few", "fewest", "most", "budget"):
        for number in (-1, 2**32):
            how: dict[str, Any] = {name: number}
            with pytest.raises(ValueError, match="must be from 0"):
                lexicon.choose(_filled(), "red", **how)
    assert lexicon.choose(_filled(), "red") == ((b"red",), ())


@settings(max_examples=150, deadline=None)
@given(
    st.lists(st.text("abcABC_ 12?", max_size=30), max_size=3),
    st.lists(st.lists(st.sampled_from([b"a", b"b", b"c", b"ab", b"1", b"to"]), max_size=6), max_size=12),
    st.integers(0, 4),
    st.integers(0, 5),
    st.integers(0, 12),
)
def test_c_chooses_what_python_chooses(
    texts: list[str], documents: list[list[bytes]], few: int, fewest: int, budget: int
) -> None:
    """Of any questions and documents both choose the same terms in the same order."""
    found = []
    for active in (simd.paths()[0], "numpy"):
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(simd, "active", lambda name=active: name)
            postings = _filled([b" ".join(words) for words in documents])
            lexicon = simd.Lexicon(_small, (b"a", b"ab", b"to"))
            how: dict[str, Any] = {"groups": np.array([False, True]), "few": few, "fewest": fewest, "budget": budget}
            found.append([lexicon.choose(postings, text, **how) for text in texts])
    assert found[0] == found[1]


def test_many_words_are_kept_and_begun_anew(path: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Thousands of words are told apart; beyond the most they are learnt anew, and found as before."""
    from aqe.simd import _lexicon

    words = [f"w{at:x}" for at in range(3000)]
    postings = _filled([word.encode() for word in words])
    lexicon = simd.Lexicon(_small)
    for _ in range(2):
        assert [lexicon.choose(postings, word) for word in words] == [((word.encode(),), ()) for word in words]
    monkeypatch.setattr(_lexicon, "MOST_WORDS", 100)
    assert lexicon.choose(postings, "W1 W2 w7f") == ((b"w1", b"w2", b"w7f"), ())


def test_threads_share_one(path: str) -> None:
    """Four threads with words of their own get each their own terms while documents come and go."""
    postings, wrong = _filled(), list[object]()
    lexicon = simd.Lexicon(_small)

    def ask(who: int) -> None:
        for at in range(300):
            name = f"t{who}n{at % 40}"
            postings.add([1000 * who + at % 40], [name.encode()])
            found = lexicon.choose(postings, f"{name} red")
            if found is None or found[0][0] != name.encode():
                wrong.append(found)

    threads = [threading.Thread(target=ask, args=(who,)) for who in range(1, 5)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == []
