"""Which files a scan looks into where repositories lie in one another."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from aqe.engine.privacy.scanning import ScanReport, scan_paths

LINE = 'KEY = "AKIAQYLPMN5HNMZ2KJQP"\n'
NOBODY = ("-c", "user.name=n", "-c", "user.email=n@example.org", "-c", "protocol.file.allow=always")


def _git(folder: Path, *words: str, status: int = 0) -> None:
    done = subprocess.run(["git", *NOBODY, *words], cwd=folder, capture_output=True, text=True, check=False)
    assert done.returncode == status, done.stdout + done.stderr


def _repository(folder: Path, *files: str) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    _git(folder, "init", "-q")
    for name in files:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(LINE, "utf-8")
    return folder


def _commit(folder: Path) -> None:
    _git(folder, "add", "-A")
    _git(folder, "commit", "-q", "-m", "as it is")


@pytest.fixture
def outer(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A repository with a file that says nothing, the working directory."""
    folder = _repository(tmp_path / "outer")
    (folder / "README.md").write_text("nothing\n", "utf-8")
    _commit(folder)
    monkeypatch.chdir(folder)
    return folder


@pytest.fixture
def library(tmp_path: Path) -> Path:
    """A repository to be used as a submodule, with a submodule of its own."""
    deep = _repository(tmp_path / "deep", "deep.py")
    _commit(deep)
    folder = _repository(tmp_path / "library", "lib.py", ".gitignore")
    (folder / ".gitignore").write_text("made/\n", "utf-8")
    _git(folder, "submodule", "add", "-q", str(deep), "inner")
    _commit(folder)
    return folder


def _found(report: ScanReport) -> list[str]:
    return [found.path for found in report.findings]


def test_nested_repositories_are_scanned_by_their_own_rules(outer: Path) -> None:
    """One without a commit and one in it are looked into, what they ignore themselves and links to others are not."""
    nested = _repository(outer / "vendor" / "nested", "own.py", "build/x.py")
    (nested / ".gitignore").write_text("build/\n", "utf-8")
    _commit(nested)
    _repository(nested / "third", "third.py")
    _repository(outer.parent / "elsewhere", "far.py")
    (outer / "link").symlink_to(outer.parent / "elsewhere", target_is_directory=True)
    report = scan_paths([outer])
    assert _found(report) == ["vendor/nested/own.py", "vendor/nested/third/third.py"]
    assert (report.files, report.unread) == (4, ())


def test_submodules_are_scanned_as_far_as_they_are_checked_out(outer: Path, library: Path) -> None:
    """A submodule and one in it are looked into; one that is not checked out holds nothing and hinders nothing."""
    _git(outer, "submodule", "add", "-q", str(library), "lib")
    _commit(outer)
    (outer / "lib" / "made").mkdir()
    (outer / "lib" / "made" / "x.py").write_text(LINE, "utf-8")
    assert _found(scan_paths([outer])) == ["lib/lib.py"]  # the one in it is not checked out
    _git(outer, "submodule", "update", "-q", "--init", "--recursive")
    assert _found(scan_paths([outer])) == ["lib/inner/deep.py", "lib/lib.py"]
    _git(outer, "submodule", "deinit", "-q", "-f", "lib")
    report = scan_paths([outer])
    assert (_found(report), report.unread) == ([], ())
    (outer / "lib" / "left.py").write_text(LINE, "utf-8")
    assert _found(scan_paths([outer])) == ["lib/left.py"]


def test_the_repository_that_a_hook_names_is_not_taken_for_a_nested_one(
    outer: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In a hook of git, which names its own index and folder, a nested repository is looked into all the same."""
    _repository(outer / "nested", "own.py")
    monkeypatch.setenv("GIT_DIR", str(outer / ".git"))
    monkeypatch.setenv("GIT_INDEX_FILE", str(outer / ".git" / "index"))
    assert _found(scan_paths([outer])) == ["nested/own.py"]


@pytest.mark.parametrize("harm", ["gone", "elsewhere", "not-one"])
def test_a_nested_repository_that_git_cannot_list_is_unread(outer: Path, library: Path, harm: str) -> None:
    """One whose git is lost, is of another folder or is none at all is told, and the rest is scanned."""
    _git(outer, "submodule", "add", "-q", str(library), "lib")
    _commit(outer)
    (outer / "own.py").write_text(LINE, "utf-8")
    sign = outer / "lib" / ".git"
    if harm == "gone":
        sign.write_text("gitdir: /nowhere/at/all\n", "utf-8")
    elif harm == "elsewhere":
        _git(outer / "lib", "config", "core.worktree", str(outer.parent / "deep"))
    else:
        sign.unlink()
        sign.mkdir()
    report = scan_paths([outer])
    assert (_found(report), report.unread, report.skipped) == (["own.py"], ("lib",), ("lib",))


def test_tracked_files_behind_a_link_are_not_the_projects(outer: Path) -> None:
    """Where a folder that git knows has become a link, nothing behind it is looked at."""
    (outer / "kept").mkdir()
    (outer / "kept" / "a.py").write_text("a = 1\n", "utf-8")
    _commit(outer)
    (outer / "kept").rename(outer.parent / "moved")
    (outer.parent / "moved" / "a.py").write_text(LINE, "utf-8")
    os.symlink(outer.parent / "moved", outer / "kept", target_is_directory=True)
    report = scan_paths([outer])
    assert (_found(report), report.files) == ([], 1)


def test_a_conflicted_file_is_told_once(outer: Path) -> None:
    """A file of which git holds three sides is one file with the findings that lie in it."""
    (outer / "a.py").write_text("a = 0\n", "utf-8")
    _commit(outer)
    _git(outer, "checkout", "-q", "-b", "other")
    (outer / "a.py").write_text("a = 1\n", "utf-8")
    _commit(outer)
    _git(outer, "checkout", "-q", "-")
    (outer / "a.py").write_text(LINE, "utf-8")
    _commit(outer)
    _git(outer, "merge", "-q", "other", status=1)
    report = scan_paths([outer])
    assert (_found(report), report.files) == (["a.py"], 2)


def test_a_folder_in_the_place_of_a_tracked_file_is_scanned_by_the_projects_rules(outer: Path) -> None:
    """What git ignores in it is left out, as elsewhere."""
    (outer / "a").write_text("nothing\n", "utf-8")
    (outer / ".gitignore").write_text("*.log\n", "utf-8")
    _commit(outer)
    (outer / "a").unlink()
    (outer / "a").mkdir()
    for name in ("a/x.log", "a/y.txt"):
        (outer / name).write_text(LINE, "utf-8")
    assert _found(scan_paths([outer])) == ["a/y.txt"]
    (outer / "a" / "y.txt").unlink()
    assert _found(scan_paths([outer])) == []


def test_a_submodule_is_asked_for_by_its_very_name(outer: Path, library: Path) -> None:
    """What lies in one that is not checked out is found, also where its name would fit that of a tracked file."""
    (outer / "a!").write_text("nothing\n", "utf-8")
    _git(outer, "submodule", "add", "-q", str(library), "a*")
    _commit(outer)
    _git(outer, "submodule", "deinit", "-q", "-f", ":(literal)a*")
    (outer / "a*" / "left.py").write_text(LINE, "utf-8")
    assert _found(scan_paths([outer])) == ["a*/left.py"]
