"""`aqe execute`, as a process, on real suites."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
import venv
from pathlib import Path

import pytest

from aqe.agents.execute import last_words
from aqe.engine.memory.opening import open_store
from tests.warm_command import warm_command

SHOP = Path(__file__).resolve().parents[2] / "fixtures" / "shop"


@pytest.fixture
def project(tmp_path: Path) -> Path:
    folder = tmp_path / "project"
    folder.mkdir()
    (folder / "pyproject.toml").write_text("[project]\nname = 'thing'\n", encoding="utf-8")
    return folder


def environ(**more: str) -> dict[str, str]:
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("PYTEST", "AQE", "VIRTUAL_ENV"))}
    return {**kept, "PYTHONDONTWRITEBYTECODE": "1", "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1", **more}


def aqe(folder: Path, *args: str, **more: str) -> subprocess.CompletedProcess[str]:
    return warm_command().run(("execute", *args), cwd=folder, env=environ(**more), limit_s=60)


def stored_runs(project: Path) -> list[str]:
    """The run of each outcome that the project's store holds."""
    with open_store(project) as store, store.writing() as connection:
        return [str(run) for (run,) in connection.execute("SELECT run FROM test_runs")]


def test_a_passing_suite_is_reported_and_recorded(tmp_path: Path) -> None:
    """The shop's tests of carts pass with status 0, a JSON object with counts, and one row each in the store."""
    shop = Path(shutil.copytree(SHOP, tmp_path / "shop", ignore=shutil.ignore_patterns("__pycache__", ".*")))
    done = aqe(shop, "--json", "tests/test_cart.py", SHOP_STATE=str(tmp_path / "state"), TZ="UTC")
    assert done.returncode == 0, done.stderr
    report = json.loads(done.stdout)
    assert report["schema"] == "aqe.execute/1"
    assert (report["tests"], report["passed"], report["recorded"], report["failures"]) == (12, 12, 12, [])
    assert "12 passed" in done.stderr
    assert stored_runs(shop) == [report["run"]] * 12
    assert json.loads((shop / ".aqe" / "results" / "execute.json").read_text())["run"] == report["run"]


def test_a_failing_suite_is_status_one_with_its_failures(project: Path) -> None:
    """A failing test gives status 1; pytest's output passes through and a summary line follows."""
    (project / "test_it.py").write_text("def test_a(): assert 1 == 2\ndef test_b(): pass\n", encoding="utf-8")
    done = aqe(project)
    assert done.returncode == 1
    assert "assert 1 == 2" in done.stdout
    assert "2 tests in" in done.stdout.splitlines()[-1]
    assert "1 passed, 1 failed" in done.stdout.splitlines()[-1]
    report = json.loads(aqe(project, "--json").stdout)
    assert report["failures"] == [
        {"nodeid": "test_it.py::test_a", "outcome": "failed", "message": "assert 1 == 2", "line": 1}
    ]


@pytest.mark.parametrize(
    ("source", "args", "code", "status"),
    [
        ("def test_a(): pass\n", ("missing.py",), "no-such-path", 2),
        ("def test_a(): pass\n", ("--", "-k", "nothing"), "no-tests", 2),
        ("def test_a(): pass\n", ("--", "--no-such-option"), "pytest-usage", 2),
        ("import nowhere_to_be_found\n", (), "suite-not-collected", 2),
        ("import os\ndef test_a(): os._exit(7)\n", (), "suite-died", 1),
        ("import os\ndef test_a(): os.kill(os.getpid(), 9)\n", (), "suite-died", 1),
    ],
    ids=["missing path", "no tests", "usage", "collection", "exit", "killed"],
)
@pytest.mark.services
def test_what_is_no_result_is_one_sentence(
    project: Path, source: str, args: tuple[str, ...], code: str, status: int
) -> None:
    """Ends of pytest that are no result of tests give one sentence with a code and its exit status."""
    (project / "test_it.py").write_text(source, encoding="utf-8")
    done = aqe(project, *args)
    assert done.returncode == status
    assert done.stderr.strip().splitlines()[-1].endswith(f"[{code}]")
    assert "Traceback" not in done.stderr


