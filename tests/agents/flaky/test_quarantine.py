"""aqe-quarantine.toml, edited."""

from __future__ import annotations

import datetime
import tomllib
from pathlib import Path

import pytest

from aqe.agents.flaky import add_quarantined, read_quarantine, release_quarantined
from aqe.agents.flaky.quarantine import FILE
from aqe.engine.errors import UserError

TODAY = datetime.date(2026, 3, 1)
WRITTEN = """# the team's own words
[[test]]
id = "test_a.py::test_one"  # see #12
reason = "flips"
since = 2026-01-01
owner = "Ada"
"""


@pytest.fixture
def project(tmp_path: Path) -> Path:
    (tmp_path / "test_a.py").write_text("", encoding="utf-8")
    return tmp_path


def test_an_added_test_is_read_back_with_its_dates(project: Path) -> None:
    """What is added is what is read, and the file is TOML."""
    last = datetime.date(2026, 4, 1)
    add_quarantined(project, ["test_a.py::test_one"], reason='the "red" one\\', today=TODAY, expires=last)
    (entry,) = read_quarantine(project)
    assert (entry.id, entry.reason, entry.since, entry.expires) == (
        "test_a.py::test_one",
        'the "red" one\\',
        TODAY,
        last,
    )
    assert tomllib.loads((project / FILE).read_text(encoding="utf-8"))["test"][0]["expires"] == last


def test_comments_and_unknown_keys_survive_adding_and_releasing(project: Path) -> None:
    """A file that people wrote in keeps their words."""
    (project / FILE).write_text(WRITTEN, encoding="utf-8")
    add_quarantined(project, ["test_a.py::test_two"], reason="too", today=TODAY)
    release_quarantined(project, ["test_a.py::test_two"])
    assert (project / FILE).read_text(encoding="utf-8") == WRITTEN


def test_adding_again_renews_reason_and_dates(project: Path) -> None:
    """A test that is there is not listed twice."""
    (project / FILE).write_text(WRITTEN, encoding="utf-8")
    add_quarantined(project, ["test_a.py::test_one"], reason="still", today=TODAY)
    (entry,) = read_quarantine(project)
    assert (entry.reason, entry.since) == ("still", TODAY)
    assert "# see #12" in (project / FILE).read_text(encoding="utf-8")


def test_quarantine_ends_after_its_last_day() -> None:
    """On the last day a failure does not count yet, on the next it does."""
    from aqe.agents.flaky import Quarantined

    entry = Quarantined("t", "r", TODAY, TODAY)
    assert not entry.has_expired(TODAY)
    assert entry.has_expired(TODAY + datetime.timedelta(1))


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("[[test]\n", "cannot be read"),
        ("[[test]]\nreason = 'x'\n", "no `id`"),
        ("[[test]]\nid = 'a'\nexpires = 'soon'\n", "no date"),
        ("test = 3\n", "no list"),
    ],
)
def test_a_file_that_cannot_be_read_is_never_written_over(project: Path, text: str, words: str) -> None:
    """A broken file is one sentence, and stays as it is."""
    (project / FILE).write_text(text, encoding="utf-8")
    with pytest.raises(UserError) as caught:
        add_quarantined(project, ["test_a.py::test_one"], reason="x", today=TODAY)
    assert caught.value.code == "bad-quarantine"
    assert words.replace("no list", "not a list") in str(caught.value)
    assert (project / FILE).read_text(encoding="utf-8") == text


def test_mistakes_change_nothing(project: Path) -> None:
    """A test of no file, a day that is past and a test that is not there are errors, and no file is made."""
    for act, code in (
        (lambda: add_quarantined(project, ["gone.py::a"], reason="x", today=TODAY), "no-such-path"),
        (lambda: add_quarantined(project, ["test_a.py"], reason="x", today=TODAY), "no-such-path"),
        (
            lambda: add_quarantined(
                project, ["test_a.py::a"], reason="x", today=TODAY, expires=TODAY - datetime.timedelta(1)
            ),
            "bad-argument",
        ),
        (lambda: release_quarantined(project, ["test_a.py::a"]), "unknown-id"),
    ):
        with pytest.raises(UserError) as caught:
            act()
        assert caught.value.code == code
    assert not (project / FILE).exists()
