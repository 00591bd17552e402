"""`aqe review` and `aqe audit`, as processes, on real projects."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from tests.warm_command import warm_command

ROOT = Path(__file__).resolve().parents[2]
SHOP = '''"""A small shop."""

import datetime


def price(count: int, member: bool = False) -> int:
    """What so many pieces cost in cents."""
    if member:
        count = count - 1
    return count * 300


def label(count: int) -> str:
    """How a count is shown."""
    return f"{count} pieces"


def summary(rows: list[str]) -> dict[str, int]:
    """How often each row stands there."""
    found: dict[str, int] = {}
    for row in rows:
        key = row.strip().lower()
        if not key:
            continue
        found[key] = found.get(key, 0) + 1
    return found
'''
TESTS = """from shop import label, price


def test_price():
    assert price(2) == 600
    assert price(2, True) == 300


def test_label():
    assert label(3) == "3 pieces"
"""
COPY = '''

def overview(lines: list[str]) -> dict[str, int]:
    """How often each line stands there."""
    seen: dict[str, int] = {}
    for line in lines:
        word = line.strip().lower()
        if not word:
            continue
        seen[word] = seen.get(word, 0) + 1
    return seen
'''
SMELLS = """

def test_later():
    import time

    time.sleep(1)
    assert label(1) == "1 pieces"


def test_label():
    assert label(4) == "4 pieces"
"""


def aqe(folder: Path, *args: str, **more: str) -> subprocess.CompletedProcess[str]:
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("PYTEST", "AQE", "VIRTUAL_ENV"))}
    return warm_command().run(args, cwd=folder, env=kept | more, limit_s=300)


def answer(folder: Path, *args: str) -> dict[str, Any]:
    done = aqe(folder, *args, "--json")
    assert done.returncode in (0, 4), done.stderr
    whole: dict[str, Any] = json.loads(done.stdout)
    return whole


def rules(whole: dict[str, Any]) -> list[str]:
    return [row["rule"] for row in whole["findings"]]


def git(folder: Path, *args: str) -> None:
    author = ["-c", "user.name=Ann", "-c", "user.email=ann@example.org", "-c", "commit.gpgsign=false"]
    subprocess.run(["git", *author, *args], cwd=folder, check=True, capture_output=True)


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A committed project with a suite."""
    root = tmp_path / "project"
    root.mkdir()
    (root / "pyproject.toml").write_text('[project]\nname = "shop"\nversion = "1"\n')
    (root / "shop.py").write_text(SHOP)
    (root / "tests").mkdir()
    (root / "tests" / "test_shop.py").write_text(TESTS)
    (root / "conftest.py").write_text("")
    git(root, "init", "-q", ".")
    git(root, "add", "-A")
    git(root, "commit", "-qm", "Begin")
    return root


def files(folder: Path) -> dict[str, bytes]:
    """Every file but those of git, of aqe and of Python's cache."""
    apart = {".git", ".aqe", "__pycache__"}
    found = (path for path in folder.rglob("*") if path.is_file() and not apart & set(path.parts))
    return {str(path.relative_to(folder)): path.read_bytes() for path in found}


def test_a_bad_change_is_shown_with_its_evidence(project: Path) -> None:
    """Behaviour, an untested branch, a copy, an insecure call and smells of tests are all found, and nothing old."""
    text = SHOP.replace("count * 300", "count * 300 if count < 40 else count * 290") + COPY
    text += "\n\ndef hook(command: str) -> int:\n    import os\n\n    return os.system(command)\n"
    (project / "shop.py").write_text(text)
    (project / "tests" / "test_shop.py").write_text(TESTS + SMELLS)
    before = files(project)
    whole = answer(project, "review", "--budget", "60")
    jsonschema.validate(whole, json.loads((ROOT / "docs" / "schemas" / "review.json").read_text()))
    assert {"clone", "S605", "test-smell-sleep", "test-smell-shadowed-test", "untested-branch"} <= set(rules(whole))
    behaviour = next(row for row in whole["findings"] if row["rule"] == "behaviour-changed")
    assert (behaviour["name"], behaviour["severity"]) == ("price", "warning")
    assert behaviour["message"].startswith("price(")
    certain = [row["confidence"] for row in whole["findings"]]
    assert certain == sorted(certain, reverse=True)
    assert len(certain) <= 10
    assert whole["evidence"]["packages"]["ruff"]
    assert files(project) == before


