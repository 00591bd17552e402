"""How words and meaning are weighed in one score, and what a search says of it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from aqe.engine.errors import UserError
from aqe.engine.memory import Hit, NewMemory, Store
from aqe.engine.memory.search.shares import Shares
from aqe.engine.settings import load_settings
from aqe.engine.sync import Engine
from aqe.server.mcp.desk import Desk

WORDED, MEANT = "refund refund total", "header"


def filled(path: Path, shares: Shares | None = None) -> Store:
    """In each of two namespaces one memory that has the query's word, and one that has its vector."""
    store = Store.open(path, shares=shares)
    store.add_many(
        [
            NewMemory(f"{text} {name}", name, f"{text[:6]} {name}", vector=vector, embedder_id="own")
            for name in ("notes", "other")
            for text, vector in ((WORDED, [0.0, 1.0]), (MEANT, [1.0, 0.0]), ("filler of both", [0.6, 0.8]))
        ]
    )
    return store


def first(store: Store, namespace: str) -> str:
    return store.search("refund", vector=[1.0, 0.0], embedder_id="own", namespace=namespace).hits[0].memory.text


def test_share_of_a_namespace_decides_between_words_and_meaning(tmp_path: Path) -> None:
    """A namespace with a small share ranks by words, the others by meaning."""
    with filled(tmp_path / "aqe.db", Shares(0.9, {"notes": 0.1})) as store:
        assert first(store, "notes").startswith(WORDED)
        assert first(store, "other").startswith(MEANT)


def test_search_of_several_namespaces_weighs_each_memory_by_its_own(tmp_path: Path) -> None:
    """In one answer a memory is scored by the share of the namespace it is in."""
    with filled(tmp_path / "aqe.db", Shares(1.0, {"notes": 0.0})) as store:
        hits = store.search("refund", vector=[1.0, 0.0], embedder_id="own", explain=True).hits
    assert {hit.memory.namespace: hit.explained.vector_share for hit in hits if hit.explained} == {
        "notes": 0.0,
        "other": 1.0,
    }
    assert {hit.memory.id for hit in hits[:2]} == {"refund notes", "header other"}


def sum_of(hit: Hit) -> float:
    assert hit.explained is not None
    share = hit.explained.vector_share
    return share * hit.explained.vector_standard + (1 - share) * hit.explained.text_standard + hit.prior


def test_explanation_adds_up_to_the_score(tmp_path: Path) -> None:
    """The parts of an explanation give each hit's score, the worst 0 and the best 1."""
    with filled(tmp_path / "aqe.db") as store:
        hits = store.search("refund header", vector=[1.0, 0.2], embedder_id="own", explain=True).hits
    sums = [sum_of(hit) for hit in hits]
    assert len(hits) == 6
    for hit, total in zip(hits, sums, strict=True):
        assert hit.score == pytest.approx((total - min(sums)) / (max(sums) - min(sums)))


def test_explanation_names_the_places_by_each_side_and_by_reciprocal_ranks(tmp_path: Path) -> None:
    """Ranks count from 1 over the candidates; a side that does not have a memory has no rank of it."""
    with filled(tmp_path / "aqe.db") as store:
        hits = store.search("refund", vector=[1.0, 0.0], embedder_id="own", namespace="notes", explain=True).hits
    whys = {hit.memory.id: hit.explained for hit in hits}
    worded, meant = whys["refund notes"], whys["header notes"]
    assert worded is not None
    assert meant is not None
    assert (worded.text_rank, worded.vector_rank, worded.candidates) == (1, 3, 3)
    assert (meant.text_rank, meant.vector_rank) == (None, 1)
    assert worded.reciprocal_score == pytest.approx(1 / 61 + 1 / 63)
    assert meant.reciprocal_score == pytest.approx(1 / 61)
    assert (worded.reciprocal_rank, meant.reciprocal_rank) == (1, 2)


