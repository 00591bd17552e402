"""Mistakes and oddities before what runs a project's tests: verify, execute, flaky, quarantine and coverage."""

from __future__ import annotations

import contextlib
import json
from pathlib import Path

from bad_input.projects import (
    broken_database,
    database_is_untouched,
    empty_folder,
    extension,
    locked_database,
    nothing,
    old_environment,
    repository,
    still_remembers,
    text_file,
    unknown_key,
    with_files,
)
from bad_input.rows import FULL_DISK, READ_ONLY, Row

VERIFY = ("verify", "tests", "--subject")
FLAKY = ("flaky", "--runs", "1")
QUARANTINE = ("quarantine", "add", "--reason", "flips")
MY_TEST = "tests/test_mine.py::test_mine"


def broken_quarantine(project: Path, stack: contextlib.ExitStack) -> None:
    (project / "aqe-quarantine.toml").write_text("[[test]\n", encoding="utf-8")


def old_coverage(project: Path, stack: contextlib.ExitStack) -> None:
    """A report as coverage.py 5 wrote it: in branch mode, without the branches."""
    entry = {"executed_lines": [1], "missing_lines": [2]}
    report = {"meta": {"version": "5.5", "branch_coverage": True}, "files": {"mod.py": entry}}
    (project / "old.json").write_text(json.dumps(report), encoding="utf-8")


def ending_test(project: Path, stack: contextlib.ExitStack) -> None:
    text = "import os\n\n\ndef test_end():\n    os._exit(3)\n"
    (project / "tests" / "test_end.py").write_text(text, encoding="utf-8")


