"""What the project says about a subject decides how its tests are written."""

from __future__ import annotations

from pathlib import Path

import pytest

from aqe.agents.generate.examples import Examples, find_examples, line_length
from aqe.agents.generate.target import resolve
from aqe.engine.marker import mark

FILES = {
    "pyproject.toml": "",
    "shop/__init__.py": "from .cart import Cart, add\n",
    "shop/cart.py": "class Cart:\n    pass\n\n\ndef add(a, b):\n    return a + b\n",
    "shop/other.py": "from .cart import add\n\nTHREE = add(1, 2)\n",
}


def examples_of(folder: Path, files: dict[str, str]) -> Examples:
    for name, text in (FILES | files).items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text, encoding="utf-8")
    return find_examples(resolve("shop/cart.py", folder)[0], folder)


def test_tests_come_before_call_sites(tmp_path: Path) -> None:
    """Files that import the subject are handed over, tests first, with their paths in the project."""
    found = examples_of(
        tmp_path, {"tests/test_cart.py": "from shop.cart import add\n\n\ndef test_add():\n    assert add(1, 2) == 3\n"}
    )
    assert [path for path, _ in found.sources] == ["tests/test_cart.py", "shop/__init__.py", "shop/other.py"]


@pytest.mark.parametrize(
    ("line", "source", "prefix"),
    [
        ("from shop import add", "shop", ""),
        ("from shop.cart import add", "", ""),
        ("import shop.cart", "", "shop.cart"),
    ],
)
def test_style_follows_the_projects_tests(tmp_path: Path, line: str, source: str, prefix: str) -> None:
    """Imports are written as the project's own tests write them."""
    style = examples_of(tmp_path, {"tests/test_cart.py": f"{line}\n"}).style
    assert (style.source, style.prefix) == (source, prefix)


def test_files_of_environments_and_of_aqe_are_no_examples(tmp_path: Path) -> None:
    """Environments, build output and files that aqe wrote are not read, so a second run sees what the first saw."""
    text = "from shop.cart import add\n"
    found = examples_of(
        tmp_path, {"tests/test_mine.py": mark(text), ".venv/a.py": text, "build/b.py": text, "node_modules/c.py": text}
    )
    assert {path for path, _ in found.sources} == {"shop/__init__.py", "shop/other.py"}


@pytest.mark.parametrize("table", ["[tool.ruff]", "[tool.black]"])
def test_line_length_is_the_projects(tmp_path: Path, table: str) -> None:
    """The line length of ruff's or black's settings holds for the generated file."""
    (tmp_path / "pyproject.toml").write_text(f"{table}\nline-length = 100\n")
    assert line_length(tmp_path) == 100
