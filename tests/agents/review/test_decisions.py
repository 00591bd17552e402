"""Decisions about findings: kept in a file that people edit too, and what they do to later reviews."""

from __future__ import annotations

import datetime
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from aqe.agents.review.decisions import FILE, decide, read_decisions, weighed, without_dismissed
from aqe.agents.review.finding import Finding
from aqe.agents.review.ranking import ranked, shown_of
from aqe.engine.errors import UserError

TODAY = datetime.date(2026, 5, 1)


def finding(id: str = "aaaaaaaaaaaa", rule: str = "S307", path: str = "shop/a.py", confidence: float = 0.8) -> Finding:
    return Finding(id, rule, "warning", confidence, path, 3, 3, "f", "no")


def dismiss(project: Path, *findings: Finding, reason: str = "") -> None:
    decide(project, [(one.id, "dismissed") for one in findings], findings, reason, TODAY)


def test_a_dismissed_finding_is_left_out_and_counted(tmp_path: Path) -> None:
    """What was dismissed stays away; other findings, and the same code in another file, do not."""
    dismiss(tmp_path, finding(), reason="input is ours")
    there = frozenset({"shop/a.py", "shop/b.py"})
    others = [finding("bbbbbbbbbbbb"), finding(path="shop/b.py")]
    assert without_dismissed([finding(), *others], read_decisions(tmp_path), there) == (others, 1)


def test_a_dismissal_follows_a_renamed_file(tmp_path: Path) -> None:
    """When the file is gone the dismissal holds for the same code under its new name."""
    dismiss(tmp_path, finding())
    moved = finding(path="shop/new.py")
    assert without_dismissed([moved], read_decisions(tmp_path), frozenset({"shop/new.py"})) == ([], 1)


def test_the_file_keeps_what_people_wrote_into_it(tmp_path: Path) -> None:
    """Comments, order and other entries stay when a decision is added."""
    text = '# ours\n[[dismissed]]\nid = "cccccccccccc" # asked Ann\nrule = "S101"\n'
    (tmp_path / FILE).write_text(text)
    dismiss(tmp_path, finding(), reason="input is ours")
    kept = (tmp_path / FILE).read_text()
    assert kept.startswith(text.rstrip())
    assert [(one.id, one.reason) for one in read_decisions(tmp_path)] == [
        ("cccccccccccc", ""),
        ("aaaaaaaaaaaa", "input is ours"),
    ]


def test_an_inline_list_becomes_tables_and_is_read_back(tmp_path: Path) -> None:
    """A file that lists its decisions in one array takes another, and gives up one that is decided anew."""
    (tmp_path / FILE).write_text('dismissed = [{id = "cccccccccccc", rule = "S101"}, {id = "dddddddddddd"}]\n')
    dismiss(tmp_path, finding())
    decide(tmp_path, [("cccccccccccc", "accepted")], [], "", TODAY)
    assert [(one.id, one.verdict, one.rule) for one in read_decisions(tmp_path)] == [
        ("cccccccccccc", "accepted", "S101"),
        ("dddddddddddd", "dismissed", ""),
        ("aaaaaaaaaaaa", "dismissed", "S307"),
    ]


def test_decisions_made_at_once_are_all_kept(tmp_path: Path) -> None:
    """Four who decide at the same time lose nothing of each other's."""
    found = [finding(f"{number:012d}") for number in range(8)]
    begin = threading.Barrier(4)

    def act(mine: list[Finding]) -> None:
        begin.wait(30)
        for one in mine:
            dismiss(tmp_path, one)

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(act, [found[place::4] for place in range(4)]))
    assert {one.id for one in read_decisions(tmp_path)} == {one.id for one in found}


def test_a_link_out_of_the_project_is_refused(tmp_path: Path) -> None:
    """A decision is never written to a file outside, and the link stays."""
    project = tmp_path / "project"
    project.mkdir()
    (project / FILE).symlink_to(tmp_path / "theirs.toml")
    with pytest.raises(UserError, match="not in the project"):
        dismiss(project, finding())
    assert (project / FILE).is_symlink()
    assert not (tmp_path / "theirs.toml").exists()


