"""How words and meaning are weighed where nobody said it: by what the memories are."""

from __future__ import annotations

from pathlib import Path

import pytest

from aqe.engine.memory import NewMemory, Store
from aqe.engine.memory.shares import Shares
from aqe.engine.memory.weights import CODE_SHARE, PROSE_SHARE, share_of

PROSE = "Mira asked for the tests of the cart, and Jonas said that they come on Friday."
CODE = "def total(lines):\n    return sum(line.price * line.count for line in lines if line.count > 0)\n"


def share(store: Store, namespace: str | None) -> float:
    """The weight of the vector in an answer."""
    hits = store.search("total", vector=[1.0, 0.5], embedder_id="own", namespace=namespace, explain=True).hits
    shares = {hit.explained.vector_share for hit in hits if hit.explained}
    assert len(shares) == 1
    return shares.pop()


def fill(store: Store, namespace: str, text: str, count: int = 3) -> None:
    store.add_many(
        NewMemory(f"{text}\nnumber {n}", namespace, f"{n}", vector=[1.0, n / 9], embedder_id="own")
        for n in range(count)
    )


@pytest.mark.parametrize(("text", "wanted"), [(PROSE, PROSE_SHARE), (CODE, CODE_SHARE)])
def test_code_and_prose_are_told_apart(text: str, wanted: float) -> None:
    """Words have more weight in prose than in code."""
    assert share_of([text] * 3) == pytest.approx(wanted)


def test_mixture_lies_between() -> None:
    """A scope of both has a weight between theirs; one of nothing that of code."""
    assert share_of([PROSE, CODE]) == pytest.approx((PROSE_SHARE + CODE_SHARE) / 2)
    assert share_of([]) == CODE_SHARE


def test_search_weighs_by_what_the_namespace_holds(store: Store) -> None:
    """Notes of words are searched more by words than notes of code."""
    fill(store, "talks", PROSE)
    fill(store, "snippets", CODE)
    assert share(store, "talks") == pytest.approx(PROSE_SHARE)
    assert share(store, "snippets") == pytest.approx(CODE_SHARE)


def test_project_index_keeps_the_weight_that_it_was_measured_with(store: Store) -> None:
    """The index is weighed as code, its docs too."""
    fill(store, "index/docs", PROSE)
    assert share(store, "index/docs") == CODE_SHARE
    assert share(store, "index/") == CODE_SHARE


def test_little_memory_is_looked_at_again_when_it_grows(store: Store) -> None:
    """What a few memories said does not hold when others come."""
    fill(store, "notes", PROSE, count=1)
    assert share(store, "notes") == pytest.approx(PROSE_SHARE)
    for n in range(9):
        store.add_many([NewMemory(f"{CODE}# {n}", "notes", f"code {n}", vector=[0.5, 1.0], embedder_id="own")])
    assert share(store, "notes") == pytest.approx(PROSE_SHARE + 0.9 * (CODE_SHARE - PROSE_SHARE))


def test_set_share_holds_whatever_the_memories_are(tmp_path: Path) -> None:
    """Where a share was set nothing is measured."""
    with Store.open(tmp_path / "aqe.db", shares=Shares(0.6)) as store:
        fill(store, "talks", PROSE)
        assert share(store, "talks") == 0.6


@pytest.mark.parametrize("others", [0, 900])
def test_newer_memories_count_as_the_older_do(store: Store, others: int) -> None:
    """A namespace that began with prose and went on with far more code is weighed by what it holds, also where its rows
    are few among those of others."""
    fill(store, "notes", PROSE, count=45)
    store.add_many(NewMemory(f"{PROSE} {n}", "elsewhere") for n in range(others))
    store.add_many(
        NewMemory(f"{CODE}# {n}", "notes", f"x{n}", vector=[0.5, 1.0], embedder_id="own")
        for n in range(200 if not others else 60)
    )
    assert share(store, "notes") > (PROSE_SHARE + CODE_SHARE) / 2 - 0.05
