"""Keeping, finding and re-embedding memory through an embedder: real tables, real stores, real processes."""

from __future__ import annotations

import subprocess
import sys
import zlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pytest
from numpy.typing import NDArray

from aqe.engine import CancelToken, UserError
from aqe.engine.embedding import StaticEmbedder, read_table, write_table
from aqe.engine.errors import Cancelled
from aqe.engine.memory import Kept, NewMemory, Store, spaces
from aqe.engine.memory.care import Place, verify
from aqe.engine.memory.search.as_of import search_as_of
from aqe.engine.memory.search.shares import Shares
from aqe.engine.retrieval import find, keep, reembed, waiting

PAIRS = {"voucher": "discount", "invoic": "bill", "wagon": "cart", "fetch": "load", "ident": "same", "ech": "echo"}


def made(folder: Path, *, seed: int = 1, dimension: int = 48) -> StaticEmbedder:
    """An embedder whose table has each word of PAIRS near its partner, and all else in random directions."""
    random = np.random.default_rng(seed)
    words = [word for pair in PAIRS.items() for word in pair]
    halves = random.integers(-100, 101, (len(PAIRS), dimension)).repeat(2, axis=0)
    near = halves + random.integers(-20, 21, halves.shape)
    rows = np.vstack([near, random.integers(-100, 101, (400, dimension))]).astype(np.int8)
    path = folder / f"{seed}-{dimension}.aqet"
    write_table(path, words=words, rows=rows, scales=np.full(len(rows), 0.01), buckets=400, name_weight=0.5, tf_k=1.2)
    return StaticEmbedder(read_table(path))


@pytest.fixture
def embedder(tmp_path: Path) -> StaticEmbedder:
    """A small embedder that knows a few synonyms."""
    return made(tmp_path)


def texts(store: Store, embedder: StaticEmbedder | None, query: str | None, **options: Any) -> list[str]:
    """The texts that a search finds, best first."""
    return [hit.memory.text for hit in find(store, embedder, query, **options).hits]


def test_memory_is_kept_with_its_vector(store: Store, embedder: StaticEmbedder) -> None:
    """A memory gets the embedder's vector of its text, under the embedder's id, in the order given."""
    kept = keep(store, embedder, [NewMemory("the voucher", id="a"), NewMemory("an invoice", id="b")])
    assert kept == [Kept("a", existed=False, namespace="default"), Kept("b", existed=False, namespace="default")]
    assert store.vector("a") == pytest.approx(embedder.embed(["the voucher"])[0], abs=1e-6)
    memory = store.get("b")
    assert memory is not None
    assert (memory.embedder_id, memory.dimension) == (embedder.id, embedder.dimension)


def test_all_or_none_is_kept(store: Store, embedder: StaticEmbedder) -> None:
    """When one memory is refused none is kept, and no vector either."""
    with pytest.raises(UserError) as caught:
        keep(store, embedder, [NewMemory("good"), NewMemory("  ")])
    assert caught.value.code == "bad-text"
    assert (store.stats().memories, store.stats().vectors) == (0, 0)


def test_without_an_embedder_words_alone_are_kept_and_searched(store: Store) -> None:
    """Without an embedder a memory has no vector and a search is by text."""
    keep(store, None, [NewMemory("the voucher", id="a")])
    assert store.vector("a") is None
    assert find(store, None, "voucher").mode == "text"


def test_search_finds_by_meaning(store: Store, embedder: StaticEmbedder) -> None:
    """A text without one word of the query is found first where its meaning is the query's, and the parts are told."""
    keep(store, embedder, [NewMemory(text) for text in ("a discount", "a wagon", "an echo", "zebra crossing")])
    answer = find(store, embedder, "voucher")
    best = answer.hits[0]
    assert (answer.mode, best.memory.text, best.score) == ("hybrid", "a discount", 1.0)
    assert best.text_score is None
    assert best.vector_score == pytest.approx(
        float(embedder.embed(["voucher"])[0] @ embedder.embed(["a discount"])[0]), abs=1e-5
    )


