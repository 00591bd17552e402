"""aqe-quarantine.toml, edited."""

from __future__ import annotations

import datetime
import threading
import tomllib
from concurrent.futures import ThreadPoolExecutor
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
INLINE = """# ours
test = [
  # the first
  {id = "test_a.py::test_one", reason = "flips # often", since = 2026-01-01, owner = "Ada"},  # see #12
]
[other]
kept = true
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
        ("[[test]]\nid = 'a'\nexpires = 'soon'\n", "not a date"),
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


def test_an_inline_list_becomes_tables_and_is_read_back(project: Path) -> None:
    """A file that lists its tests in one array can be added to and released from; comments and other keys stay."""
    (project / FILE).write_text(INLINE, encoding="utf-8")
    add_quarantined(project, ["test_a.py::test_two"], reason="too", today=TODAY)
    text = (project / FILE).read_text(encoding="utf-8")
    found = tomllib.loads(text)
    assert [(row["id"], row["reason"], row.get("owner")) for row in found["test"]] == [
        ("test_a.py::test_one", "flips # often", "Ada"),
        ("test_a.py::test_two", "too", None),
    ]
    assert found["other"] == {"kept": True}
    assert [words in text for words in ("# ours", "# the first", "# see #12")] == [True] * 3
    (project / FILE).write_text(INLINE, encoding="utf-8")
    release_quarantined(project, ["test_a.py::test_one"])
    assert read_quarantine(project) == ()


def test_four_at_once_lose_nothing(project: Path) -> None:
    """Each of several who add at the same time finds its entry in the file."""
    names = [f"test_a.py::test_{number}" for number in range(8)]
    begin = threading.Barrier(4)

    def add(mine: list[str]) -> None:
        begin.wait(30)
        for name in mine:
            add_quarantined(project, [name], reason="x", today=TODAY)

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(add, [names[place::4] for place in range(4)]))
    assert {entry.id for entry in read_quarantine(project)} == set(names)


def test_a_link_is_written_through_inside_the_project_and_refused_out_of_it(project: Path) -> None:
    """A linked file stays a link: its file is changed where it belongs to the project, and else nothing is."""
    inside = project / "quality"
    inside.mkdir()
    (inside / "q.toml").write_text(WRITTEN, encoding="utf-8")
    (project / FILE).symlink_to(Path("quality", "q.toml"))
    add_quarantined(project, ["test_a.py::test_two"], reason="too", today=TODAY)
    assert (project / FILE).is_symlink()
    assert "test_two" in (inside / "q.toml").read_text(encoding="utf-8")
    (inside / "test_a.py").write_text("", encoding="utf-8")
    (inside / FILE).symlink_to(project / "theirs.toml")
    (project / "theirs.toml").write_text(WRITTEN, encoding="utf-8")
    with pytest.raises(UserError, match="not in the project") as caught:
        add_quarantined(inside, ["test_a.py::test_two"], reason="too", today=TODAY)
    assert caught.value.code == "bad-quarantine"
    assert (inside / FILE).is_symlink()
    assert (project / "theirs.toml").read_text(encoding="utf-8") == WRITTEN
