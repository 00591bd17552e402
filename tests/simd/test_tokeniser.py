"""The tokeniser of every path: what it makes of code and prose, and that C and Python agree on any bytes at all."""

from __future__ import annotations

import math
import os
import subprocess
import sys
import threading
import zlib
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from aqe import simd

Floats = np.ndarray[Any, np.dtype[np.float32]]
AVAILABLE = simd.paths()
TWIN = simd.kernels("numpy")
PIECES = (
    b"parse HTTP Header ies sses ss us is s ied ing ed eed sion tion ly bly e ee bb ll zz x_ 7 42 _ - A B aB XMLa"
    + " é Ä ß \u0130 漢".encode()
).split()
WORDS = [b"pars", b"header", b"http", b"s", b"7", b"ing", b"\xc3\xa9", b"map", b"x" * 64]

code_like = st.lists(st.sampled_from(PIECES) | st.binary(max_size=3), max_size=30).map(b"".join)
any_text = st.text(max_size=200).map(lambda text: text.encode("utf-8", "surrogatepass"))
any_bytes = st.binary(max_size=300) | any_text | code_like


@pytest.fixture(params=[name for name in (AVAILABLE[0], "portable", "numpy") if name in AVAILABLE], scope="module")
def path(request: pytest.FixtureRequest) -> simd.Kernels:
    """The kernels of one path; the id of a failing test names it."""
    return simd.kernels(request.param)


@pytest.fixture(params=[name for name in (AVAILABLE[0], "portable") if name in AVAILABLE], scope="module")
def compiled(request: pytest.FixtureRequest) -> simd.Kernels:
    """The kernels of one C path, to be compared with the twin (which an install without C compares with itself)."""
    return simd.kernels(request.param)


def table(rows: int, dimension: int, seed: int = 3) -> tuple[np.ndarray[Any, np.dtype[np.int8]], Floats]:
    """A random table: int8 rows and their scales."""
    random = np.random.default_rng(seed)
    whole = random.integers(-127, 128, (rows, dimension)).astype(np.int8)
    return whole, random.uniform(0.001, 0.01, rows).astype(np.float32)


SPLITS: list[tuple[str, str]] = [
    ("parseHTTPHeader_v2", "pars http header v 2"),
    ("snake_case_name SCREAMING_CASE", "snak cas nam scream cas"),
    ("aB ABc aBC ABC x1y22", "a b a bc a bc abc x 1 y 22"),
    ("naïve Äpfel ÄPFEL", "naïv Äpfel Ä pfel"),
    ("def f(a, *, b=None) -> int:", "def f a b non int"),
    ("", ""),
    (" \t\n_-.,()\0", ""),
]


@pytest.mark.parametrize(("text", "expected"), SPLITS)
def test_text_is_split_into_stems(path: simd.Kernels, text: str, expected: str) -> None:
    """Words are split at case, digits and all that is no letter, lower-cased in ASCII and stemmed."""
    assert path.tokens(text.encode()) == [stem.encode() for stem in expected.split()]


STEMS = {
    "query": ["query", "queries", "querying"],
    "class": ["class", "classes"],
    "pars": ["parse", "parses", "parsed", "parsing"],
    "map": ["map", "maps", "mapped", "mapping"],
    "creat": ["create", "creates", "created", "creating", "creation"],
    "miss": ["miss", "missing", "missed"],
    "apply": ["apply", "applies", "applied", "applying"],
    "set": ["set", "sets", "setting", "settings"],
    "recursiv": ["recursive", "recursively"],
    "status": ["status"],
    "this": ["this"],
    "string": ["string", "strings"],
    "add": ["add", "adds", "added", "adding"],
    "need": ["need", "needed", "needs"],
    "tre": [],
    "tree": ["tree", "trees"],
    "option": ["option", "options"],
}


@pytest.mark.parametrize(("stem", "words"), STEMS.items())
def test_forms_of_a_word_share_a_stem(path: simd.Kernels, stem: str, words: list[str]) -> None:
    """Plural, past and -ing forms meet in one stem, and what only looks like an ending stays."""
    assert {path.tokens(word.encode())[0].decode() for word in words} == ({stem} if words else set())


