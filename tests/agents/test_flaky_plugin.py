"""`pytest --aqe-quarantine` and `pytest --aqe-flaky`, run as users run them: in a pytest process of its own."""

from __future__ import annotations

import datetime
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

import aqe.agents.inject

INJECT = Path(next(iter(aqe.agents.inject.__path__)))
SUITE = """
import pytest
SEEN = []
def test_pollutes(): SEEN.append(1)
def test_victim(): assert not SEEN
def test_broken(): assert 1 == 2, "always"
@pytest.mark.parametrize("n", [1, 2])
def test_cases(n): assert n == 1
@pytest.fixture
def torn(): raise OSError("no disk")
def test_errs(torn): pass
"""
TODAY = datetime.date.today()


@pytest.fixture
def project(tmp_path: Path) -> Path:
    (tmp_path / "test_a.py").write_text(SUITE, encoding="utf-8")
    (tmp_path / "pytest.ini").write_text("[pytest]\n", encoding="utf-8")
    return tmp_path


def run_pytest(
    folder: Path, *args: str, python: str = sys.executable, site: Path | None = None
) -> subprocess.CompletedProcess[str]:
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("PYTEST", "AQE"))}
    path = os.pathsep.join([str(INJECT), *([str(site)] if site else [])])
    kept |= {"PYTHONPATH": path, "PYTHONDONTWRITEBYTECODE": "1", "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"}
    command = [python, "-m", "pytest", "-p", "no:cacheprovider", "-p", "_aqe_inject.plugin", *args]
    return subprocess.run(command, cwd=folder, env=kept, capture_output=True, text=True, timeout=110, check=False)


def quarantine(folder: Path, *entries: tuple[str, datetime.date | None]) -> None:
    text = ""
    for name, expires in entries:
        text += f'[[test]]\nid = "{name}"\nreason = "see #12"\nsince = 2026-01-01\n'
        text += f"expires = {expires}\n" if expires else ""
    (folder / "aqe-quarantine.toml").write_text(text, encoding="utf-8")


def spool(folder: Path) -> list[dict[str, Any]]:
    files = sorted((folder / ".aqe" / "spool").glob("*.jsonl"))
    return [json.loads(line) for file in files for line in file.read_text(encoding="utf-8").splitlines()]


def test_quarantined_failures_are_shown_and_do_not_count(project: Path) -> None:
    """With every failing test in quarantine, one of them by function for all cases, the session is green."""
    quarantine(
        project,
        ("test_a.py::test_victim", TODAY),
        ("test_a.py::test_broken", None),
        ("test_a.py::test_cases", None),
        ("test_a.py::test_errs", None),
    )
    done = run_pytest(project, "--aqe-quarantine", "--aqe")
    assert done.returncode == 0, done.stdout
    assert "2 passed, 4 quarantined" in done.stdout
    assert "quarantined, failed: test_a.py::test_broken (see #12): AssertionError: always" in done.stdout
    assert "quarantined, failed: test_a.py::test_cases[2]" in done.stdout
    assert "quarantined, passed: test_a.py::test_cases[1]" in done.stdout
    assert "quarantined, failed: test_a.py::test_errs (see #12): OSError: no disk" in done.stdout
    outcomes = {line["nodeid"]: line["outcome"] for line in spool(project)}
    assert outcomes["test_a.py::test_broken"] == "failed"
    assert outcomes["test_a.py::test_errs"] == "error"


def test_expired_quarantine_counts_again_and_others_always_do(project: Path) -> None:
    """A test whose last day is past fails the session, as does one that was never in quarantine."""
    quarantine(project, ("test_a.py::test_broken", TODAY - datetime.timedelta(1)), ("test_a.py::test_victim", TODAY))
    done = run_pytest(project, "--aqe-quarantine", "-k", "victim or broken or pollutes")
    assert done.returncode == 1
    assert "1 failed, 1 passed" in done.stdout
    assert "1 quarantined" in done.stdout
    assert "quarantine expired, counts again: test_a.py::test_broken" in done.stdout


def test_without_the_file_nothing_is_forgiven(project: Path) -> None:
    """The option without a file says that there is none."""
    done = run_pytest(project, "--aqe-quarantine", "-k", "broken")
    assert done.returncode == 1
    assert "aqe: there is no aqe-quarantine.toml" in done.stdout


def test_a_broken_file_is_a_usage_error_in_one_line(project: Path) -> None:
    """A file that cannot be read runs nothing and says where it is wrong."""
    (project / "aqe-quarantine.toml").write_text("[[test]]\nreason = 'x'\n", encoding="utf-8")
    done = run_pytest(project, "--aqe-quarantine")
    assert done.returncode == 4
    assert "aqe-quarantine.toml cannot be read: entry 1 has no `id`" in done.stderr
    assert "Traceback" not in done.stdout + done.stderr


