"""Bad input at every face of the command line: one sentence, a code, a documented status, nothing half-written.

A row is a command, the function that prepares the project, the code and the exit status. A new command adds rows.
"""

from __future__ import annotations

import contextlib
import importlib.util
import json
import os
import shutil
import socket
import sqlite3
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from aqe.engine.errors import CODES

ROOT = Path(__file__).resolve().parent.parent
MODULE = "def double(number):\n    return number * 2\n"
MINE = "from mod import double\n\n\ndef test_mine():\n    assert double(2) == 4\n"
EXIT_STATUSES = (0, 1, 2, 3, 4, 130)

MY_TEST = "tests/test_mine.py::test_mine"
QUARANTINE = ("quarantine", "add", "--reason", "flips")
FLAKY = ("flaky", "--runs", "1")

READ_ONLY = ('mount --bind "$0" "$0"; mount -o remount,bind,ro "$0"',)
FULL_DISK = (
    'cp -a "$0/." "$0.was"; mount -t tmpfs -o size=512k tmpfs "$0"; cp -a "$0.was/." "$0";'
    ' dd if=/dev/zero of="$0/ballast" bs=4k 2>/dev/null || true',
    'rm "$0/ballast"; cp -a "$0/." "$0.after"',
)
"""What is done in a mount namespace before the command, and after it: the folder becomes read-only, or a full disk of
512 KB."""

SetUp = Callable[[Path, contextlib.ExitStack], "dict[str, str] | None"]


@dataclass(frozen=True)
class Row:
    """One mistake or oddity.

    `command` follows `aqe`; `{word}` in it stands for what `set_up` returns. `code` is empty where the command
    succeeds all the same. `inside` are scripts for a mount namespace around the command; `then` looks at the project
    afterwards. Rows that take more than about two seconds are `slow`.
    """

    name: str
    command: tuple[str, ...]
    set_up: SetUp
    code: str
    status: int = 2
    words: str = ""
    inside: tuple[str, ...] = ()
    then: Callable[[Path], None] | None = None
    slow: bool = False


def nothing(project: Path, stack: contextlib.ExitStack) -> None:
    """An ordinary project."""


def broken_quarantine(project: Path, stack: contextlib.ExitStack) -> None:
    (project / "aqe-quarantine.toml").write_text("[[test]\n", encoding="utf-8")


def with_files(**files: str) -> SetUp:
    """A project with more files; `__` in a name stands for a slash, names end in .py."""

    def set_up(project: Path, stack: contextlib.ExitStack) -> None:
        for name, text in files.items():
            path = project / f"{name.replace('__', '/')}.py"
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text, encoding="utf-8")

    return set_up


def text_file(project: Path, stack: contextlib.ExitStack) -> None:
    (project / "notes.txt").write_text("not Python\n", encoding="utf-8")


def empty_folder(project: Path, stack: contextlib.ExitStack) -> None:
    (project / "data").mkdir()


def extension(project: Path, stack: contextlib.ExitStack) -> None:
    (project / "fast.abi3.so").write_bytes(b"\x7fELF")


def foreign_test(project: Path, stack: contextlib.ExitStack) -> None:
    (project / "tests" / "test_mod.py").write_text("def test_mine():\n    assert True\n", encoding="utf-8")


def unknown_key(project: Path, stack: contextlib.ExitStack) -> None:
    (project / "pyproject.toml").write_text('[tool.aqe]\nbuget = "20s"\n', encoding="utf-8")


def unknown_embedder(project: Path, stack: contextlib.ExitStack) -> None:
    (project / "pyproject.toml").write_text('[tool.aqe]\nembedder = "word2vec"\n', encoding="utf-8")


def model_without_its_library(project: Path, stack: contextlib.ExitStack) -> None:
    (project / "pyproject.toml").write_text('[tool.aqe]\nembedder = "sentence-transformers:gone"\n', encoding="utf-8")


def unknown_provider_key(project: Path, stack: contextlib.ExitStack) -> None:
    (project / "pyproject.toml").write_text('[tool.aqe.providers.house]\nbase_urll = "x"\n', encoding="utf-8")


def file_for_out(project: Path, stack: contextlib.ExitStack) -> None:
    (project / "out").write_text("a file\n", encoding="utf-8")


def broken_database(project: Path, stack: contextlib.ExitStack) -> None:
    (project / ".aqe").mkdir()
    (project / ".aqe" / "aqe.db").write_bytes(BROKEN)