def test_a_long_word_counts_with_its_first_bytes(path: simd.Kernels) -> None:
    """Of a word beyond 64 bytes the first 64 count, and the rest is no word of its own."""
    assert path.tokens(b"q" * 64 + b"z" * 1000 + b" b") == [b"q" * 64, b"b"]


@given(data=any_bytes)
@settings(max_examples=300, deadline=None)
def test_stems_are_the_same_on_every_path(compiled: simd.Kernels, data: bytes) -> None:
    """Whatever the bytes, C finds exactly the stems that the Python twin finds."""
    assert compiled.tokens(data) == TWIN.tokens(data)


@given(data=any_bytes, buckets=st.sampled_from([0, 1, 7, 2500]), k=st.sampled_from([0.0, 1.2, 100.0]))
@settings(max_examples=300, deadline=None)
def test_bags_are_the_same_on_every_path(compiled: simd.Kernels, data: bytes, buckets: int, k: float) -> None:
    """Whatever the bytes, C gives exactly the rows and weights of the Python twin, in its order."""
    mine, twin = (kernels.vocabulary(WORDS, buckets=buckets).bag(data, k=k) for kernels in (compiled, TWIN))
    assert mine == twin


@given(texts=st.lists(any_bytes, max_size=6), dimension=st.sampled_from([1, 3, 8, 17, 384]))
@settings(max_examples=80, deadline=None)
def test_vectors_are_the_weighted_sums_of_rows(path: simd.Kernels, texts: list[bytes], dimension: int) -> None:
    """A text's vector is the weighted sum of its rows in float64, as a unit vector, within rounding."""
    rows, scales = table(len(WORDS) + 50, dimension)
    vocabulary, out = path.vocabulary(WORDS, buckets=50), np.full((len(texts), dimension), np.nan, np.float32)
    vocabulary.embed(texts, rows, scales, k=1.2, out=out)
    for text, vector in zip(texts, out, strict=True):
        found, weights = TWIN.vocabulary(WORDS, buckets=50).bag(text, k=1.2)
        wide = rows[found].astype(np.float64) * scales[found, None].astype(np.float64) * np.array(weights)[:, None]
        total = wide.sum(axis=0)
        length = math.sqrt(float(total @ total))
        slack = (len(found) + 4) * 2e-7 * float(np.abs(wide).sum()) + 1e-12
        if length < 100 * slack:
            continue  # what cancels to nothing has no direction to compare
        assert np.abs(vector - total / length).max() <= 4 * slack / length


def test_a_repeated_stem_weighs_less_each_time(path: simd.Kernels) -> None:
    """A stem's weight grows with its count and saturates at k + 1."""
    vocabulary = path.vocabulary([b"a"], buckets=0)
    assert vocabulary.bag(b"a", k=1.2) == ([0], [1.0])
    assert vocabulary.bag(b"a a a", k=1.2)[1][0] == pytest.approx(3 * 2.2 / 4.2)
    assert vocabulary.bag(b"a " * 100_000, k=1.2)[1][0] == pytest.approx(2.2, rel=1e-4)


def test_an_unknown_stem_is_the_mean_of_its_grams(path: simd.Kernels) -> None:
    """A stem outside the vocabulary has the rows of the 4-grams of <stem>, weights adding up to one."""
    rows, weights = path.vocabulary([b"a"], buckets=97).bag(b"zebra", k=1.2)
    grams = [b"<zeb", b"zebr", b"ebra", b"bra>"]
    assert rows == [1 + zlib.crc32(gram) % 97 for gram in grams]
    assert weights == [0.25] * 4
    assert path.vocabulary([b"a"], buckets=97).bag(b"q", k=1.2)[0] == [1 + zlib.crc32(b"<q>") % 97]
    assert path.vocabulary([b"a"], buckets=0).bag(b"zebra", k=1.2) == ([], [])


