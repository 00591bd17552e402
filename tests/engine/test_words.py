"""Which words of a query are asked for, and searches of several places at once."""

from __future__ import annotations

import math
from collections.abc import Iterator
from pathlib import Path

import pytest

from aqe.engine.memory import NewMemory, Store
from aqe.engine.memory.file.changelog import read_number
from aqe.engine.memory.terms.postings import SEARCHES
from aqe.engine.memory.terms.words import FEWEST, MOST, POSTINGS, WordCounts

WORDS = ("alder", "birch", "cedar", "dogwood", "elm", "fir", "gum", "hazel", "ivy", "juniper")
PADDING = " ".join(f"{a}{b}{c}qq" for a in "bcdfgklm" for b in "aeiou" for c in "bdfgklmn")  # 320 words of no memory


@pytest.fixture(scope="module")
def large() -> Iterator[Store]:
    """1,200 memories: all have `note`, a third `common`, ten in each hundred a tree, one `zebra`."""
    with Store.open(Path(":memory:")) as store:
        store.add_many(
            [
                NewMemory(
                    f"note {number} {'common' if number % 3 == 0 else ''} {WORDS[number % 10]}",
                    vector=[math.sin(number), math.cos(number), math.sin(1.7 * number)],
                    namespace=f"index/{number % 2}" if number % 4 else "notes",
                )
                for number in range(1200)
            ]
        )
        store.add("the zebra stands alone", namespace="notes", vector=[0.1, 0.2, -1.0])
        yield store


def test_the_telling_word_of_a_long_prompt_is_asked_for(large: Store) -> None:
    """A word behind hundreds of others finds its memory: the terms are chosen by how few rows have them."""
    found = large.search(f"{PADDING} {' '.join(WORDS)} note common zebra", k=3)
    assert found.hits[0].memory.text == "the zebra stands alone"


def test_a_small_store_chooses_from_a_long_prompt_too(store: Store) -> None:
    """In a small store a long prompt finds by its last word as well."""
    store.add("the zebra stands alone")
    store.add("unrelated words")
    found = store.search(f"{PADDING} zebra")
    assert [hit.memory.text for hit in found.hits] == ["the zebra stands alone"]


@pytest.mark.parametrize("searches", [1, SEARCHES + 1])
def test_words_of_a_question_do_not_find_other_questions(store: Store, searches: int) -> None:
    """What somebody asks about is found before what is worded as the question is, through FTS5 and own postings."""
    store.add("Mira: the kettle is in the greenhouse, under a seed tray")
    store.add("Jonas: and what was it for, where did you have it?")
    store.add_many([NewMemory(f"{word} in the wood") for word in WORDS])
    for _ in range(searches):
        found = store.search("And where was it that you did have the kettle, and what for?", k=1)
    assert "greenhouse" in found.hits[0].memory.text


def test_stop_words_within_names_are_asked_for(store: Store) -> None:
    """A name of code is found first by its own stop words, and a question whose other words stand nowhere by them."""
    texts = (
        "use to_dict for a copy",
        "use from_dict for a copy",
        "turn_on the lamp",
        "turn_off the lamp",
        "assertNotIn x",
    )
    store.add_many([NewMemory(text, id=text.split()[0 if "turn" in text or "assert" in text else 1]) for text in texts])
    store.add("assertIn and assertIs", id="assertIn")
    for _ in range(2 * SEARCHES):  # by FTS5, then by own postings
        for name in ("to_dict", "from_dict", "turn_on", "turn_off", "assertNotIn"):
            assert store.search(f"what does {name} do?").hits[0].memory.id == name
        assert {hit.memory.id for hit in store.search("the zebra").hits} == {"turn_on", "turn_off"}


def test_a_question_of_stop_words_alone_finds_them(store: Store) -> None:
    """Where nothing else is asked for, words such as "to" and "be" are looked for."""
    store.add("to be or not to be")
    store.add("the zebra stands alone")
    assert [hit.memory.text for hit in store.search("or not to be").hits] == ["to be or not to be"]


def test_rarity_of_a_long_prompt_is_of_its_telling_words(large: Store) -> None:
    """Of many words those that few rows have are weighed, with some that no row has, 64 at most."""
    found = large.rarity(f"{PADDING} note zebra alder")
    assert 3 <= len(found) <= 64
    assert 1.0 > found["zebra"] > found["alder"] > found["note"]
    assert 1.0 in found.values()


def test_a_search_of_a_large_store_asks_for_few_terms(large: Store) -> None:
    """The rarest terms are asked for, until they stand in many rows; never one of more than half of the rows."""
    terms = ["note", "common", "zebra", "alder", "nowher", *(f"{number}" for number in range(100, 140))]
    with large.reading() as connection:
        words = WordCounts().words(connection, read_number(connection), " ".join(terms))
    assert words.telling[0] == "zebra"
    assert FEWEST <= len(words.telling) <= MOST
    assert words.postings <= POSTINGS
    assert not {"note", "nowher"} & set(words.telling)


