"""Bad input at every face of the command line: one sentence, a code, a documented status, nothing half-written.

A row is a command, the function that prepares the project, the code and the exit status. A new command adds rows.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

MODULE = "def double(number):\n    return number * 2\n"
SetUp = Callable[[Path], None]


@dataclass(frozen=True)
class Row:
    """One mistake. `command` follows `aqe`; `code` is empty where the command succeeds (a harmless oddity)."""

    name: str
    command: tuple[str, ...]
    set_up: SetUp
    code: str
    status: int
    words: str = ""


def nothing(project: Path) -> None:
    """An ordinary project."""


def with_files(**files: str) -> SetUp:
    """A project with more files; `__` in a name stands for a slash, names end in .py."""

    def set_up(project: Path) -> None:
        for name, text in files.items():
            path = project / f"{name.replace('__', '/')}.py"
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text, encoding="utf-8")

    return set_up


def text_file(project: Path) -> None:
    (project / "notes.txt").write_text("not Python\n", encoding="utf-8")


def empty_folder(project: Path) -> None:
    (project / "data").mkdir()


def extension(project: Path) -> None:
    (project / "fast.abi3.so").write_bytes(b"\x7fELF")


def foreign_test(project: Path) -> None:
    (project / "tests").mkdir()
    (project / "tests" / "test_mod.py").write_text("def test_mine():\n    assert True\n", encoding="utf-8")


def unknown_key(project: Path) -> None:
    (project / "pyproject.toml").write_text('[tool.aqe]\nbuget = "20s"\n', encoding="utf-8")


def file_for_out(project: Path) -> None:
    (project / "out").write_text("a file\n", encoding="utf-8")


GENERATE = ("generate", "mod.py", "--evaluations", "20")

ROWS = [
    Row("missing path", ("generate", "gone.py"), nothing, "no-such-path", 2, "gone.py"),
    Row("folder without Python", ("generate", "data"), empty_folder, "no-python", 2, "data"),
    Row("no Python file", ("generate", "notes.txt"), text_file, "not-python", 2, "notes.txt"),
    Row("syntax error", ("generate", "bad.py"), with_files(bad="x = 1\ndef (:\n"), "syntax-error", 2, "line 2"),
    Row("empty module", ("generate", "bare.py"), with_files(bare="X = 1\n"), "nothing-to-test", 2, "bare.py"),
    Row("C extension", ("generate", "fast.abi3.so"), extension, "c-extension", 2, "fast"),
    Row("unknown module", ("generate", "no.such.module"), nothing, "module-not-found", 2, "no.such.module"),
    Row("unknown name", ("generate", "mod.py::duble"), nothing, "name-not-found", 2, "Did you mean double?"),
    Row(
        "import error",
        ("generate", "bad.py"),
        with_files(bad=f"import not_installed_anywhere\n\n\n{MODULE}"),
        "import-failed",
        2,
        "No module named 'not_installed_anywhere'",
    ),
    Row(
        "error at import",
        ("generate", "bad.py"),
        with_files(bad=f"{MODULE}\n\nLIMIT = 1 / 0\n"),
        "import-failed",
        2,
        "ZeroDivisionError: division by zero (line 5 of bad.py)",
    ),
    Row(
        "exits at import",
        ("generate", "bad.py"),
        with_files(bad=f"{MODULE}\n\nraise SystemExit(3)\n"),
        "import-exits",
        2,
    ),
    Row(
        "dies at import",
        ("generate", "bad.py"),
        with_files(bad=f"import os\n{MODULE}\n\nos._exit(3)\n"),
        "import-exits",
        2,
    ),
    Row("somebody's test file", GENERATE, foreign_test, "file-not-ours", 2, "--suffix"),
    Row("out is a file", (*GENERATE, "--out", "out"), file_for_out, "bad-output", 2, "out"),
    Row("suffix without a letter", (*GENERATE, "--suffix", "--"), nothing, "bad-output", 2, "suffix"),
    Row("budget that is no time", ("generate", "mod.py", "--budget", "soon"), nothing, "bad-budget", 2, "soon"),
    Row("budget and evaluations", (*GENERATE, "--budget", "5"), nothing, "usage", 2, "--evaluations"),
    Row("no evaluations", ("generate", "mod.py", "--evaluations", "0"), nothing, "usage", 2, "--evaluations 0"),
    Row("missing interpreter", (*GENERATE, "--python", "no/such/python"), nothing, "no-interpreter", 2, "--python"),
    Row("wrong setting", GENERATE, unknown_key, "unknown-setting", 2, "budget"),
    Row("missing project", (*GENERATE, "--project", "nowhere"), nothing, "no-such-project", 2, "nowhere"),
]


def files_of(project: Path) -> dict[str, bytes]:
    """Every file but those of .aqe, with its bytes."""
    found: dict[str, bytes] = {}
    for base, folders, files in os.walk(project):
        folders[:] = [name for name in folders if name != ".aqe"]
        for name in files:
            path = Path(base) / name
            found[path.relative_to(project).as_posix()] = path.read_bytes()
    return found


def run_aqe(project: Path, *command: str) -> subprocess.CompletedProcess[str]:
    """The real command in the project's folder, with no setting of this machine."""
    environment = {key: value for key, value in os.environ.items() if not key.startswith(("AQE_", "VIRTUAL_ENV"))}
    environment["XDG_CONFIG_HOME"] = str(project.parent / "config")
    argv = [sys.executable, "-m", "aqe.server.cli", *command]
    return subprocess.run(argv, cwd=project, env=environment, capture_output=True, text=True, timeout=60, check=False)


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A project with one module."""
    folder = tmp_path / "project"
    folder.mkdir()
    (folder / "pyproject.toml").write_text("", encoding="utf-8")
    (folder / "mod.py").write_text(MODULE, encoding="utf-8")
    return folder


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.name.replace(" ", "-"))
def test_mistake_is_answered_with_one_sentence_and_leaves_no_trace(project: Path, row: Row) -> None:
    """A mistake gives one line on stderr with its code, the documented status, no traceback and no new file."""
    row.set_up(project)
    before = files_of(project)
    done = run_aqe(project, *row.command)
    assert done.returncode == row.status, done.stderr
    assert done.stdout == ""
    assert done.stderr.count("\n") == 1
    assert done.stderr.endswith(f"[{row.code}]\n")
    assert row.words in done.stderr
    assert "Traceback" not in done.stderr
    assert files_of(project) == before


@pytest.mark.services
def test_module_that_hangs_at_import_is_ended(project: Path) -> None:
    """A module whose import never ends is reported after the import's own time limit."""
    (project / "bad.py").write_text(f"{MODULE}\n\nimport time\n\ntime.sleep(1000)\n", encoding="utf-8")
    done = run_aqe(project, "generate", "bad.py")
    assert (done.returncode, done.stderr.count("\n")) == (2, 1)
    assert done.stderr.endswith("[import-hangs]\n")


@pytest.mark.parametrize(
    "oddity",
    [
        pytest.param("print('hello from import' * 100)", id="prints"),
        pytest.param("import os\nif os.fork() == 0:\n    os._exit(0)", id="forks", marks=pytest.mark.services),
    ],
)
def test_module_that_prints_or_forks_at_import_is_tested_all_the_same(project: Path, oddity: str) -> None:
    """Output and processes of an import stay in the sandbox; the tests are written."""
    (project / "odd.py").write_text(f"{oddity}\n\n\n{MODULE}", encoding="utf-8")
    done = run_aqe(project, "generate", "odd.py", "--evaluations", "60")
    assert (done.returncode, done.stderr) == (0, "")
    assert "hello from import" not in done.stdout
    assert (project / "tests" / "test_odd.py").is_file()
