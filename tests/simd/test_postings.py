"""`Postings` on both paths, against the text index of SQLite (FTS5) and its own bm25()."""

from __future__ import annotations

import math
import subprocess
import sys
import threading
from collections.abc import Callable, Sequence
from typing import Any

import apsw
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from aqe import simd
from aqe.simd import Postings

WORDS = [b"a", b"b", b"c", b"parse", b"head", b"refund", "größe".encode(), b"x" * 64]
texts = st.lists(st.sampled_from(WORDS), max_size=12).map(b" ".join)
Make = Callable[[], Postings]


@pytest.fixture(params=[name for name in (simd.paths()[0], "numpy") if name in simd.paths()], scope="module")
def make(request: pytest.FixtureRequest) -> Make:
    """Makes empty postings on one path; the id of a failing test names it."""

    def made() -> Postings:
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(simd, "active", lambda: request.param)
            return Postings()

    return made


class TextIndex:
    """FTS5 with the settings of the store."""

    def __init__(self) -> None:
        self._connection = apsw.Connection(":memory:")
        self._connection.execute(
            "CREATE VIRTUAL TABLE texts USING fts5(words, content='', contentless_delete=1, tokenize='ascii')"
        )

    def add(self, id: int, text: bytes) -> None:
        self.delete(id)
        self._connection.execute("INSERT INTO texts (rowid, words) VALUES (?, ?)", (id, text.decode()))

    def delete(self, id: int) -> None:
        self._connection.execute("DELETE FROM texts WHERE rowid = ?", (id,))

    def search(self, terms: Sequence[bytes], k: int) -> list[tuple[int, float]]:
        asked = " OR ".join(f'"{term.decode()}"' for term in terms)
        sql = "SELECT rowid, -rank FROM texts WHERE texts MATCH ? ORDER BY rank, rowid LIMIT ?"
        return [(int(id), float(score)) for id, score in self._connection.execute(sql, (asked, k))]


def found(postings: Postings, terms: Sequence[bytes], k: int = 10, **narrowed: Any) -> list[tuple[int, float]]:
    ids, scores = postings.search(terms, k, **narrowed)
    return list(zip(ids.tolist(), scores.tolist(), strict=True))


steps = st.lists(
    st.one_of(st.tuples(st.integers(1, 30), texts), st.tuples(st.integers(1, 30), st.none())), min_size=1, max_size=60
)
asked = st.lists(st.sampled_from([*WORDS, b"nowhere"]), min_size=1, max_size=6, unique=True)


@settings(max_examples=60, deadline=None)
@given(steps=steps, terms=asked, k=st.integers(1, 12))
def test_search_ranks_and_scores_as_fts5_does(
    make: Make, steps: list[tuple[int, bytes | None]], terms: list[bytes], k: int
) -> None:
    """After any adding, replacing and deleting the best documents and their scores are those of FTS5."""
    postings, index = make(), TextIndex()
    for id, text in steps:
        if text is None:
            postings.delete([id])
            index.delete(id)
        else:
            postings.add([id], [text])
            index.add(id, text)
    expected = index.search(terms, k)
    got = found(postings, terms, k)
    assert [score for _, score in got] == pytest.approx([score for _, score in expected], rel=1e-12)
    every = dict(index.search(terms, 1000))
    assert all(score == pytest.approx(every[id], rel=1e-12) for id, score in got)
    assert postings.scores(terms, [*every]).tolist() == pytest.approx([*every.values()], rel=1e-12)


@pytest.fixture(scope="module")
def many() -> list[bytes]:
    """3,000 documents over three windows of the search, with words as unlike in number as those of prose."""
    rng = np.random.default_rng(5)
    words = np.array([f"w{number}".encode() for number in range(400)], object)
    picked = np.minimum(rng.zipf(1.3, size=(5_000, 30)) - 1, 399)
    return [b" ".join(words[row[: rng.integers(1, 30)]]) for row in picked]


