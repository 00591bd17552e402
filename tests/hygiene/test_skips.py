"""Skips are accounted for: each has a line, and each line has a test."""

from __future__ import annotations

import ast
import os
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from fnmatch import fnmatchcase
from pathlib import Path

import pytest

pytestmark = pytest.mark.tree
LEAVING = ("skip", "skipif", "importorskip", "skipIf", "skipUnless", "skipTest", "SkipTest")


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


@pytest.mark.services
@pytest.mark.parametrize(
    "workers", [pytest.param([], id="alone"), pytest.param(["-n", "1"], id="xdist", marks=pytest.mark.services)]
)
def test_an_unlisted_skip_fails_a_strict_run(suite: Path, workers: list[str]) -> None:
    """With --strict-skips a skip without a line in skips.toml fails the run and is named with its reason."""
    done = run(suite, "--strict-skips", *workers)
    assert done.returncode == 1, done.stdout
    assert "tests/test_a.py::test_a: Skipped: no moon  <- no line in tests/skips.toml" in done.stdout


@pytest.mark.services
def test_a_listed_skip_passes_a_strict_run(suite: Path) -> None:
    """A skip with a line is printed and does not fail the run."""
    line = '[[skip]]\nid = "tests/test_a.py::test_*"\nreason = "no moon"\nelsewhere = "at night"\n'
    (suite / "tests" / "skips.toml").write_text(line)
    done = run(suite, "--strict-skips")
    assert done.returncode == 0, done.stdout
    assert "tests/test_a.py::test_a: Skipped: no moon\n" in done.stdout


@pytest.mark.services
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


def skipping(tree: ast.Module) -> Iterator[str]:
    """Where a test file can skip: the name of the test; "" in a helper, a fixture or the module itself."""

    def names(node: ast.AST, inside: str) -> Iterator[str]:
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef) and not inside:
            inside = node.name if node.name.startswith(("test", "Test")) else ""
        if isinstance(node, ast.Attribute | ast.alias):
            name = node.attr if isinstance(node, ast.Attribute) else node.name
            if name in LEAVING:
                yield inside
        for child in ast.iter_child_nodes(node):
            yield from names(child, inside)

    yield from names(tree, "")


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("@pytest.mark.skipif(True, reason='')\ndef test_a(): pass\n", ["test_a"]),
        ("def test_a():\n    pytest.skip('')\n", ["test_a"]),
        ("@pytest.fixture\ndef moon():\n    pytest.skip('')\n", [""]),
        ("pytestmark = pytest.mark.skip\nmoon = pytest.importorskip('moon')\n", ["", ""]),
        ("from pytest import skip as leave\ndef test_a(): leave()\n", [""]),
        ("class TestA:\n    @unittest.skipIf(True, '')\n    def test_a(self): self.skipTest('')\n", ["TestA", "TestA"]),
        ("def test_a():\n    text = '@pytest.mark.skip'\n", []),
    ],
)
def test_each_way_to_skip_is_seen(text: str, found: list[str]) -> None:
    """Marks, calls and imports that skip are found with the test they stand in; words in a string are none."""
    assert list(skipping(ast.parse(text))) == found


def test_every_skip_in_the_sources_has_a_line_and_every_line_a_skip(repository: Path) -> None:
    """A skip that no machine of today takes has its line in skips.toml too, and no line outlives its skip."""
    text = (repository / "tests" / "skips.toml").read_text(encoding="utf-8")
    lines = [row["id"] for row in tomllib.loads(text).get("skip", [])]
    skips = [
        f"{path.relative_to(repository).as_posix()}::{name}"
        for path in sorted((repository / "tests").rglob("*.py"))
        if b"skip" in (source := path.read_bytes()).lower()
        for name in skipping(ast.parse(source))
    ]
    assert [skip for skip in skips if not any(fnmatchcase(skip, line) for line in lines)] == []
    assert [line for line in lines if not any(fnmatchcase(skip, line) for skip in skips)] == []