def test_nothing_is_said_where_there_is_nothing(project: Path) -> None:
    """Comments and formatting are no finding, and the answer says so in words."""
    (project / "shop.py").write_text(SHOP.replace("count = count - 1", "count = count - 1  # one is free"))
    done = aqe(project, "review", "--gate")
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith("Nothing to report (HEAD")


@pytest.mark.services
def test_a_dismissed_finding_stays_away_until_its_code_changes(project: Path) -> None:
    """Dismissed, it is gone though lines move; when the statement changes, it is told again."""
    tests = project / "tests" / "test_shop.py"
    tests.write_text(TESTS + SMELLS)
    (sleeping,) = [row for row in answer(project, "review")["findings"] if row["rule"] == "test-smell-sleep"]
    done = aqe(project, "review", "--dismiss", sleeping["id"], "--reason", "the clock is the subject")
    assert done.stdout == f"dismissed {sleeping['id']}: test-smell-sleep in tests/test_shop.py (aqe-review.toml)\n"
    tests.write_text("\n\n" + TESTS + SMELLS)
    after = answer(project, "review")
    assert (rules(after), after["dismissed"]) == (["test-smell-shadowed-test"], 1)
    tests.write_text(TESTS + SMELLS.replace("sleep(1)", "sleep(2)"))
    assert "test-smell-sleep" in rules(answer(project, "review"))
    assert "the clock is the subject" in (project / "aqe-review.toml").read_text()


def test_a_decision_is_one_json_object_where_it_is_asked_for(project: Path) -> None:
    """--accept with --json prints the decisions and their file by the schema, and nothing else."""
    (project / "tests" / "test_shop.py").write_text(TESTS + SMELLS)
    found = answer(project, "audit")["findings"][0]
    whole = answer(project, "review", "--accept", found["id"], "--reason", "so be it")
    jsonschema.validate(whole, json.loads((ROOT / "docs" / "schemas" / "review-decisions.json").read_text()))
    assert (whole["schema"], whole["file"]) == ("aqe.review-decisions/1", "aqe-review.toml")
    assert [(one["id"], one["verdict"], one["rule"]) for one in whole["decisions"]] == [
        (found["id"], "accepted", found["rule"])
    ]


def test_an_unknown_id_changes_nothing(project: Path) -> None:
    """An id that no review showed is the user's mistake."""
    done = aqe(project, "review", "--dismiss", "0123456789ab")
    assert (done.returncode, "[unknown-finding]" in done.stderr) == (2, True)
    assert not (project / "aqe-review.toml").exists()


@pytest.mark.services
def test_other_programs_get_sarif_and_annotations(project: Path) -> None:
    """SARIF names rule, place and fingerprint; GitHub's commands escape what they must; --gate turns the status."""
    (project / "tests" / "test_shop.py").write_text(TESTS + SMELLS)
    done = aqe(project, "review", "--format", "sarif")
    (run,) = json.loads(done.stdout)["runs"]
    shadowed = next(row for row in run["results"] if row["ruleId"] == "test-smell-shadowed-test")
    place = shadowed["locations"][0]["physicalLocation"]
    assert place["artifactLocation"] == {"uri": "tests/test_shop.py", "uriBaseId": "PROJECT"}
    assert run["tool"]["driver"]["rules"][shadowed["ruleIndex"]]["id"] == "test-smell-shadowed-test"
    assert shadowed["partialFingerprints"]["aqeFinding/v1"]
    done = aqe(project, "review", "--format", "github", "--gate")
    assert done.returncode == 1
    line = next(one for one in done.stdout.splitlines() if "shadowed-test" in one)
    assert line.startswith("::error file=tests/test_shop.py,line=9,endLine=9,title=test-smell-shadowed-test [")


@pytest.mark.services
def test_what_the_message_announces_is_a_note(project: Path, tmp_path: Path) -> None:
    """The same change is a warning in silence, a note when a commit speaks of it, and a warning when one denies it."""
    git(project, "tag", "start")
    (project / "shop.py").write_text(SHOP.replace("count * 300", "count * 310"))
    severities = {}

    def severity(*args: str) -> str:
        found = answer(project, "review", "--budget", "60", *args)["findings"]
        return str(next(row["severity"] for row in found if row["rule"] == "behaviour-changed"))

    severities["silent"] = severity()
    (tmp_path / "message.txt").write_text("Refactor price, no behaviour change\n")
    severities["denied"] = severity("--message", str(tmp_path / "message.txt"))
    git(project, "commit", "-qam", "Fix price: a piece costs 3.10 now")
    severities["announced"] = severity("--since", "start")
    assert severities == {"silent": "warning", "denied": "warning", "announced": "note"}


