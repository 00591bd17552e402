"""The pytest plugin, run as users run it: in a pytest process of its own."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

import aqe.agents.inject

INJECT = Path(next(iter(aqe.agents.inject.__path__)))
SUITE = """
import pytest

def test_passes(): pass
def test_fails(): assert 1 == 2, "one is not two"
def test_skips(): pytest.skip("not today")
@pytest.mark.xfail
def test_known(): assert False
@pytest.mark.xfail
def test_mended(): pass
@pytest.fixture
def broken(): raise RuntimeError("no cup")
def test_errs(broken): pass
"""
OUTCOMES = {
    "test_a.py::test_passes": "passed",
    "test_a.py::test_fails": "failed",
    "test_a.py::test_skips": "skipped",
    "test_a.py::test_known": "xfailed",
    "test_a.py::test_mended": "xpassed",
    "test_a.py::test_errs": "error",
}
WITHOUT_ROOTS_POWERS = """
import ctypes, os, sys
if sys.platform == "linux" and os.getuid() == 0:  # permissions bind root only without its capabilities
    header = (ctypes.c_uint32 * 2)(0x20080522, 0)
    assert ctypes.CDLL(None).capset(header, (ctypes.c_uint32 * 6)()) == 0
"""
ALONE = {"PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"}
OTHERS_OFF = ("-p", "no:anyio", "-p", "no:hypothesispytest")
"""Plugins of this environment that take longer to load than all else in a run, and have nothing to do with ours."""
INJECTED = ("-p", "_aqe_inject.plugin", "--aqe")


@pytest.fixture
def project(tmp_path: Path) -> Path:
    (tmp_path / "test_a.py").write_text(SUITE, encoding="utf-8")
    (tmp_path / "pytest.ini").write_text("[pytest]\n", encoding="utf-8")
    return tmp_path


def run_pytest(
    folder: Path, *args: str, python: str = sys.executable, **environ: str
) -> subprocess.CompletedProcess[str]:
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("PYTEST", "AQE"))}
    kept |= {"PYTHONPATH": str(INJECT), "PYTHONDONTWRITEBYTECODE": "1", **environ}
    command = [python, "-m", "pytest", "-p", "no:cacheprovider", *OTHERS_OFF, *args]
    return subprocess.run(command, cwd=folder, env=kept, capture_output=True, text=True, timeout=60, check=False)


def spool(folder: Path) -> list[dict[str, Any]]:
    files = sorted((folder / ".aqe" / "spool").glob("*.jsonl"))
    return [json.loads(line) for file in files for line in file.read_text(encoding="utf-8").splitlines()]


def test_recordings_are_for_their_owner_alone(project: Path) -> None:
    """Where the first recording makes `.aqe`, nobody else may look into it."""
    run_pytest(project, *INJECTED, **ALONE)
    assert len(spool(project)) == 6
    assert (project / ".aqe").stat().st_mode & 0o777 == 0o700


def test_each_test_gets_one_line_with_its_facts(project: Path) -> None:
    """`--aqe` writes one line per test with outcome, durations, order, seeds, environment and start."""
    done = run_pytest(project, *INJECTED, **ALONE, PYTHONHASHSEED="7", TZ="UTC")
    lines = spool(project)
    assert {line["nodeid"]: line["outcome"] for line in lines} == OUTCOMES
    assert [line["order"] for line in lines] == list(range(6))
    first = lines[0]
    assert (first["hash_seed"], first["tz"], first["worker"], first["cwd"]) == (7, "UTC", "main", ".")
    assert first["python"] == ".".join(str(part) for part in sys.version_info[:3])
    assert first["platform"] == sys.platform
    assert 0 <= first["call_s"] <= first["duration_s"] < 5
    assert first["started_at"] > 1_700_000_000_000_000
    assert len({line["run"] for line in lines}) == 1
    assert done.stdout.count("aqe: 6 test runs recorded in .aqe/spool") == 1
    assert (project / ".aqe" / ".gitignore").read_text(encoding="utf-8") == "*\n"


def test_nothing_is_written_without_the_option(project: Path) -> None:
    """Without `--aqe` the plugin writes and prints nothing."""
    done = run_pytest(project, "-p", "_aqe_inject.plugin", **ALONE)
    assert not (project / ".aqe").exists()
    assert "aqe" not in done.stdout.replace(str(project), "")


@pytest.mark.services
def test_workers_write_files_of_their_own(project: Path) -> None:
    """Under xdist each worker has its own file, a test is recorded once, and the summary line comes once."""
    done = run_pytest(project, *INJECTED, "-p", "xdist.plugin", "-n2", **ALONE)
    lines = spool(project)
    assert {line["nodeid"]: line["outcome"] for line in lines} == OUTCOMES
    assert len(lines) == 6
    assert {line["worker"] for line in lines} == {"gw0", "gw1"}
    assert len(list((project / ".aqe" / "spool").iterdir())) == 2
    assert len({line["run"] for line in lines}) == 1
    assert done.stdout.count("aqe: 6 test runs recorded") == 1


@pytest.mark.services
def test_a_test_that_kills_its_worker_is_recorded_as_crashed(project: Path) -> None:
    """When a test ends its xdist worker, the controller records it as crashed and the others keep their lines."""
    (project / "test_b.py").write_text("import os\ndef test_leaves(): os._exit(3)\n", encoding="utf-8")
    run_pytest(project, *INJECTED, "-p", "xdist.plugin", "-n1", **ALONE)
    assert {line["nodeid"]: line["outcome"] for line in spool(project)} == {
        **OUTCOMES,
        "test_b.py::test_leaves": "crashed",
    }


def test_a_killed_run_keeps_the_lines_it_wrote(project: Path) -> None:
    """Tests that ended before the process died are in the spool."""
    (project / "test_b.py").write_text("import os\ndef test_leaves(): os.kill(os.getpid(), 9)\n", encoding="utf-8")
    run_pytest(project, *INJECTED, **ALONE)
    assert {line["nodeid"]: line["outcome"] for line in spool(project)} == OUTCOMES


@pytest.mark.parametrize(
    ("args", "environ"),
    [
        (("-p", "_aqe_inject.plugin"), {}),
        pytest.param(("-p", "aqe.agents.plugin"), {}, marks=pytest.mark.services),
        (("-p", "aqe"), ALONE),
        (("-p", "_aqe_inject.plugin", "-p", "aqe.agents.plugin"), ALONE),
        pytest.param(("-p", "_aqe_inject.plugin", "-n2"), {}, marks=pytest.mark.services),
    ],
    ids=lambda value: " ".join(value) or "autoload",
)
def test_the_plugin_records_once_however_it_is_loaded(
    project: Path, args: tuple[str, ...], environ: dict[str, str]
) -> None:
    """Entry point, `-p`, injection and their mixtures load the plugin once."""
    done = run_pytest(project, *args, "--aqe", **environ)
    assert "6 test runs recorded" in done.stdout, done.stdout + done.stderr
    assert len(spool(project)) == 6


def test_a_folder_that_cannot_be_written_is_one_warning_line(project: Path) -> None:
    """Where `.aqe` cannot be made the tests go on, with the same exit status and one line that says so."""
    (project / ".aqe").write_text("a file where the folder should be", encoding="utf-8")
    done = run_pytest(project, *INJECTED, **ALONE)
    assert done.returncode == 1
    assert "1 failed" in done.stdout
    warned = [line for line in done.stdout.splitlines() if line.startswith("aqe: ")]
    assert len(warned) == 1
    assert "cannot write" in warned[0]
    assert "not all recorded" in warned[0]


@pytest.mark.parametrize("switch", [(), pytest.param(("-n2",), marks=pytest.mark.services)], ids=["alone", "xdist"])
def test_a_read_only_project_is_one_warning_line(project: Path, switch: tuple[str, ...]) -> None:
    """In a folder without write permission the tests run and one line warns."""
    (project / "conftest.py").write_text(WITHOUT_ROOTS_POWERS, encoding="utf-8")
    project.chmod(0o555)
    try:
        done = run_pytest(project, "-p", "aqe.agents.plugin", "--aqe", *switch)
    finally:
        project.chmod(0o755)
    assert "1 failed" in done.stdout, done.stdout + done.stderr
    assert sum(line.startswith("aqe: cannot write") for line in done.stdout.splitlines()) == 1


def test_odd_names_survive(project: Path) -> None:
    """Node ids with letters of any script are written as UTF-8."""
    source = "import pytest\n@pytest.mark.parametrize('x', [1], ids=['größe'])\ndef test_ñ(x): pass\n"
    (project / "test_b.py").write_text(source, encoding="utf-8")
    run_pytest(project, *INJECTED, "test_b.py", **ALONE, PYTHONIOENCODING="ascii")
    assert "test_ñ" in spool(project)[0]["nodeid"]


def test_the_report_holds_counts_failures_and_collection_errors(project: Path, tmp_path: Path) -> None:
    """`--aqe-report FILE` writes each test with its message and what could not be collected."""
    (project / "test_b.py").write_text("import nowhere_to_be_found\n", encoding="utf-8")
    run_pytest(project, "-p", "_aqe_inject.plugin", "--aqe-report=r.json", "--continue-on-collection-errors", **ALONE)
    report = json.loads((project / "r.json").read_text(encoding="utf-8"))
    assert report["exit_status"] == 1
    assert {test["nodeid"]: test["outcome"] for test in report["tests"]} == OUTCOMES
    failed = next(test for test in report["tests"] if test["outcome"] == "failed")
    assert failed["message"].startswith("AssertionError: one is not two")
    assert failed["line"] == 5
    assert "nowhere_to_be_found" in report["collect_errors"][0]["message"]
    assert not (project / ".aqe").exists()


def test_no_module_but_the_plugins_own_is_loaded_when_off(project: Path) -> None:
    """A run with the plugin and without `--aqe` has the modules of a run without it, plus the plugin's own."""
    tell = "import sys\ndef pytest_unconfigure():\n    print('MODULES', *sorted(sys.modules))\n"
    (project / "conftest.py").write_text(tell, encoding="utf-8")

    def modules(*args: str) -> set[str]:
        done = run_pytest(project, "-s", *args, **ALONE)
        line = next(line for line in done.stdout.splitlines() if line.startswith("MODULES"))
        return set(line.split()[1:])

    bare = modules()
    own = {"aqe", "aqe.agents", "aqe.agents.inject", "aqe.agents.inject._aqe_inject", "aqe.agents.plugin"}
    assert modules("-p", "aqe.agents.plugin") - bare <= own | {"aqe.agents.inject._aqe_inject.plugin"}
    assert modules("-p", "_aqe_inject.plugin") - bare == {"_aqe_inject", "_aqe_inject.plugin"}


