"""What changed: by git with real repositories, and between two folders."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path
from typing import Any

import pytest

from aqe.agents.changes import Changes, FileChange, read_changes, write_base
from aqe.engine.errors import UserError

ODD = 'od"d na\tme.py'


def git(folder: Path, *words: str) -> None:
    """Run git there as a user of the test."""
    who = ["-c", "user.name=n", "-c", "user.email=n@example.org", "-c", "init.defaultBranch=main"]
    environ = {name: value for name, value in os.environ.items() if not name.startswith("GIT_")}
    subprocess.run(["git", *who, *words], cwd=folder, check=True, capture_output=True, env=environ)


def commit(folder: Path, message: str, **files: str) -> None:
    """Write the files (`__` in a name is a slash, names end in .py) and commit all."""
    for name, text in files.items():
        path = folder / f"{name.replace('__', '/')}.py"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    git(folder, "add", "-A")
    git(folder, "commit", "-qm", message)


@pytest.fixture
def repo(tmp_path: Path) -> Path:
    folder = tmp_path / "repo"
    folder.mkdir()
    git(folder, "init", "-q")
    commit(folder, "one", x="a\nb\nc\n", gone="1\n", sub__y="y\n")
    return folder


def by_path(changes: Changes) -> dict[str, FileChange]:
    return {one.path: one for one in changes.files}


def test_the_working_tree_is_compared_with_head(repo: Path) -> None:
    """Without a reference the change is what is not committed: edits, new files, deletions."""
    (repo / "x.py").write_text("a\nB\nc\nd\n")
    (repo / "new.py").write_text("1\n2\n")
    (repo / "gone.py").unlink()
    found = by_path(read_changes(repo))
    assert (found["x.py"].kind, found["x.py"].added, found["x.py"].removed) == ("modified", {2, 4}, {2})
    assert (found["x.py"].old_text, found["x.py"].new_text) == ("a\nb\nc\n", "a\nB\nc\nd\n")
    assert (found["new.py"].kind, found["new.py"].added, found["new.py"].old_path) == ("added", {1, 2}, None)
    assert (found["gone.py"].kind, found["gone.py"].removed, found["gone.py"].new_text) == ("deleted", {1}, None)
    assert list(found) == ["gone.py", "new.py", "x.py"]


def test_ignored_files_are_no_change(repo: Path) -> None:
    """What .gitignore excludes is not told."""
    (repo / ".gitignore").write_text("*.log\n")
    (repo / "a.log").write_text("x")
    assert list(by_path(read_changes(repo))) == [".gitignore"]


def test_what_python_compiled_is_no_change_unless_git_tracks_it(repo: Path) -> None:
    """Running the tests of a project without a `.gitignore` adds no files to its change."""
    for folder in (repo, repo / "pkg"):
        (folder / "__pycache__").mkdir(parents=True)
        (folder / "__pycache__" / "a.cpython-311.pyc").write_bytes(b"\xa7\r\r\n")
    assert read_changes(repo).files == ()
    git(repo, "add", "-f", "pkg")
    git(repo, "commit", "-qm", "compiled")
    (repo / "pkg" / "__pycache__" / "a.cpython-311.pyc").write_bytes(b"\xa7\r\r\n\0")
    assert [one.path for one in read_changes(repo).files] == ["pkg/__pycache__/a.cpython-311.pyc"]


def test_a_branch_is_compared_from_where_it_was_left(repo: Path) -> None:
    """What the other branch did since is not shown as undone."""
    git(repo, "checkout", "-qb", "work")
    commit(repo, "mine: fix x", x="a\nmine\nc\n")
    git(repo, "checkout", "-q", "main")
    commit(repo, "theirs", other="z\n")
    git(repo, "checkout", "-q", "work")
    changes = read_changes(repo, since="main")
    assert list(by_path(changes)) == ["x.py"]
    assert changes.message == "mine: fix x"


def test_a_renamed_file_keeps_its_history(repo: Path) -> None:
    """A file that moved and changed a little is one change with both names."""
    text = "".join(f"line {number}\n" for number in range(20))
    commit(repo, "long", long=text)
    git(repo, "mv", "long.py", ODD)
    (repo / ODD).write_text(text + "more\n")
    git(repo, "add", "-A")
    (one,) = read_changes(repo).files
    assert (one.path, one.old_path, one.kind, one.added, one.old_text) == (ODD, "long.py", "renamed", {21}, text)


def test_paths_are_relative_to_a_project_in_a_folder(repo: Path) -> None:
    """In a monorepo only the project's own files are told, by their names in it."""
    (repo / "x.py").write_text("changed\n")
    (repo / "sub" / "y.py").write_text("changed\n")
    assert list(by_path(read_changes(repo / "sub"))) == ["y.py"]


def test_lines_that_look_like_a_patch_are_lines(repo: Path) -> None:
    """A removed line that begins with dashes does not end its file."""
    commit(repo, "sql", q="-- a\n++ b\nc\n")
    (repo / "q.py").write_text("c\n-- d\n")
    one = by_path(read_changes(repo))["q.py"]
    assert (one.added, one.removed) == ({2}, {1, 2})


def test_binary_files_and_links_have_no_lines(repo: Path) -> None:
    """They are named, and nothing of them is read as text."""
    (repo / "b.bin").write_bytes(b"\0\1")
    (repo / "l").symlink_to("x.py")
    found = by_path(read_changes(repo))
    assert all(found[name].binary and found[name].new_text is None and not found[name].added for name in ("b.bin", "l"))


