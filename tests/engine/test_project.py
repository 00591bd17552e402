"""Which folder is the project, where its store lies, and what git says about it."""

from __future__ import annotations

import os
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from aqe.engine.errors import UserError
from aqe.engine.memory import Store, open_store
from aqe.engine.project import aqe_dir, find_project, has_marker, store_home
from aqe.engine.sync import Engine
from aqe.engine.worktree import find_checkout, head_commit


def git(folder: Path, *words: str) -> str:
    identity = ["-c", "user.name=A", "-c", "user.email=a@b.c", "-c", "init.defaultBranch=main"]
    done = subprocess.run(["git", *identity, *words], cwd=folder, capture_output=True, text=True, check=True)
    return done.stdout.strip()


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    """A git repository with one commit."""
    root = tmp_path / "main tree"
    (root / "packages" / "shop").mkdir(parents=True)
    (root / "packages" / "shop" / "a.py").write_text("x = 1\n")
    git(root, "init", "-q")
    git(root, "add", ".")
    git(root, "commit", "-qm", "first")
    return root


@pytest.mark.parametrize("marker", [".aqe", ".git", "pyproject.toml"])
def test_nearest_marked_folder_upwards_is_the_project(tmp_path: Path, marker: str) -> None:
    """Each marker makes a folder the project of all below it, and the nearest one wins."""
    inner = tmp_path / "outer" / "inner"
    deep = inner / "src" / "deep"
    deep.mkdir(parents=True)
    (tmp_path / "outer" / "pyproject.toml").write_text("")
    if marker == "pyproject.toml":
        (inner / marker).write_text("")
    else:
        (inner / marker).mkdir()
    assert find_project(deep, environ={}) == inner
    assert has_marker(inner)


def test_explicit_folder_wins_over_the_variable_and_that_over_markers(tmp_path: Path) -> None:
    """--project, then AQE_PROJECT, then the markers."""
    for name in ("flag", "variable", "marked"):
        (tmp_path / name).mkdir()
    (tmp_path / "marked" / "pyproject.toml").write_text("")
    environ = {"AQE_PROJECT": str(tmp_path / "variable")}
    assert find_project(tmp_path / "marked", str(tmp_path / "flag"), environ).name == "flag"
    assert find_project(tmp_path / "marked", None, environ).name == "variable"
    assert find_project(tmp_path / "marked", None, {}).name == "marked"