def test_search_of_many_documents_leaves_out_no_better_one(make: Make, many: list[bytes]) -> None:
    """Where optional terms are not read to their end the best documents are still those of the whole sum."""
    postings = make()
    postings.add(range(len(many)), many)
    rng = np.random.default_rng(6)
    for size, of in ((2, 400), (5, 400), (12, 400), (6, 12), (14, 20)):  # of the first words are most of all
        for _ in range(8):
            terms = [f"w{number}".encode() for number in rng.choice(of, size, replace=False)]
            whole = postings.scores(terms, range(len(many)))
            order = np.lexsort((np.arange(len(many)), -whole))[:10]
            expected = [(int(at), float(whole[at])) for at in order if whole[at] > 0]
            assert found(postings, terms) == expected


@pytest.mark.parametrize("k", [1, 7, 300, 3000])
def test_equal_scores_stand_in_the_order_of_ids(make: Make, k: int) -> None:
    """Of hundreds of documents with one score those of the lowest ids are found, whatever order they came in."""
    postings = make()
    ids = np.random.default_rng(7).permutation(1800)
    postings.add(ids, [b"same words" if id % 3 else b"same" for id in ids.tolist()])
    whole = postings.scores([b"same", b"words"], range(1800))
    order = np.lexsort((np.arange(1800), -whole))[:k]
    assert found(postings, [b"same", b"words"], k) == [(int(at), float(whole[at])) for at in order]


def test_paths_give_the_same_bits(many: list[bytes]) -> None:
    """The C path and its NumPy twin find the same ids with equal scores."""
    both = []
    for path in (simd.paths()[0], "numpy"):
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(simd, "active", lambda path=path: path)
            both.append(Postings())
        both[-1].add(range(len(many)), many)
        both[-1].delete(range(0, len(many), 7))
    for terms in ([b"w1", b"w30", b"w200"], [b"w0", b"w2", b"w3", b"w90"]):
        assert found(both[0], terms, 50) == found(both[1], terms, 50)


def test_extend_by_terms_is_adding_by_documents(make: Make, many: list[bytes]) -> None:
    """Documents that are filled term by term are found as those that were added whole."""
    whole, filled = make(), make()
    whole.add(range(len(many)), many)
    filled.add(range(len(many)), [b""] * len(many))
    lists: dict[bytes, dict[int, int]] = {}
    for id, text in enumerate(many):
        for term in text.split():
            lists.setdefault(term, {}).setdefault(id, 0)
            lists[term][id] += 1
    for term, often in lists.items():
        filled.extend(term, [*often], [*often.values()])
    assert filled.figures()["tokens"] == whole.figures()["tokens"]
    assert found(filled, [b"w1", b"w30", b"w200"], 50) == found(whole, [b"w1", b"w30", b"w200"], 50)


@pytest.mark.parametrize("often", [254, 255, 256, 100_000])
def test_term_that_stands_very_often_counts_exactly(make: Make, often: int) -> None:
    """A frequency beyond a byte, and a document longer than any table, score as in FTS5."""
    postings, index = make(), TextIndex()
    for id, text in enumerate([b"a b", b"a " * often + b"b", b"c " * 9, b"d", b"e", b"f"], 1):
        postings.add([id], [text.strip()])
        index.add(id, text)
    assert found(postings, [b"a", b"b"]) == index.search([b"a", b"b"], 10)


def test_groups_and_allowed_ids_narrow_exactly(make: Make, many: list[bytes]) -> None:
    """What may be found is ranked as among all, and scores as there."""
    postings = make()
    postings.add(range(len(many)), many, groups=[at % 5 for at in range(len(many))])
    terms = [b"w3", b"w40", b"w7"]
    every = found(postings, terms, len(many))
    mask = np.array([False, True, False, True])
    assert found(postings, terms, 20, groups=mask) == [one for one in every if one[0] % 5 in (1, 3)][:20]
    assert found(postings, terms, 20, allow=range(0, len(many), 11)) == [one for one in every if one[0] % 11 == 0][:20]
    assert found(postings, terms, 20, groups=mask, allow=[]) == []
    inside = [id for id, _ in every if id % 5 in (1, 3) and postings.scores([b"w40"], [id])[0]]
    assert postings.counts([b"w40", b"nowhere"], groups=mask) == [len(inside), 0]
    assert postings.size(mask) == sum(id % 5 in (1, 3) for id in range(len(many)))