def test_words_and_meaning_are_fused_by_standard_scores(tmp_path: Path, embedder: StaticEmbedder) -> None:
    """The ranking is that of .25 z(BM25) + .75 z(cosine) over the candidates, computed here from the parts."""
    words = ["voucher", "discount", "bill", "cart", "zebra", "fetch load", "voucher bill", "echo voucher echo"]
    with Store.open(tmp_path / "shares.db", shares=Shares(0.75)) as store:
        keep(store, embedder, [NewMemory(text, id=text.replace(" ", "-")) for text in words])
        hits = find(store, embedder, "voucher for the bill", k=8).hits
    text = np.array([hit.text_score or 0.0 for hit in hits])
    near = np.array([hit.vector_score for hit in hits], float)
    fused = 0.25 * (text - text.mean()) / text.std() + 0.75 * (near - near.mean()) / near.std()
    expected = (fused - fused.min()) / (fused.max() - fused.min())
    assert [hit.score for hit in hits] == pytest.approx(list(expected), abs=1e-4)
    assert list(fused) == sorted(fused, reverse=True)


def test_prior_moves_the_ranking_and_is_told(store: Store, embedder: StaticEmbedder) -> None:
    """What is known of a memory is added in standard deviations, to that memory alone, and stands in its hit."""
    keep(store, embedder, [NewMemory(text, id=text) for text in ("voucher", "discount", "bill", "cart")])
    asked: list[tuple[str, str]] = []

    def prior(keys: Sequence[tuple[str, str]]) -> dict[tuple[str, str], float]:
        asked.extend(keys)
        assert store.get("cart") is not None  # the store can be read meanwhile
        return {("default", "cart"): 9.0}

    plain, moved = find(store, embedder, "voucher"), find(store, embedder, "voucher", prior=prior)
    assert (plain.hits[0].memory.id, moved.hits[0].memory.id) == ("voucher", "cart")
    assert [hit.prior for hit in moved.hits] == [9.0, 0.0, 0.0, 0.0]
    assert sorted(asked) == [("default", id) for id in ("bill", "cart", "discount", "voucher")]


def test_repeated_text_stays_one_memory(store: Store, embedder: StaticEmbedder) -> None:
    """Adding the same text again makes no new revision, and metadata that joins keeps the vector."""
    (first,) = keep(store, embedder, [NewMemory("the voucher")])
    (second,) = keep(store, embedder, [NewMemory("the voucher")])
    assert (second.id, second.existed) == (first.id, True)
    assert len(store.history(first.id)) == 1
    keep(store, embedder, [NewMemory("the voucher", metadata={"n": 1})])
    assert len(store.history(first.id)) == 2
    assert store.vector(first.id) == pytest.approx(embedder.embed(["the voucher"])[0], abs=1e-6)


def test_known_text_gets_its_vector_without_a_revision(store: Store, embedder: StaticEmbedder) -> None:
    """A memory kept by its words alone has a vector after it is kept again with an embedder."""
    id = store.add("the voucher")
    keep(store, embedder, [NewMemory("the voucher")])
    assert store.vector(id) is not None
    assert len(store.history(id)) == 1


def test_vector_of_a_caller_is_kept(store: Store, embedder: StaticEmbedder) -> None:
    """A vector that a caller gave is stored as it is, stays when the text comes again, and is never re-embedded."""
    given = NewMemory("the voucher", vector=[1.0, 0.0], embedder_id="mine")
    (kept,) = keep(store, embedder, [given])
    keep(store, embedder, [NewMemory("the voucher"), NewMemory("a discount")])
    assert reembed(store, embedder) == 0
    assert store.vector(kept.id) == (1.0, 0.0)
    assert texts(store, embedder, None, vector=[1.0, 0.1], embedder_id="mine") == ["the voucher"]


def test_spaces_are_never_mixed(store: Store, embedder: StaticEmbedder) -> None:
    """A memory in a caller's space is found by its words, without a cosine, however alike the numbers are."""
    own = [float(number) for number in embedder.embed(["voucher"])[0]]
    keep(store, embedder, [NewMemory("zebra crossing", vector=own, embedder_id="mine"), NewMemory("a bill")])
    hits = find(store, embedder, "voucher").hits
    assert [hit.memory.text for hit in hits] == ["a bill"]
    (hit,) = [hit for hit in find(store, embedder, "zebra").hits if hit.memory.text == "zebra crossing"]
    assert hit.vector_score is None
    assert hit.text_score is not None


