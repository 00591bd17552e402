"""aqe-quarantine.toml as Pythons without tomllib read it."""

from __future__ import annotations

import datetime
import tomllib
from pathlib import Path

import pytest

from aqe.agents.flaky import add_quarantined
from aqe.agents.flaky.quarantine import FILE
from aqe.agents.inject._aqe_inject.quarantine_file import Unreadable, parse_plain, read_entries


@pytest.mark.parametrize(
    "text",
    [
        "",
        "# nothing\n\n",
        '[[test]]\nid = "a"\n',
        '\ufeff[[test]]\r\nid = "a::b[x]"\r\nreason = "q # no comment \\" \\\\ \\u00e9 \\t"  # comment\r\n',
        "[[ test ]] # c\nid='a\\b'\nsince = 2026-01-31 # day\nexpires=2026-02-28\n\n[[test]]\nid = 'c'\n",
        '[[test]]\nid = "a"\ncount = 3\nshare = 0.5\nlive = true\n',
    ],
)
def test_it_reads_what_tomllib_reads(text: str) -> None:
    """For the forms that aqe writes, and near ones, both readings give the same tables."""
    assert parse_plain(text) == tomllib.loads(text.lstrip("\ufeff")).get("test", [])


def test_it_reads_what_aqe_writes(tmp_path: Path) -> None:
    """A file that `aqe quarantine add` wrote is read in full, whatever stands in the reason."""
    (tmp_path / "test_a.py").write_text("", encoding="utf-8")
    day = datetime.date(2026, 1, 31)
    for number, reason in enumerate(
        ("plain", 'with "quotes" and \\', "Umlaut ä, 日本", "it's # fine", "tab\tand bell\x07")
    ):
        last = day if number % 2 else None
        add_quarantined(tmp_path, [f"test_a.py::test_{number}[a'b]"], reason=reason, today=day, expires=last)
    text = (tmp_path / FILE).read_text(encoding="utf-8")
    assert parse_plain(text) == tomllib.loads(text)["test"]
    assert len(read_entries(text)) == 5


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ('id = "a"\n', "line 1"),
        ("[tool]\n", "line 1"),
        ('[[test]]\nid = """a"""\n', "line 2"),
        ("[[test]]\nid = ['a']\n", "line 2"),
        ('[[test]]\nid = "a" "b"\n', "line 2"),
        ('[[test]]\nid = "a\n', "line 2"),
        ('[[test]]\nid = "\\x41"\n', "line 2"),
        ("[[test]]\nid = 'a'\nid = 'b'\n", "line 3"),
        ("[[test]]\nsince = 2026-02-30\n", "line 2"),
        ("[[test]]\nsince = 2026-02-03T10:00:00\n", "line 2"),
    ],
)
def test_what_it_does_not_know_is_refused_with_its_line(text: str, words: str) -> None:
    """Anything else is refused with the line, never guessed at."""
    with pytest.raises(Unreadable, match=words):
        parse_plain(text)


@pytest.mark.parametrize(
    "text", ["[[test]]\nreason = 'x'\n", "[[test]]\nid = 3\n", "[[test]]\nid = 'a'\nexpires = 'x'\n"]
)
def test_an_entry_without_id_or_with_a_wrong_date_is_refused(text: str) -> None:
    """An entry that cannot mean a test is an error in both readings."""
    with pytest.raises(Unreadable, match="entry 1"):
        read_entries(text)
