"""docs/features.md tells the truth about each row of the checklist."""

from __future__ import annotations

import re
import runpy
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.tree
COUNTS = {"X": 3, "E": 10, "M": 10, "R": 9, "P": 5, "L": 9, "T": 3, "S": 2, "C": 2, "A": 11, "V": 7, "U": 12, "O": 7}
IDS = [f"{letter}{number}" for letter, count in COUNTS.items() for number in range(1, count + 1)] + ["B1"]
Rows = list[tuple[str, str, str, str]]


@pytest.fixture
def rows(repository: Path, monkeypatch: pytest.MonkeyPatch) -> Rows:
    """The table as the tool reads it that runs its commands."""
    monkeypatch.setattr(sys, "path", [str(repository / "tools"), *sys.path])
    tool = runpy.run_path(str(repository / "tools" / "feature_commands.py"))
    found: Rows = tool["rows"]((repository / "docs" / "features.md").read_text(encoding="utf-8"))
    return found


def test_every_id_has_one_row(rows: Rows) -> None:
    """Each id of the checklist has exactly one row, in the checklist's order."""
    assert [row[0] for row in rows] == IDS


def test_every_state_is_one_of_three(rows: Rows) -> None:
    """A state is "done", "not yet", or "partly: " with what is missing."""
    assert [row for row in rows if not re.fullmatch(r"done|not yet|partly: .{8,}", row[2])] == []


def test_what_stands_has_a_command_and_what_does_not_has_none(rows: Rows) -> None:
    """A done or partly done row names the command that shows it; a row that is not there names none."""
    assert [row for row in rows if (row[2] == "not yet") == bool(row[3])] == []


def test_every_file_in_a_command_exists(repository: Path, rows: Rows) -> None:
    """Each path of the tree that a command names is there."""
    words = [word for row in rows for word in row[3].split()]
    paths = [word.partition("::")[0] for word in words if re.match(r"(tests|benchmarks|fixtures|tools|docs)/", word)]
    written = {words[place + 1] for place, word in enumerate(words) if word == "--out"}
    assert [path for path in paths if path not in written and not (repository / path).exists()] == []