def test_text_of_no_known_row_is_zero(path: simd.Kernels) -> None:
    """An empty text, and without buckets an unknown one, leave a row of zeros over whatever stood there."""
    rows, scales = table(1, 5)
    out = np.full((3, 5), 7, np.float32)
    path.vocabulary([b"a"], buckets=0).embed([b"", b"zebra", b"a"], rows, scales, k=1.2, out=out)
    assert not out[:2].any()
    assert np.linalg.norm(out[2]) == pytest.approx(1, abs=1e-6)


def test_a_large_text_of_distinct_words_is_counted(path: simd.Kernels) -> None:
    """Half a megabyte of distinct words, then a small text in the same batch, both come out right."""
    words = [f"{number:06d}".encode() for number in range(60_000)]
    vocabulary = path.vocabulary(words, buckets=3)
    assert vocabulary.bag(b" ".join(words), k=1.2) == (list(range(60_000)), [1.0] * 60_000)
    rows, scales = table(60_003, 2)
    out = np.empty((2, 2), np.float32)
    vocabulary.embed([b" ".join(words), b"000007"], rows, scales, k=1.2, out=out)
    assert out[1] == pytest.approx(rows[7] / np.linalg.norm(rows[7].astype(float)), abs=1e-6)


@pytest.mark.parametrize(
    "data",
    [b"A" * 300_000 + b"a", b"aB" * 100_000, b"a1" * 100_000, b"\xff" * 300_000, b"\0" * 300_000, b"ing" * 90_000],
    ids=["upper run", "case changes", "digit changes", "high bytes", "nul bytes", "endings"],
)
def test_hostile_text_is_read_to_its_end(compiled: simd.Kernels, data: bytes) -> None:
    """Long runs of every kind are read whole, with the twin's answer."""
    vocabulary = compiled.vocabulary(WORDS, buckets=11)
    assert vocabulary.bag(data + b" header", k=1.2) == TWIN.vocabulary(WORDS, buckets=11).bag(data + b" header", k=1.2)