def remembering(project: Path, stack: contextlib.ExitStack) -> None:
    """A project with one memory."""
    assert run_aqe(project, "memory", "add", "keep this", "--id", "first").returncode == 0


def locked_database(project: Path, stack: contextlib.ExitStack) -> None:
    """A project with one memory, whose database another program holds."""
    remembering(project, stack)
    holder = stack.enter_context(contextlib.closing(sqlite3.connect(project / ".aqe" / "aqe.db", isolation_level=None)))
    holder.execute("begin exclusive")


def taken_port(project: Path, stack: contextlib.ExitStack) -> dict[str, str]:
    holder = stack.enter_context(contextlib.closing(socket.socket()))
    holder.bind(("127.0.0.1", 0))
    holder.listen()
    return {"port": str(holder.getsockname()[1])}


def bare_environment(project: Path, stack: contextlib.ExitStack) -> dict[str, str]:
    """An environment of this Python that holds nothing, so no pytest."""
    return {"python": environment_of(sys.executable, project)}


def old_environment(project: Path, stack: contextlib.ExitStack) -> dict[str, str]:
    """An environment of Python 3.9 without pytest, which aqe's own copy cannot replace."""
    spec = importlib.util.spec_from_file_location("interpreters", ROOT / "tools" / "interpreters.py")
    assert spec is not None
    assert spec.loader is not None
    interpreters: Any = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(interpreters)
    python = interpreters.find("3.9")
    if python is None:
        pytest.skip("no Python 3.9 on this machine")
    return {"python": environment_of(python, project)}


def environment_of(python: str, project: Path) -> str:
    folder = project.parent / "environment"
    subprocess.run([python, "-m", "venv", "--without-pip", str(folder)], check=True)
    return str(folder / "bin" / "python")


def old_coverage(project: Path, stack: contextlib.ExitStack) -> None:
    """A report as coverage.py 5 wrote it: in branch mode, without the branches."""
    entry = {"executed_lines": [1], "missing_lines": [2]}
    report = {"meta": {"version": "5.5", "branch_coverage": True}, "files": {"mod.py": entry}}
    (project / "old.json").write_text(json.dumps(report), encoding="utf-8")


def ending_test(project: Path, stack: contextlib.ExitStack) -> None:
    text = "import os\n\n\ndef test_end():\n    os._exit(3)\n"
    (project / "tests" / "test_end.py").write_text(text, encoding="utf-8")


def repository(project: Path, stack: contextlib.ExitStack) -> None:
    """A project in git, with one commit."""
    who = ("-c", "user.name=t", "-c", "user.email=t@example.org", "-c", "commit.gpgsign=false")
    for words in (("init", "-q"), ("add", "."), ("commit", "-q", "-m", "first")):
        subprocess.run(["git", *who, *words], cwd=project, check=True, capture_output=True)


def shallow_clone(project: Path, stack: contextlib.ExitStack) -> None:
    """A project whose git history was cut off before its second commit."""
    repository(project, stack)
    who = ("-c", "user.name=t", "-c", "user.email=t@example.org", "-c", "commit.gpgsign=false")
    subprocess.run(["git", *who, "commit", "-q", "--allow-empty", "-m", "second"], cwd=project, check=True)
    whole = project.with_name("whole")
    project.rename(whole)
    origin = f"file://{whole}"
    subprocess.run(["git", "clone", "-q", "--depth", "1", origin, str(project)], check=True, capture_output=True)


def dirty_tree(project: Path, stack: contextlib.ExitStack) -> None:
    """A repository in which a file was renamed, one deleted, one is binary, one is no Python, one has an odd name."""
    repository(project, stack)
    (project / "tests" / "test_mine.py").unlink()
    dirty_tree_of(project)


def dirty_tree_of(project: Path) -> None:
    (project / "mod.py").rename(project / "moved.py")
    (project / "data.py").write_bytes(b"x = 1\0\xff")
    (project / "broken.py").write_text("def f(:\n", encoding="utf-8")
    Path(os.fsdecode(os.fsencode(project) + b"/caf\xe9.py")).write_text("x = 1\n", encoding="utf-8")


def broken_suite(project: Path, stack: contextlib.ExitStack) -> None:
    (project / "tests" / "test_bad.py").write_text("def (:\n", encoding="utf-8")
    repository(project, stack)


