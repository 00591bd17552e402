"""Which file imports which, read from source."""

from __future__ import annotations

from pathlib import Path

import pytest

from aqe.agents.select.imports import ImportGraph
from tests.agents.select.conftest import write

FILES = {
    "src/pkg/__init__.py": "from .core import run\n",
    "src/pkg/core.py": "def run():\n    from pkg import late\n    return late\n",
    "src/pkg/late.py": "from . import deep\n",
    "src/pkg/deep/__init__.py": "",
    "src/pkg/deep/well.py": "from ..stars import *\n",
    "src/pkg/stars.py": "X = 1\n",
    "src/pkg/alone.py": "",
    "tests/conftest.py": "pytest_plugins = ['plug']\n",
    "tests/plug.py": "",
    "tests/shared.py": "import pkg.deep.well as well\n",
    "tests/unit/test_core.py": "import pkg\n",
    "tests/unit/test_shared.py": "import shared\n",
    "tests/unit/test_none.py": "",
}
UNIT = {f"tests/unit/test_{name}.py" for name in ("core", "shared", "none")}


@pytest.mark.parametrize(
    ("file", "tests"),
    [
        ("src/pkg/core.py", {"core", "shared"}),
        ("src/pkg/late.py", {"core", "shared"}),
        ("src/pkg/deep/__init__.py", {"core", "shared"}),
        ("src/pkg/deep/well.py", {"shared"}),
        ("src/pkg/stars.py", {"shared"}),
        ("src/pkg/alone.py", set()),
        ("tests/shared.py", {"shared"}),
        ("tests/plug.py", {"core", "shared", "none"}),
        ("tests/conftest.py", {"core", "shared", "none"}),
    ],
)
def test_importers_are_found_through_others(tmp_path: Path, file: str, tests: set[str]) -> None:
    """Late, relative, star and plugin imports count, packages around a module, and conftests for what is beneath."""
    graph = ImportGraph(write(tmp_path, FILES))
    found = {name for name in graph.reaching([file]) if name in UNIT}
    assert found == {f"tests/unit/test_{name}.py" for name in tests}


def test_both_versions_of_a_file_count(tmp_path: Path) -> None:
    """An import that only the other version of a file has is an edge as well, and a file that is gone has its edges."""
    others = {"tests/unit/test_none.py": ["import pkg.alone\n"], "src/pkg/gone.py": ["from pkg import stars\n"]}
    graph = ImportGraph(write(tmp_path, FILES), (), others)
    assert "tests/unit/test_none.py" in graph.reaching(["src/pkg/alone.py"])
    assert "src/pkg/gone.py" in graph.reaching(["src/pkg/stars.py"])
    assert graph.stars == {"src/pkg/stars.py"}


def test_files_that_are_no_python_have_no_edges(tmp_path: Path) -> None:
    """A file that cannot be parsed is known and imports nothing."""
    write(tmp_path, {**FILES, "src/pkg/alone.py": "def (:\n", "src/pkg/bad.py": "x = 1\0"})
    assert "src/pkg/bad.py" in ImportGraph(tmp_path).files


def test_a_file_that_cannot_be_read_or_is_no_source_has_no_edges(tmp_path: Path) -> None:
    """One of many gigabytes, and one that may not be read, are known; the imports of the others are found."""
    write(tmp_path, FILES)
    with (tmp_path / "huge.py").open("wb") as file:
        file.truncate(1 << 40)
    closed = tmp_path / "closed.py"
    closed.symlink_to(closed.name)
    graph = ImportGraph(tmp_path)
    assert {"huge.py", "closed.py"} <= graph.files
    assert "src/pkg/__init__.py" in graph.reaching(["src/pkg/core.py"])


def test_a_file_that_goes_while_it_is_read_has_no_edges(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An editor may take a file away between the look and the reading."""
    write(tmp_path, FILES)
    read = Path.read_bytes

    def gone(path: Path) -> bytes:
        if path.name == "alone.py":
            path.unlink()
        return read(path)

    monkeypatch.setattr(Path, "read_bytes", gone)
    assert "src/pkg/alone.py" in ImportGraph(tmp_path).files