@pytest.mark.services
def test_a_project_without_pytest_runs_with_a_copy_of_ours(project: Path) -> None:
    """A project whose environment has no pytest runs its suite there, with the pytest that aqe brings."""
    venv.create(project / ".venv", with_pip=False, symlinks=True)
    (project / "test_it.py").write_text(
        "import sys\ndef test_here(): assert sys.prefix.endswith('.venv')\n", encoding="utf-8"
    )
    done = aqe(project, "--json")
    assert done.returncode == 0, done.stderr
    report = json.loads(done.stdout)
    assert report["passed"] == 1
    assert Path(report["python"]).is_relative_to(project)


def test_the_suite_sees_the_users_environment_and_folder(project: Path) -> None:
    """Tests see the user's variables, PYTHONPATH included, and run from the project's root."""
    (project / "lib").mkdir()
    (project / "lib" / "helper_of_mine.py").write_text("ANSWER = 42\n", encoding="utf-8")
    (project / "sub").mkdir()
    (project / "sub" / "test_it.py").write_text(
        "import os, helper_of_mine\n"
        "def test_here():\n"
        "    assert os.environ['MY_FLAG'] == 'on' and os.path.exists('pyproject.toml')\n",
        encoding="utf-8",
    )
    done = aqe(project / "sub", "test_it.py::test_here", MY_FLAG="on", PYTHONPATH=str(project / "lib"))
    assert done.returncode == 0, done.stdout + done.stderr