def test_search_that_was_not_asked_to_explain_does_not(tmp_path: Path) -> None:
    """Hits carry no explanation unless it was asked for, and none where one side alone took part."""
    with filled(tmp_path / "aqe.db") as store:
        plain = store.search("refund", vector=[1.0, 0.0], embedder_id="own").hits
        by_words = store.search("refund", explain=True).hits
    assert [hit.explained for hit in (*plain, *by_words)] == [None] * (len(plain) + len(by_words))
    assert by_words


def test_longest_name_that_fits_holds() -> None:
    """A namespace's own name wins over a tree, an inner tree over an outer one; a name without a slash is no tree."""
    shares = Shares(0.75, {"index/": 0.5, "index/main/": 0.4, "index/main/tests": 0.2, "note": 0.0})
    assert [shares.of(name) for name in ("index/main/tests", "index/main/code", "index/x", "notes", "note")] == [
        0.2,
        0.4,
        0.5,
        0.75,
        0.0,
    ]


def settings_file(project: Path, table: str) -> None:
    (project / "pyproject.toml").write_text(f"[tool.aqe.memory]\n{table}\n", encoding="utf-8")


def test_settings_give_the_shares(tmp_path: Path) -> None:
    """The file's number and table are read, and a variable's JSON object is joined to the table."""
    settings_file(tmp_path, "vector_share = 0.5\n[tool.aqe.memory.shares]\nnotes = 0.25\n'index/' = 1")
    memory = load_settings(tmp_path, environ={"AQE_MEMORY_SHARES": '{"notes": 0.125}'}).memory
    assert (memory.vector_share, memory.shares) == (0.5, {"notes": 0.125, "index/": 1.0})


@pytest.mark.parametrize(
    ("table", "key"),
    [
        ("vector_share = 1.5", "memory.vector_share"),
        ("vector_share = nan", "memory.vector_share"),
        ("shares = 3", "memory.shares"),
        ("[tool.aqe.memory.shares]\nnotes = -0.1", "memory.shares"),
        ("[tool.aqe.memory.shares]\nnotes = 'much'", "memory.shares"),
        ("[tool.aqe.memory.shares]\n'../x' = 0.5", "memory.shares"),
    ],
)
def test_share_that_is_none_is_refused(tmp_path: Path, table: str, key: str) -> None:
    """A number outside of 0 to 1, and a name that is no namespace, are refused with the key and what is allowed."""
    settings_file(tmp_path, table)
    with pytest.raises(UserError) as refused:
        load_settings(tmp_path, environ={})
    assert refused.value.code == "bad-setting"
    assert repr(key) in refused.value.message
    assert "0 to 1" in str(refused.value.fix)


def test_an_open_engine_follows_what_the_settings_say(tmp_path: Path) -> None:
    """A share, an order of one's own, and what becomes of stale memories hold from the next search on, as all settings
    do, for an engine and for what a server keeps open."""
    settings = tmp_path / "pyproject.toml"
    settings.write_text("[tool.aqe]\n")
    (tmp_path / "a.py").write_text("pass\n")
    desk = Desk(tmp_path)
    with Engine.open(tmp_path, providers=()) as engine:
        engine.remember("the header is parsed by its words", file="a.py")
        engine.remember("refunds are rounded")

        def asked(of: Any) -> list[Hit]:
            return list(of("parsed header", explain=True).hits)

        def by_server(query: str, *, explain: bool) -> Any:
            return desk.search(query, None, 9, {}, explain=explain)

        for of in (engine.search, by_server):
            assert {hit.explained.vector_share for hit in asked(of) if hit.explained} == {0.25}
        (tmp_path / "a.py").write_text("changed\n")
        for share, rank in ((0.6, "similarity"), (0.9, "0 - similarity")):
            settings.write_text(
                f'[tool.aqe.memory]\nvector_share = {share}\nrank = "{rank}"\nstale = "hide"\n# {share} {rank}\n'
            )
            for of in (engine.search, by_server):
                found = asked(of)
                assert [hit.memory.text for hit in found] == ["refunds are rounded"]
                assert {hit.explained.vector_share for hit in found if hit.explained} == {share}
    desk.close()
