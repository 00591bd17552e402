"""Coverage of changed lines beside diff-cover, line for line, on random diffs."""

from __future__ import annotations

import json
import random
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from aqe.agents.coverage import CoverageRequest, coverage
from tests.environments import install, new_environment

ROOT = Path(__file__).resolve().parents[3]
SHOP = ROOT / "fixtures" / "shop"
DIFFS = 20
SEED = 5


def git(folder: Path, *words: str) -> None:
    who = ("-c", "user.name=t", "-c", "user.email=t@example.org", "-c", "commit.gpgsign=false")
    subprocess.run(["git", *who, *words], cwd=folder, check=True, capture_output=True)


@pytest.fixture(scope="module")
def diff_cover(tmp_path_factory: pytest.TempPathFactory) -> str:
    """diff-cover in an environment of its own."""
    folder = tmp_path_factory.mktemp("diff-cover")
    install(new_environment(folder), "diff-cover")
    return str(folder / "bin" / "diff-cover")


@pytest.fixture
def shop(tmp_path: Path) -> Path:
    """The shop in a repository, with what its tests cover in both of coverage.py's formats."""
    folder = Path(shutil.copytree(SHOP, tmp_path / "shop", ignore=shutil.ignore_patterns("__pycache__", ".*")))
    (folder / ".gitignore").write_text("coverage.*\n.coverage\n.aqe/\n__pycache__/\n", encoding="utf-8")
    git(folder, "init", "-q")
    git(folder, "add", ".")
    git(folder, "commit", "-q", "-m", "the head")
    run = [sys.executable, "-m", "coverage"]
    command = [*run, "run", "--branch", "--source=.", "-m", "pytest", "-q", "-p", "no:cacheprovider"]
    subprocess.run(command, cwd=folder, check=False, capture_output=True)
    for form in ("xml", "json"):
        subprocess.run([*run, form, "-q"], cwd=folder, check=True, capture_output=True)
    return folder


def older(text: str, chance: random.Random) -> str:
    """A text that may have been before: pieces of it are missing, others were different or are gone since."""
    lines = text.splitlines(keepends=True)
    for _ in range(chance.randint(1, 5)):
        place = chance.randrange(len(lines) + 1)
        size = chance.randint(1, 8)
        kind = chance.choice(("missing", "different", "gone", "spaces"))
        if kind == "gone":
            lines[place:place] = [f"old = {chance.randrange(99)}\n" for _ in range(size)]
        elif kind == "missing":
            del lines[place : place + size]
        else:
            edit = "# was {}" if kind == "different" else " {}"
            lines[place : place + size] = [edit.format(line) for line in lines[place : place + size]]
    return "".join(lines)


def write_base(folder: Path, chance: random.Random) -> str:
    """Commit a random earlier state, on top of which the head's state lies in another commit, or in none."""
    kept = {path: path.read_text(encoding="utf-8") for path in sorted(folder.rglob("*.py")) if ".aqe" not in path.parts}
    git(folder, "checkout", "-q", "--detach")
    for path in chance.sample(list(kept), chance.randint(1, 6)):
        fate = chance.random()
        if fate < 0.15:
            path.unlink()
        elif fate < 0.3:
            path.write_text(older(kept[path], chance), encoding="utf-8")
            path.rename(path.with_name(f"was_{path.name}"))
        else:
            path.write_text(older(kept[path], chance), encoding="utf-8")
    git(folder, "add", "-A")
    git(folder, "commit", "-q", "--allow-empty", "-m", "the base")
    base = subprocess.run(["git", "rev-parse", "HEAD"], cwd=folder, check=True, capture_output=True, text=True)
    for path in folder.rglob("was_*.py"):
        path.unlink()
    for path, text in kept.items():
        path.write_text(text, encoding="utf-8")
    if chance.random() < 0.6:
        git(folder, "add", "-A")
        git(folder, "commit", "-q", "--allow-empty", "-m", "the head again")
    return base.stdout.strip()


@pytest.mark.services
def test_changed_lines_are_those_of_diff_cover(shop: Path, diff_cover: str, tmp_path: Path) -> None:
    """On 20 random diffs, committed or not, with new and renamed files, the same lines are counted and missing."""
    chance = random.Random(SEED)
    counted = missing = 0
    for number in range(DIFFS):
        base = write_base(shop, chance)
        theirs_file = tmp_path / f"{number}.json"
        command = [diff_cover, "coverage.xml", "--compare-branch", base, "--include-untracked", "--quiet"]
        subprocess.run(
            [*command, "--format", f"json:{theirs_file}"], cwd=shop, check=True, capture_output=True, timeout=120
        )
        theirs = json.loads(theirs_file.read_text(encoding="utf-8"))
        ours = coverage(CoverageRequest(str(shop), since=base, data="coverage.json")).diff
        assert ours is not None
        expected = {
            path: (sorted(found["covered_lines"] + found["violation_lines"]), sorted(found["violation_lines"]))
            for path, found in theirs["src_stats"].items()
        }
        got = {one.path: (list(one.lines), list(one.missing_lines)) for one in ours.files}
        assert got == {path: lines for path, lines in expected.items() if lines[0]}, f"diff {number} since {base}"
        assert ours.lines == theirs["total_num_lines"]
        counted += ours.lines
        missing += ours.lines - ours.lines_covered
    assert (counted > 200, missing > 20) == (True, True)
