"""Whole hunts on real suites: small ones made here, and the shop."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
import tomllib
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from aqe.agents.execute import raise_for_status
from aqe.agents.flaky import FlakyReport, FlakyRequest, hunt
from aqe.engine.errors import AqeError, UserError

ROOT = Path(__file__).resolve().parents[3]
SHOP = ROOT / "fixtures" / "shop"
ORDERED = """
import os
SEEN = []
def test_victim(): assert not SEEN, SEEN
def test_brittle(): assert len(SEEN) < 2 and os.environ.get("AQE_READY_OF_TEST") == "1"
def test_sets(): os.environ["AQE_READY_OF_TEST"] = "1"
def test_bystander(): assert True
def test_pollutes(): SEEN.append(1)
def test_broken(): assert 1 == 2
"""


@pytest.fixture
def project(tmp_path: Path) -> Path:
    folder = tmp_path / "project"
    folder.mkdir()
    (folder / "pyproject.toml").write_text("[project]\nname = 'thing'\n", encoding="utf-8")
    return folder


@pytest.fixture(autouse=True)
def plain_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """No setting of this test run reaches the suites."""
    for name in list(os.environ):
        if name.startswith(("PYTEST", "AQE", "VIRTUAL_ENV")):
            monkeypatch.delenv(name)
    monkeypatch.setenv("PYTEST_DISABLE_PLUGIN_AUTOLOAD", "1")
    monkeypatch.setenv("TZ", "UTC")


def suite(project: Path, text: str, name: str = "test_it.py") -> None:
    (project / name).write_text(text, encoding="utf-8")


def run_repro(project: Path, command: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        ["sh", "-c", command], cwd=project, env=os.environ, capture_output=True, text=True, timeout=110, check=False
    )


def found(report: FlakyReport) -> dict[str, str | None]:
    return {name.partition("::")[2]: one.category for name, one in report.tests.items() if one.flaky}


@pytest.mark.services
def test_order_is_explained_by_polluter_and_setter(project: Path) -> None:
    """Two runs, forwards and backwards, find victim, brittle and broken; the culprits are named, the tree is left."""
    suite(project, ORDERED)
    report = hunt(FlakyRequest(str(project), runs=2, seed=1))
    assert found(report) == {"test_victim": "order", "test_brittle": "order"}
    victim, brittle = report.tests["test_it.py::test_victim"], report.tests["test_it.py::test_brittle"]
    assert (victim.polluters, victim.setters) == (("test_it.py::test_pollutes",), ())
    assert (brittle.polluters, brittle.setters) == ((), ("test_it.py::test_sets",))
    assert victim.why == "It passes alone and fails after test_it.py::test_pollutes."
    assert victim.score > 0.99
    assert "iFixFlakies" in victim.advice_source
    broken = report.tests["test_it.py::test_broken"]
    assert (broken.flaky, broken.verdict, broken.category, broken.message) == (False, "broken", None, "assert 1 == 2")
    assert report.tests["test_it.py::test_bystander"].verdict == "stable"
    assert report.executions == report.runs + report.diagnosis
    assert (report.runs, report.diagnosis) == (2, 1)
    assert sorted(path.name for path in project.iterdir()) == [".aqe", "pyproject.toml", "test_it.py"]
    done = run_repro(project, victim.repro)
    assert done.returncode == 1
    assert "1 failed, 1 passed" in done.stdout


@pytest.mark.services
def test_every_planted_flake_of_the_shop_is_found_and_nobody_else(tmp_path: Path) -> None:
    """`aqe flaky --runs 12 --seed 1` finds each, with its category and polluter, and its command shows it again."""
    shop = Path(shutil.copytree(SHOP, tmp_path / "shop", ignore=shutil.ignore_patterns("__pycache__", ".*")))
    command = [sys.executable, "-m", "aqe.server.cli", "flaky", "--runs", "12", "--seed", "1", "--json"]
    done = subprocess.run(command, cwd=shop, env=os.environ, capture_output=True, text=True, timeout=600, check=False)
    assert done.returncode == 0, done.stderr
    told: dict[str, Any] = json.loads(done.stdout)
    schema = json.loads((ROOT / "docs" / "schemas" / "flaky.json").read_text(encoding="utf-8"))
    jsonschema.validate(told, schema)
    truth = {
        entry["id"]: entry
        for entry in tomllib.loads((ROOT / "fixtures" / "shop.truth.toml").read_text(encoding="utf-8"))["flaky"]
    }
    flaky = {name: one for name, one in told["tests"].items() if one["flaky"]}
    assert {name: one["category"] for name, one in flaky.items()} == {
        name: entry["category"] for name, entry in truth.items()
    }
    for name, entry in truth.items():
        assert flaky[name]["polluters"] == ([entry["polluter"]] if "polluter" in entry else [])
        assert flaky[name]["setters"] == ([entry["setter"]] if "setter" in entry else [])
        again = run_repro(shop, flaky[name]["repro"])
        assert again.returncode == 1, flaky[name]["repro"] + again.stdout
        assert f"FAILED {name}" in again.stdout
        if entry["category"] == "unordered":
            assert flaky[name]["why"].startswith("It depends on the hash seed (the order of a set or of hashes): it ")
    assert told["executions"] <= 12 + 15
    assert len(told["tests"]) == 69


@pytest.mark.services
def test_chance_repetition_and_hangs_are_told_apart(project: Path) -> None:
    """A draw is random, a growing registry and a file left behind are not idempotent, a sleep is a timeout."""
    suite(
        project,
        "import pathlib, random, tempfile, time\n"
        "GROWN = []\n"
        "def test_draw(): assert random.random() > 0.5\n"
        "def test_grows():\n    GROWN.append(1)\n    assert len(GROWN) == 1\n"
        "def test_file():\n    path = pathlib.Path(tempfile.gettempdir()) / 'left'\n    assert not path.exists()\n"
        "    path.touch()\n"
        "def test_tree():\n    path = pathlib.Path('left-in-tree')\n    assert not path.exists()\n    path.touch()\n"
        "def test_hangs():\n    path = pathlib.Path(tempfile.gettempdir()) / 'n'\n"
        "    count = len(path.read_text()) if path.exists() else 0\n    path.write_text('x' * (count + 1))\n"
        "    time.sleep(60 if count == 1 else 0)\n"
        "def test_fine(tmp_path):\n    (tmp_path / 'a').write_text('b')\n",
    )
    report = hunt(FlakyRequest(str(project), runs=8, seed=3))
    assert found(report) == {
        "test_draw": "random",
        "test_grows": "nio",
        "test_file": "nio",
        "test_tree": "nio",
        "test_hangs": "timeout",
    }
    for name in ("test_draw", "test_grows"):
        done = run_repro(project, report.tests[f"test_it.py::{name}"].repro)
        assert done.returncode == 1, done.stdout


@pytest.mark.services
def test_a_polluter_that_leaves_files_is_named(project: Path) -> None:
    """A test that fails on another's file in the temporary folder is explained by that other test."""
    suite(
        project,
        "import pathlib, tempfile\n"
        "def place(): return pathlib.Path(tempfile.gettempdir()) / 'left.txt'\n"
        "def test_victim(): assert not place().exists()\n"
        "def test_bystander(): pass\n"
        "def test_leaves(): place().write_text('x')\n",
    )
    told = hunt(FlakyRequest(str(project), runs=3)).tests["test_it.py::test_victim"]
    assert (told.category, told.polluters) == ("order", ("test_it.py::test_leaves",))
    assert run_repro(project, f"TMPDIR=$(mktemp -d) {told.repro}").returncode == 1