def test_vector_of_another_dimension_is_refused(store: Store, embedder: StaticEmbedder) -> None:
    """A query's vector that its space cannot hold is one sentence with both dimensions; nothing is lost."""
    keep(store, embedder, [NewMemory("the voucher", vector=[1.0, 0.0], embedder_id="mine")])
    with pytest.raises(UserError, match=r"has 3 numbers; those of 'mine' have 2") as caught:
        find(store, embedder, "voucher", vector=[1.0, 0.0, 0.0], embedder_id="mine")
    assert caught.value.code == "bad-vector"
    assert texts(store, embedder, "voucher") == ["the voucher"]


def test_query_vector_of_the_embedder_is_taken(store: Store, embedder: StaticEmbedder) -> None:
    """A caller that has the embedder's vector of the query already gets the same answer with it."""
    keep(store, embedder, [NewMemory(text) for text in ("voucher", "discount", "bill")])
    assert find(store, embedder, "voucher", vector=embedder.embed(["voucher"])[0]) == find(store, embedder, "voucher")


def test_query_that_says_nothing_is_answered_by_words(store: Store, embedder: StaticEmbedder) -> None:
    """A query without a letter or digit has no vector: the search is by text and finds nothing."""
    keep(store, embedder, [NewMemory("the voucher")])
    answer = find(store, embedder, '"* ( ) - :')
    assert (answer.mode, answer.hits) == ("text", ())


def test_store_of_before_is_embedded_at_the_first_search(store: Store, embedder: StaticEmbedder) -> None:
    """Memories of a time without an embedder, in all namespaces, are found by meaning at the first search."""
    store.add_many([NewMemory("a discount", id="a"), NewMemory("a wagon", id="b", namespace="two")])
    assert waiting(store, embedder) == 2
    assert find(store, embedder, "voucher").hits[0].memory.id == "a"
    assert (waiting(store, embedder), store.stats().vectors) == (0, 2)
    assert all(len(store.history(id, namespace=space)) == 1 for id, space in (("a", "default"), ("b", "two")))


def test_another_table_embeds_everything_anew(store: Store, embedder: StaticEmbedder, tmp_path: Path) -> None:
    """With another embedder, of another dimension even, the vectors of the one before are replaced, none is left."""
    keep(store, embedder, [NewMemory(f"{word} number {at}") for at, word in enumerate(PAIRS.values())])
    other = made(tmp_path, seed=2, dimension=32)
    assert waiting(store, other) == len(PAIRS)
    seen: list[tuple[float, float | None]] = []
    assert reembed(store, other, progress=lambda text, done=0.0, total=None: seen.append((done, total))) == len(PAIRS)
    assert seen[0] == (0, len(PAIRS))
    assert seen[-1] == (len(PAIRS), len(PAIRS))
    for memory in store.list():
        assert (memory.embedder_id, memory.dimension) == (other.id, 32)
        assert store.vector(memory.id) == pytest.approx(other.embed([memory.text])[0], abs=1e-6)
    with store.reading() as connection:
        assert connection.execute("SELECT count(*) FROM vectors_1").get == 0


class Fake:
    """An embedder of somebody else: each word counts in one of its dimensions."""

    def __init__(self, dimension: int) -> None:
        self.id, self.dimension = f"fake-{dimension}", dimension

    def embed(self, texts: Sequence[str]) -> NDArray[np.float32]:
        rows = np.zeros((len(texts), self.dimension), np.float32)
        for at, text in enumerate(texts):
            for word in text.lower().split():
                rows[at, zlib.crc32(word.encode()) % self.dimension] += 1
        return np.asarray(rows / np.linalg.norm(rows, axis=1, keepdims=True), np.float32)


