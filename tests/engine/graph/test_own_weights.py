"""Weights of a project's own: learned from its recorded runs, tried on what was held out, kept, shown and dropped."""

from __future__ import annotations

import base64
import json
import zlib
from array import array
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import pytest

from aqe.engine.embedding.static import built_in_path, open_static
from aqe.engine.index import index_project
from aqe.engine.memory import Store, open_store
from aqe.engine.memory.graph.attention import FEATURES, SIZE, Neighbourhood
from aqe.engine.memory.graph.own_weights import (
    FEWEST,
    MOST_MOVED,
    Lesson,
    Trial,
    forget_weights,
    keep_weights,
    learn_from_runs,
    learned,
    mean_and_low,
    read_weights,
)
from aqe.engine.memory.graph.searching import built_in_weights
from aqe.engine.retrieval import find

FUNCTIONS = FEWEST + 8


def record(store: Store, at: int) -> None:
    """Note that a test executed two functions, as a recorded run does."""
    with store.writing() as connection:
        numbers = []
        for name in (f"rate_{at}", f"quote_{at}"):
            connection.execute("INSERT INTO impact_parts (file, name, digest) VALUES ('money.py', ?, 'd')", (name,))
            numbers.append(connection.last_insert_rowid())
        test = f"test_money.py::test_quote_{at}"
        row = (
            "test",
            test,
            "test_money.py",
            zlib.compress(array("I", numbers).tobytes()),
            "passed",
            0.1,
            "run",
            1,
            "",
            "",
        )
        connection.execute("INSERT INTO impact_sets VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)", row)


def lesson(seed: int, telling: bool) -> Lesson:
    """Twelve tests and a function that most of them cover by their names; the one that imports it is right, or any."""
    draw = np.random.default_rng(seed)
    right = int(draw.integers(12))
    joined = [(at, 12, "imports out" if telling and at == right else "covers out", 1.0) for at in range(12)]
    features = np.zeros((13, len(FEATURES)))
    features[:, 0], features[:12, 4], features[12, 5], features[:, 7] = draw.uniform(0.4, 0.6, 13), 1.0, 1.0, 1.0
    return Neighbourhood.of(features, 4 * features[:, 0], np.arange(13) < 12, joined), np.arange(13) == right


def lessons(telling: bool) -> list[Sequence[Lesson]]:
    return [[lesson(2 * at, telling), lesson(2 * at + 1, telling)] for at in range(48)]


@pytest.mark.services
def test_project_whose_tests_import_what_they_test_is_learned() -> None:
    """Where another kind of edge tells in this project than in those before, its weights win on what was held out."""
    trial = learned(built_in_weights(), lessons(True))
    assert trial.is_won
    assert trial.gain > 0.05
    assert (trial.functions, trial.held_out) == (32, 32)
    assert np.abs(trial.weights - built_in_weights()).max() <= MOST_MOVED


def test_asking_twice_alike_is_no_more_evidence() -> None:
    """What a second query of each function gained, where it is the same, makes the gain no surer."""
    gains = [0.5, -0.25, 0.0, 0.5, -0.25, 0.25]
    mean, low = mean_and_low([[one] for one in gains])
    assert mean_and_low([[one, one] for one in gains]) == (mean, low)
    assert low < mean == pytest.approx(0.125)


def test_project_that_tells_nothing_is_not_learned() -> None:
    """Where nothing tells which test is right, no weights are kept."""
    assert not learned(built_in_weights(), lessons(False)).is_won


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    """A project with functions that tests reach through others that they name, as one run of them was recorded."""
    root = tmp_path / "money"
    root.mkdir()
    (root / "pyproject.toml").touch()
    names = [f"rate_{number}" for number in range(FUNCTIONS)]
    code = [f"def {name}(cents):\n    return cents * {at} // 7\n\n\n" for at, name in enumerate(names)]
    code += [f"def quote_{at}(cents):\n    return {name}(cents) + 1\n\n\n" for at, name in enumerate(names)]
    (root / "money.py").write_text("".join(code))
    calls = [f"def test_quote_{at}():\n    assert money.quote_{at}(7) > 0\n\n\n" for at in range(FUNCTIONS)]
    (root / "test_money.py").write_text("import money\n\n\n" + "".join(calls))
    with open_store(root) as opened:
        index_project(opened, open_static(built_in_path()), root)
        for at in range(FUNCTIONS):
            record(opened, at)
        yield opened


def found(store: Store, text: str = "def quote_5(cents):\n    return rate_5(cents) + 1") -> list[str]:
    hits = find(store, open_static(built_in_path()), text, k=5, namespace="index/tests").hits
    return [str(hit.memory.metadata["name"]) for hit in hits]


def test_recorded_runs_are_learned_from(store: Store) -> None:
    """Two thirds of the functions that the tests executed are learned from, the others are asked for; nothing is kept
    by that, and what runs recorded is no edge of the trial."""
    graph, before = store.graph, found(store)
    trial = learn_from_runs(store, open_static(built_in_path()), "index")
    assert trial is not None
    assert trial.functions == pytest.approx(2 * 2 * FUNCTIONS / 3, abs=2)
    assert trial.held_out > FUNCTIONS / 3
    assert trial.weights.shape == (SIZE,)
    assert store.graph is graph
    assert found(store) == before


def test_too_few_functions_are_not_learned_from(tmp_path: Path) -> None:
    """A project without a recorded run has nothing to learn from."""
    with Store.open(tmp_path / "aqe.db") as store:
        assert learn_from_runs(store, open_static(built_in_path()), "index") is None


def test_kept_weights_order_searches_until_they_are_dropped(store: Store) -> None:
    """Weights of zero, kept, leave the order of the search alone; dropped, the order is that of aqe's own again."""
    before, graph = found(store), store.graph
    store.graph = None
    plain = found(store, "def quote_5(cents):\n    return rate_5(cents)  + 1")
    store.graph = graph
    keep_weights(store, Trial(40, 30, 0.1, 0.05, np.zeros(SIZE)))
    assert found(store) == plain
    with store.reading() as connection:
        own = read_weights(connection)
    assert own is not None
    assert (own.functions, own.held_out, own.gain, own.low) == (40, 30, 0.1, 0.05)
    assert forget_weights(store)
    assert not forget_weights(store)
    assert found(store) == before


HUGE = base64.b64encode(np.full(SIZE, 1e30, "<f4").tobytes()).decode()


@pytest.mark.parametrize(
    "change",
    [{"began": "others"}, {"version": 0}, {"weights": "AAAA"}, {"weights": "AAA"}, {"weights": 5}, {"weights": HUGE}],
)
def test_weights_that_do_not_fit_are_passed_over(store: Store, change: dict[str, object]) -> None:
    """Weights that began from others than aqe has now, or are damaged, order nothing."""
    before = found(store)
    keep_weights(store, Trial(40, 30, 0.1, 0.05, np.zeros(SIZE)))
    with store.writing() as connection:
        value = json.loads(connection.execute("SELECT value FROM impact_facts WHERE name = 'graph weights'").get)
        connection.execute("UPDATE impact_facts SET value = ?", (json.dumps(value | change),))
        connection.execute("UPDATE edge_changes SET number = number + 1")
    with store.reading() as connection:
        assert read_weights(connection) is None
    assert found(store) == before
