"""`aqe index` as its user sees it."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import jsonschema
import pytest

Aqe = Callable[..., "subprocess.CompletedProcess[str]"]
SCHEMAS = Path(__file__).resolve().parents[2] / "docs" / "schemas"


def test_index_says_what_it_found_and_what_changed(aqe: Aqe, project: Path) -> None:
    """The first run tells files and passages, the second that nothing changed, a third what did."""
    first = aqe("index", cwd=project)
    assert first.returncode == 0, first.stderr
    assert first.stdout.startswith("2 files, ")
    assert "2 new, 0 changed, 0 gone" in first.stdout
    assert "0 new, 0 changed, 0 gone" in aqe("index", cwd=project).stdout
    (project / "ages.py").write_text("def stage(age):\n    return 'adult'\n")
    (project / "notes.md").write_text("# Notes\n\nAdults are 18.\n")
    assert "1 new, 1 changed, 0 gone" in aqe("index", cwd=project).stdout


def test_index_as_json_is_what_its_schema_says(aqe: Aqe, project: Path) -> None:
    """With --json one object is printed and kept, which names what was left out and by what the rest can be found."""
    (project / "broken.py").write_text("def (:\n")
    done = aqe("index", "--json", cwd=project)
    report = json.loads(done.stdout)
    jsonschema.validate(report, json.loads((SCHEMAS / "index.json").read_text(encoding="utf-8")))
    assert report["embedder"].startswith("aqe-static-1:")
    assert [one["file"] for one in report["left_out"]] == ["broken.py"]
    assert json.loads((project / ".aqe" / "results" / "index.json").read_text(encoding="utf-8")) == report


def test_a_file_that_is_gone_is_forgotten_by_its_name(aqe: Aqe, project: Path) -> None:
    """A path that was indexed and is deleted or moved may be named, beside the one that it moved to."""
    aqe("index", cwd=project)
    (project / "ages.py").rename(project / "years.py")
    done = aqe("index", "ages.py", "years.py", cwd=project)
    assert "1 new, 0 changed, 1 gone" in done.stdout, done.stderr
    (project / "years.py").unlink()
    (project / "sub").mkdir()
    done = aqe("index", "../years.py", cwd=project / "sub")
    assert "0 files, 0 passages: 0 new, 0 changed, 1 gone" in done.stdout, done.stderr


@pytest.mark.parametrize("with_git", [True, False])
def test_a_named_file_that_is_not_indexed_is_told_with_why(aqe: Aqe, project: Path, with_git: bool) -> None:
    """Ignored, of another kind or in a folder of other people's code: each is said, not counted as nothing."""
    if with_git:
        subprocess.run(["git", "init", "-q"], cwd=project, check=True)
    (project / ".gitignore").write_text("*.out.md\n", "utf-8")
    for name in ("made.out.md", "photo.png", "vendor/notes.md", "built.out.md/notes.md", "other/notes.md", "art/a.png"):
        (project / name).parent.mkdir(exist_ok=True)
        (project / name).write_text("# Notes\n", "utf-8")
    subprocess.run(["git", "init", "-q"], cwd=project / "other", check=True)
    os.mkfifo(project / "pipe.md")
    named = ["made.out.md", "photo.png", "vendor/notes.md", "vendor", "built.out.md", "other", "art", "pipe.md"]
    done = aqe("index", *named, *(["other/notes.md"] if with_git else []), "ages.py", "--json", cwd=project)
    report = json.loads(done.stdout)
    assert report["files"] == (1 if with_git else 2)
    assert {one["file"]: one["reason"] for one in report["left_out"]} == {
        "art": "a folder with nothing that is indexed",
        "built.out.md": "the rules for ignored files leave it out",
        **dict.fromkeys(["other", "other/notes.md"] if with_git else [], "in a repository of its own"),
        "pipe.md": "no regular file",
        "vendor": "in a folder that is not indexed",
        "made.out.md": "the rules for ignored files leave it out",
        "photo.png": "not a kind of file that is indexed",
        "vendor/notes.md": "in a folder that is not indexed",
    }


@pytest.mark.parametrize(
    ("words", "code"),
    [
        (["index"], "no-such-path"),
        (["privacy", "scan"], "no-such-path"),
        (["generate"], "no-such-path"),
        (["audit"], "no-such-path"),
        (["query", "hi", "--project"], "no-such-project"),
    ],
)
def test_a_path_that_begins_with_a_tilde_need_not_name_a_user(
    aqe: Aqe, project: Path, words: list[str], code: str
) -> None:
    """`~$report.md`, as office programs leave it beside a document, is a name like others."""
    done = aqe(*words, "~$report.py", cwd=project)
    assert done.returncode == 2
    assert f"[{code}]" in done.stderr, done.stderr


def test_a_file_whose_name_begins_with_a_tilde_is_indexed(aqe: Aqe, project: Path) -> None:
    """It lies in the project and is found there."""
    (project / "~$report.md").write_text("# Report\n", "utf-8")
    assert aqe("index", "~$report.md", cwd=project).stdout.startswith("1 file, ")


@pytest.mark.services
def test_memory_search_is_not_drowned_by_the_index(aqe: Aqe, project: Path) -> None:
    """What was remembered is found alone; the index is searched where its namespace is named."""
    aqe("memory", "add", "Adults are 18 by the law of Austria.", cwd=project)
    aqe("index", cwd=project)
    plain = json.loads(aqe("memory", "search", "adult stage", "--json", cwd=project).stdout)
    index = json.loads(aqe("memory", "search", "adult stage", "-n", "index/", "--json", cwd=project).stdout)
    assert {hit["namespace"] for hit in plain["hits"]} == {"default"}
    assert {hit["provenance"]["file"] for hit in index["hits"]} >= {"ages.py"}


@pytest.mark.services
def test_paths_limit_the_run_and_a_wrong_one_is_told(aqe: Aqe, project: Path) -> None:
    """Only what is named is read; a path that is not there, or in another project, is one sentence and exit 2."""
    assert aqe("index", "ages.py", cwd=project).stdout.startswith("1 file, ")
    missing, outside = aqe("index", "nowhere", cwd=project), aqe("index", "..", cwd=project)
    assert (missing.returncode, outside.returncode) == (2, 2)
    assert "[no-such-path]" in missing.stderr
    assert "[outside-project]" in outside.stderr


@pytest.mark.services
def test_interrupted_index_keeps_what_it_did(project: Path) -> None:
    """Ctrl-C ends with 130, says so in one line, and the next run has less to do."""
    for number in range(3000):
        (project / f"page{number:04}.md").write_text(f"# Page {number}\n\n" + f"Words of page {number}.\n\n" * 20)
    process = subprocess.Popen(
        [sys.executable, "-m", "aqe.server.cli", "index"], cwd=project, stderr=subprocess.PIPE, text=True
    )
    log = project / ".aqe" / "aqe.db-wal"
    while process.poll() is None and not (log.exists() and log.stat().st_size > 1_000_000):
        time.sleep(0.01)
    process.send_signal(signal.SIGINT)
    _, said = process.communicate(timeout=60)
    if process.returncode == 0:
        pytest.fail("the run ended before it could be interrupted")
    assert process.returncode == 130
    assert said.strip().endswith("[cancelled]")
    done = subprocess.run(
        [sys.executable, "-m", "aqe.server.cli", "index", "--json"], cwd=project, capture_output=True, text=True
    )
    report = json.loads(done.stdout)
    assert 0 < report["new"] < report["files"] == 3002