def test_deleting_most_documents_gives_their_memory_back(make: Make, many: list[bytes]) -> None:
    """Documents that come after mass deletion take the place of the deleted ones."""
    postings = make()
    for round in range(6):
        postings.add(range(len(many)), many)
        if round == 0:
            first = postings.nbytes
        assert postings.delete(range(10, len(many))) == len(many) - 10
    postings.add([99_999], [b"w1 w1"])
    assert len(postings) == 11
    assert postings.nbytes < 3 * first
    assert [id in postings for id in (9, 10, 99_999)] == [True, False, True]


def test_counts_are_of_current_documents(make: Make) -> None:
    """A term's count is the number of documents that hold it now."""
    postings = make()
    postings.add([1, 2, 3], [b"a b", b"a a", b"b"])
    assert postings.counts([b"a", b"b", b"c"]) == [2, 2, 0]
    postings.delete([2, 2, 77])
    postings.add([3], [b"c"])
    assert postings.counts([b"a", b"b", b"c"]) == [1, 1, 1]


def test_empty_postings_find_nothing(make: Make) -> None:
    """Without documents, without terms and with empty documents nothing is found."""
    postings = make()
    assert found(postings, [b"a"]) == []
    assert postings.counts([b"a"]) == [0]
    assert postings.scores([b"a"], [1]).tolist() == [0]
    postings.add([], [])
    postings.add([4, 5], [b"", b""])
    assert found(postings, []) == found(postings, [b"a"]) == []
    assert len(postings) == 2


def test_last_of_equal_ids_counts(make: Make) -> None:
    """One call that names an id twice keeps the later document, whatever the ids are."""
    postings = make()
    postings.add([-(2**63), 2**63 - 1, -(2**63)], [b"a", b"b", b"c"])
    assert found(postings, [b"a"]) == []
    assert [id for id, _ in found(postings, [b"b"])] == [2**63 - 1]
    assert [id for id, _ in found(postings, [b"c"])] == [-(2**63)]


@pytest.mark.parametrize(
    ("wrong", "error", "words"),
    [
        (lambda one: one.add([1], "text"), TypeError, "documents must be a sequence of bytes, got str"),
        (lambda one: one.add([1], ["text"]), TypeError, "a document must be bytes, got str"),
        (lambda one: one.add([1, 2], [b"a"]), ValueError, "2 ids, 1 documents and 2 groups: they must be equally many"),
        (lambda one: one.add([1.5], [b"a"]), TypeError, "ids must be whole numbers"),
        (lambda one: one.add([2**63], [b"a"]), ValueError, "ids must fit int64"),
        (lambda one: one.add([1], [b"a"], groups=[-1]), ValueError, "groups must be at least 0"),
        (lambda one: one.search(["a"], 1), TypeError, "a term must be bytes, got str"),
        (lambda one: one.search("a", 1), TypeError, "a term must be bytes, got str"),
        (lambda one: one.search([b"a"], 0), ValueError, "k must be at least 1, got 0"),
        (lambda one: one.search([b"a"], 1.0), TypeError, "k must be a whole number, got float"),
        (lambda one: one.search([b"a" * 70_000], 1), ValueError, "a term must have at most 65535 bytes"),
        (lambda one: one.extend(b"a", [5], [1]), ValueError, "must be there and come in their order"),
        (lambda one: one.extend(b"a", [1], [0]), ValueError, "frequencies must be at least 1"),
        (lambda one: one.extend(b"a", [1, 2], [1]), ValueError, "2 ids and 1 frequencies: they must be equal"),
        (lambda one: one.extend(b"a", [2, 1], [1, 1]), ValueError, "must be there and come in their order"),
    ],
)
def test_what_does_not_fit_is_refused_and_changes_nothing(
    make: Make, wrong: Callable[[Postings], object], error: type[Exception], words: str
) -> None:
    """A wrong argument raises one clear error, and what was there is found as before."""
    postings = make()
    postings.add([1, 2], [b"a a b", b"b c"])
    before = found(postings, [b"a", b"c"])
    with pytest.raises(error, match=words):
        wrong(postings)
    assert found(postings, [b"a", b"c"]) == before


