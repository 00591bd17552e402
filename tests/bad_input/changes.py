"""Mistakes and oddities before what looks at a change: review, audit, select, run and analyze."""

from __future__ import annotations

import contextlib
import os
import sqlite3
import subprocess
from pathlib import Path

from bad_input.command import run_aqe
from bad_input.projects import nothing, repository
from bad_input.rows import READ_ONLY, Row


def shallow_clone(project: Path, stack: contextlib.ExitStack) -> None:
    """A project whose git history was cut off before its second commit."""
    repository(project, stack)
    who = ("-c", "user.name=t", "-c", "user.email=t@example.org", "-c", "commit.gpgsign=false")
    subprocess.run(["git", *who, "commit", "-q", "--allow-empty", "-m", "second"], cwd=project, check=True)
    whole = project.with_name("whole")
    project.rename(whole)
    origin = f"file://{whole}"
    subprocess.run(["git", "clone", "-q", "--depth", "1", origin, str(project)], check=True, capture_output=True)


def dirty_tree(project: Path, stack: contextlib.ExitStack) -> None:
    """A repository in which a file was renamed, one deleted, one is binary, one is no Python, one has an odd name."""
    repository(project, stack)
    (project / "tests" / "test_mine.py").unlink()
    dirty_tree_of(project)


def dirty_tree_of(project: Path) -> None:
    (project / "mod.py").rename(project / "moved.py")
    (project / "data.py").write_bytes(b"x = 1\0\xff")
    (project / "broken.py").write_text("def f(:\n", encoding="utf-8")
    Path(os.fsdecode(os.fsencode(project) + b"/caf\xe9.py")).write_text("x = 1\n", encoding="utf-8")


def broken_suite(project: Path, stack: contextlib.ExitStack) -> None:
    (project / "tests" / "test_bad.py").write_text("def (:\n", encoding="utf-8")
    repository(project, stack)


def repository_without_tests(project: Path, stack: contextlib.ExitStack) -> None:
    (project / "tests" / "test_mine.py").unlink()
    repository(project, stack)


def mapped(project: Path, stack: contextlib.ExitStack) -> None:
    """A repository in which it is recorded what the test executes."""
    repository(project, stack)
    assert run_aqe(project, "execute", "--map").returncode == 0


def mapped_and_dirty(project: Path, stack: contextlib.ExitStack) -> None:
    """The tested module was moved away; others came that are binary, no Python, and of an odd name."""
    mapped(project, stack)
    dirty_tree_of(project)


def map_of_another_version(project: Path, stack: contextlib.ExitStack) -> None:
    mapped(project, stack)
    with contextlib.closing(sqlite3.connect(project / ".aqe" / "aqe.db")) as database, database:
        database.execute("UPDATE impact_facts SET value = '\"0\"' WHERE name = 'format'")


def broken_decisions(project: Path, stack: contextlib.ExitStack) -> None:
    repository(project, stack)
    (project / "aqe-review.toml").write_text("[[dismissed]\n", encoding="utf-8")


def decisions_are_untouched(project: Path) -> None:
    assert (project / "aqe-review.toml").read_text(encoding="utf-8") == "[[dismissed]\n"


ROWS = [
    # aqe review
    Row("no repository, review", ("review",), nothing, "no-git", 2, "--base DIR --head DIR"),
    Row("unknown ref, review", ("review", "--since", "nowhere"), repository, "unknown-ref", 2, "nowhere"),
    Row("shallow clone", ("review", "--since", "HEAD~1"), shallow_clone, "shallow-clone", 2, "--unshallow"),
    Row("dirty tree", ("review", "--budget", "5"), dirty_tree, "", 0, "invalid-syntax", slow=True),
    Row("missing base", ("review", "--base", "gone", "--head", "."), nothing, "no-such-path", 2, "gone"),
    Row("base alone", ("review", "--base", "."), nothing, "bad-argument", 2, "--head DIR"),
    Row(
        "base and ref", ("review", "--base", ".", "--head", ".", "--since", "x"), nothing, "bad-argument", 2, "--since"
    ),
    Row("missing message", ("review", "--message", "gone"), repository, "no-such-path", 2, "gone"),
    Row("message is a folder", ("review", "--message", "tests"), repository, "no-such-path", 2, "tests"),
    Row("unknown finding", ("review", "--dismiss", "0123"), repository, "unknown-finding", 2, "0123"),
    Row("reason for nothing", ("review", "--reason", "so"), repository, "usage", 2, "--dismiss"),
    Row("unknown format", ("review", "--format", "xml"), repository, "usage", 2, "sarif"),
    Row("two formats", ("review", "--json", "--format", "sarif"), repository, "usage", 2, "exclude"),
    Row("broken decisions", ("review",), broken_decisions, "bad-decisions", 2, "toml", (), decisions_are_untouched),
    # aqe audit
    Row("missing tests, audit", ("audit", "gone"), nothing, "no-such-path", 2, "gone"),
    Row("no tests, audit", ("audit", "mod.py"), nothing, "no-tests", 2, "test_*.py"),
    Row("read-only project, audit", ("audit",), nothing, "", 0, "nothing to report", READ_ONLY),
    # aqe select
    Row("no repository, select", ("select",), nothing, "no-git", 2, "--base DIR --head DIR"),
    Row("unknown ref, select", ("select", "--since", "nowhere"), repository, "unknown-ref", 2, "nowhere"),
    Row("shallow clone, select", ("select", "--since", "HEAD~1"), shallow_clone, "shallow-clone", 2, "--unshallow"),
    Row("base alone, select", ("select", "--base", "."), nothing, "bad-argument", 2, "--head DIR"),
    Row("missing base, select", ("select", "--base", "gone", "--head", "."), nothing, "no-such-path", 2, "gone"),
    Row("budget that is no time, select", ("select", "--run", "--budget", "soon"), repository, "bad-budget", 2, "soon"),
    Row("syntax error in tests, select", ("select",), broken_suite, "suite-not-collected", 2, "test_bad.py", slow=True),
    Row("no tests, select", ("select",), repository_without_tests, "no-tests", slow=True),
    Row("dirty tree, select", ("select",), mapped_and_dirty, "", 0, "test_mine.py::test_mine", slow=True),
    Row("map of another version", ("select",), map_of_another_version, "", 0, "another version of aqe", slow=True),
    Row("read-only project, select", ("select",), repository, "", 0, "The whole suite", READ_ONLY, slow=True),
    # aqe run
    Row("no repository, run", ("run",), nothing, "no-git", 2, "git"),
    Row("unknown ref, run", ("run", "--since", "nowhere"), repository, "unknown-ref", 2, "nowhere"),
    # aqe analyze
    Row("unknown ref, analyze", ("analyze", "--since", "nowhere"), repository, "unknown-ref", 2, "nowhere"),
    Row("page in no folder", ("analyze", "--html", "no/such/page.html"), nothing, "bad-output", 2, "page.html"),
]
