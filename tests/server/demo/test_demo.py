"""`aqe demo`, as a process."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest

from aqe.server.cli.demo import command
from aqe.server.demo.report import DemoReport

ROOT = Path(__file__).resolve().parents[3]


def aqe_demo(*args: str, cwd: Path) -> subprocess.CompletedProcess[str]:
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("PYTEST", "AQE", "COV"))}
    command = [sys.executable, "-m", "aqe.server.cli", "demo", *args]
    return subprocess.run(command, cwd=cwd, env=kept, capture_output=True, text=True, timeout=900, check=False)


@pytest.mark.services
def test_an_earlier_demo_is_never_overwritten(tmp_path: Path) -> None:
    """A folder that holds a shop already is the user's mistake and stays as it is."""
    (tmp_path / "shop").mkdir()
    (tmp_path / "shop" / "mine.txt").write_text("mine", encoding="utf-8")
    done = aqe_demo("--dir", str(tmp_path), cwd=tmp_path)
    assert done.returncode == 2
    assert done.stderr.strip().endswith("[folder-not-empty]")
    assert [path.name for path in tmp_path.rglob("*")] == ["shop", "mine.txt"]


@pytest.mark.services
def test_a_file_in_place_of_the_folder_is_one_sentence(tmp_path: Path) -> None:
    """--dir with the name of a file gives one sentence and status 2."""
    (tmp_path / "taken").write_text("", encoding="utf-8")
    done = aqe_demo("--dir", str(tmp_path / "taken"), cwd=tmp_path)
    assert done.returncode == 2
    assert "Traceback" not in done.stderr
    assert done.stderr.strip().endswith("[project-read-only]")


@pytest.fixture
def demo(tmp_path: Path, request: pytest.FixtureRequest) -> Path:
    """The folder of a demo: one that was made a moment ago for this very tree (`--demo-in`), else a new one."""
    if left := request.config.getoption("--demo-in"):
        return Path(left).resolve(strict=True)
    done = aqe_demo("--json", "--dir", str(tmp_path / "demo"), cwd=tmp_path)
    assert done.stdout == (tmp_path / "demo" / "report.json").read_text(encoding="utf-8"), done.stderr
    report = json.loads(done.stdout)
    assert done.returncode == 0, (report["bars"], [step for step in report["steps"] if step["failed"]])
    return tmp_path / "demo"


@pytest.mark.services
def test_the_demo_meets_its_bars_over_a_real_server(demo: Path) -> None:
    """Of each kind at least half is found with at most one false alarm; each written test is stable; no tool fails."""
    report = json.loads((demo / "report.json").read_text(encoding="utf-8"))
    assert report["schema"] == "aqe.demo/1"
    assert (report["folder"], report["page"]) == (str(demo), str(demo / "report.html"))
    assert report["met"]
    assert 2 * report["suspected"] >= report["planted"] == 15
    bars = {row["part"]: row for row in report["bars"]}
    assert list(bars) == ["bugs", "flaky", "gaps", "change", "select", "feedback"]
    assert all(2 * row["found"] >= row["planted"] > 0 and row["false_alarms"] <= 1 for row in bars.values())
    assert report["verification"]["tests"] == report["verification"]["stable"] > 50
    tools = [step["tool"] for step in report["steps"]]
    assert tools.count("generate_tests") == 7
    order = [
        *("query", "generate_tests", "verify_tests", "find_flaky_tests", "coverage_gaps", "select_tests"),
        *("review_changes", "feedback", "stats"),
    ]
    assert sorted(order, key=tools.index) == order
    assert not any(step["failed"] for step in report["steps"])
    for lesson in report["lessons"]:
        assert lesson["helped"] <= (lesson["before"]["quotes"] != lesson["after"]["quotes"])
    shop = demo / "shop"
    for module in report["modules"]:
        assert all((shop / file).is_file() for file in module["files"])
    assert (demo / "report.html").stat().st_size > 10_000


@pytest.mark.parametrize(("missed", "status"), [(0, 0), (9, 1)])
def test_what_json_prints_lies_beside_the_page(
    missed: int,
    status: int,
    sample_report: Callable[..., DemoReport],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """`--json` prints what `report.json` holds, which names the page; the exit status tells whether all bars hold."""
    monkeypatch.setattr("aqe.server.demo.story.run_demo", lambda *_, **__: sample_report(missed=missed, alarms=0))
    assert command(tmp_path, json_=True) == status
    printed = capsys.readouterr().out
    assert printed == (tmp_path / "report.json").read_text(encoding="utf-8")
    assert json.loads(printed)["page"] == str(tmp_path / "report.html")
    assert (tmp_path / "report.html").stat().st_size > 10_000


@pytest.mark.services
def test_a_wheel_carries_the_shop(tmp_path: Path) -> None:
    """A wheel holds the shop's files and its truth, and none of their caches."""
    source = tmp_path / "source"  # a build leaves its folder behind
    leave_out = shutil.ignore_patterns(".*", "build", "dist", "*.egg-info", "__pycache__", "*.so")
    shutil.copytree(ROOT, source, ignore=leave_out, symlinks=True)
    command = [sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", str(tmp_path), str(source)]
    subprocess.run(command, env=os.environ | {"AQE_NATIVE": "skip"}, check=True, capture_output=True, timeout=300)
    names = zipfile.ZipFile(next(tmp_path.glob("*.whl"))).namelist()
    assert {"aqe/server/data/shop.truth.toml", "aqe/server/data/shop.story.toml"} <= set(names)
    fixtures = ROOT / "fixtures" / "shop"
    sources = {path.relative_to(fixtures).as_posix() for path in fixtures.rglob("*") if path.is_file()}
    carried = {name.removeprefix("aqe/server/data/shop/") for name in names if name.startswith("aqe/server/data/shop/")}
    assert carried == {name for name in sources if "__pycache__" not in name and not name.startswith(".")}
    assert "aqe/server/reports/templates/page.css" in names


def test_the_pictures_of_the_page_are_small() -> None:
    """docs/screenshots holds both widths in both schemes, each below 400 kB."""
    pictures = {path.name: path.stat().st_size for path in (ROOT / "docs" / "screenshots").glob("demo-*")}
    assert set(pictures) == {f"demo-{width}-{scheme}.png" for width in (1280, 390) for scheme in ("light", "dark")}
    assert max(pictures.values()) < 400_000
