"""Search of an engine by the caller's own vector."""

from __future__ import annotations

import threading
from array import array
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from aqe.engine import sync
from aqe.engine.errors import UserError
from aqe.engine.memory import NewMemory, SearchAnswer, Store, rfc3339
from aqe.engine.settings import Settings

DIM = 24


class ToyEmbedder:
    """A space of 24 numbers, in which a text is its characters counted."""

    id = "toy"
    dimension = DIM

    def embed(self, texts: Any) -> Any:
        """One row for each text."""
        rows = np.zeros((len(texts), DIM), np.float32)
        for row, text in zip(rows, texts, strict=True):
            for character in text:
                row[ord(character) % DIM] += 1
        return rows


@pytest.fixture(scope="module")
def engine(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """An open engine with sixty memories of the toy's space and as many of a caller's own."""
    home = tmp_path_factory.mktemp("project")
    (home / "pyproject.toml").write_text("[tool.aqe]\n")
    with sync.Engine.open(home, settings=Settings(), embedder=ToyEmbedder(), providers=()) as opened:
        for at in range(60):
            opened.remember(f"memory number {at} of the toy", id=f"toy-{at}")
        with Store.open(opened.database) as store:
            rows = np.random.default_rng(1).standard_normal((60, 5)).astype(np.float32)
            store.add_many(
                NewMemory(f"own {at}", id=f"own-{at}", metadata={"n": at}, vector=row, embedder_id="mine")
                for at, row in enumerate(rows)
            )
        yield opened


def own(at: int) -> Any:
    return np.random.default_rng(1).standard_normal((60, 5)).astype(np.float32)[at]


def ids(answer: SearchAnswer) -> list[str]:
    return [hit.memory.id for hit in answer.hits]


def test_vector_of_the_own_embedder_finds_its_memory(engine: Any) -> None:
    """Without a space the vector is of the engine's embedder, and finds what that embedded, again and again."""
    query = engine.embed("memory number 7 of the toy")
    answers = [engine.search(vector=query, k=1) for _ in range(6)]
    assert {tuple(ids(answer)) for answer in answers} == {("toy-7",)}
    assert {answer.mode for answer in answers} == {"vector"}


def test_search_of_the_past_finds_what_held_then(engine: Any) -> None:
    """With `as_of` a text or a vector finds the revisions of then, however the moment is given; later ones are not
    there."""
    engine.remember("a heron stood in the pond", id="bird")
    with Store.open(engine.database) as store:
        then = store.get("bird").valid_from
        store.update("bird", text="an otter swam in the river")
    for moment in (then, datetime.fromtimestamp(then / 1e6, UTC) + timedelta(milliseconds=1), rfc3339(then)):
        (hit,) = engine.search("heron pond", k=1, as_of=moment).hits
        assert (hit.memory.id, hit.memory.text) == ("bird", "a heron stood in the pond")
    assert ids(engine.search(vector=own(3), embedder_id="mine", k=1, as_of=then)) == ["own-3"]
    assert ids(engine.search("heron pond", as_of="1970-01-02")) == []
    assert "otter" in engine.search("otter river", k=1).hits[0].memory.text


def test_vector_of_a_callers_space_finds_that_space_alone(engine: Any) -> None:
    """With the space named, memories of it are found, and none of another."""
    for _ in range(5):
        answer = engine.search(vector=own(9), embedder_id="mine", k=60)
        assert ids(answer)[0] == "own-9"
        assert len(answer.hits) == 60
        assert {hit.memory.embedder_id for hit in answer.hits} == {"mine"}


def test_words_and_a_vector_search_together(engine: Any) -> None:
    """A text beside the vector makes a search by both."""
    answer = engine.search("own 3", vector=own(4), embedder_id="mine", k=5)
    assert answer.mode == "hybrid"
    assert {"own-3", "own-4"} <= set(ids(answer))


def test_what_is_written_between_two_searches_is_found(engine: Any) -> None:
    """A memory that this engine or another process adds is found by the next search, and not after its end."""
    new = np.array([9, -9, 9, -9, 9], np.float32)
    for _ in range(4):
        engine.search(vector=new, embedder_id="mine")
    with Store.open(engine.database) as other:
        other.add("new elsewhere", id="new", vector=new, embedder_id="mine")
        assert ids(engine.search(vector=new, embedder_id="mine", k=1)) == ["new"]
        other.delete("new")
    assert ids(engine.search(vector=new, embedder_id="mine", k=1)) != ["new"]
    engine.remember("zzzz zzzz", id="zs")
    assert ids(engine.search(vector=engine.embed("zzzz zzzz"), k=1)) == ["zs"]


def test_filter_and_namespace_hold(engine: Any) -> None:
    """A filter on the metadata and a namespace leave out what does not meet them."""
    for _ in range(4):
        assert ids(engine.search(vector=own(9), embedder_id="mine", filter={"n": {"lt": 3}})) != []
        assert {
            int(one.split("-")[1]) < 3
            for one in ids(engine.search(vector=own(9), embedder_id="mine", filter={"n": {"lt": 3}}))
        } == {True}
        assert ids(engine.search(vector=own(9), embedder_id="mine", filter={"n": 1000})) == []
        assert ids(engine.search(vector=own(9), embedder_id="mine", namespace="nowhere")) == []


@pytest.mark.parametrize(
    "shaped",
    [
        lambda row: row.tolist(),
        lambda row: array("f", row),
        lambda row: array("d", row),
        lambda row: row.astype(np.float64),
        lambda row: row.astype(np.float16),
        lambda row: np.repeat(row, 2)[::2],
        lambda row: (row * 1000).astype(np.int64),
        lambda row: _read_only(row),
        lambda row: row * np.float32(1e-25),
        lambda row: row * np.float32(1e25),
    ],
)
def test_any_row_of_numbers_will_do(engine: Any, shaped: Callable[[Any], Any]) -> None:
    """Lists, arrays of any kind of number, read-only and strided ones, very small and very large ones are all taken."""
    for _ in range(4):
        assert ids(engine.search(vector=shaped(own(9)), embedder_id="mine", k=1)) == ["own-9"]


def _read_only(row: Any) -> Any:
    row.flags.writeable = False
    return row


@pytest.mark.parametrize(
    ("arguments", "code"),
    [
        ({}, "bad-query"),
        ({"vector": [np.nan] * DIM}, "bad-vector"),
        ({"vector": [np.inf] + [0.0] * (DIM - 1)}, "bad-vector"),
        ({"vector": np.zeros(DIM, np.float32)}, "bad-vector"),
        ({"vector": []}, "bad-vector"),
        ({"vector": [1.0, 2.0]}, "bad-vector"),
        ({"vector": "no numbers"}, "bad-vector"),
        ({"vector": 3}, "bad-vector"),
        ({"vector": np.ones((2, DIM), np.float32)}, "bad-vector"),
        ({"vector": np.array(["a"] * DIM)}, "bad-vector"),
        ({"vector": [1.0] * 9000}, "bad-vector"),
        ({"vector": [1.0] * DIM, "k": 0}, "bad-limit"),
        ({"vector": [1.0] * DIM, "k": 1001}, "bad-limit"),
        ({"vector": [1.0] * DIM, "k": True}, "bad-limit"),
        ({"vector": [1.0] * DIM, "namespace": "../up"}, "bad-namespace"),
        ({"vector": [1.0] * DIM, "filter": {"n": {"near": 3}}}, "bad-filter"),
        ({"vector": [1.0] * 7, "embedder_id": "mine"}, "bad-vector"),
    ],
)
def test_what_is_no_vector_is_refused_in_a_sentence(engine: Any, arguments: dict[str, Any], code: str) -> None:
    """A vector, a number of results, a place or a filter that cannot be is refused with its code, warm or not."""
    for _ in range(2):
        with pytest.raises(UserError) as caught:
            engine.search(**arguments)
        assert caught.value.code == code
        assert caught.value.fix
        for _ in range(4):
            engine.search(vector=own(1), embedder_id="mine")


def test_empty_engine_finds_nothing(tmp_path: Path) -> None:
    """An engine without memories answers a vector with no hits."""
    (tmp_path / "pyproject.toml").write_text("[tool.aqe]\n")
    with sync.Engine.open(tmp_path, settings=Settings(), embedder=ToyEmbedder(), providers=()) as opened:
        assert ids(opened.search(vector=[1.0] * DIM, namespace="default")) == []


def test_threads_search_while_one_writes(engine: Any) -> None:
    """Searches of several threads meet no error and no half of a write while another thread adds and deletes."""
    wrong: list[object] = []
    over = threading.Event()

    def search(at: int) -> None:
        try:
            while not over.is_set():
                hits = engine.search(vector=own(at), embedder_id="mine", k=3).hits
                if hits[0].memory.id != f"own-{at}" or any(hit.memory.valid_to is not None for hit in hits):
                    wrong.append(hits)
        except Exception as error:
            wrong.append(error)

    threads = [threading.Thread(target=search, args=(at,)) for at in range(3)]
    for thread in threads:
        thread.start()
    for at in range(40):
        engine.remember(f"while they search {at}", id=f"while-{at}")
        engine.forget(f"while-{at}")
    over.set()
    for thread in threads:
        thread.join(timeout=60)
    assert wrong == []


@pytest.mark.parametrize(
    "rest", [{}, {"filter": {"n": 3}}, {"as_of": rfc3339(int(datetime.now(UTC).timestamp()) * 1_000_000)}]
)
def test_space_that_is_not_there_is_an_error_with_those_that_are(engine: sync.Engine, rest: dict[str, Any]) -> None:
    """A vector of an embedder that no memory has a vector of is refused, and the message names the others."""
    with pytest.raises(UserError, match="nope") as refused:
        engine.search(vector=own(3), embedder_id="nope", **rest)
    assert refused.value.code == "unknown-embedder"
    assert "'toy', 'mine'" in refused.value.fix