def test_what_an_embedder_from_outside_made_is_embedded_anew(store: Store, embedder: StaticEmbedder) -> None:
    """A memory moves from one embedder that was handed in to the next, and to aqe's own; a caller's vector stays."""
    keep(store, Fake(8), [NewMemory("the melon is green", id="melon")])
    store.add("the zebra is striped", id="zebra", vector=[1.0] * 8, embedder_id="mine")
    for other in (Fake(16), embedder, Fake(8)):
        assert waiting(store, other) == 1
        (hit,) = [hit for hit in find(store, other, "melon green").hits if hit.memory.id == "melon"]
        assert hit.vector_score is not None
        assert (hit.memory.embedder_id, hit.memory.dimension) == (other.id, other.dimension)
    assert store.vector("zebra") == (1.0,) * 8


def test_text_that_says_nothing_waits_only_once(store: Store, embedder: StaticEmbedder) -> None:
    """A memory without a letter or digit has no vector and is not embedded again at each search."""
    keep(store, embedder, [NewMemory("?!", id="a"), NewMemory("the voucher")])
    find(store, embedder, "voucher")
    assert waiting(store, embedder) == 0
    assert store.vector("a") is None
    store.update("a", text="a discount")
    assert find(store, embedder, "voucher", k=1).hits[0].memory.text == "the voucher"
    assert store.vector("a") is not None