def repository_without_tests(project: Path, stack: contextlib.ExitStack) -> None:
    (project / "tests" / "test_mine.py").unlink()
    repository(project, stack)


def mapped(project: Path, stack: contextlib.ExitStack) -> None:
    """A repository in which it is recorded what the test executes."""
    repository(project, stack)
    assert run_aqe(project, "execute", "--map").returncode == 0


def mapped_and_dirty(project: Path, stack: contextlib.ExitStack) -> None:
    """The tested module was moved away; others came that are binary, no Python, and of an odd name."""
    mapped(project, stack)
    dirty_tree_of(project)


def map_of_another_version(project: Path, stack: contextlib.ExitStack) -> None:
    mapped(project, stack)
    with contextlib.closing(sqlite3.connect(project / ".aqe" / "aqe.db")) as database, database:
        database.execute("UPDATE impact_facts SET value = '\"0\"' WHERE name = 'format'")


def broken_decisions(project: Path, stack: contextlib.ExitStack) -> None:
    repository(project, stack)
    (project / "aqe-review.toml").write_text("[[dismissed]\n", encoding="utf-8")


def decisions_are_untouched(project: Path) -> None:
    assert (project / "aqe-review.toml").read_text(encoding="utf-8") == "[[dismissed]\n"


def still_remembers(project: Path) -> None:
    assert "keep this" in run_aqe(project, "memory", "get", "first").stdout


def broken_client(project: Path, stack: contextlib.ExitStack) -> None:
    """A client's configuration with comments that ends too early."""
    (project / ".mcp.json").write_text(BROKEN_CLIENT, encoding="utf-8")


def odd_client(project: Path, stack: contextlib.ExitStack) -> None:
    """A client's configuration whose servers are a list."""
    (project / ".vscode").mkdir()
    (project / ".vscode" / "mcp.json").write_text('{"servers": []}', encoding="utf-8")


def half_a_block(project: Path, stack: contextlib.ExitStack) -> None:
    """A file for assistants with the beginning of aqe's block and no end."""
    (project / "CLAUDE.md").write_text("<!-- aqe:begin -->\n", encoding="utf-8")


def client_is_untouched(project: Path) -> None:
    assert (project / ".mcp.json").read_text(encoding="utf-8") == BROKEN_CLIENT
    assert [path.name for path in project.glob("*mcp*")] == [".mcp.json"]


def no_client_is_written(project: Path) -> None:
    assert not (project / ".mcp.json").exists()


def is_written(project: Path) -> None:
    (written,) = (project / "tests").glob("test_odd*.py")
    assert written.read_text(encoding="utf-8").startswith("# Written by aqe")


def database_is_untouched(project: Path) -> None:
    assert (project / ".aqe" / "aqe.db").read_bytes() == BROKEN


BROKEN = b"this is no database " * 400
BROKEN_CLIENT = '{\n  // ours\n  "mcpServers": {\n'
GENERATE = ("generate", "mod.py", "--evaluations", "20")

