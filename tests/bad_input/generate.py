"""Mistakes and oddities before `aqe generate`."""

from __future__ import annotations

import contextlib
import sys
from pathlib import Path

from bad_input.projects import (
    empty_folder,
    environment_of,
    extension,
    nothing,
    old_environment,
    text_file,
    unknown_key,
    with_files,
)
from bad_input.rows import FULL_DISK, MINE, MODULE, READ_ONLY, Row

GENERATE = ("generate", "mod.py", "--evaluations", "20")
ODD = ("generate", "odd.py", "--evaluations", "60")


def foreign_test(project: Path, stack: contextlib.ExitStack) -> None:
    (project / "tests" / "test_mod.py").write_text("def test_mine():\n    assert True\n", encoding="utf-8")


def file_for_out(project: Path, stack: contextlib.ExitStack) -> None:
    (project / "out").write_text("a file\n", encoding="utf-8")


def bare_environment(project: Path, stack: contextlib.ExitStack) -> dict[str, str]:
    """An environment of this Python that holds nothing, so no pytest."""
    return {"python": environment_of(sys.executable, project)}


def is_written(project: Path) -> None:
    (written,) = (project / "tests").glob("test_odd*.py")
    assert written.read_text(encoding="utf-8").startswith("# Written by aqe")


ROWS = [
    Row("missing path", ("generate", "gone.py"), nothing, "no-such-path", 2, "gone.py"),
    Row("folder without Python", ("generate", "data"), empty_folder, "no-python", 2, "data"),
    Row("no Python file", ("generate", "notes.txt"), text_file, "not-python", 2, "notes.txt"),
    Row("syntax error", ("generate", "bad.py"), with_files(bad="x = 1\ndef (:\n"), "syntax-error", 2, "line 2"),
    Row("empty module", ("generate", "bare.py"), with_files(bare="X = 1\n"), "nothing-to-test", 2, "bare.py"),
    Row("C extension", ("generate", "fast.abi3.so"), extension, "c-extension", 2, "fast"),
    Row("a test file", ("generate", "tests/test_mod.py"), foreign_test, "test-file", 2, "aqe verify"),
    Row("a conftest", ("generate", "conftest.py"), with_files(conftest=MODULE), "test-file", 2, "aqe verify"),
    Row("a folder of tests", ("generate", "tests"), foreign_test, "test-file", 2, "nothing but tests"),
    Row("a function of a test file", ("generate", "tests/test_mod.py::test_mine"), foreign_test, "test-file"),
    Row("a test module", ("generate", "tests.mine"), with_files(tests__mine=MINE), "test-file", 2, "aqe verify"),
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
    Row(
        "hangs at import",
        ("generate", "bad.py"),
        with_files(bad=f"{MODULE}\n\nimport time\n\ntime.sleep(1000)\n"),
        "import-hangs",
        slow=True,
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
    Row("output folder is full", GENERATE, nothing, "disk-full", inside=FULL_DISK),
    Row("read-only project", GENERATE, nothing, "project-read-only", inside=READ_ONLY),
    Row("Python 3.9 without pytest", (*GENERATE, "--python", "{python}"), old_environment, "no-pytest", slow=True),
    Row(
        "prints at import",
        ODD,
        with_files(odd=f"print('hello' * 100)\n\n\n{MODULE}"),
        "",
        0,
        then=is_written,
        slow=True,
    ),
    Row(
        "forks at import",
        ODD,
        with_files(odd=f"import os\n\nif os.fork() == 0:\n    os._exit(0)\n\n\n{MODULE}"),
        "",
        0,
        then=is_written,
        slow=True,
    ),
    Row(
        "Python without pytest",
        ("generate", "mod.py", "--evaluations", "200", "--suffix", "side", "--python", "{python}"),
        bare_environment,
        "",
        0,
        "1 test of mod.py in tests/test_mod_side.py",
        slow=True,
    ),
]
