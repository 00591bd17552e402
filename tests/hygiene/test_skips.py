"""Skips are accounted for: each has a line, and each line has a test."""

from __future__ import annotations

import os
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest


def run(folder: Path, *options: str) -> subprocess.CompletedProcess[str]:
    """Run pytest in `folder` with our conftest and its own tests."""
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", *options, "tests"]
    environ = {name: value for name, value in os.environ.items() if not name.startswith("PYTEST")}
    return subprocess.run(command, cwd=folder, env=environ, capture_output=True, text=True, timeout=60)


@pytest.fixture
def suite(tmp_path: Path, repository: Path) -> Path:
    """A project of one skipped test under this suite's conftest."""
    tests = tmp_path / "tests"
    tests.mkdir()
    (tests / "conftest.py").write_text((repository / "tests" / "conftest.py").read_text(encoding="utf-8"))
    (tests / "skips.toml").write_text("")
    (tests / "test_a.py").write_text("import pytest\n@pytest.mark.skip(reason='no moon')\ndef test_a(): pass\n")
    return tmp_path


@pytest.mark.parametrize("workers", [[], ["-n", "1"]], ids=["alone", "xdist"])
def test_an_unlisted_skip_fails_a_strict_run(suite: Path, workers: list[str]) -> None:
    """With --strict-skips a skip without a line in skips.toml fails the run and is named with its reason."""
    done = run(suite, "--strict-skips", *workers)
    assert done.returncode == 1, done.stdout
    assert "tests/test_a.py::test_a: Skipped: no moon  <- no line in tests/skips.toml" in done.stdout


def test_a_listed_skip_passes_a_strict_run(suite: Path) -> None:
    """A skip with a line is printed and does not fail the run."""
    line = '[[skip]]\nid = "tests/test_a.py::test_*"\nreason = "no moon"\nelsewhere = "at night"\n'
    (suite / "tests" / "skips.toml").write_text(line)
    done = run(suite, "--strict-skips")
    assert done.returncode == 0, done.stdout
    assert "tests/test_a.py::test_a: Skipped: no moon\n" in done.stdout


def test_an_unlisted_skip_is_only_shown_without_the_option(suite: Path) -> None:
    """On a contributor's machine a skip is shown, and the run passes."""
    assert run(suite).returncode == 0


def test_every_line_names_a_test_a_reason_and_another_place(repository: Path) -> None:
    """Each line of skips.toml points at a test file that exists and says why and where else it runs."""
    text = (repository / "tests" / "skips.toml").read_text(encoding="utf-8")
    for row in tomllib.loads(text).get("skip", []):
        assert set(row) == {"id", "reason", "elsewhere"}
        assert all(row.values())
        assert (repository / row["id"].partition("::")[0]).is_file()
