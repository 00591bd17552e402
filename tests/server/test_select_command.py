"""`aqe select` and `pytest --aqe-select`, as processes, on the shop."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import jsonschema
import pytest

from aqe.agents.execute import INJECT
from tests.agents.select.conftest import record
from tests.warm_command import warm_command

ROOT = Path(__file__).resolve().parents[2]
SHOP = ROOT / "fixtures" / "shop"
PRICING = "shop/pricing.py"
OLD = "    return price_cents - price_cents * percent // 100"
USERS = {
    "tests/test_pricing.py::test_percent_off",
    "tests/test_pricing.py::test_percent_off_refuses_negative",
    "tests/test_cart.py::test_total_has_tax",
    "tests/test_cart.py::test_coupon_lowers_the_total",
}
GIT = ("git", "-c", "user.name=n", "-c", "user.email=n@example.org")


@pytest.fixture(scope="module")
def recorded(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the shop in git, with the map of its tests of prices and carts."""
    shop = tmp_path_factory.mktemp("select") / "shop"
    shutil.copytree(SHOP, shop, ignore=shutil.ignore_patterns("__pycache__", ".*"))
    for name in ("test_client.py", "test_dates.py", "test_inventory.py", "test_parsing.py"):
        (shop / "tests" / name).unlink()  # these are flaky by design, or slow
    (shop / ".gitignore").write_text("__pycache__\n", encoding="utf-8")
    for words in (("init", "-q"), ("add", "-A"), ("commit", "-qm", "one")):
        subprocess.run([*GIT, *words], cwd=shop, check=True)
    done = record(shop, SHOP_STATE=str(shop.parent / "state"), TZ="UTC")
    assert "executed is mapped" in done.stdout, done.stdout + done.stderr
    return shop


@pytest.fixture
def shop(recorded: Path) -> Iterator[Path]:
    yield recorded
    subprocess.run([*GIT, "checkout", "-q", "."], cwd=recorded, check=True)


def environ(shop: Path) -> dict[str, str]:
    kept = {name: value for name, value in os.environ.items() if not name.lstrip("_").startswith(("PYTEST", "AQE"))}
    return kept | {
        "PYTHONDONTWRITEBYTECODE": "1",
        "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1",
        "SHOP_STATE": str(shop.parent / "state"),
        "TZ": "UTC",
    }


def aqe(shop: Path, *args: str) -> subprocess.CompletedProcess[str]:
    return warm_command().run(("select", *args), cwd=shop, env=environ(shop), limit_s=120)


def break_percent_off(shop: Path) -> None:
    path = shop / PRICING
    text = path.read_text(encoding="utf-8")
    assert OLD in text
    path.write_text(text.replace(OLD, f"{OLD} - 1"), encoding="utf-8")


def test_ids_prints_one_node_id_a_line(shop: Path) -> None:
    """--ids puts the ids of the tests that executed the changed function on stdout and nothing else."""
    break_percent_off(shop)
    done = aqe(shop, "--ids")
    assert done.returncode == 0, done.stderr
    assert set(done.stdout.splitlines()) == USERS
    assert done.stderr.startswith("4 of ")


@pytest.mark.services
def test_ids_of_nothing_say_so_on_stderr(shop: Path) -> None:
    """An empty selection leaves stdout empty and says on stderr why no test is needed."""
    done = aqe(shop, "--ids")
    assert (done.returncode, done.stdout) == (0, "")
    assert done.stderr.startswith("No test is needed: nothing changed since HEAD")


def test_run_runs_them_and_fails_with_them(shop: Path) -> None:
    """--run runs the selected tests only, the object names what failed, and the status is 1."""
    break_percent_off(shop)
    done = aqe(shop, "--run", "--json")
    assert done.returncode == 1, done.stderr
    report = json.loads(done.stdout)
    jsonschema.validate(report, json.loads((ROOT / "docs" / "schemas" / "select.json").read_text(encoding="utf-8")))
    assert {test["nodeid"] for test in report["tests"]} == USERS
    assert report["run"]["tests"] == 4
    assert {one["nodeid"] for one in report["run"]["failures"]} <= USERS
    assert report["run"]["failures"]
    assert (report["partial"], report["not_run"]) == (False, [])