def test_a_second_thought_replaces_the_first(tmp_path: Path) -> None:
    """A finding is accepted or dismissed, never both; it need not be shown again for that."""
    dismiss(tmp_path, finding())
    decide(tmp_path, [("aaaaaaaaaaaa", "accepted")], [], "", TODAY)
    assert [(one.id, one.verdict, one.rule) for one in read_decisions(tmp_path)] == [
        ("aaaaaaaaaaaa", "accepted", "S307")
    ]


def test_an_id_that_was_never_shown_is_refused_and_nothing_is_written(tmp_path: Path) -> None:
    """An unknown id among known ones changes nothing."""
    with pytest.raises(UserError) as caught:
        decide(tmp_path, [("aaaaaaaaaaaa", "dismissed"), ("0000", "dismissed")], [finding()], "", TODAY)
    assert caught.value.code == "unknown-finding"
    assert not (tmp_path / FILE).exists()


@pytest.mark.parametrize("text", ["[[dismissed]\n", "dismissed = 3\n", '[[dismissed]]\nrule = "S1"\n'])
def test_a_broken_file_is_named_and_left_as_it_is(tmp_path: Path, text: str) -> None:
    """A file that cannot be understood is an error, also when a decision is to be added."""
    (tmp_path / FILE).write_text(text)
    for act in (lambda: read_decisions(tmp_path), lambda: dismiss(tmp_path, finding())):
        with pytest.raises(UserError) as caught:
            act()
        assert caught.value.code == "bad-decisions"
    assert (tmp_path / FILE).read_text() == text


def test_rules_that_are_dismissed_often_are_shown_later(tmp_path: Path) -> None:
    """Decisions about a rule move its findings: down when dismissed, up when accepted."""
    quiet, loud = finding("111111111111", "S307", confidence=0.8), finding("222222222222", "S608", confidence=0.78)
    assert [one.rule for one in ranked(weighed([quiet, loud], []))] == ["S307", "S608"]
    dismiss(tmp_path, finding("333333333333", "S307"), finding("444444444444", "S307"))
    assert [one.rule for one in ranked(weighed([quiet, loud], read_decisions(tmp_path)))] == ["S608", "S307"]
    decide(tmp_path, [("333333333333", "accepted"), ("444444444444", "accepted")], [], "", TODAY)
    (moved,) = weighed([quiet], read_decisions(tmp_path))
    assert moved.confidence > quiet.confidence


def test_two_rules_that_say_the_same_about_a_line_are_one_finding() -> None:
    """The surer of two rules for one thing is shown."""
    ours, ruffs = finding("1", "test-smell-shadowed-test", confidence=0.97), finding("2", "F811", confidence=0.85)
    assert [one.rule for one in ranked([ruffs, ours])] == ["test-smell-shadowed-test"]


def test_one_rule_in_one_file_does_not_hide_all_others() -> None:
    """Beyond three alike others are shown first; what is shown stays in its order."""
    alike = [finding(f"{number}", confidence=0.9) for number in range(5)]
    other = finding("9", "S608", confidence=0.4)
    assert [one.id for one in shown_of([*alike, other], 4)] == ["0", "1", "2", "9"]
    assert [one.id for one in shown_of([*alike, other], 5)] == ["0", "1", "2", "3", "9"]


def test_an_empty_line_stands_between_two_decisions(tmp_path: Path) -> None:
    """Tables are parted by one empty line, however many are written and whatever a reason looks like."""
    dismiss(tmp_path, finding("aaaaaaaaaaaa"), reason="first\n[[dismissed]]")
    dismiss(tmp_path, finding("bbbbbbbbbbbb"))
    dismiss(tmp_path, finding("cccccccccccc"))
    text = (tmp_path / FILE).read_text()
    assert text.count("\n\n[[dismissed]]") == 3
    assert "\n\n\n" not in text