ODD = ("generate", "odd.py", "--evaluations", "60")
VERIFY = ("verify", "tests", "--subject")
ADD = ("memory", "add", "one more")

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
    Row("path to scan is missing", ("privacy", "scan", "gone.py"), nothing, "no-such-path", 2, "gone.py"),
    Row("head of no audit log", ("privacy", "verify", "--head", "soon"), nothing, "bad-argument", 2, "soon"),
    Row("output folder is full", GENERATE, nothing, "disk-full", inside=FULL_DISK),
    Row("read-only project", GENERATE, nothing, "project-read-only", inside=READ_ONLY),
    Row("Python 3.9 without pytest", (*GENERATE, "--python", "{python}"), old_environment, "no-pytest", slow=True),
    # oddities that aqe copes with
    Row("prints at import", ODD, with_files(odd=f"print('hello' * 100)\n\n\n{MODULE}"), "", 0, then=is_written),
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
    # aqe flaky and aqe quarantine
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
    # aqe review, aqe audit
    Row("no repository, review", ("review",), nothing, "no-git", 2, "--base DIR --head DIR"),
    Row("unknown ref, review", ("review", "--since", "nowhere"), repository, "unknown-ref", 2, "nowhere"),
    Row("shallow clone", ("review", "--since", "HEAD~1"), shallow_clone, "shallow-clone", 2, "--unshallow"),
    Row("dirty tree", ("review", "--budget", "5"), dirty_tree, "", 0, "invalid-syntax", slow=True),
    Row("missing base", ("review", "--base", "gone", "--head", "."), nothing, "no-such-path", 2, "gone"),
    Row("base alone", ("review", "--base", "."), nothing, "bad-argument", 2, "--head DIR"),
    Row(
        "base and ref", ("review", "--base", ".", "--head", ".", "--since", "x"), nothing, "bad-argument", 2, "--since"
    ),
    Row("missing message", ("review", "--message", "gone"), repository, "no-such-path", 2, "gone"),
    Row("message is a folder", ("review", "--message", "tests"), repository, "no-such-path", 2, "tests"),
    Row("unknown finding", ("review", "--dismiss", "0123"), repository, "unknown-finding", 2, "0123"),
    Row("reason for nothing", ("review", "--reason", "so"), repository, "usage", 2, "--dismiss"),
    Row("unknown format", ("review", "--format", "xml"), repository, "usage", 2, "sarif"),
    Row("two formats", ("review", "--json", "--format", "sarif"), repository, "usage", 2, "exclude"),
    Row("broken decisions", ("review",), broken_decisions, "bad-decisions", 2, "toml", (), decisions_are_untouched),
    Row("missing tests, audit", ("audit", "gone"), nothing, "no-such-path", 2, "gone"),
    Row("no tests, audit", ("audit", "mod.py"), nothing, "no-tests", 2, "test_*.py"),
    Row("read-only project, audit", ("audit",), nothing, "", 0, "nothing to report", READ_ONLY),
    # aqe select
    Row("no repository, select", ("select",), nothing, "no-git", 2, "--base DIR --head DIR"),
    Row("unknown ref, select", ("select", "--since", "nowhere"), repository, "unknown-ref", 2, "nowhere"),
    Row("shallow clone, select", ("select", "--since", "HEAD~1"), shallow_clone, "shallow-clone", 2, "--unshallow"),
    Row("base alone, select", ("select", "--base", "."), nothing, "bad-argument", 2, "--head DIR"),
    Row("missing base, select", ("select", "--base", "gone", "--head", "."), nothing, "no-such-path", 2, "gone"),
    Row("budget that is no time, select", ("select", "--run", "--budget", "soon"), repository, "bad-budget", 2, "soon"),
    Row("syntax error in tests, select", ("select",), broken_suite, "suite-not-collected", 2, "test_bad.py", slow=True),
    Row("no tests, select", ("select",), repository_without_tests, "no-tests", slow=True),
    Row("dirty tree, select", ("select",), mapped_and_dirty, "", 0, "test_mine.py::test_mine", slow=True),
    Row("map of another version", ("select",), map_of_another_version, "", 0, "another version of aqe", slow=True),
    Row("read-only project, select", ("select",), repository, "", 0, "The whole suite", READ_ONLY, slow=True),
    # aqe run, aqe analyze
    Row("no repository, run", ("run",), nothing, "no-git", 2, "git"),
    Row("unknown ref, run", ("run", "--since", "nowhere"), repository, "unknown-ref", 2, "nowhere"),
    Row("unknown ref, analyze", ("analyze", "--since", "nowhere"), repository, "unknown-ref", 2, "nowhere"),
    Row("page in no folder", ("analyze", "--html", "no/such/page.html"), nothing, "bad-output", 2, "page.html"),
    # memory, stats, config, serve
    Row("broken database", ADD, broken_database, "database-broken", 2, "aqe.db", (), database_is_untouched),
    Row("broken database, stats", ("stats",), broken_database, "database-broken", 2, "", (), database_is_untouched),
    Row("locked database", ADD, locked_database, "database-locked", 2, "aqe.db", (), still_remembers, True),
    Row("read-only project, memory", ADD, nothing, "project-read-only", 2, ".aqe", READ_ONLY),
    Row("read-only project, stats", ("stats",), nothing, "", 0, "none yet", READ_ONLY),
    Row("read-only project, config", ("config",), nothing, "", 0, "sandbox.memory_mb", READ_ONLY),
    Row("full disk, memory", ADD, nothing, "disk-full", 2, ".aqe", FULL_DISK),
    Row("disk fills up, memory", ADD, remembering, "disk-full", 2, "aqe.db", FULL_DISK, still_remembers),
    Row("disk is full, list", ("memory", "list"), remembering, "", 0, "keep this", FULL_DISK, still_remembers, True),
    Row("wrong setting, memory", ADD, unknown_key, "unknown-setting", 2, "budget"),
    Row(
        "syntax of the text index",
        ("memory", "search", '"NEAR( * - ^col:'),
        remembering,
        "",
        0,
        "",
        (),
        still_remembers,
    ),
    Row("query of signs alone", ("memory", "search", '"*-'), remembering, "", 0, "0 found by text"),
    Row("no query", ("memory", "search"), remembering, "bad-query", 2, "words"),
    Row("odd namespace", ("memory", "search", "x", "-n", "a:b"), remembering, "bad-namespace", 2, "a:b"),
    Row("read-only project, memory search", ("memory", "search", "x"), nothing, "", 0, "0 found", READ_ONLY),
    Row("unknown embedder", ADD, unknown_embedder, "bad-setting", 2, "word2vec"),
    Row("model without its library", ADD, model_without_its_library, "missing-extra", 2, "pip install 'aqe["),
    Row("nothing to embed", ("embed", " "), nothing, "bad-text", 2, "empty"),
    Row("nothing to compare", ("similarity", "x", ""), nothing, "bad-text", 2, "empty"),
    Row("read-only project, embed", ("embed", "x"), nothing, "", 0, "", READ_ONLY),
    Row("nothing to route", ("route",), nothing, "usage", 2, "--explain"),
    Row("empty prompt", ("route", " "), nothing, "bad-text", 2, "empty"),
    Row("completion without a model", ("route", "x", "--completion"), nothing, "no-model", 2, "pip install"),
    Row("unknown strategy", ("route", "x", "--strategy", "costs"), nothing, "bad-argument", 2, "Did you mean 'cost'?"),
    Row("misspelt provider key", ("route", "x"), unknown_provider_key, "unknown-setting", 2, "'base_url'"),
    Row("broken database, route", ("route", "x"), broken_database, "database-broken", 2, "", (), database_is_untouched),
    Row("read-only project, route", ("route", "x"), nothing, "", 0, "extractive", READ_ONLY),
    Row("empty question", ("query", " "), nothing, "bad-text", 2, "empty"),
    Row("question of signs alone", ("query", '"*-'), nothing, "", 0, "I do not know."),
    Row("question with query syntax", ("query", '"mod" NEAR(x* OR -y)'), nothing, "", 0, "request "),
    Row("broken database, query", ("query", "x"), broken_database, "database-broken", 2, "", (), database_is_untouched),
    Row("read-only project, query", ("query", "x"), nothing, "project-read-only", 2, ".aqe", READ_ONLY),
    Row("odd session name", ("query", "x", "--session", "a/b"), nothing, "bad-session", 2, "a/b"),
    Row("no model, complete", ("complete", "x"), nothing, "no-model", 2, "pip install"),
    Row("unknown session", ("sessions", "show", "nobody"), nothing, "unknown-session", 2, "nobody"),
    Row("session that is no JSON", ("sessions", "import", "mod.py"), nothing, "bad-session", 2, "JSON"),
    Row("wrong setting, stats", ("stats",), unknown_key, "unknown-setting", 2, "budget"),
    Row("wrong setting, config", ("config",), unknown_key, "unknown-setting", 2, "budget"),
    # aqe mcp install
    Row(
        "client config that is no JSON",
        ("mcp", "install", "claude", "--yes", "--block"),
        broken_client,
        "bad-client-config",
        2,
        "line 4, column 1",
        (),
        client_is_untouched,
    ),
    Row("client config of another shape", ("mcp", "install", "vscode", "--yes"), odd_client, "bad-client-config", 2),
    Row(
        "half a block",
        ("mcp", "install", "claude", "--yes", "--block"),
        half_a_block,
        "bad-client-config",
        2,
        "CLAUDE.md",
        (),
        no_client_is_written,
    ),
    Row("unknown client", ("mcp", "install", "claud", "--yes"), nothing, "bad-argument", 2, "'claude'"),
    Row("nobody to ask", ("mcp", "install", "claude"), nothing, "usage", 2, "--yes", (), no_client_is_written),
    Row(
        "read-only project, mcp install",
        ("mcp", "install", "claude", "--yes"),
        nothing,
        "project-read-only",
        2,
        "",
        READ_ONLY,
    ),
    Row("missing project, serve", ("serve", "--project", "nowhere"), nothing, "no-such-project", 2, "nowhere"),
    Row("impossible port, serve", ("serve", "--http", "--port", "70000"), nothing, "bad-port", 2, "70000"),
    Row("taken port, serve", ("serve", "--http", "--port", "{port}"), taken_port, "port-in-use", 2, "", slow=True),
]