@pytest.mark.services
def test_a_test_that_ends_its_process_is_named_and_the_rest_still_runs(project: Path) -> None:
    """A killed session blames the test that ran, and goes on with the others."""
    suite(project, "import os\ndef test_a(): pass\ndef test_dies(): os.kill(os.getpid(), 9)\ndef test_z(): pass\n")
    report = hunt(FlakyRequest(str(project), runs=2))
    assert {name: one.verdict for name, one in report.tests.items()} == {
        "test_it.py::test_a": "stable",
        "test_it.py::test_dies": "broken",
        "test_it.py::test_z": "stable",
    }
    assert report.tests["test_it.py::test_dies"].message == "ended the process by signal 9"


@pytest.mark.services
def test_one_test_can_be_explained_without_a_flip(project: Path) -> None:
    """`test` answers for one test alone, with what was tried."""
    suite(project, ORDERED)
    report = hunt(FlakyRequest(str(project), runs=1, test="test_it.py::test_bystander"))
    (told,) = report.tests.values()
    assert not told.flaky
    assert any("8 of 8 passed" in words for words in told.experiments)
    with pytest.raises(UserError) as caught:
        hunt(FlakyRequest(str(project), runs=1, test="test_it.py::test_gone"))
    assert caught.value.code == "name-not-found"


