"""Coverage data that is read: the JSON report of coverage.py, changed lines of it, and what is neither."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from aqe.agents.changes import Changes, FileChange
from aqe.agents.changes.changeset import Kind
from aqe.agents.coverage.difference import diff_coverage
from aqe.agents.coverage.history import read_blame
from aqe.agents.coverage.measured import read_measured
from aqe.agents.coverage.report import FileDiff
from aqe.engine.errors import UserError
from aqe.server.cli.coverage_text import numbers

ENTRY = {
    "executed_lines": [1, 2, 4],
    "missing_lines": [3, 6],
    "executed_branches": [[2, 4]],
    "missing_branches": [[2, 3], [4, -1]],
}


def report(**files: object) -> str:
    return json.dumps({"meta": {"version": "7.9", "branch_coverage": True}, "files": files})


def test_files_of_the_project_are_read(tmp_path: Path) -> None:
    """Names may be relative or absolute; a file outside the project is left out."""
    files = {"a.py": ENTRY, str(tmp_path / "pkg" / "b.py"): ENTRY, "/elsewhere/c.py": ENTRY, "../d.py": ENTRY}
    found = read_measured(report(**files), tmp_path, "x.json")
    assert sorted(found.files) == ["a.py", "pkg/b.py"]
    assert found.files["a.py"].lines == {1, 2, 3, 4, 6}
    assert found.files["a.py"].arms_missing == {(2, 3), (4, -1)}
    assert found.coverage_version == "7.9"


@pytest.mark.parametrize(
    "text", ["", "{", "[]", "{}", '{"meta": 1, "files": 2}', '{"meta": {}, "files": {"a.py": {}}}', report(a={})]
)
def test_what_is_no_report_is_one_sentence(tmp_path: Path, text: str) -> None:
    """Anything but a JSON report of coverage.py is refused with the file's name."""
    with pytest.raises(UserError, match=r"x\.json") as caught:
        read_measured(text, tmp_path, "x.json")
    assert caught.value.code == "coverage-data"


def test_a_report_that_does_not_name_its_branches_is_refused(tmp_path: Path) -> None:
    """A report in branch mode of a coverage.py that lists no branches cannot be ranked."""
    entry = {"executed_lines": [1], "missing_lines": []}
    with pytest.raises(UserError, match="does not name its branches"):
        read_measured(report(**{"a.py": entry}), tmp_path, "x.json")


def change(path: str, added: set[int], kind: Kind = "modified") -> FileChange:
    return FileChange(path, path, kind, False, "", "", frozenset(added))


def test_changed_lines_are_those_that_can_run(tmp_path: Path) -> None:
    """Of a changed file the measured lines count, with the missing ones and the branches that start on them."""
    measured = read_measured(report(**{"a.py": ENTRY, "same.py": ENTRY}), tmp_path, "x.json").files
    changes = Changes(
        "main",
        "here",
        (
            change("a.py", {2, 3, 5, 99}),
            change("gone.py", set(), "deleted"),
            change("new.py", {1}, "added"),
            change("notes.md", {1}, "added"),
            change("tests/test_new.py", {1}, "added"),
        ),
    )
    found = diff_coverage(changes, measured)
    assert found.files == (FileDiff("a.py", (2, 3), (3,), ((2, 3),)),)
    assert (found.lines, found.lines_covered, found.percent) == (2, 1, 50)
    assert found.not_measured == ("new.py",)


def test_nothing_changed_is_wholly_covered(tmp_path: Path) -> None:
    """Without a changed line that is measured the share is 100 percent of nothing."""
    assert diff_coverage(Changes("main", "here", ()), {}).percent == 100


def test_blame_gives_the_recent_commit_of_each_line() -> None:
    """Lines of commits before the time in question are left out; a commit is described once and named again."""
    old, new = b"a" * 40, b"b" * 40
    said = b"\n".join(
        [
            old + b" 1 1 1", b"committer-time 100", b"\tx = 1",
            new + b" 2 2 1", b"committer-time 300", b"filename a.py", b"\ty = 2",
            old + b" 3 3 1", b"\tz = 3",
            new + b" 9 4 1", b"\t" + new + b" 1 1",
        ]
    )  # fmt: skip
    assert read_blame(said, 200) == {2: new.decode(), 4: new.decode()}


def test_runs_of_lines_are_joined() -> None:
    """Neighbouring numbers become a range."""
    assert numbers([9, 3, 4, 5]) == "3-5, 9"