ROWS = [
    # aqe verify
    Row("missing tests", ("verify", "gone.py"), nothing, "no-such-path", 2, "gone.py"),
    Row("folder without tests", ("verify", "data"), empty_folder, "no-tests", 2, "data"),
    Row("tests that are no Python", ("verify", "notes.txt"), text_file, "not-python", 2, "notes.txt"),
    Row(
        "syntax error in tests",
        ("verify", "tests/test_bad.py"),
        with_files(tests__test_bad="def (:\n"),
        "syntax-error",
        2,
        "line 1",
    ),
    Row("missing subject", (*VERIFY, "gone.py"), nothing, "no-such-path", 2, "gone.py"),
    Row("unknown subject", (*VERIFY, "no.such"), nothing, "module-not-found", 2, "finds no module no.such"),
    Row("subject that is no Python", (*VERIFY, "notes.txt"), text_file, "not-python", 2, "notes.txt"),
    Row("compiled subject", (*VERIFY, "fast.abi3.so"), extension, "c-extension", 2, "fast.abi3.so"),
    Row("syntax error in subject", (*VERIFY, "bad"), with_files(bad="x = 1\ndef (:\n"), "syntax-error", 2, "line 2"),
    Row(
        "import error of subject",
        (*VERIFY, "bad"),
        with_files(bad="import not_there\n"),
        "import-failed",
        2,
        "not_there",
    ),
    Row("subject that exits", (*VERIFY, "bad"), with_files(bad="raise SystemExit(3)\n"), "import-exits"),
    Row("subject that dies", (*VERIFY, "bad"), with_files(bad="import os\n\nos._exit(3)\n"), "import-exits"),
    Row("subject that hangs", (*VERIFY, "bad"), with_files(bad="while True:\n    pass\n"), "import-hangs", slow=True),
    Row(
        "tests without subject", ("verify", "tests/test_bare.py"), with_files(tests__test_bare="X = 1\n"), "no-subject"
    ),
    Row("wrong setting, verify", ("verify", "tests"), unknown_key, "unknown-setting", 2, "budget"),
    Row(
        "Python 3.9 without pytest, verify",
        ("verify", "tests", "--python", "{python}"),
        old_environment,
        "no-pytest",
        slow=True,
    ),
    Row("read-only project, verify", ("verify", "tests"), nothing, "", 0, "stable", READ_ONLY, slow=True),
    # aqe execute
    Row("missing tests, execute", ("execute", "gone.py"), nothing, "no-such-path", 2, "gone.py"),
    Row("wrong setting, execute", ("execute",), unknown_key, "unknown-setting", 2, "budget"),
    Row("folder without tests, execute", ("execute", "data"), empty_folder, "no-tests", slow=True),
    Row(
        "syntax error in tests, execute",
        ("execute",),
        with_files(tests__test_bad="def (:\n"),
        "suite-not-collected",
        slow=True,
    ),
    Row("read-only project, execute", ("execute",), nothing, "", 0, "1 passed", READ_ONLY, slow=True),
    Row("full disk, execute", ("execute",), nothing, "", 0, "no space left", FULL_DISK, slow=True),
    Row("broken database, execute", ("execute",), broken_database, "", 0, "1 passed", (), database_is_untouched, True),
    Row("locked database, execute", ("execute",), locked_database, "", 0, "1 passed", (), still_remembers, True),
    # aqe flaky
    Row("missing tests, flaky", ("flaky", "gone.py"), nothing, "no-such-path", 2, "gone.py"),
    Row("no runs, flaky", ("flaky", "--runs", "0"), nothing, "bad-argument", 2, "0"),
    Row("bad budget, flaky", ("flaky", "--budget", "soon"), nothing, "bad-budget", 2, "soon"),
    Row("no tests, flaky", ("flaky", "mod.py"), nothing, "no-tests", 2, "collected no tests", slow=True),
    Row(
        "suite that does not collect, flaky",
        FLAKY,
        with_files(tests__test_bad="import nowhere_at_all\n"),
        "suite-not-collected",
        2,
        "tests/test_bad.py",
        slow=True,
    ),
    Row(
        "conftest that raises, flaky",
        FLAKY,
        with_files(tests__conftest="raise RuntimeError('not today')\n"),
        "suite-not-collected",
        2,
        "conftest.py: RuntimeError: not today",
        slow=True,
    ),
    Row(
        "test that hangs, flaky",
        ("flaky", "--runs", "1", "--budget", "40"),
        with_files(tests__test_bad="import time\ndef test_hangs():\n    time.sleep(600)\n"),
        "",
        0,
        "test_hangs: Failed: did not end within",
        slow=True,
    ),
    Row(
        "suite that is always red, flaky",
        ("flaky", "--runs", "2", "--gate", "tests/test_bad.py"),
        with_files(tests__test_bad="def test_red():\n    assert 1 == 2\n"),
        "",
        0,
        "they are broken, not flaky",
        slow=True,
    ),
    Row("unknown test, flaky", (*FLAKY, "--test", "tests/a.py::b"), nothing, "name-not-found", 2, "a.py::b", slow=True),
    # aqe quarantine
    Row("quarantine of no test", (*QUARANTINE, "gone.py::test_it"), nothing, "no-such-path", 2, "gone.py"),
    Row("quarantine of a file", (*QUARANTINE, "tests/test_mine.py"), nothing, "no-such-path", 2, "names no test"),
    Row("quarantine without a day", (*QUARANTINE, MY_TEST, "--expires", "soon"), nothing, "bad-argument", 2, "soon"),
    Row("quarantine without reason", ("quarantine", "add", MY_TEST, "--reason", " "), nothing, "bad-argument", 2),
    Row("release of no prisoner", ("quarantine", "release", MY_TEST), nothing, "unknown-id", 2, "test_mine"),
    Row("broken quarantine", (*QUARANTINE, MY_TEST), broken_quarantine, "bad-quarantine", 2, "aqe-quarantine.toml"),
    # aqe coverage
    Row("missing source, coverage", ("coverage", "gone.py"), nothing, "no-such-path", 2, "gone.py"),
    Row("missing data", ("coverage", "--data", "gone"), nothing, "no-such-path", 2, "gone"),
    Row("data that is no data", ("coverage", "--data", "notes.txt"), text_file, "coverage-data", 2, "notes.txt"),
    Row("data of another version", ("coverage", "--data", "old.json"), old_coverage, "coverage-data", 2, "old.json"),
    Row("no repository, coverage", ("coverage", "--since", "HEAD"), nothing, "no-git", 2, "git"),
    Row("unknown ref, coverage", ("coverage", "--since", "nowhere"), repository, "unknown-ref", 2, "nowhere"),
    Row("wrong setting, coverage", ("coverage",), unknown_key, "unknown-setting", 2, "budget"),
    Row("no tests, coverage", ("coverage", "--tests", "data"), empty_folder, "no-tests", slow=True),
    Row(
        "conftest that raises",
        ("coverage",),
        with_files(conftest="1 / 0\n"),
        "suite-not-collected",
        2,
        "by zero",
        slow=True,
    ),
    Row("test that ends pytest", ("coverage",), ending_test, "suite-died", 1, slow=True),
    Row("read-only project, coverage", ("coverage",), nothing, "", 0, "What 1 test reaches", READ_ONLY, slow=True),
]