@pytest.mark.services
def test_a_flip_of_earlier_runs_of_the_same_code_counts(project: Path) -> None:
    """What `aqe execute` recorded of the present code is a witness; after the test is mended it is none."""
    flag = project.parent / "flag"
    text = f"import os\ndef test_env(): assert not os.path.exists({str(flag)!r})\n"
    suite(project, text)
    execute = [sys.executable, "-m", "aqe.server.cli", "execute"]
    for make in (flag.touch, flag.unlink):
        make()
        subprocess.run(execute, cwd=project, env=os.environ, capture_output=True, timeout=110, check=False)
    (told,) = hunt(FlakyRequest(str(project), runs=1)).tests.values()
    assert (told.flaky, told.witnessed) == (True, "history")
    assert "Earlier runs of this code saw it flip" in told.why
    suite(project, text + "# mended\n")
    (told,) = hunt(FlakyRequest(str(project), runs=1)).tests.values()
    assert (told.flaky, told.verdict) == (False, "stable")


@pytest.mark.services
def test_the_budget_ends_a_suite_that_hangs(project: Path) -> None:
    """A suite whose test never ends is reported within one and a half budgets and 15 seconds, with its name."""
    suite(project, "import time\ndef test_a(): pass\ndef test_hangs():\n    while True: time.sleep(1)\n")
    command = [sys.executable, "-m", "aqe.server.cli", "flaky", "--budget", "8", "--json"]
    done = subprocess.run(command, cwd=project, env=os.environ, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 4, done.stderr
    told = json.loads(done.stdout)
    assert told["partial"]
    assert told["tests"]["test_it.py::test_hangs"]["category"] == "timeout"


@pytest.mark.services
def test_a_collection_that_outlasts_the_budget_is_out_of_time(project: Path) -> None:
    """Where no test was collected in time there is nothing to report, and the fix names what `aqe flaky` has."""
    suite(project, "import time\ntime.sleep(60)\ndef test_a(): pass\n")
    command = [sys.executable, "-m", "aqe.server.cli", "flaky", "--budget", "1"]
    done = subprocess.run(command, cwd=project, env=os.environ, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 4, done.stderr
    assert "had not collected the suite after" in done.stderr
    assert "Give a larger --budget" in done.stderr
    assert "[out-of-time]" in done.stderr


def test_what_pytest_refuses_names_no_word_that_only_execute_hands_on() -> None:
    """The fixes for a dead, refused or broken suite speak of `--` only where a command passes such words on."""
    broken = {"collect_errors": [{"nodeid": "t.py", "message": "no"}]}
    for status, told in ((-9, {}), (4, {}), (2, broken)):
        fixes = []
        for passes_on in (False, True):
            with pytest.raises(AqeError) as caught:
                raise_for_status(status, told, "", passes_on=passes_on)
            fixes.append(caught.value.fix)
        assert ["-- -" in fix or "`--`" in fix for fix in fixes] == [False, True]


@pytest.mark.services
def test_settings_that_hide_flips_are_taken_back(project: Path) -> None:
    """A project that stops at the first failure and spreads over processes is hunted all the same."""
    (project / "pytest.ini").write_text("[pytest]\naddopts = -x -q -p xdist -n 2\n", encoding="utf-8")
    suite(project, "import random\ndef test_red(): assert 0\ndef test_draw(): assert random.random() > 0.5\n")
    report = hunt(FlakyRequest(str(project), runs=12, seed=2))
    assert found(report) == {"test_draw": "random"}
    assert report.tests["test_it.py::test_red"].failed == 11


@pytest.mark.services
def test_nothing_of_a_hunt_is_left_in_the_temporary_folder(
    project: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The hunt's own folders are gone when it ends."""
    own = tmp_path / "own"
    own.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(own))
    suite(project, "import tempfile, pathlib\ndef test_a(): pathlib.Path(tempfile.mkdtemp(), 'x').touch()\n")
    told = hunt(FlakyRequest(str(project), runs=1)).tests["test_it.py::test_a"]
    assert told.why == "It passed in its only run."
    assert list(own.iterdir()) == []