@pytest.mark.parametrize("query", [f"{PADDING} note zebra alder", "common birch elm", "nowhere zebra", "17"])
def test_both_ways_ask_for_the_same_terms(large: Store, query: str) -> None:
    """Through FTS5 and by own postings the same terms are asked for, and the same ones stand nowhere."""
    for at in range(SEARCHES + 2):
        large.search(f"alder {at}")
    with large.reading() as connection:
        number = read_number(connection)
        lists = large._searcher.lists.at_hand(connection, number)
        assert lists is not None
        assert WordCounts().words(connection, number, query) == WordCounts().words(connection, number, query, lists)
        for without in ("", "notes"):
            weights = WordCounts().rarity(connection, number, query, without)
            alone = {term: weight for term, weight in weights.items() if weight == 1.0}
            assert WordCounts().nowhere(connection, number, query, without, lists) == alone


def test_counts_follow_the_memories(store: Store) -> None:
    """What was counted is counted anew when a memory is added or ended."""
    id = store.add("one alder")
    store.add("one birch")
    before = store.rarity("alder")
    store.add("another alder")
    assert store.rarity("alder")["alder"] < before["alder"]
    store.delete(id)
    store.delete(store.search("another").hits[0].memory.id)
    assert store.rarity("alder") == {"alder": 1.0}


@pytest.mark.parametrize("query", ["zebra alder", "note common", "alder birch elm 17 note", PADDING])
def test_places_are_searched_together_as_one_by_one(large: Store, query: str) -> None:
    """A search of several places finds in each what a search of it alone finds, with the same scores."""
    places = (("index/", 5), (None, 7), ("index/1", 2), ("nothing/", 3))
    together = large.search_each(query, vector=[0.9, 0.4, 0.3], places=places)
    alone = [large.search(query, vector=[0.9, 0.4, 0.3], namespace=namespace, k=k) for namespace, k in places]
    for one, other in zip(together, alone, strict=True):
        assert [hit.memory.id for hit in one.hits] == [hit.memory.id for hit in other.hits]
        assert [hit.score for hit in one.hits] == pytest.approx([hit.score for hit in other.hits], abs=1e-4)
        assert [hit.text_score for hit in one.hits] == [hit.text_score for hit in other.hits]
    assert [len(answer.hits) for answer in together] == [5, 7, 2, 0]


def test_where_nothing_was_remembered_nothing_is_found(store: Store) -> None:
    """With a project index alone a search of what was remembered is empty, by words, vector and both."""
    store.add("indexed zebra", namespace="index/code", vector=[1.0, 0.0])
    store.add("known zebra", namespace="knowledge/flaky", vector=[1.0, 0.0])
    for query, vector in (("zebra", None), (None, [1.0, 0.0]), ("zebra", [1.0, 0.0])):
        assert store.search(query, vector=vector).hits == ()
    assert store.list() == []
    store.add("own zebra", namespace="m")
    assert [hit.memory.text for hit in store.search("zebra", vector=[1.0, 0.0]).hits] == ["own zebra"]


def test_one_call_reads_a_question_as_the_steps_do(large: Store) -> None:
    """Terms, their order and what stands nowhere are the same whether a question is read in one call or in steps."""
    for at in range(SEARCHES + 2):
        large.search(f"zebra {at}")
    questions = [
        "Where is the zebra, and is the alder common?",
        "what is to_be in alderBirch2",
        "note",
        "is it the",
        "nothing of this",
        f"{' '.join(WORDS)} common note zebra nowhere",
        "the alders, alone",
    ]
    with large.reading() as connection:
        number = read_number(connection)
        lists = large._searcher.lists.at_hand(connection, number)
        assert lists is not None
        for question in questions:
            read = lists.read(question, "index/")
            assert read is not None
            words = WordCounts().words(connection, number, question, lists)
            nowhere = WordCounts().nowhere(connection, number, question, "index/", lists)
            assert ([term.decode() for term in read[0].terms], read[1]) == ([*words.telling], nowhere)
        assert lists.read("caf\u00e9", "index/") is None
        assert lists.read(PADDING, "index/") is None


def test_rarity_outside_some_namespaces_is_a_share(store: Store) -> None:
    """A word of many rows that are not counted weighs as if these were not there, and never less than nothing."""
    store.add_many([NewMemory(f"test {number}", namespace="knowledge/all") for number in range(150)])
    store.add_many([NewMemory("an alder test"), NewMemory("a birch")])
    rarity = store.rarity("test alder cedar", without="knowledge/")
    assert rarity["test"] == rarity["alder"]
    assert 0.0 <= rarity["test"] < rarity["cedar"] == 1.0
    store.add_many([NewMemory(f"test {number}", namespace="knowledge/all") for number in range(150, 500)])
    assert 0.0 <= store.rarity("test alder", without="knowledge/")["test"] <= 1.0
