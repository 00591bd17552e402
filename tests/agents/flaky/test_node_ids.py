"""Node ids held against the text of their file."""

from __future__ import annotations

from pathlib import Path

import pytest

from aqe.agents.flaky.node_ids import doubt

TEXT = """
from other import test_taken
test_assigned = test_taken
if True:
    def test_inner(): pass
def test_order(): pass
class TestBox:
    def test_in(self): pass
class TestHeir(TestBox): pass
"""


@pytest.mark.parametrize(
    ("node", "words"),
    [
        ("test_order", ""),
        ("test_order[a::b]", ""),
        ("test_inner", ""),
        ("test_taken", ""),
        ("test_assigned", ""),
        ("TestBox::test_in", ""),
        ("TestHeir::test_anything", ""),
        ("pkg.test_doc", ""),
        ("test_ordr", "test_a.py defines no 'test_ordr'; did you mean 'test_order'?"),
        ("TestBox::zzz", "test_a.py defines no 'zzz'"),
    ],
)
def test_only_a_name_that_the_file_cannot_hold_is_doubted(tmp_path: Path, node: str, words: str) -> None:
    """What is defined, imported, assigned or inherited is taken as it is; a slip is told with the nearest name."""
    (tmp_path / "test_a.py").write_text(TEXT, encoding="utf-8")
    assert doubt(tmp_path, f"test_a.py::{node}") == words
