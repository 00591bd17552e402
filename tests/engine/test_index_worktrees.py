"""Worktrees share a store, and each has an index of its own."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from aqe.engine.index import index_project, index_scope
from aqe.engine.memory import Provenance, Store
from aqe.engine.memory.graph.searching import Graph

FILES = ["docs/rules.md", "shop.py"]


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A repository with a module and a page."""
    root = tmp_path / "project"
    (root / "docs").mkdir(parents=True)
    (root / "docs" / "rules.md").write_text("# Rules\n\nPrices are whole cents.\n")
    (root / "shop.py").write_text("LIMIT = 3\n")
    git(root, "init", "-q")
    git(root, "add", "-A")
    git(root, "commit", "-qm", "one")
    return root


def git(root: Path, *words: str) -> None:
    who = ["-c", "user.name=n", "-c", "user.email=n@example.org"]
    subprocess.run(["git", *who, *words], cwd=root, check=True, capture_output=True)


def gone(store: Store, project: Path, *paths: str) -> int:
    """How many files an index run found to be gone."""
    return index_project(store, None, project, paths=[Path(path) for path in paths]).gone


def indexed(store: Store) -> list[str]:
    """The files that have passages."""
    return sorted({one.provenance.file for one in store.list(namespace=index_scope(store), limit=1000)})


def test_each_worktree_has_its_own_index(tmp_path: Path, project: Path) -> None:
    """A search from one never finds the files of another."""
    other = tmp_path / "other"
    git(project, "worktree", "add", str(other))
    (other / "docs" / "rules.md").unlink()
    path = tmp_path / "shared.db"
    with Store.open(path) as here, Store.open(path, here=Provenance(worktree="other")) as there:
        assert (gone(here, project), gone(there, other)) == (0, 0)
        assert (indexed(here), indexed(there)) == (FILES, ["shop.py"])
        (project / "shop.py").unlink()
        assert gone(here, project) == 1
        assert (indexed(here), indexed(there)) == (["docs/rules.md"], ["shop.py"])


def test_the_index_of_a_removed_worktree_goes(tmp_path: Path, project: Path) -> None:
    """The next whole run in another worktree drops it, and keeps those of the worktrees that are there."""
    path = tmp_path / "shared.db"
    stores = {name: Store.open(path, here=Provenance(worktree=name)) for name in ("kept", "removed")}
    for name, store in stores.items():
        git(project, "worktree", "add", str(tmp_path / name))
        store.graph = Graph(store)
        assert gone(store, tmp_path / name) == 0
    with Store.open(path) as main:
        main.graph = Graph(main)
        assert gone(main, project) == 0
        git(project, "worktree", "remove", "--force", str(tmp_path / "removed"))
        assert gone(main, project, "docs") == 0
        assert gone(main, project) == len(FILES)
        assert gone(main, project) == 0
        with main.reading() as connection:
            assert connection.execute("SELECT count(DISTINCT scope) FROM source_mentions").get == 2
        assert (indexed(main), indexed(stores["kept"]), indexed(stores["removed"])) == (FILES, FILES, [])
    for store in stores.values():
        store.close()