@pytest.mark.services
def test_a_broken_promise_and_the_test_that_it_breaks_come_first(tmp_path: Path) -> None:
    """A test that fails since is told with its failure, a lost exception is an error; a mere call excuses neither."""
    root = tmp_path / "shop"
    shutil.copytree(ROOT / "fixtures" / "shop", root, ignore=shutil.ignore_patterns(".aqe", "__pycache__"))
    git(root, "init", "-q", ".")
    git(root, "add", "-A")
    git(root, "commit", "-qm", "Begin")
    cart, tests = root / "shop" / "cart.py", root / "tests" / "test_cart.py"
    cart.write_text(cart.read_text().replace("if quantity < 1", "if quantity < 0", 1))
    tests.write_text(tests.read_text() + '\n\ndef test_more(cart):\n    cart.add("PEN-001", 5, 2)\n')
    first, second = answer(root, "review", "--budget", "90")["findings"][:2]
    assert (first["rule"], first["severity"], first["name"]) == ("test-breaks", "error", "test_add_refuses_no_pieces")
    assert any("DID NOT RAISE" in line for line in first["evidence"])
    assert (second["rule"], second["severity"], second["name"]) == ("behaviour-changed", "error", "Cart.add")
    assert any("still promises ValueError" in line for line in second["evidence"])


@pytest.mark.services
def test_two_folders_are_compared_without_git(tmp_path: Path) -> None:
    """With --base and --head neither needs a repository, and neither gets anything but .aqe."""
    for name, text in (("base", SHOP), ("head", SHOP.replace("count * 300", "count * 310"))):
        (tmp_path / name / "tests").mkdir(parents=True)
        (tmp_path / name / "shop.py").write_text(text)
        (tmp_path / name / "conftest.py").write_text("")
        (tmp_path / name / "tests" / "test_shop.py").write_text(TESTS)
    before = files(tmp_path)
    whole = answer(tmp_path, "review", "--base", "base", "--head", "head", "--budget", "60")
    assert rules(whole) == ["test-breaks", "behaviour-changed"]
    assert files(tmp_path) == before
    assert (tmp_path / "head" / ".aqe" / "results" / "review.json").is_file()


@pytest.mark.services
def test_the_review_ends_in_its_time_when_the_suite_does_not(project: Path) -> None:
    """A suite that hangs costs what its tests would have told, not the review."""
    import time

    (project / "tests" / "test_shop.py").write_text(
        TESTS + "\n\ndef test_hangs():\n    import time\n\n    time.sleep(600)\n"
    )
    (project / "shop.py").write_text(SHOP.replace("count * 300", "count * 310"))
    started = time.monotonic()
    whole = answer(project, "review", "--budget", "10")
    assert time.monotonic() - started < 1.5 * 10 + 15 + 10
    assert any("did not end" in note for note in whole["notes"])
    assert whole["partial"]


@pytest.mark.services
def test_a_suite_that_does_not_collect_is_a_note(project: Path) -> None:
    """A test file that is broken is a finding; that its branches could not be looked at is said."""
    (project / "tests" / "test_shop.py").write_text(TESTS + "\n\nimport nowhere_to_be_found\n")
    (project / "shop.py").write_text(SHOP.replace("count * 300", "count * 310"))
    whole = answer(project, "review")
    assert any("could not be run for their coverage" in note for note in whole["notes"])
    assert "behaviour-changed" in rules(whole)


@pytest.mark.services
def test_an_audit_lists_every_smell_of_the_suite(project: Path) -> None:
    """All findings are in the answer, those that were dismissed apart; nothing of the project changes."""
    (project / "tests" / "test_shop.py").write_text(TESTS + SMELLS)
    before = files(project)
    whole = answer(project, "audit")
    jsonschema.validate(whole, json.loads((ROOT / "docs" / "schemas" / "audit.json").read_text()))
    assert set(rules(whole)) == {"test-smell-sleep", "test-smell-shadowed-test"}
    assert (whole["scope"], whole["figures"]["tests"]) == ("tests", 4)
    assert files(project) == before
    done = aqe(project, "audit", "tests", "--gate")
    assert (done.returncode, done.stdout.splitlines()[0]) == (1, "4 tests in 1 file: 2 findings")