def files_of(project: Path) -> dict[str, bytes]:
    """Every file but those of .aqe and of caches, with its bytes."""
    found: dict[str, bytes] = {}
    for base, folders, files in os.walk(project):
        folders[:] = [name for name in folders if name not in {".aqe", ".pytest_cache", "__pycache__"}]
        for name in files:
            path = Path(base) / name
            found[path.relative_to(project).as_posix()] = path.read_bytes()
    return found


def _beside(name: str) -> Any:
    """A module of helpers that lies beside this file."""
    spec = importlib.util.spec_from_file_location(name, Path(__file__).with_name(f"{name}.py"))
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def run_aqe(project: Path, *command: str, inside: tuple[str, ...] = ()) -> subprocess.CompletedProcess[str]:
    """The real command in the project's folder, with no setting of this machine."""
    environment = {key: value for key, value in os.environ.items() if not key.startswith(("AQE_", "VIRTUAL_ENV"))}
    environment["XDG_CONFIG_HOME"] = str(project.parent / "config")
    warm = WARM_INSIDE if inside else WARM
    return warm.run(command, cwd=project, env=environment, before=inside[:1], after=inside[1:])


def namespace() -> list[str]:
    """The command that opens a mount namespace, where the system lets us."""
    command = ["unshare", *(["--map-root-user"] if os.geteuid() else []), "--mount"]
    if shutil.which("unshare") is None or subprocess.run([*command, "true"], check=False).returncode:
        pytest.skip("this system gives no mount namespace")
    return command