def test_failures_are_told_flaky_or_broken_and_stay_red(project: Path) -> None:
    """A failure that passes alone in a fresh process is called flaky, another broken; every attempt is recorded.

    The file of the quarantine alone, without its option, forgives none.
    """
    quarantine(project, ("test_a.py::test_broken", None), ("test_a.py::test_victim", None))
    done = run_pytest(project, "--aqe-flaky", "-k", "victim or broken or pollutes")
    assert done.returncode == 1
    assert "flaky: test_a.py::test_victim failed here and passed alone (try 1 of at most 3)" in done.stdout
    assert "broken: test_a.py::test_broken failed alone too, 3 of 3" in done.stdout
    lines = spool(project)
    assert len({line["run"] for line in lines}) == 1
    tries = {(line["nodeid"].partition("::")[2], line["attempt"]): line["outcome"] for line in lines}
    assert tries == {
        ("test_pollutes", 1): "passed",
        ("test_victim", 1): "failed",
        ("test_victim", 2): "passed",
        ("test_broken", 1): "failed",
        ("test_broken", 2): "failed",
        ("test_broken", 3): "failed",
        ("test_broken", 4): "failed",
    }


@pytest.mark.services
def test_retries_leave_the_files_and_the_words_of_the_session_alone(tmp_path: Path) -> None:
    """Log, reports and temporary folders are the session's; `-k cart cart` keeps its word and loses its path."""
    (tmp_path / "pytest.ini").write_text("[pytest]\nlog_file_level = INFO\n", encoding="utf-8")
    (tmp_path / "conftest.py").write_text(
        "def pytest_addoption(parser):\n    parser.addoption('--html', dest='htmlpath')\n"
        "def pytest_runtest_logfinish(nodeid):\n    COUNT.append(nodeid)\n"
        "COUNT = []\n"
        "def pytest_unconfigure(config):\n    open(config.option.htmlpath, 'w').write(' '.join(COUNT))\n",
        encoding="utf-8",
    )
    (tmp_path / "cart").mkdir()
    (tmp_path / "cart" / "test_cart.py").write_text(
        "import logging\nSEEN = []\n"
        "def test_first(tmp_path):\n    SEEN.append(1)\n    logging.info('told first')\n"
        "    (tmp_path / 'kept').touch()\n"
        "def test_second(): assert not SEEN\n",
        encoding="utf-8",
    )
    files = ("--log-file", "log.txt", "--html=page.html", "--basetemp", "base", "--junit-xml=j.xml")
    done = run_pytest(tmp_path, "--aqe-flaky", *files, "-k", "cart", "cart")
    assert "flaky: cart/test_cart.py::test_second failed here and passed alone (try 1" in done.stdout, done.stdout
    assert "told first" in (tmp_path / "log.txt").read_text(encoding="utf-8")
    assert "test_first" in (tmp_path / "page.html").read_text(encoding="utf-8")
    assert "test_first" in (tmp_path / "j.xml").read_text(encoding="utf-8")
    assert list((tmp_path / "base").rglob("kept"))


@pytest.mark.services
def test_both_options_work_with_xdist(project: Path) -> None:
    """Spread over two processes the same tests are forgiven and told apart."""
    quarantine(project, ("test_a.py::test_cases", None), ("test_a.py::test_errs", None))
    done = run_pytest(project, "-p", "xdist", "-n2", "--dist=loadfile", "--aqe-quarantine", "--aqe-flaky")
    assert done.returncode == 1, done.stdout + done.stderr
    assert "2 failed, 2 passed, 2 quarantined" in done.stdout
    assert "flaky: test_a.py::test_victim" in done.stdout
    assert "broken: test_a.py::test_broken failed alone too, 3 of 3" in done.stdout
    assert "test_errs failed alone" not in done.stdout


@pytest.mark.services
def test_both_options_work_on_old_pytest_and_the_oldest_python_found(project: Path, tmp_path: Path) -> None:
    """pytest 7.0 on Python 3.9, which has no tomllib, or on the oldest that runs here, forgives and tells apart."""
    python = oldest_python()
    site = tmp_path / "site"
    command = [python, "-m", "pip", "install", "-q", "--no-compile", "--target", str(site), "pytest==7.0.0"]
    subprocess.run(command, check=True, capture_output=True, timeout=300)
    quarantine(project, ("test_a.py::test_cases", None), ("test_a.py::test_errs", None))
    done = run_pytest(project, "--aqe-quarantine", "--aqe-flaky", "--ignore=site", python=python, site=site)
    assert "2 failed, 2 passed, 2 quarantined" in done.stdout, done.stdout + done.stderr
    assert "flaky: test_a.py::test_victim" in done.stdout
    assert "broken: test_a.py::test_broken failed alone too, 3 of 3" in done.stdout


def oldest_python() -> str:
    """The oldest interpreter from 3.9 on that starts here and has pip."""
    versions = Path.home() / ".pyenv" / "versions"
    for minor in (9, 10, 11):
        for path in (shutil.which(f"python3.{minor}"), *sorted(map(str, versions.glob(f"3.{minor}.*/bin/python")))):
            if (
                path
                and subprocess.run([path, "-m", "pip", "--version"], capture_output=True, check=False).returncode == 0
            ):
                return path
    return sys.executable
