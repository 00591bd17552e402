"""Calls of what changed are found in tests and other modules, within bounds."""

from __future__ import annotations

import time
from pathlib import Path

from aqe.agents.review.executed.call_sites import find_call_sites


def project(folder: Path) -> Path:
    """A package with one module, a test and a script that call it, and files that do not."""
    (folder / "tests").mkdir()
    (folder / "prices.py").write_text("def rebate(price):\n    return rebate(price - 1) if price else 0\n")
    (folder / "main.py").write_text("import prices\nprint(prices.rebate(3))\n")
    (folder / "tests" / "test_prices.py").write_text("from prices import rebate\n\n\ndef test_it():\n    rebate(12)\n")
    (folder / "other.py").write_text("import prices\nprint(prices.total(3))\n")
    (folder / "unrelated.py").write_text("rebate(1)\n")
    (folder / "picture.py").write_bytes(b"\xff\xfe prices rebate(")
    return folder


def test_tests_come_before_other_callers_and_the_module_itself_is_left_out(tmp_path: Path) -> None:
    """Only files that mention the module and call the name count; the module's own text is read anyway."""
    root = project(tmp_path)
    found = find_call_sites(root, {"prices": ["rebate"]}, skip=[root / "prices.py"], end=time.monotonic() + 60)
    assert found["prices"] == (("tests/test_prices.py", "rebate(12)"), ("main.py", "prices.rebate(3)"))


def test_methods_are_looked_for_by_their_last_name(tmp_path: Path) -> None:
    """`Cart.total` is called as `cart.total(`."""
    root = project(tmp_path)
    found = find_call_sites(root, {"prices": ["Cart.total"]}, skip=[], end=time.monotonic() + 60)
    assert [name for name, _ in found["prices"]] == ["other.py"]


def test_no_time_finds_nothing(tmp_path: Path) -> None:
    """The search of files ends with its share of the time."""
    found = find_call_sites(project(tmp_path), {"prices": ["rebate"]}, skip=[], end=time.monotonic() - 1)
    assert found == {"prices": ()}
