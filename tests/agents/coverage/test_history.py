"""Recent changes by git: no program of the repository is started, and a slow answer costs only itself."""

from __future__ import annotations

import os
import shutil
import time
from pathlib import Path

import pytest

from aqe.agents.coverage import history
from aqe.agents.coverage.history import read_history
from tests.agents.changes.test_reading import commit, git, repo

__all__ = ["repo"]


@pytest.mark.parametrize("key", ["diff.evil.textconv", "diff.evil.command", "filter.evil.clean", "filter.evil.process"])
def test_no_program_of_the_repository_is_started(repo: Path, tmp_path: Path, key: str) -> None:
    """Text conversions, diff programs and filters that it is configured with do not run to blame a line."""
    marker = tmp_path / "started"
    git(repo, "config", key, f"touch '{marker}'; cat")
    (repo / ".git" / "info" / "attributes").write_text("*.py diff=evil filter=evil\n")
    (repo / "x.py").write_text("a\nB\nc\n")
    found = read_history(repo, ["x.py", "gone.py"], time.time())
    assert found.commits("x.py", range(1, 4)) == 2
    assert not marker.exists()


@pytest.mark.services
def test_a_file_that_takes_too_long_is_left_out(repo: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its recent changes are unknown, and the rest of the history stands."""
    commit(repo, "two", slow="1\n")
    real = shutil.which("git")
    program = tmp_path / "bin" / "git"
    program.parent.mkdir()
    program.write_text(f'#!/bin/sh\ncase "$*" in *blame*slow.py) exec sleep 600;; esac\nexec {real} "$@"\n')
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{program.parent}{os.pathsep}{os.environ['PATH']}")
    monkeypatch.setattr(history, "WALL_S", 8.0)
    found = read_history(repo, ["gone.py", "slow.py"], time.time())
    assert (found.known, found.left_out) == (True, 1)
    assert (found.commits("gone.py", [1]), found.commits("slow.py", [1])) == (1, None)