def test_document_of_four_milliards_of_terms_is_refused(make: Make) -> None:
    """A document takes terms up to 2**32 - 1 and no more: the call that says more changes nothing."""
    postings = make()
    postings.add([1, 2], [b"", b"b"])
    for term in (b"x", b"y"):
        postings.extend(term, [1], [2**31 - 1])
    before = found(postings, [b"x", b"b"]), postings.figures()["tokens"]
    with pytest.raises(ValueError, match=r"a document must have less than 2\*\*32 terms"):
        postings.extend(b"z", [1, 2], [2, 1])
    assert (found(postings, [b"x", b"b"]), postings.figures()["tokens"]) == before
    postings.extend(b"z", [1, 2], [1, 1])
    assert postings.figures()["tokens"] == before[1] + 2


def test_binding_refuses_what_is_no_bytes_before_it_adds_any(make: Make) -> None:
    """Of documents one of which is no bytes none is added, whoever calls the index beneath."""
    index: Any = make()._index
    with pytest.raises(TypeError, match="a document must be bytes"):
        index.add(np.array([1, 2]), np.zeros(2, np.int32), (b"a", "text"))
    assert index.documents() == 0


FULL = """
from aqe.simd import Postings

postings = Postings()
for start in range(0, 2**24 - 2, 2**20):
    ids = range(start, min(start + 2**20, 2**24 - 2))
    postings.add(ids, [b""] * len(ids))
postings.add([-2, -1], [b"end rare", b"end"])
print(postings.search([b"end", b"rare"], 9)[0].tolist())
try:
    postings.add([-3], [b"end"])
except ValueError as refusal:
    print(refusal)
"""


@pytest.mark.services
def test_last_documents_that_fit_are_found() -> None:
    """With all of 2**24 documents there the last two are found like any, and one more is refused."""
    done = subprocess.run([sys.executable, "-c", FULL], capture_output=True, text=True, timeout=300)
    assert done.stdout.splitlines() == ["[-2, -1]", "postings hold at most 16777216 documents"], done.stderr


@pytest.mark.parametrize(("k1", "b"), [(-1, 0.5), (math.nan, 0.5), (math.inf, 0.5), (1, -0.1), (1, 1.1), (1, math.nan)])
def test_parameters_outside_of_their_range_are_refused(k1: float, b: float) -> None:
    """`k1` below zero or not finite and `b` outside of 0 to 1 raise ValueError."""
    with pytest.raises(ValueError, match="must be"):
        Postings(k1=k1, b=b)


def test_readers_see_whole_states_while_a_writer_works(make: Make) -> None:
    """Each search beside a thread that replaces all documents at once sees one state or the other, never a mixture."""
    postings = make()
    states = ([b"even"] * 50, [b"odd"] * 50)
    postings.add(range(50), states[0])
    seen: list[tuple[int, int]] = []

    def read() -> None:
        for _ in range(300):
            even, odd = postings.counts([b"even", b"odd"])
            seen.append((even, odd))

    readers = [threading.Thread(target=read) for _ in range(3)]
    for reader in readers:
        reader.start()
    for turn in range(60):
        postings.add(range(50), states[(turn + 1) % 2])
    for reader in readers:
        reader.join()
    assert {*seen} <= {(50, 0), (0, 50)}


def test_postings_are_given_back(make: Make) -> None:
    """Dropping postings leaves no reference to what was given."""
    text = b"some words of a text that nobody else holds"
    before = sys.getrefcount(text)
    for _ in range(50):
        postings = make()
        postings.add([1], [text])
        postings.search([b"some"], 3)
    del postings
    assert sys.getrefcount(text) == before
