"""A memory goes stale when the file behind it changes."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from aqe.engine.memory import NewMemory, Provenance, Store
from aqe.engine.memory.growth.rules import GrowthRules
from aqe.engine.memory.growth.staleness import FileDigests, Policy


def _store(tmp_path: Path, stale: Policy = "mark") -> Store:
    (tmp_path / "shop.py").write_text("RATE = 3\n")
    return Store.open(tmp_path / "aqe.db", growth=GrowthRules(root=tmp_path, stale=stale))


def _about(text: str, file: str = "shop.py") -> NewMemory:
    return NewMemory(text, id=text, provenance=Provenance(file=file, line=1 if file else 0))


def test_a_changed_file_makes_its_memories_stale_everywhere(tmp_path: Path) -> None:
    """Get, list and search say so from the change on, and no longer once the content is what it was."""
    with _store(tmp_path) as store:
        store.keep([_about("the rate is three"), NewMemory("the rate of nothing", id="plain")])

        def stale() -> set[str]:
            found = [hit.memory for hit in store.search("rate").hits] + store.list()
            one = store.get("the rate is three")
            return {memory.id for memory in [*found, *([one] if one else [])] if memory.stale}

        assert stale() == set()
        (tmp_path / "shop.py").write_text("RATE = 4\n")
        assert stale() == {"the rate is three"}
        (tmp_path / "shop.py").write_text("RATE = 3\n")
        assert stale() == set()
        (tmp_path / "shop.py").unlink()
        assert stale() == {"the rate is three"}


def test_time_alone_makes_nothing_stale(tmp_path: Path) -> None:
    """A file that was only touched, as by a checkout, keeps its memories fresh."""
    with _store(tmp_path) as store:
        store.keep([_about("the rate is three")])
        os.utime(tmp_path / "shop.py", (1, 1))
        assert not store.search("rate").hits[0].memory.stale


def test_ranked_lower_or_left_out_as_the_rules_say(tmp_path: Path) -> None:
    """A stale memory that would be first comes last with `lower` and not at all with `hide`."""
    texts = ["refund rate rate rate", "the refund rate of the shop is explained in many more words elsewhere"]
    found: dict[str, list[str]] = {}
    for policy in ("mark", "lower", "hide"):
        folder = tmp_path / policy
        folder.mkdir()
        with _store(folder, policy) as store:
            store.keep([_about(texts[0]), NewMemory(texts[1], id=texts[1])])
            (folder / "shop.py").write_text("RATE = 4\n")
            found[policy] = [hit.memory.id for hit in store.search("refund rate", k=2).hits]
    assert found == {"mark": texts, "lower": texts[::-1], "hide": texts[1:]}


def test_a_hidden_hit_makes_room_for_the_next(tmp_path: Path) -> None:
    """A search for one answers with the best that is not stale."""
    with _store(tmp_path, "hide") as store:
        store.keep([_about("refund rate rate rate"), NewMemory("a refund rate elsewhere in the shop", id="next")])
        (tmp_path / "shop.py").write_text("changed")
        assert [hit.memory.id for hit in store.search("refund rate", k=1).hits] == ["next"]


@pytest.mark.parametrize("policy", ["lower", "hide"])
def test_however_many_stale_memories_come_first_the_fresh_ones_are_found(tmp_path: Path, policy: Policy) -> None:
    """Sixty stale memories that are nearer to a query leave the ten fresh ones behind them to be found: by one search,
    and by a search of several places."""
    with _store(tmp_path, policy) as store:
        store.keep([_about(f"refund rate rate number{number}") for number in range(60)])
        fresh = {f"the refund rate that is told number{number} in some more words" for number in range(10)}
        store.keep([NewMemory(text, id=text) for text in fresh])
        (tmp_path / "shop.py").write_text("changed")
        one = store.search("refund rate", k=5)
        each, other = store.search_each("refund rate", places=[(None, 10), ("elsewhere", 3)])
        assert len(one.hits) == 5
        assert {hit.memory.id for hit in one.hits} < fresh
        assert {hit.memory.id for hit in each.hits} == fresh
        assert other.hits == ()


def test_adding_it_again_after_the_change_makes_it_fresh(tmp_path: Path) -> None:
    """Who says the same of the changed file has looked again; a new text does too, metadata alone does not."""
    with _store(tmp_path) as store:
        store.keep([_about("the rate is three")])
        (tmp_path / "shop.py").write_text("RATE = 3  # of five\n")
        store.update("the rate is three", metadata={"seen": True})
        assert store.list()[0].stale
        store.keep([_about("the rate is three")])
        assert not store.list()[0].stale


@pytest.mark.parametrize("file", ["gone.py", "../outside.py", "/etc/hostname", "sub", "a\nb", "x" * 5000, ""])
def test_what_cannot_be_looked_at_is_never_stale(tmp_path: Path, file: str) -> None:
    """A file that is not there, lies elsewhere or is a folder has no digest, and no error reaches anybody."""
    (tmp_path / "sub").mkdir()
    digests = FileDigests(tmp_path)
    assert digests.at_birth(file) == ""
    with _store(tmp_path) as store:
        store.keep([_about("a fact", file)])
        assert not store.list()[0].stale


def test_a_link_out_of_the_project_is_not_read(tmp_path: Path) -> None:
    """A link that leads outside tells nothing about what lies there."""
    (tmp_path / "project").mkdir()
    (tmp_path / "secret").write_text("secret")
    (tmp_path / "project" / "link").symlink_to(tmp_path / "secret")
    assert FileDigests(tmp_path / "project").at_birth("link") == ""
