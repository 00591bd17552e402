"""A user's own order of what a search finds."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest

from aqe.engine.errors import UserError
from aqe.engine.memory import Store, open_store
from aqe.engine.memory.growth.access import DAY_US
from aqe.engine.memory.growth.pins import set_pinned
from aqe.engine.memory.growth.rules import GrowthRules
from aqe.engine.memory.search import rank
from aqe.engine.memory.search.rank import NAMES, evaluate, parse_rank
from aqe.engine.settings import load_settings


def _columns(count: int) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(4)
    return {name: rng.random(count) for name in NAMES}


@pytest.mark.parametrize(
    "text",
    [
        "",
        "1 + 2",
        "similarity +",
        "__import__('os').system('true')",
        "similarity.real",
        "similarity if recency else 1",
        "[similarity]",
        "similarity < 1",
        "eval(similarity)",
        "sqrt(similarity, recency)",
        "sqrt(x=similarity)",
        "lambda: similarity",
        "similarity + 'a'",
        "similarity + True",
        "similarity * 1e99",
        "importance * 2",
        "similarity" + " + similarity" * 60,
        "-" * 300 + "similarity",
        "(" * 400,
        "1 / pinned",
        "similarity / recalls",
        "exp(1000) * similarity",
        "sqrt(-similarity)",
    ],
)
def test_whatever_is_no_such_expression_is_refused(text: str) -> None:
    """Only numbers, the names, operators and four functions are let through, and what orders something; all else is one
    sentence."""
    with pytest.raises(UserError, match=r"memory\.rank") as caught:
        parse_rank(text)
    assert caught.value.code == "bad-setting"


@pytest.mark.parametrize("count", [1, 7, rank.NUMEXPR_FROM])
def test_value_is_what_the_expression_says(count: int) -> None:
    """Few candidates and many, by NumPy and by numexpr, give what the same arithmetic gives by hand."""
    found = _columns(count)
    value = evaluate(parse_rank("similarity * (0.8 + 0.2*recency) - sqrt(abs(words - 1)) / 2 ** log1p(recalls)"), found)
    wanted = found["similarity"] * (0.8 + 0.2 * found["recency"])
    wanted -= np.sqrt(np.abs(found["words"] - 1)) / 2 ** np.log1p(found["recalls"])
    assert np.allclose(value, wanted)


def test_numexpr_is_asked_where_it_is_faster(monkeypatch: pytest.MonkeyPatch) -> None:
    """From the measured size on, and for a sum of two terms without a function; NumPy gives the same."""
    first = rank.NUMEXPR_FROM
    text = "0.8 * similarity + 0.2 * recency"
    asked: list[str] = []
    monkeypatch.setattr(
        rank, "_numexpr", lambda: lambda text, **given: asked.append(text) or given["local_dict"]["recency"]
    )
    for other, count in (
        (text, first - 1),
        ("0.8 * similarity + 0.2 * log1p(recency)", first),
        ("0.8 * similarity + 0.1 * recency + 0.1 * quality", first),
        ("(0.8 + similarity) * (1 + recency)", first),
        ("similarity * (1 + recency)", first),
    ):
        evaluate(parse_rank(other), _columns(count))
        assert asked == []
    evaluate(parse_rank(text), _columns(first))
    assert asked == [text]
    monkeypatch.undo()
    found = _columns(first)
    wanted = 0.8 * found["similarity"] + 0.2 * found["recency"]
    for installed in (True, False):
        rank._numexpr.cache_clear()
        if not installed:
            monkeypatch.setitem(sys.modules, "numexpr", None)
        assert np.allclose(evaluate(parse_rank(text), found), wanted)
    rank._numexpr.cache_clear()


def test_no_number_ranks_last() -> None:
    """A division by nothing of nothing is lower than anything."""
    value = evaluate(parse_rank("similarity / recency"), {"similarity": np.array([0.0, 1.0]), "recency": np.zeros(2)})
    assert value[0] == -np.inf
    assert value[1] == np.inf


def test_search_follows_recency_recalls_and_pins(tmp_path: Path) -> None:
    """Of equally similar memories the expression decides, whatever the search goes by, beyond the k nearest."""
    clock = [1_700_000_000_000_000]

    def found(text: str, **wanted: object) -> list[str]:
        order = parse_rank(text, candidates=50)
        with Store.open(tmp_path / "aqe.db", now=lambda: clock[0], growth=GrowthRules(rank=order)) as store:
            return [hit.memory.id for hit in store.search(k=2, **wanted).hits]

    with Store.open(tmp_path / "aqe.db", now=lambda: clock[0]) as store:
        for number in range(6):
            clock[0] += 30 * DAY_US
            store.add(f"order of refunds number{number}", id=str(number), vector=[1.0, 0.1 * number])
        for _ in range(50):  # more often than the searches below, which count too
            store.search("number1", k=1)
        set_pinned(store, "2", True)
    ways: list[dict[str, object]] = [
        {"query": "refunds order"},
        {"vector": [1.0, 0.0]},
        {"query": "refunds", "vector": [1.0, 0.0]},
    ]
    for way in ways:
        assert found("recency", **way) == ["5", "4"]
        assert found("-recency", **way) == ["0", "1"]
        assert found("recalls", **way)[0] == "1"
        assert found("pinned + 0.01 * recency", **way) == ["2", "5"]


def test_quality_is_what_feedback_says(tmp_path: Path) -> None:
    """A memory that answers rested on with success comes before one without feedback, and that before a failed one."""
    with Store.open(tmp_path / "aqe.db", growth=GrowthRules(rank=parse_rank("quality"))) as store:
        for id in ("failed", "unknown", "helped"):
            store.add(f"a fact that {id}", id=id)
        with store.writing() as connection:
            sql = (
                'INSERT INTO feedback (id, request_id, signal, success, metadata, created_at, worktree, "commit")'
                " VALUES ('f', 'r', 'positive', 1, '{}', 1, '', '')"
            )
            connection.execute(sql)
            mark = "INSERT INTO marks (namespace, id, success, weight, at, feedback) VALUES ('default', ?, ?, 1, ?, 1)"
            connection.executemany(mark, [("helped", 1.0, store.now()), ("failed", 0.0, store.now())])
        assert [hit.memory.id for hit in store.search("fact").hits] == ["helped", "unknown", "failed"]


def test_setting_reaches_a_project_s_searches(tmp_path: Path) -> None:
    """The key orders what a search of the project's store finds, and a bad one is the user's mistake."""
    settings = load_settings(tmp_path, flags={"memory.rank": "0 - similarity"}, environ={})
    with open_store(tmp_path, settings=settings, environ={}) as store:
        store.add("refunds refunds refunds", id="near")
        store.add("a long story in which there is a word about refunds among many others", id="far")
        assert [hit.memory.id for hit in store.search("refunds").hits] == ["far", "near"]
    bad = load_settings(tmp_path, flags={"memory.rank": "open('x')"}, environ={})
    with pytest.raises(UserError) as caught:
        open_store(tmp_path, settings=bad, environ={})
    assert caught.value.code == "bad-setting"