def test_a_repository_without_a_commit_is_all_new(tmp_path: Path) -> None:
    """Before the first commit every file is added."""
    git(tmp_path, "init", "-q")
    (tmp_path / "a.py").write_text("1\n")
    (tmp_path / "b.py").write_text("1\n")
    git(tmp_path, "add", "a.py")
    assert [(one.path, one.kind) for one in read_changes(tmp_path).files] == [("a.py", "added"), ("b.py", "added")]


def test_the_base_is_written_as_it_was(repo: Path, tmp_path: Path) -> None:
    """The whole tree of the base, whatever the working tree holds now."""
    (repo / "run.sh").write_text("#!/bin/sh\n")
    (repo / "run.sh").chmod(0o755)
    (repo / "l").symlink_to("x.py")
    commit(repo, "two", extra="e\n")
    (repo / "x.py").write_text("changed\n")
    base = tmp_path / "base"
    base.mkdir()
    write_base(repo, read_changes(repo), base)
    assert (base / "x.py").read_text() == "a\nb\nc\n"
    assert (base / "sub" / "y.py").read_text() == "y\n"
    assert os.access(base / "run.sh", os.X_OK)
    assert os.readlink(base / "l") == "x.py"


def test_two_folders_are_compared_without_git(tmp_path: Path) -> None:
    """Edits, moves, new and deleted files between two trees."""
    base, head = tmp_path / "base", tmp_path / "head"
    for folder in (base, head):
        folder.mkdir()
    (base / "x.py").write_text("a\nb\n")
    (head / "x.py").write_text("a\nc\n")
    (base / "old.py").write_text("same\n" * 5)
    (head / "new.py").write_text("same\n" * 5)
    (base / "gone.py").write_text("g\n")
    (head / "come.py").write_text("k\n")
    changes = read_changes(tmp_path, base=base, head=head)
    told = {one.path: (one.old_path, one.kind, set(one.added), set(one.removed)) for one in changes.files}
    assert told == {
        "x.py": ("x.py", "modified", {2}, {2}),
        "new.py": ("old.py", "renamed", set(), set()),
        "gone.py": ("gone.py", "deleted", set(), {1}),
        "come.py": (None, "added", {1}, set()),
    }
    copy = tmp_path / "copy"
    copy.mkdir()
    write_base(head, changes, copy)
    assert sorted(path.name for path in copy.iterdir()) == ["gone.py", "old.py", "x.py"]


def refused(code: str, project: Path, **asked: Any) -> str:
    with pytest.raises(UserError) as caught:
        read_changes(project, **asked)
    assert caught.value.code == code
    return f"{caught.value.message} {caught.value.fix}"


def test_an_unknown_reference_is_named_with_its_nearest(repo: Path) -> None:
    """The sentence names what was asked and what there is."""
    assert "Did you mean 'main'?" in refused("unknown-ref", repo, since="mian")


def test_a_reference_is_never_an_option(repo: Path) -> None:
    """A word that begins with a dash reaches git as no option."""
    refused("unknown-ref", repo, since="--output=stolen")
    assert not (repo / "stolen").exists()


def test_a_shallow_clone_says_how_to_deepen_it(repo: Path, tmp_path: Path) -> None:
    """A base that the clone does not hold is the clone's fault."""
    commit(repo, "two", x="2\n")
    git(tmp_path, "clone", "-q", "--depth", "1", repo.as_uri(), "shallow")
    assert "unshallow" in refused("shallow-clone", tmp_path / "shallow", since="HEAD~1")


def test_a_folder_outside_git_says_what_to_do(tmp_path: Path) -> None:
    """Without a repository two folders can be compared."""
    assert "--base DIR --head DIR" in refused("no-git", tmp_path)


def test_half_a_pair_of_folders_is_refused(tmp_path: Path) -> None:
    """A base without a head, and folders beside a reference, are no change."""
    refused("bad-argument", tmp_path, base=tmp_path)
    refused("bad-argument", tmp_path, base=tmp_path, head=tmp_path, since="HEAD")
    refused("no-such-path", tmp_path, base=tmp_path, head=tmp_path / "none")


def test_files_in_which_aqe_keeps_decisions_are_no_change(repo: Path) -> None:
    """What a team accepted, dismissed or quarantined changes nothing of what is tested or reviewed."""
    for name in ("aqe-review.toml", "aqe-quarantine.toml", "other.toml"):
        (repo / name).write_text("x = 1\n")
    assert set(by_path(read_changes(repo))) == {"other.toml"}


def test_a_folder_that_the_repository_above_does_not_know_is_said(repo: Path) -> None:
    """A project that is untracked in a parent's repository is told so; one that is tracked, or its own, is not."""
    project = repo / "inner"
    project.mkdir()
    (project / "a.py").write_text("x = 1\n")
    assert "folder above" in read_changes(project).notes[0]
    assert read_changes(repo).notes == ()
    git(repo, "add", "inner")
    assert read_changes(project).notes == ()


def test_a_ceiling_keeps_the_search_for_a_repository_below_it(repo: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """GIT_CEILING_DIRECTORIES ends the search, so that the parent's repository is not used."""
    project = repo / "inner"
    project.mkdir()
    monkeypatch.setenv("GIT_CEILING_DIRECTORIES", str(repo.resolve()))
    with pytest.raises(UserError) as caught:
        read_changes(project.resolve())
    assert caught.value.code == "no-git"