def test_cancelled_work_goes_on_where_it_stopped(
    store: Store, embedder: StaticEmbedder, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Re-embedding that is cancelled keeps its batches; the next call does the rest and no more."""
    monkeypatch.setattr("aqe.engine.retrieval.BATCH", 10)
    store.add_many([NewMemory(f"voucher number {at}") for at in range(45)])
    cancel = CancelToken()

    def stop(text: str, done: float = 0.0, total: float | None = None) -> None:
        if done >= 20:
            cancel.cancel()

    with pytest.raises(Cancelled):
        reembed(store, embedder, progress=stop, cancel=cancel)
    assert waiting(store, embedder) in range(1, 30)
    left = waiting(store, embedder)
    assert reembed(store, embedder) == left
    assert waiting(store, embedder) == 0


PROCESS = """
import sys, pathlib
from aqe.engine.embedding import StaticEmbedder, read_table
from aqe.engine.memory import Store
from aqe.engine.retrieval import reembed
with Store.open(pathlib.Path(sys.argv[1])) as store:
    sys.stdin.readline()
    print(reembed(store, StaticEmbedder(read_table(pathlib.Path(sys.argv[2])))))
"""


@pytest.mark.services
def test_processes_share_the_work_of_one(store: Store, embedder: StaticEmbedder, tmp_path: Path) -> None:
    """Three processes that re-embed at once embed each memory once between them."""
    store.add_many([NewMemory(f"voucher number {at}") for at in range(1500)])
    command = [sys.executable, "-c", PROCESS, str(store.path), str(tmp_path / "1-48.aqet")]
    running = [subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) for _ in range(3)]
    for process in running:
        assert process.stdin is not None
        process.stdin.write("\n")
        process.stdin.flush()
    counts = [int(process.communicate(timeout=120)[0]) for process in running]
    assert sorted(counts) == [0, 0, 1500]
    assert (waiting(store, embedder), store.stats().vectors) == (0, 1500)
    with store.reading() as connection:
        assert connection.execute("SELECT count(*) FROM vectors_1").get == 1500


def test_search_of_a_locked_file_goes_on_with_what_is_there(
    tmp_path: Path, embedder: StaticEmbedder, caplog: pytest.LogCaptureFixture
) -> None:
    """While another program holds the file, a search answers from what is embedded and warns of the rest."""
    with Store.open(tmp_path / "aqe.db", busy_timeout_s=0.05) as store, Store.open(tmp_path / "aqe.db") as other:
        keep(store, embedder, [NewMemory("the voucher")])
        store.add("a voucher more")
        with other.writing():
            answer = find(store, embedder, "voucher")
        assert {hit.memory.text for hit in answer.hits} == {"the voucher", "a voucher more"}
        assert "found by their words alone" in caplog.text
        assert waiting(store, embedder) == 1


@pytest.mark.parametrize("few", [1, 1000])
def test_few_that_wait_are_found_without_looking_through_all(
    store: Store, monkeypatch: pytest.MonkeyPatch, few: int
) -> None:
    """Those without a vector come by row, a batch at a time; where they are few the others are not read for it."""
    monkeypatch.setattr(spaces, "FEW", few)
    store.add_many([NewMemory(f"voucher {at}", vector=[1.0, 0.5], embedder_id="theirs") for at in range(1500)])
    store.add_many([NewMemory(text) for text in ("invoice", "wagon", "echo")])
    steps: list[int] = []
    with store.reading() as connection:
        connection.set_progress_handler(lambda: bool(steps.append(1)), 100)
        first = spaces.read_waiting(connection, "aqe-static-0", 48, 0, 2)
        rest = spaces.read_waiting(connection, "aqe-static-0", 48, first[-1][0], 2)
        connection.set_progress_handler(None)
    assert [text for _, text in (*first, *rest)] == ["invoice", "wagon", "echo"]
    assert few == 1 or len(steps) < 10


def test_slow_embedder_is_told_of_in_small_steps(
    store: Store, embedder: StaticEmbedder, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Memories that wait are counted as they are embedded, by few where the embedder is slow."""
    store.add_many(NewMemory(f"voucher {number}") for number in range(70))
    monkeypatch.setattr("aqe.engine.retrieval.STEP_S", 0.0)
    seen: list[str] = []
    reembed(store, embedder, progress=lambda text, *_: seen.append(text))
    assert [text.partition(": ")[2] for text in seen if ": " in text] == [f"{n} of 70" for n in (0, 32, 64, 70)]


def test_the_past_is_found_by_meaning_after_another_embedder_took_over(
    store: Store, embedder: StaticEmbedder, tmp_path: Path
) -> None:
    """Ended revisions move to the new embedder's space as well, those too whose vector went on with their memory; a
    vector that a caller gave stays, nothing is embedded twice, and the file is sound."""
    keep(store, embedder, [NewMemory("a discount", id="one"), NewMemory("a cart", id="two")])
    store.add("a load", id="given", vector=[1, 0], embedder_id="mine")
    then = store.now()
    store.update("one", text="an echo")
    store.update("two", metadata={"wheels": 4})
    store.delete("given")
    other = made(tmp_path, seed=2, dimension=32)
    assert (waiting(store, other), waiting(store, other, ended=True)) == (2, 4)
    assert [reembed(store, other, ended=True, size=1) for _ in range(2)] == [4, 0]
    for query, found in (("voucher", "a discount"), ("wagon", "a cart")):
        numbers = other.embed([query])[0]
        best = search_as_of(store, then, query, vector=numbers, embedder_id=other.id).hits[0]
        assert best.memory.text == found
        assert best.vector_score == pytest.approx(float(other.embed([found])[0] @ numbers), abs=1e-5)
    given = search_as_of(store, then, None, vector=[1, 0], embedder_id="mine")
    assert [hit.memory.id for hit in given.hits] == ["given"]
    assert verify(Place(store.path)).sound


def test_a_row_that_became_anothers_meanwhile_gets_no_vector_of_the_first(
    store: Store, embedder: StaticEmbedder, tmp_path: Path
) -> None:
    """While texts are embedded another process erases one and adds another, which SQLite gives the free number."""

    class Slow:
        id, dimension = embedder.id, embedder.dimension
        texts: ClassVar[list[str]] = []

        def embed(self, texts: Sequence[str]) -> NDArray[np.float32]:
            if "a cart" in texts:
                with Store.open(store.path) as other:
                    other.delete("first", erase=True)
                    other.add("an invoice", id="second")
            self.texts += texts
            return embedder.embed(texts)

    store.add("a cart", id="first")
    assert reembed(store, Slow()) == 0
    assert reembed(store, Slow()) == 1
    assert Slow.texts == ["a cart", "an invoice"]
    hits = find(store, embedder, "a wagon").hits
    assert [hit.vector_score for hit in hits] == [
        pytest.approx(float(embedder.embed(["a wagon"])[0] @ embedder.embed(["an invoice"])[0]), abs=1e-4)
    ]