WARM = _beside("warm_command").WarmCommand()
WARM_INSIDE = _beside("warm_command").WarmCommand(namespace)
"""The same in a mount namespace; what one row mounts lies over its own project alone."""


@pytest.fixture(scope="module", autouse=True)
def _warm() -> Iterator[None]:
    """The processes whose forks run the commands end with the module."""
    yield
    WARM.close()
    WARM_INSIDE.close()


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A project with one module and a test of it."""
    folder = tmp_path / "project"
    (folder / "tests").mkdir(parents=True)
    (folder / "pyproject.toml").write_text("", encoding="utf-8")
    (folder / "mod.py").write_text(MODULE, encoding="utf-8")
    (folder / "tests" / "test_mine.py").write_text(MINE, encoding="utf-8")
    return folder


def parameters() -> list[Any]:
    """The rows with their ids and marks."""
    marks = {True: [pytest.mark.services], False: []}
    return [pytest.param(row, id=row.name.replace(" ", "-").replace(",", ""), marks=marks[row.slow]) for row in ROWS]


@pytest.mark.parametrize("row", parameters())
def test_mistake_is_answered_with_one_sentence_and_leaves_no_trace(project: Path, row: Row) -> None:
    """A mistake gives one line on stderr with its code, the documented status, no traceback, and loses nothing."""
    with contextlib.ExitStack() as stack:
        words = row.set_up(project, stack) or {}
        before = files_of(project)
        done = run_aqe(project, *(word.format(**words) for word in row.command), inside=row.inside)
    assert done.returncode == row.status, done.stderr
    assert row.status in EXIT_STATUSES
    assert "Traceback" not in done.stdout + done.stderr
    assert row.words in done.stdout + done.stderr
    if row.code:
        assert row.code in CODES
        assert done.stderr.endswith(f"[{row.code}]\n")
        assert done.stderr.count("\n") == 1
    after = project.with_name("project.after") if row.inside == FULL_DISK else project
    written = {name: data for name, data in files_of(after).items() if name not in before}
    assert {name: data for name, data in files_of(after).items() if name in before} == before
    assert not written or row.status == 0
    assert all(data.startswith(b"# Written by aqe") for data in written.values())
    assert not any(path.name.endswith(".part") for path in after.rglob("*"))
    assert all(path.read_bytes() for path in (after / ".aqe").glob(".gitignore*"))
    if row.then is not None:
        row.then(after)