def test_threads_share_a_vocabulary(path: simd.Kernels) -> None:
    """Four threads that embed through one vocabulary get what one thread gets."""
    rows, scales = table(len(WORDS) + 20, 16)
    vocabulary = path.vocabulary(WORDS, buckets=20)
    texts = [f"parse header {number} mapping".encode() for number in range(300)]
    expected, outs = np.empty((300, 16), np.float32), [np.empty((300, 16), np.float32) for _ in range(4)]
    vocabulary.embed(texts, rows, scales, k=1.2, out=expected)
    threads = [
        threading.Thread(target=vocabulary.embed, args=(texts, rows, scales), kwargs={"k": 1.2, "out": out})
        for out in outs
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert all((out == expected).all() for out in outs)


ROWS, SCALES = table(3, 4)
OUT = np.empty((1, 4), np.float32)


def embed(**changed: Any) -> Callable[[simd.Kernels], None]:
    """A call of embed with a vocabulary of one word and two buckets, all right but for what is `changed`."""
    given = {"rows": ROWS, "scales": SCALES, "out": OUT, "k": 1.2, "texts": [b"a"], **changed}
    texts, rows, scales = given.pop("texts"), given.pop("rows"), given.pop("scales")
    return lambda path: path.vocabulary([b"a"], buckets=2).embed(texts, rows, scales, **given)


def frozen(array: Floats) -> Floats:
    """A copy that nobody can write to."""
    copy = array.copy()
    copy.flags.writeable = False
    return copy


REFUSALS: list[tuple[str, Callable[[simd.Kernels], Any], type[Exception], str]] = [
    ("text as data", lambda p: p.tokens("a"), TypeError, "data must be bytes, got str"),
    ("text as bag", lambda p: p.vocabulary([], buckets=1).bag("a", k=1), TypeError, "data must be bytes, got str"),
    ("twice", lambda p: p.vocabulary([b"a", b"a"], buckets=1), ValueError, "stands twice"),
    ("empty word", lambda p: p.vocabulary([b""], buckets=1), ValueError, "1 to 64 bytes"),
    ("long word", lambda p: p.vocabulary([b"a" * 65], buckets=1), ValueError, "1 to 64 bytes"),
    ("text word", lambda p: p.vocabulary(["a"], buckets=1), TypeError, "must be bytes"),
    ("buckets", lambda p: p.vocabulary([b"a"], buckets=-1), ValueError, "buckets must be at least 0"),
    ("many buckets", lambda p: p.vocabulary([b"a"], buckets=2**31 - 1), ValueError, "fewer than 2"),
    ("k", lambda p: p.vocabulary([b"a"], buckets=1).bag(b"a", k=-1), ValueError, "k must be at least 0.*got -1"),
    ("k nan", embed(k=math.nan), ValueError, "k must be at least 0"),
    ("texts", embed(texts=["a"]), TypeError, "a text must be bytes, got str"),
    (
        "rows kind",
        embed(rows=ROWS.astype(np.float32)),
        TypeError,
        r"rows must hold int8 \(buffer format 'b'\), got 'f'",
    ),
    ("rows list", embed(rows=[[1]]), TypeError, "rows must be a buffer of int8 .*got list"),
    ("few rows", embed(rows=ROWS[:2]), ValueError, "rows has 2 rows and the vocabulary 3"),
    ("few scales", embed(scales=SCALES[:2]), ValueError, "scales has 2 items and the vocabulary 3 rows"),
    ("out shape", embed(out=np.empty((2, 4), np.float32)), ValueError, "out must be 1 x 4, got 2 x 4"),
    ("out wide", embed(out=np.empty((1, 5), np.float32)), ValueError, "out must be 1 x 4, got 1 x 5"),
    ("out frozen", embed(out=frozen(OUT)), ValueError, "out must be writable"),
    ("out kind", embed(out=np.empty((1, 4))), TypeError, "out must hold float32"),
]


@pytest.mark.parametrize(("call", "kind", "sentence"), [row[1:] for row in REFUSALS], ids=[row[0] for row in REFUSALS])
def test_bad_input_is_refused_in_the_same_words(
    path: simd.Kernels, call: Callable[[simd.Kernels], Any], kind: type[Exception], sentence: str
) -> None:
    """What does not fit is refused by every path with the same sentence, naming the argument and what was seen."""
    with pytest.raises(kind, match=sentence):
        call(path)


def test_a_batch_lets_other_threads_run() -> None:
    """While C embeds a batch, another thread of Python goes on."""
    rows, scales = table(len(WORDS) + 20, 384)
    texts, out = [b"parse the header of a mapping " * 20] * 3000, np.empty((3000, 384), np.float32)
    ticks, done = [0], threading.Event()

    def count() -> None:
        while not done.is_set():
            ticks[0] += 1

    other = threading.Thread(target=count)
    other.start()
    try:
        for name in [name for name in AVAILABLE if name != "numpy"] or ["numpy"]:
            before = ticks[0]
            simd.kernels(name).vocabulary(WORDS, buckets=20).embed(texts, rows, scales, k=1.2, out=out)
            assert ticks[0] > before
    finally:
        done.set()
        other.join()


def test_tokens_of_the_forced_path_need_no_numpy() -> None:
    """Tokenising on a C path, and making a vocabulary, loads neither NumPy nor typing."""
    code = (
        "import sys; before = set(sys.modules); from aqe import simd;"
        "simd.features()['native'] and simd.vocabulary([b'a'], buckets=1).bag(b'a b', k=1.2);"
        "print(sorted(m for m in set(sys.modules) - before if m.split('.')[0] in ('numpy', 'typing', 'dataclasses')))"
    )
    environ = {**os.environ, "AQE_SIMD": ""}
    done = subprocess.run([sys.executable, "-c", code], env=environ, capture_output=True, text=True, timeout=60)
    assert done.stdout.strip() == "[]", done.stderr
