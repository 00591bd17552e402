"""Searching the store: words, vectors, both, filters, and hostile queries."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from aqe.engine.errors import UserError
from aqe.engine.memory import NewMemory, Store
from aqe.engine.memory.terms.text import query_terms, subtokens


def texts(store: Store, *arguments: Any, **options: Any) -> list[str]:
    return [hit.memory.text for hit in store.search(*arguments, **options).hits]


@pytest.mark.parametrize(
    ("text", "tokens"),
    [
        ("parseHTTPHeader", ["pars", "http", "header"]),
        ("MAX_RETRY_COUNT2", ["max", "retri", "count", "2"]),
        ("__init__", ["init"]),
        ("utf8Decode", ["utf", "8", "decod"]),
        ("running runs ran", ["run", "run", "ran"]),
        ("Café cafe\u0301", ["café", "café"]),
        ("日本語", ["日本", "本語"]),
        ("日", ["日"]),
        ("", []),
        ('"* - ( ) : ^', []),
    ],
)
def test_text_becomes_subtokens(text: str, tokens: list[str]) -> None:
    """Identifiers split on case, underscore and digits; words are lower-cased and stemmed."""
    assert subtokens(text) == tokens


def test_long_query_is_cut() -> None:
    """Of a long query the first 64 distinct subtokens count."""
    assert len(query_terms(" ".join(f"w{number}x" for number in range(500)))) == 64


def test_words_find_identifiers_and_inflections(store: Store) -> None:
    """A query in prose finds code, and the other way round."""
    store.add("def parse_http_headers(raw): ...")
    store.add("unrelated words about a cart")
    assert texts(store, "parsing HTTP header") == ["def parse_http_headers(raw): ..."]
    assert store.search("parsing").mode == "text"


def test_text_search_ranks_the_rarer_word_first(store: Store) -> None:
    """BM25: the memory with the rare word comes before those with the common one."""
    store.add_many([NewMemory(f"cart number {number}") for number in range(10)])
    store.add("voucher for the cart")
    answer = store.search("cart voucher", k=3)
    assert answer.hits[0].memory.text == "voucher for the cart"
    assert [hit.score for hit in answer.hits] == sorted((hit.score for hit in answer.hits), reverse=True)


def test_vector_search_is_by_cosine(store: Store) -> None:
    """The nearest direction wins, whatever its length; the score is the cosine."""
    store.add("east", vector=[10.0, 0.0])
    store.add("north-east", vector=[1.0, 1.0])
    store.add("no direction")
    answer = store.search(vector=[0.1, 0.0])
    assert answer.mode == "vector"
    assert [(hit.memory.text, round(hit.score, 4)) for hit in answer.hits] == [("east", 1.0), ("north-east", 0.7071)]


def test_vectors_of_different_embedders_never_meet(store: Store) -> None:
    """A search looks only at vectors of its embedder and dimension."""
    store.add("a", vector=[1.0, 0.0], embedder_id="one")
    store.add("b", vector=[1.0, 0.0], embedder_id="two")
    store.add("c", vector=[1.0, 0.0, 0.0], embedder_id="three")
    assert texts(store, vector=[1.0, 0.0], embedder_id="one") == ["a"]
    assert texts(store, vector=[1.0, 0.0, 0.0], embedder_id="two") == []


def test_hybrid_joins_both_sides(store: Store) -> None:
    """With a text and a vector, what both like comes first, and each side alone may bring a hit."""
    store.add("round half up", vector=[1.0, 0.1])
    store.add("round the corner", vector=[0.0, 1.0])
    store.add("prices in cents", vector=[1.0, 0.0])
    answer = store.search("round half", vector=[1.0, 0.0])
    assert answer.mode == "hybrid"
    assert [hit.memory.text for hit in answer.hits] == ["round half up", "prices in cents", "round the corner"]
    assert all(0 <= hit.score <= 1 for hit in answer.hits)


def test_hybrid_finds_a_memory_without_a_vector(store: Store) -> None:
    """A memory that has only words is found by a search that has both."""
    store.add("only words here")
    store.add("with direction", vector=[1.0, 0.0])
    assert set(texts(store, "words", vector=[1.0, 0.0])) == {"only words here", "with direction"}


@pytest.mark.parametrize(
    ("filter", "found"),
    [
        ({"n": 1}, {"a"}),
        ({"n": "1"}, {"b"}),
        ({"n": True}, {"c"}),
        ({"n": None}, {"d"}),
        ({"n": {"ge": 1, "lt": 3}}, {"a", "e"}),
        ({"n": {"in": [1, "1"]}}, {"a", "b"}),
        ({"n": {"in": []}}, set()),
        ({"n": {"ne": 1}}, {"b", "c", "d", "e", "f"}),
        ({"n": {"exists": False}}, {"f"}),
        ({"tags": {"has": "x"}}, {"f"}),
        ({"odd \"key'); DROP TABLE memories; --": 5}, {"e"}),
        ({"n": 2.5, "other": "z"}, {"e"}),
    ],
)
def test_metadata_filter_selects(store: Store, filter: dict[str, Any], found: set[str]) -> None:
    """Filters compare by type and value; several must all hold; text and vector search obey them alike."""
    rows: dict[str, dict[str, Any]] = {
        "a": {"n": 1},
        "b": {"n": "1"},
        "c": {"n": True},
        "d": {"n": None},
        "e": {"n": 2.5, "other": "z", "odd \"key'); DROP TABLE memories; --": 5},
        "f": {"tags": ["x", "y"]},
    }
    for id, metadata in rows.items():
        store.add(f"word {id}", id=id, metadata=metadata, vector=[1.0, 2.0])
    assert {hit.memory.id for hit in store.search("word", filter=filter).hits} == found
    assert {hit.memory.id for hit in store.search(vector=[1.0, 2.0], filter=filter).hits} == found
    assert {hit.memory.id for hit in store.search("word", vector=[1.0, 2.0], filter=filter).hits} == found
    assert {memory.id for memory in store.list(filter=filter)} == found


def test_filter_is_applied_before_the_cut(store: Store) -> None:
    """A rare match far from the query is found with k = 1: the filter selects first, the ranking cuts after."""
    store.add_many([NewMemory(f"near {number}", vector=[1.0, number / 1e6]) for number in range(300)])
    store.add("far", vector=[-1.0, 0.5], metadata={"rare": True})
    assert texts(store, vector=[1.0, 0.0], k=1, filter={"rare": True}) == ["far"]


def test_namespace_limits_a_search(store: Store) -> None:
    """A search of one namespace sees nothing of another; without one it sees all."""
    store.add("shared word", namespace="one", vector=[1.0, 0.0])
    store.add("shared word", namespace="two", vector=[1.0, 0.0])
    assert len(store.search("word", vector=[1.0, 0.0], namespace="one").hits) == 1
    assert len(store.search("word", vector=[1.0, 0.0]).hits) == 2


@pytest.mark.parametrize(
    ("options", "code"),
    [
        ({}, "bad-query"),
        ({"query": 5}, "bad-query"),
        ({"query": "x", "k": 0}, "bad-limit"),
        ({"query": "x", "k": True}, "bad-limit"),
        ({"query": "x", "k": 1001}, "bad-limit"),
        ({"vector": [0.0]}, "bad-vector"),
        ({"query": "x", "namespace": "*"}, "bad-namespace"),
        ({"query": "x", "filter": {"a": {"like": "b"}}}, "bad-filter"),
        ({"query": "x", "filter": {"a": {"in": "b"}}}, "bad-filter"),
        ({"query": "x", "filter": {"a": {"lt": None}}}, "bad-filter"),
        ({"query": "x", "filter": {"a": [1]}}, "bad-filter"),
        ({"query": "x", "filter": {"a": 1 << 70}}, "bad-filter"),
        ({"query": "x", "filter": {"a": "\ud800"}}, "bad-filter"),
        ({"query": "x", "filter": [1]}, "bad-filter"),
    ],
)
def test_wrong_search_is_a_named_error(store: Store, options: dict[str, Any], code: str) -> None:
    """What cannot be searched for is refused with its code."""
    with pytest.raises(UserError) as caught:
        store.search(**options)
    assert caught.value.code == code


HOSTILE = [
    '"',
    "*",
    "NEAR(a b, 2)",
    "-word",
    "subtokens: word",
    "word*",
    "AND OR NOT",
    "^word",
    "(((",
    "word AND",
    "{word",
    "'; DROP TABLE memories; --",
    "\0",
    "\ud800",
    "%_\\",
    "a" * 100_000,
    "word " * 50_000,
    "",
]


@pytest.mark.parametrize("query", HOSTILE, ids=range(len(HOSTILE)))
def test_query_with_syntax_is_only_words(store: Store, query: str) -> None:
    """Whatever stands in a query, it is taken as words: no error, and `word` finds the memory."""
    store.add("the word is here")
    found = texts(store, query)
    assert found == (["the word is here"] if "word" in query else [])
    assert texts(store, "word") == ["the word is here"]


@settings(max_examples=60, deadline=None)
@given(text=st.text(min_size=1, max_size=200), query=st.text(max_size=60))
def test_any_text_can_be_stored_and_searched(text: str, query: str) -> None:
    """Any text that passes the door is stored as it is and found by itself if it has a word."""
    from pathlib import Path

    with Store.open(Path(":memory:")) as store:
        try:
            id = store.add(text)
        except UserError as error:
            refused = error.code
        else:
            refused = ""
            found = store.get(id)
            assert found is not None
            assert found.text == text
            assert texts(store, text) == ([text] if subtokens(text) else [])
            store.search(query)
    assert refused in ("", "bad-text")


def test_words_of_most_rows_change_no_ranking(store: Store) -> None:
    """In a large store a word that stands in most rows is left out while the others find enough; the answer is that of
    all words, in the whole store, in a namespace and beside a vector, and such words still fill up a short answer."""
    rows = [NewMemory(f"note {'kirt ' * (number % 7)}{number}", namespace=f"n{number % 2}") for number in range(1600)]
    store.add_many([*rows, NewMemory("note murt", namespace="n0", vector=[1.0, 0.0])])
    for namespace in (None, "n1"):
        both, alone = (store.search(query, k=20, namespace=namespace).hits for query in ("note 3 5 7 11", "3 5 7 11"))
        assert [hit.memory.id for hit in both[: len(alone)]] == [hit.memory.id for hit in alone]
        assert [hit.score for hit in both[: len(alone)]] == pytest.approx([hit.score for hit in alone], abs=1e-4)
        assert len(both) == 20
    assert store.search("note murt", k=3).hits[0].memory.text == "note murt"
    assert len(store.search("note murt", k=3).hits) == 3
    hybrid = store.search("note murt", vector=[1.0, 0.0], k=1).hits[0]
    assert (hybrid.memory.text, hybrid.score) == ("note murt", pytest.approx(1.0))
    assert len(store.search("note kirt", k=5).hits) == 5


def test_what_was_remembered_is_not_drowned_by_the_project_index(store: Store) -> None:
    """Without a namespace the project index takes no part, by words, by vector or by both; `index/` asks for it."""
    store.add("shared word of a person", namespace="notes", vector=[1.0, 0.1])
    for number, name in enumerate(("index/docs", "index/code", "index.1a2b/docs")):
        store.add(f"shared word {number}", namespace=name, vector=[1.0, 0.0])
    for query, vector in (("word", None), (None, [1.0, 0.0]), ("word", [1.0, 0.0])):
        found = store.search(query, vector=vector)
        assert [hit.memory.namespace for hit in found.hits] == ["notes"]
        index = store.search(query, vector=vector, namespace="index/")
        assert sorted(hit.memory.namespace for hit in index.hits) == ["index/code", "index/docs"]
    assert [memory.namespace for memory in store.list()] == ["notes"]
    assert len(store.list(namespace="index/")) == 2
    assert store.list(namespace="nothing/") == []


@pytest.mark.parametrize("name", ["team/", "_own"])
def test_memories_in_namespaces_that_take_no_new_ones_are_read(store: Store, name: str) -> None:
    """A memory that an earlier version put into a namespace that is refused by now is found, shown and deleted."""
    store.add("the old note", id="old", namespace="was")
    with store.writing() as connection:
        connection.execute("UPDATE memories SET namespace = ? WHERE namespace = 'was'", (name,))
    with pytest.raises(UserError, match="not a namespace"):
        store.add("a new note", namespace=name)
    assert [hit.memory.id for hit in store.search("note", namespace=name).hits] == ["old"]
    assert store.get("old", namespace=name) is not None
    store.delete("old", namespace=name)
    assert store.list(namespace=name) == []


def test_rarity_tells_what_few_rows_have(store: Store) -> None:
    """A term of every row weighs nearly nothing, one of no row 1; rows of namespaces left out do not count."""
    store.add_many([NewMemory(f"common note {number}") for number in range(30)])
    store.add("common tax note")
    store.add("lore of tax and refunds", namespace="lore/a")
    found = store.rarity("common tax refunds nowhere")
    assert found["common"] < 0.05 < found["tax"] < found["refund"] < found["nowher"] == 1.0
    alone = store.rarity("common tax refunds nowhere", without="lore/")
    assert alone["refund"] == alone["nowher"] == 1.0
    assert found["tax"] < alone["tax"] < 1.0
