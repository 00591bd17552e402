"""A text that is added again: what the memory that is there takes over."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from aqe.engine.errors import UserError
from aqe.engine.memory import NewMemory, Provenance
from aqe.engine.memory.growth.staleness import file_warning
from aqe.engine.memory.opening import open_store
from aqe.engine.memory.store import Store

TEXT = "Refunds are rounded half up"


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    """The store of a project with two files."""
    (tmp_path / "pyproject.toml").write_text('[project]\nname = "shop"\n')
    for name in ("a.py", "b.py"):
        (tmp_path / name).write_text(f"# {name}\n")
    with open_store(tmp_path) as opened:
        yield opened


def _keep(store: Store, text: str = TEXT, id: str | None = None, **where: Any) -> tuple[str, tuple[str, ...]]:
    told = Provenance(**where) if where else None
    (kept,) = store.keep([NewMemory(text, id=id, provenance=told)])
    return kept.id, kept.joined


@pytest.mark.parametrize("id", [None, "mine"])
def test_the_newest_place_is_taken_over(store: Store, id: str | None) -> None:
    """File and line are those of the last time they were told, with a revision for what was before; the run is the last
    one, and what is not told stays."""
    first, _ = _keep(store, id=id, file="a.py", line=3, run="r1")
    assert _keep(store, id=id) == (first, ())
    assert _keep(store, id=id, file="b.py", line=7) == (first, ("provenance",))
    assert _keep(store, id=id, run="r2") == (first, ("provenance",))
    assert _keep(store, id=id, file="b.py") == (first, ())
    before, now = store.history(first)
    assert (before.provenance.file, before.provenance.line) == ("a.py", 3)
    assert (now.provenance.file, now.provenance.line, now.provenance.run) == ("b.py", 7, "r2")


def test_it_goes_stale_with_its_new_file(store: Store, tmp_path: Path) -> None:
    """After its text was added with another file, that one's changes tell, and the first one's no longer do."""
    first, _ = _keep(store, file="a.py")
    _keep(store, file="b.py")
    (tmp_path / "a.py").write_text("# changed\n")
    found = store.get(first)
    assert found is not None
    assert not found.stale
    (tmp_path / "b.py").write_text("# changed\n")
    found = store.get(first)
    assert found is not None
    assert found.stale


def test_the_vector_that_it_has_is_nothing_new(store: Store) -> None:
    """A text that comes again with the vector that it has makes no revision; with another one it does."""
    one = NewMemory(TEXT, vector=[1.0, 0.5], embedder_id="toy")
    store.keep([one])
    assert store.keep([one])[0].joined == ()
    (again,) = store.keep([NewMemory(TEXT, vector=[0.0, 1.0], embedder_id="toy")])
    assert again.joined == ("vector",)
    assert len(store.history(again.id)) == 2


def test_what_only_repeats_a_recalled_memory_moves_it_nowhere(store: Store) -> None:
    """A text that says nothing beyond one just recalled gives that one a file where it has none, and takes none away;
    an end that is shorter than its own does not count."""
    long = f"{TEXT}. They have two digits."
    first, _ = _keep(store, long)
    store.search("refunds rounded")
    assert _keep(store, file="a.py", line=3) == (first, ("provenance",))
    assert _keep(store, file="b.py", line=4) == (first, ())
    (kept,) = store.keep([NewMemory(TEXT, ttl_s=60.0)])
    assert (kept.id, kept.recalled, kept.expires_at) == (first, True, None)


def test_another_file_than_that_of_a_foreign_memory_is_not_lost(store: Store) -> None:
    """A memory with an id of the caller cannot take a file over: a repetition with another file is a memory of its
    own, one with the same file is answered with its id."""
    _keep(store, id="mine", file="a.py")
    store.search("refunds rounded")
    assert _keep(store, file="a.py")[0] == "mine"
    assert _keep(store, file="b.py")[0] != "mine"


def test_a_line_of_no_file_is_refused(store: Store) -> None:
    """A line without a file says nothing."""
    with pytest.raises(UserError, match="The line 3 is of no file") as caught:
        _keep(store, line=3)
    assert caught.value.code == "bad-provenance"
    assert store.list() == []


def test_a_file_of_the_project_is_named_as_the_project_does(store: Store, tmp_path: Path) -> None:
    """However it is named, by its whole path or from here, a file of the project is kept with slashes from its folder,
    so that its changes tell; one outside stays as it was named."""
    first, _ = _keep(store, file=str(tmp_path / "a.py"))
    assert _keep(store, file="./a.py") == (first, ())
    (tmp_path / "a.py").write_text("# changed\n")
    found = store.get(first)
    assert found is not None
    assert (found.provenance.file, found.stale) == ("a.py", True)
    outside = tmp_path.parent / "elsewhere.py"
    assert "Outside of the project" in file_warning(tmp_path, str(outside))
    assert file_warning(tmp_path, str(tmp_path / "a.py")) == ""
    assert _keep(store, file=str(outside)) == (first, ("provenance",))