def test_ctrl_c_reaches_pytest_and_ends_the_command(project: Path) -> None:
    """Ctrl-C lets pytest end its session, leaves no process behind and gives status 130."""
    source = "import time, pathlib\ndef test_a():\n    pathlib.Path('started').touch()\n    time.sleep(60)\n"
    (project / "test_it.py").write_text(source, encoding="utf-8")
    command = [sys.executable, "-m", "aqe.server.cli", "execute"]
    process = subprocess.Popen(
        command,
        cwd=project,
        env=environ(),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    deadline = time.monotonic() + 30
    while not (project / "started").exists():
        assert time.monotonic() < deadline
        time.sleep(0.05)
    os.killpg(process.pid, signal.SIGINT)
    output, errors = process.communicate(timeout=20)
    assert process.returncode == 130
    assert "KeyboardInterrupt" in output
    assert "[cancelled]" in errors
    with pytest.raises(ProcessLookupError):
        os.killpg(process.pid, 0)


@pytest.mark.services
def test_a_cancelled_run_ends_pytest_at_once(project: Path) -> None:
    """Cancelling from another thread ends pytest and what it started, and raises Cancelled."""
    import threading

    from aqe.agents.execute import ExecuteRequest, execute
    from aqe.engine.errors import Cancelled
    from aqe.engine.progress import CancelToken

    sleeper = "[sys.executable, '-c', 'import time; time.sleep(60)']"
    source = f"import subprocess, sys\ndef test_a():\n    subprocess.run({sleeper})\n"
    (project / "test_it.py").write_text(source, encoding="utf-8")
    cancel, lines = CancelToken(), []
    threading.Timer(3, cancel.cancel).start()
    start = time.monotonic()
    with pytest.raises(Cancelled):
        execute(
            ExecuteRequest(project=str(project)),
            progress=lambda text, done=0.0, total=None: lines.append(text),
            cancel=cancel,
        )
    assert time.monotonic() - start < 12
    assert any("collected 1 item" in line for line in lines)


MESSY = """
import os, pathlib, subprocess, sys

def test_mess():
    pathlib.Path("new.txt").write_text("new")
    pathlib.Path("data.txt").write_text("changed")
    subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"], start_new_session=True)
    assert os.environ["MY_FLAG"] == "on"

def test_failing():
    assert not pathlib.Path("data.txt").exists()
"""


@pytest.mark.parametrize("shielded", [True, False], ids=["isolated", "as it is"])
def test_an_isolated_run_leaves_the_tree_as_it_was(project: Path, shielded: bool) -> None:
    """With --isolated the tree stays as it was, what the run did to it is told, and each test is recorded."""
    (project / "data.txt").write_text("mine", encoding="utf-8")
    (project / "test_it.py").write_text(MESSY, encoding="utf-8")
    before = {path.name: path.read_bytes() for path in project.iterdir()}
    done = aqe(project, "--json", *(["--isolated"] if shielded else []), MY_FLAG="on")
    assert done.returncode == 1, done.stderr
    report = json.loads(done.stdout)
    after = {path.name: path.read_bytes() for path in project.iterdir() if path.is_file()}
    assert (after == before) is shielded
    assert (report["passed"], report["failed"], report["recorded"]) == (1, 1, 2)
    assert report["failures"][0]["nodeid"] == "test_it.py::test_failing"
    assert "1 failed, 1 passed" in done.stderr
    assert stored_runs(project) == [report["run"]] * 2
    changes = [{"path": "data.txt", "kind": "changed"}, {"path": "new.txt", "kind": "added"}]
    assert report["isolation"] in (("overlay", "copy") if shielded else ("",))
    assert (report["changed_files"], report["leftovers"]) == ((changes, 1) if shielded else ([], 0))


def test_an_isolated_run_tells_a_person_what_it_kept_away(project: Path) -> None:
    """The last lines name the changed files and count the processes that were ended."""
    (project / "test_it.py").write_text(MESSY.replace("assert not", "assert"), encoding="utf-8")
    done = aqe(project, "--isolated", MY_FLAG="on")
    assert done.returncode == 0, done.stdout
    assert "data.txt added, new.txt added" in done.stdout.splitlines()[-2]
    assert done.stdout.splitlines()[-1] == "Left running and ended: 1 process"


@pytest.mark.services
def test_an_isolated_run_can_go_without_network(project: Path) -> None:
    """With --offline, and in strict mode without any option, a server of the host is out of reach; --offline alone is
    refused."""
    import socket

    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        source = f"import socket\ndef test_a(): socket.create_connection(('127.0.0.1', {port}), 2)\n"
        (project / "test_it.py").write_text(source, encoding="utf-8")
        assert aqe(project, "--isolated").returncode == 0
        assert aqe(project, "--isolated", "--offline").returncode == 1
        assert aqe(project).returncode == 0
        assert aqe(project, AQE_PRIVACY_MODE="strict").returncode == 1
    refused = aqe(project, "--offline")
    assert (refused.returncode, refused.stderr.strip().endswith("[bad-argument]")) == (2, True)


@pytest.mark.services
def test_ctrl_c_ends_an_isolated_run_with_all_that_it_started(project: Path) -> None:
    """Ctrl-C during an isolated run gives status 130 and leaves no process."""
    source = "import subprocess, sys\ndef test_a():\n    open('.aqe/started', 'w').close()\n"
    source += f"    subprocess.run([sys.executable, '-c', 'import time; time.sleep(60)', {str(project)!r}])\n"
    (project / "test_it.py").write_text(source, encoding="utf-8")
    command = [sys.executable, "-m", "aqe.server.cli", "execute", "--isolated"]
    process = subprocess.Popen(
        command, cwd=project, env=environ(), stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True
    )
    deadline = time.monotonic() + 30
    while not (project / ".aqe" / "started").exists():
        assert time.monotonic() < deadline
        time.sleep(0.05)
    time.sleep(0.2)
    process.send_signal(signal.SIGINT)
    _, errors = process.communicate(timeout=20)
    assert process.returncode == 130, errors
    left = [path for path in Path("/proc").glob("[0-9]*/cmdline") if str(project).encode() in _read(path)]
    assert left == []


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError:
        return b""


@pytest.mark.parametrize(
    ("tail", "expected"),
    [
        ("ERROR: file or directory not found: tests\n/lib/c.py:958: CoverageWarning: No data\n  self._warn('No')\n",
         "ERROR: file or directory not found: tests"),
        ("one\ntwo\n/lib/c.py:958: CoverageWarning: No data\n  self._warn('No')\n", "two"),
        ("E   ValueError: bad\n=== short ===\n", "ValueError: bad"),
        ("", ""),
    ],
)  # fmt: skip
def test_pytests_own_word_is_quoted_and_no_warnings_line(tail: str, expected: str) -> None:
    """An error line counts most, a warning and the source line below it never."""
    assert last_words(tail) == expected