@pytest.mark.services
def test_the_plugin_runs_on_old_pytest_and_every_python_found(tmp_path: Path) -> None:
    """pytest 7.0 and each CPython 3.9+ that runs here record the same outcomes."""
    tried = []
    for minor in range(9, 16):
        version = f"3.{minor}"
        python = find_python(version)
        if python is None:
            continue
        requirement = "pytest==7.0.0" if minor <= 11 else "pytest"
        target = tmp_path / f"site-{minor}"
        command = [python, "-m", "pip", "install", "-q", "--no-compile", "--target", str(target), requirement]
        subprocess.run(command, check=True, capture_output=True, timeout=300)
        folder = tmp_path / f"project-{minor}"
        folder.mkdir()
        (folder / "test_a.py").write_text(SUITE, encoding="utf-8")
        (folder / "pytest.ini").write_text("[pytest]\n", encoding="utf-8")
        path = os.pathsep.join((str(INJECT), str(target)))
        done = run_pytest(folder, *INJECTED, python=python, PYTHONPATH=path, **ALONE)
        assert {line["nodeid"]: line["outcome"] for line in spool(folder)} == OUTCOMES, version + done.stderr
        tried.append(version)
    assert tried


def find_python(version: str) -> str | None:
    """An interpreter of this version on PATH (or the one that runs the tests) that really starts."""
    import shutil

    own = sys.executable if version == f"{sys.version_info[0]}.{sys.version_info[1]}" else None
    for candidate in (own, shutil.which(f"python{version}")):
        if candidate is None:
            continue
        done = subprocess.run([candidate, "-m", "pip", "--version"], capture_output=True, check=False)
        if done.returncode == 0:
            return candidate
    return None
