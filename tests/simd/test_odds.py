"""How texts lean: a linear model over the shape and the words of a text, on every path."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from aqe import simd
from aqe.simd import TextOdds

FEATURES = {name: (0.3 * (-1) ** at, 0.1 * at, 1.0 + at, 0.0, 5.0) for at, name in enumerate(TextOdds.shape(""))}
WORDS = {"prove": (0.7, 2.0), "it's": (-0.2, 3.5), "a": (0.1, 0.5), "größe": (0.4, 4.0), "x": (-0.6, 1.5)}
NOTHING = dict.fromkeys(FEATURES, (0.0, 0.0, 1.0, 0.0, 1.0))
PIECES = (
    *(
        "def f(a):",
        "return",
        "returned x",
        "else",
        "except",
        "try:",
        "if x",
        "if y:",
        "for k in z:",
        "while 1:",
        "with a",
    ),
    *(
        "from a.b import c",
        "from a import b",
        "import os",
        "@cached",
        "@ ",
        "#include",
        "print(",
        "assert x",
        "SELECT 1",
    ),
    *("x.y[0] = 1", "x= 1", "call(1);", "call(1) ", "call", "{};", "{}}", "}{;;", "a\tb", "A) one", "(B. two", "K) no"),
    *(
        "1,5.2",
        "1.",
        "it's",
        "'a",
        "don't'",
        "Prove a!",
        "why?",
        "__init__",
        '"quoted"',
        "%$",
        "\n",
        "\n\n",
        "\r\n",
        " ",
    ),
    *("\x1c", "\x0b", "", "a b a", "aB C1d"),
)
texts = st.lists(st.sampled_from(PIECES) | st.text(st.characters(max_codepoint=127), max_size=9), max_size=30).map(
    "".join
)


@pytest.fixture(scope="module", params=simd.paths()[:1])
def compiled(request: pytest.FixtureRequest) -> TextOdds:
    """The model on a C path, of which all share this code (an install without C compares the twin with itself)."""
    return simd.kernels(request.param).text_odds(0.25, FEATURES, WORDS)


TWIN = simd.kernels("numpy").text_odds(0.25, FEATURES, WORDS)


@given(text=texts)
@settings(max_examples=200, deadline=None)
def test_log_odds_are_the_same_in_c_and_in_python(compiled: TextOdds, text: str) -> None:
    """Whatever the ASCII text, C gives what the Python reading gives."""
    assert compiled.of(text) == pytest.approx(TWIN.of(text), rel=1e-12, abs=1e-12)


def test_words_of_other_scripts_weigh_too(path: simd.Kernels) -> None:
    """A known word with letters beyond ASCII counts, in small letters."""
    plain = path.text_odds(0.0, NOTHING, WORDS)
    assert plain.of("Größe") == pytest.approx(0.4)
    assert plain.of("Prove") == plain.of("prove") == pytest.approx(0.7)
    assert plain.of("nothing that is known") == 0.0


def test_words_weigh_by_rarity_and_count(path: simd.Kernels) -> None:
    """Two known words share the log-odds by rarity * (1 + log(count)), as parts of a unit vector."""
    found = path.text_odds(0.0, NOTHING, WORDS).of("prove x, x and x")
    prove, x = 2.0, 1.5 * (1 + math.log(3))
    assert found == pytest.approx((0.7 * prove - 0.6 * x) / math.hypot(prove, x))


def test_a_feature_is_held_within_what_training_saw(path: simd.Kernels) -> None:
    """A value beyond the least or the most counts as that one."""
    held = path.text_odds(0.0, {**NOTHING, "questions": (2.0, 1.0, 4.0, 1.0, 3.0)}, {})
    assert [held.of("?" * count) for count in (0, 2, 3, 5)] == [0.0, 0.5, 1.0, 1.0]


def test_a_long_text_is_read_to_its_limit(path: simd.Kernels) -> None:
    """Words are looked for in the first 20,000 characters, and the length counts whole."""
    start = "word " * 4_000
    words = path.text_odds(0.0, NOTHING, WORDS)
    assert words.of(start + "prove") == 0.0
    assert words.of("prove " + start) == pytest.approx(0.7)
    length = path.text_odds(0.0, {**NOTHING, "length": (1.0, 0.0, 1.0, 0.0, 99.0)}, {})
    assert length.of("a" * 50_000) == pytest.approx(math.log1p(50_000))


def test_many_different_words_all_count(path: simd.Kernels) -> None:
    """A text of two thousand different words has each of them, however many a short text has room for."""
    letters = "abcdefghijklmnopqrstuvwxyz"
    words = [a + b + c for a in letters[:20] for b in letters[:10] for c in letters[:10]]
    every = path.text_odds(0.0, NOTHING, dict.fromkeys(words, (1.0, 1.0)))
    assert every.of(" ".join(words)) == pytest.approx(math.sqrt(2_000))


@pytest.mark.parametrize(
    ("features", "words", "sentence"),
    [
        ({"length": (0.0, 0.0, 1.0, 0.0, 1.0)}, {}, "features must be length, words"),
        (FEATURES, {"": (1.0, 1.0)}, "small letters, got ''"),
        (FEATURES, {"Prove": (1.0, 1.0)}, "small letters, got 'Prove'"),
    ],
)
def test_a_model_of_other_parts_is_refused(
    path: simd.Kernels,
    features: dict[str, tuple[float, float, float, float, float]],
    words: dict[str, tuple[float, float]],
    sentence: str,
) -> None:
    """Other features, an empty word and one with capitals are refused in the same words by every path."""
    with pytest.raises(ValueError, match=sentence):
        path.text_odds(0.0, features, words)


def test_one_text_has_the_vector_that_it_has_among_others(path: simd.Kernels) -> None:
    """What gives the vector of one text gives what `embed` writes, and takes a table that fits."""
    rows = np.random.default_rng(1).integers(-127, 128, (5, 48)).astype(np.int8)
    scales = np.linspace(0.5, 1.5, 5, dtype=np.float32)
    vocabulary, out = path.vocabulary([b"a", b"word"], buckets=3), np.empty((3, 48), np.float32)
    given = [b"a word", b"others and a word", b""]
    vocabulary.embed(given, rows, scales, k=1.2, out=out)
    one = vocabulary.embedding(rows, scales, k=1.2)
    assert [np.frombuffer(one(text), np.float32).tolist() for text in given] == out.tolist()
    with pytest.raises(ValueError, match="the vocabulary 5: they must be equal"):
        vocabulary.embedding(rows[:4], scales, k=1.2)
    with pytest.raises(TypeError, match="data must be bytes, got str"):
        one(given[0].decode())
