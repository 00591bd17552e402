"""Large files and long texts: what is too large is not read, and lines are found in a time that does not run away."""

from __future__ import annotations

import difflib
import random
from pathlib import Path

import pytest

from aqe.agents.changes import lines, read_changes
from aqe.agents.changes.changeset import MOST_BYTES
from aqe.agents.changes.lines import line_changes
from tests.agents.changes.test_reading import by_path, commit, git, repo

__all__ = ["repo"]


def sparse(path: Path, size: int) -> None:
    with path.open("wb") as file:
        file.truncate(size)


def text(*words: object) -> str:
    return "".join(f"{word}\n" for word in words)


def test_a_huge_file_is_told_and_not_read(repo: Path) -> None:
    """One of many gigabytes, which no memory could hold, is binary at once, as a new file and as a changed one."""
    (repo / "data.csv").write_text("1\n")
    commit(repo, "data")
    sparse(repo / "data.csv", 1 << 40)
    sparse(repo / "new.csv", 1 << 40)
    found = by_path(read_changes(repo))
    assert {name: (one.kind, one.binary) for name, one in found.items()} == {
        "data.csv": ("modified", True),
        "new.csv": ("added", True),
    }


def test_a_large_base_is_not_read(repo: Path) -> None:
    """Text of more than 5 MB in the base is binary as well."""
    (repo / "data.csv").write_text("1,2,3,4\n" * (MOST_BYTES // 8 + 1))
    commit(repo, "data")
    (repo / "data.csv").write_text("1\n")
    one = by_path(read_changes(repo))["data.csv"]
    assert (one.binary, one.old_text, one.removed) == (True, None, frozenset())


def test_huge_files_of_two_folders_are_told(tmp_path: Path) -> None:
    """Between folders too; such a file that changed in size is a change."""
    base, head = tmp_path / "base", tmp_path / "head"
    for folder, size in ((base, 1 << 40), (head, 1 << 41)):
        folder.mkdir()
        sparse(folder / "data.bin", size)
        sparse(folder / f"{folder.name}.csv", size)
    found = by_path(read_changes(tmp_path, base=base, head=head))
    assert {name: (one.kind, one.binary) for name, one in found.items()} == {
        "data.bin": ("modified", True),
        "base.csv": ("deleted", True),
        "head.csv": ("added", True),
    }


def test_the_lines_of_git_are_not_sought_again(repo: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where git says which lines changed, and where all of them did, no text is compared."""
    commit(repo, "data", data=text(*range(3000)))
    (repo / "data.py").write_text(text(*(f"{number},{number % 2}" for number in range(3000))))
    (repo / "new.py").write_text(text(*range(3000)))
    monkeypatch.setattr(difflib, "SequenceMatcher", None)
    found = by_path(read_changes(repo))
    assert len(found["data.py"].added) == len(found["new.py"].added) == 3000
    git(repo, "checkout", "-q", "data.py")


def steps(monkeypatch: pytest.MonkeyPatch, old: str, new: str) -> tuple[frozenset[int], frozenset[int], int]:
    """The changed lines, and the longest text that was given to difflib."""
    longest = 0

    class Counted(difflib.SequenceMatcher[str]):
        def __init__(self, isjunk: None, ours: list[str], theirs: list[str], autojunk: bool) -> None:
            nonlocal longest
            longest = max(longest, len(ours), len(theirs))
            super().__init__(isjunk, ours, theirs, autojunk)

    monkeypatch.setattr(difflib, "SequenceMatcher", Counted)
    return *line_changes(old, new), longest


def test_a_long_text_is_cut_at_lines_that_stay(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of 20,000 lines every other one changed: those are named, and difflib never sees more than a few lines."""
    old = text(*range(20_000))
    new = text(*(number if number % 2 else f"new {number}" for number in range(20_000)))
    added, removed, longest = steps(monkeypatch, old, new)
    assert added == removed == frozenset(range(1, 20_000, 2))
    assert longest < 10


def test_what_would_take_too_long_is_changed_as_a_whole(monkeypatch: pytest.MonkeyPatch) -> None:
    """Many equal lines between many others: from the first that differs to the last, all is changed."""
    old = text("first", *(word for number in range(4000) for word in ("x", number)), "last")
    new = text("first", *(word for number in range(4000) for word in (f"new {number}", "x")), "last")
    added, removed, longest = steps(monkeypatch, old, new)
    assert added == removed == frozenset(range(2, 8002))
    assert longest == 0


@pytest.mark.parametrize("most_steps", [0, 200, lines.MOST_STEPS])
def test_what_is_left_of_both_sides_is_the_same(monkeypatch: pytest.MonkeyPatch, most_steps: int) -> None:
    """Whatever is cut where: without the changed lines the two texts are equal."""
    monkeypatch.setattr(lines, "MOST_STEPS", most_steps)
    chance = random.Random(5)
    for _ in range(200):
        old = [str(chance.randrange(12)) for _ in range(chance.randrange(20))]
        new = [word for word in old if chance.random() < 0.8]
        new.insert(chance.randrange(len(new) + 1), str(chance.randrange(12)))
        chance.shuffle(new) if chance.random() < 0.2 else None
        added, removed = line_changes(text(*old), text(*new))
        assert [line for number, line in enumerate(old, 1) if number not in removed] == [
            line for number, line in enumerate(new, 1) if number not in added
        ]