@pytest.mark.parametrize("marker", ["pyproject.toml", "setup.py"])
def test_what_a_command_left_at_home_makes_no_project_of_what_lies_below(
    marker: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A `.aqe` in the user's own folder is that folder's alone; with a mark of a project home is one for all below."""
    below = tmp_path / "notes" / "kiln"
    below.mkdir(parents=True)
    (tmp_path / ".aqe").mkdir()
    assert find_project(below) == tmp_path
    monkeypatch.setenv("HOME", str(tmp_path))
    assert find_project(below) == below
    assert find_project(tmp_path) == tmp_path
    (tmp_path / "notes" / ".aqe").mkdir()
    assert find_project(below) == tmp_path / "notes"
    (tmp_path / "notes" / ".aqe").rmdir()
    (tmp_path / marker).touch()
    assert find_project(below) == tmp_path


def test_file_as_start_means_its_folder(tmp_path: Path) -> None:
    """A file may stand for the folder that it lies in."""
    (tmp_path / "pyproject.toml").write_text("")
    (tmp_path / "a.py").write_text("")
    assert find_project(tmp_path / "a.py", environ={}) == tmp_path


@pytest.mark.parametrize("name", ["missing", "file"])
def test_named_folder_that_is_none_is_an_error(tmp_path: Path, name: str) -> None:
    """A --project that does not exist or is a file is refused with its name."""
    (tmp_path / "file").write_text("")
    with pytest.raises(UserError, match=name) as caught:
        find_project(explicit=str(tmp_path / name), environ={})
    assert caught.value.code == "no-such-project"


def test_own_folder_ignores_itself(repository: Path) -> None:
    """`.aqe/` has its own .gitignore, so git never sees it."""
    aqe_dir(repository)
    assert git(repository, "status", "--porcelain") == ""


def test_own_folder_that_cannot_be_made_is_one_error(tmp_path: Path) -> None:
    """A project where `.aqe` is a file is said to be unwritable, and the file stays."""
    (tmp_path / ".aqe").write_text("mine")
    with pytest.raises(UserError) as caught:
        aqe_dir(tmp_path)
    assert (caught.value.code, caught.value.fix) == ("project-read-only", "Move the file away.")
    assert (tmp_path / ".aqe").read_text() == "mine"


def test_folder_in_place_of_the_store_is_told(tmp_path: Path) -> None:
    """A folder that is named as the store's file is said to be one, and stays."""
    (tmp_path / "aqe.db").mkdir()
    with pytest.raises(UserError, match="is a folder") as caught:
        Store.open(tmp_path / "aqe.db")
    assert caught.value.code == "project-read-only"


def test_an_engine_of_no_project_names_what_was_given() -> None:
    """In Python there is no --project."""
    with pytest.raises(UserError, match=r"'/no/such' given by Engine\.open does not exist") as caught:
        Engine.open("/no/such")
    assert caught.value.code == "no-such-project"


def test_worktree_uses_the_store_of_the_main_worktree(repository: Path, tmp_path: Path) -> None:
    """A linked worktree shares the main one's memory, row by row with its own name and commit."""
    linked = tmp_path / "linked"
    git(repository, "worktree", "add", "-q", str(linked), "-b", "fix")
    git(linked, "commit", "-q", "--allow-empty", "-m", "second")
    with open_store(linked, environ={}) as store:
        assert store.path == repository / ".aqe" / "aqe.db"
        memory = store.get(store.add("from the linked one"))
    assert memory is not None
    assert memory.provenance.worktree == "linked"
    assert memory.provenance.commit == git(linked, "rev-parse", "HEAD")
    with open_store(repository, environ={}) as store:
        assert [memory.text for memory in store.list()] == ["from the linked one"]
        here = store.get(store.add("from the main one"))
    assert here is not None
    assert (here.provenance.worktree, here.provenance.commit) == ("", git(repository, "rev-parse", "HEAD"))


def test_project_inside_a_worktree_keeps_its_place(repository: Path, tmp_path: Path) -> None:
    """A package of a larger repository uses the same package of the main worktree, if it is there."""
    linked = tmp_path / "linked"
    git(repository, "worktree", "add", "-q", str(linked))
    assert store_home(linked / "packages" / "shop") == repository / "packages" / "shop"
    (linked / "new").mkdir()
    assert store_home(linked / "new") == linked / "new"


@pytest.mark.parametrize("named", ["its own", "a real one"])
def test_folder_that_only_says_it_is_a_worktree_keeps_its_own_store(
    repository: Path, tmp_path: Path, named: str
) -> None:
    """A `.git` file that points into another repository does not open that one's memory to the folder."""
    git(repository, "worktree", "add", "-q", str(tmp_path / "linked"))
    claimed = repository / ".git" / "worktrees" / "linked"
    brought = tmp_path / "brought"
    brought.mkdir()
    if named == "its own":
        claimed = brought / "fake"
        claimed.mkdir()
        (claimed / "commondir").write_text(f"{repository / '.git'}\n")
        (claimed / "gitdir").write_text(f"{brought / '.git'}\n")
    (brought / ".git").write_text(f"gitdir: {claimed}\n")
    assert store_home(tmp_path / "linked") == repository
    assert store_home(brought) == brought


def test_local_store_stays_in_the_worktree(repository: Path, tmp_path: Path) -> None:
    """With `store = "local"` a worktree has a memory of its own."""
    linked = tmp_path / "linked"
    git(repository, "worktree", "add", "-q", str(linked))
    with open_store(linked, environ={"AQE_STORE": "local"}) as store:
        assert store.path == linked / ".aqe" / "aqe.db"


def test_commit_is_read_in_every_state(repository: Path) -> None:
    """HEAD is found as a branch, as a packed reference, detached, and before the first commit."""
    commit = git(repository, "rev-parse", "HEAD")
    checkout = find_checkout(repository / "packages")
    assert checkout is not None
    assert head_commit(checkout) == commit
    git(repository, "pack-refs", "--all")
    assert head_commit(checkout) == commit
    git(repository, "checkout", "-q", "--detach")
    assert head_commit(checkout) == commit
    git(repository, "checkout", "-q", "--orphan", "empty")
    assert head_commit(checkout) == ""


def test_submodule_is_a_project_of_its_own(repository: Path, tmp_path: Path) -> None:
    """A submodule's memory stays in the submodule."""
    outer = tmp_path / "outer"
    outer.mkdir()
    git(outer, "init", "-q")
    git(outer, "-c", "protocol.file.allow=always", "submodule", "add", "-q", str(repository), "sub")
    assert store_home(outer / "sub") == outer / "sub"
    checkout = find_checkout(outer / "sub")
    assert checkout is not None
    assert head_commit(checkout) == git(repository, "rev-parse", "HEAD")


def test_finding_a_project_imports_nothing_heavy() -> None:
    """Project root, markers and results cost neither pydantic nor the database."""
    script = (
        "import sys; import aqe.engine.project, aqe.engine.results, aqe.engine.marker, aqe.engine.budget;"
        "print(sorted({'pydantic', 'apsw', 'numpy', 'platformdirs'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_folder_whose_name_is_no_text_is_told(tmp_path: Path) -> None:
    """SQLite opens no file below a folder whose name is no UTF-8: one sentence says so, and nothing is made there."""
    odd = tmp_path / "caf\udce9"
    odd.mkdir()
    with pytest.raises(UserError, match="no UTF-8") as told:
        open_store(odd)
    assert told.value.code == "no-such-path"
    assert list(odd.iterdir()) == []


@pytest.mark.skipif(os.name == "nt", reason="POSIX modes")
def test_new_store_is_for_its_owner_alone(tmp_path: Path) -> None:
    """What was asked and remembered is read by nobody else: a new `.aqe`, its database and the log beside it."""
    with open_store(tmp_path) as store:
        modes = [mode(path) for path in (tmp_path / ".aqe", store.path, store.path.with_name("aqe.db-wal"))]
    assert modes == ["0o700", "0o600", "0o600"]


@pytest.mark.skipif(os.name == "nt", reason="POSIX modes")
def test_folder_that_a_team_made_keeps_its_mode(tmp_path: Path) -> None:
    """A folder that is there stays as it is, and its database is for whom the umask says, to write too."""
    (tmp_path / ".aqe").mkdir()
    (tmp_path / ".aqe").chmod(0o2770)
    code = "import os, sys; os.umask(0o007); from aqe.engine.memory import open_store; from pathlib import Path"
    subprocess.run([sys.executable, "-c", f"{code}; open_store(Path('.')).close()"], cwd=tmp_path, check=True)
    assert mode(tmp_path / ".aqe") == "0o2770"
    assert mode(tmp_path / ".aqe" / "aqe.db") == "0o660"


def mode(path: Path) -> str:
    """The bits of a file's mode."""
    return oct(stat.S_IMODE(path.stat().st_mode))