def test_what_an_assistant_gets_is_redacted_whether_a_test_failed_or_not(shop: Path) -> None:
    """With --assistant a secret in the name of a changed file is taken out of the notes, though nothing was run."""
    key = "AKIA" + "Q3EGRIJ2KLMNOP7X"
    secret = shop / f"{key}.txt"
    secret.write_text("x\n", encoding="utf-8")
    try:
        plain, handed = aqe(shop, "--json"), aqe(shop, "--json", "--assistant")
    finally:
        secret.unlink()
    assert key in plain.stdout
    assert handed.returncode == 0, handed.stderr
    assert json.loads(handed.stdout)["why"]
    assert key not in handed.stdout


@pytest.mark.services
def test_a_budget_that_is_too_short_names_what_remains(shop: Path) -> None:
    """When the budget is spent the tests that are left are named, and the status is 4."""
    break_percent_off(shop)
    done = aqe(shop, "--run", "--json", "--budget", "0.01")
    assert done.returncode == 4, done.stderr
    report = json.loads(done.stdout)
    assert report["partial"]
    assert set(report["not_run"]) == USERS
    assert "left 4 of them not run" in report["why"]


@pytest.mark.services
def test_a_test_that_hangs_does_not_hold_the_budget(shop: Path) -> None:
    """A selected test that never ends is given up some seconds after the budget, and named."""
    path = shop / "tests" / "test_pricing.py"
    text = path.read_text(encoding="utf-8")
    slow = "def test_percent_off() -> None:"
    assert slow in text or "def test_percent_off():" in text
    text = text.replace(slow, "def test_percent_off():").replace(
        "def test_percent_off():", "def test_percent_off():\n    import time\n    time.sleep(600)"
    )
    path.write_text(text, encoding="utf-8")
    done = aqe(shop, "--run", "--json", "--budget", "4")
    assert done.returncode == 4, done.stderr
    not_run = json.loads(done.stdout)["not_run"]
    assert "tests/test_pricing.py::test_percent_off" in not_run


@pytest.mark.parametrize(
    "workers",
    [
        pytest.param((), id="one process"),
        pytest.param(("-p", "xdist.plugin", "-n2"), id="xdist", marks=pytest.mark.services),
    ],
)
def test_pytest_selects_by_the_same_rule(shop: Path, workers: tuple[str, ...], request: pytest.FixtureRequest) -> None:
    """`pytest --aqe-select` runs what `aqe select` names, and says how many that is."""
    break_percent_off(shop)
    command = [
        sys.executable,
        "-m",
        "pytest",
        "-p",
        "no:cacheprovider",
        "-p",
        "aqe.agents.plugin",
        "--aqe-select",
        *workers,
    ]
    done = subprocess.run(
        [*command, "-rA"], cwd=shop, env=environ(shop), capture_output=True, text=True, timeout=120, check=False
    )
    ran = {line.split()[1] for line in done.stdout.splitlines() if line.startswith(("PASSED ", "FAILED "))}
    assert ran == USERS, done.stdout + done.stderr
    assert "aqe: 4 of " in done.stdout


@pytest.mark.services
def test_pytest_says_why_it_cannot_select(shop: Path) -> None:
    """An unknown revision ends the run with one line that names it."""
    command = [sys.executable, "-m", "pytest", "-p", "aqe.agents.plugin", "--aqe-select", "--aqe-since", "nowhere"]
    done = subprocess.run(
        command, cwd=shop, env=environ(shop), capture_output=True, text=True, timeout=120, check=False
    )
    assert done.returncode == 4
    assert "aqe could not select" in done.stderr
    assert "nowhere" in done.stderr


def test_an_unknown_reference_is_told_with_its_fix_in_pytest_too(shop: Path) -> None:
    """`pytest --aqe-select --aqe-since` says what `aqe select` says: the error, what to do, and the code."""
    inject = str(INJECT)
    command = [sys.executable, "-m", "pytest", "-p", "_aqe_inject.plugin", "--aqe-select", "--aqe-since", "nosuch"]
    done = subprocess.run(
        command, cwd=shop, env=environ(shop) | {"PYTHONPATH": inject}, capture_output=True, text=True, timeout=120,
        check=False,
    )  # fmt: skip
    assert done.returncode == 4
    assert "git knows no commit 'nosuch'. `git log" in done.stderr
    assert "[unknown-ref]" in done.stderr
