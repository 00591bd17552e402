"""Rows that words find are ranked from FTS5's lists as FTS5 ranks them, whatever is written meanwhile."""

from __future__ import annotations

import random
from functools import partial
from pathlib import Path

import apsw
import pytest

from aqe import simd
from aqe.engine.memory import NewMemory, Store
from aqe.engine.memory.terms.occurrences import KnownRows
from aqe.engine.memory.terms.text import match_expression

WORDS = ("refund", "parse", "header", "größe", "flaky", "import", "of", "a")
NOWHERE = "nowher"


def text_of(rng: random.Random) -> str:
    return " ".join(rng.choice(WORDS) for _ in range(rng.choice([1, 3, 12, 150])))


def said_by_fts5(connection: apsw.Connection, terms: list[str]) -> dict[int, float]:
    sql = "SELECT rowid, -rank FROM texts WHERE texts MATCH ?"
    return dict(connection.execute(sql, (match_expression(terms),)))


def ranked(known: KnownRows, connection: apsw.Connection, terms: list[str]) -> dict[int, float] | None:
    found = known.ranked(connection, terms)
    return None if found is None else dict(zip(found[0].tolist(), found[1].tolist(), strict=True))


def test_scores_are_those_of_fts5_after_any_change(tmp_path: Path) -> None:
    """Rows and BM25 equal FTS5's to the bit, for texts of one word and of many, added, replaced, ended and erased."""
    rng, known = random.Random(5), KnownRows()
    with Store.open(tmp_path / "aqe.db") as store:
        ids = store.add_many([NewMemory(f"{text_of(rng)} {at}") for at in range(60)])
        for round in range(6):
            store.delete(ids.pop(), erase=round % 2 == 0)
            store.update(ids[round], text=text_of(rng))
            ids.append(store.add(f"{text_of(rng)} again {round}"))
            known.forget()
            with store.reading() as connection:
                for terms in (["refund"], ["größe", "header", NOWHERE], [NOWHERE], [*WORDS], ["a", "59"]):
                    said = said_by_fts5(connection, terms)
                    assert ranked(known, connection, terms) == said
                    assert list(ranked(known, connection, terms) or {}) == sorted(said)


def test_fts5_ranks_where_its_scores_turn_out_to_be_others(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """With another formula than FTS5's nothing is ranked here, and a search finds what it finds else."""
    with Store.open(tmp_path / "aqe.db") as store:
        store.add_many([NewMemory(f"{text_of(random.Random(at))} {at}", vector=[1.0, float(at)]) for at in range(40)])
        asked = {"query": "refund größe", "vector": [0.3, 1.0]}
        expected = store.search(**asked).hits
    monkeypatch.setattr(simd, "rank_lists", partial(simd.rank_lists, k1=2.0))
    with Store.open(tmp_path / "aqe.db") as store:
        with store.reading() as connection:
            assert KnownRows().ranked(connection, ["refund"]) is None
        assert store.search(**asked).hits == expected


def test_row_that_only_the_index_has_is_left_to_fts5(tmp_path: Path) -> None:
    """A row of the text index behind the newest memory has no place among the lengths: FTS5 ranks, as it did."""
    with Store.open(tmp_path / "aqe.db") as store:
        store.add("refund the order")
        with store.writing() as connection:
            connection.execute("INSERT INTO texts (rowid, subtokens) VALUES (900, 'refund')")
        with store.reading() as connection:
            assert KnownRows().ranked(connection, ["refund"]) is None
            assert ranked(KnownRows(), connection, ["order"]) == said_by_fts5(connection, ["order"])
        assert [hit.memory.text for hit in store.search("refund").hits] == ["refund the order"]
