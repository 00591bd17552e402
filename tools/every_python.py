"""Run the fast suite against a built wheel under every newer CPython that starts here, and the harness's tests
under the older ones: `python tools/every_python.py [pytest args]`.

aqe itself needs 3.11; what it injects into a project must run from 3.9 on. This Python runs the whole suite from the
tree (`make test`); of the wheel it runs what an install changes - kernels, data files, entry points - or all of it
where no newer CPython was found. Prints which interpreters were found, runs all of them, fails when one failed.
"""

from __future__ import annotations

import ast
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any

import installed_suite
import interpreters

ROOT = Path(__file__).resolve().parent.parent
WORK = ROOT / ".work"
INJECT = ROOT / "agents" / "inject"
NEWER = [f"3.{minor}" for minor in range(11, 20) if minor != sys.version_info.minor]
OLDER = ("3.9", "3.10")
OF_THE_INSTALL = (
    *("tests/simd", "tests/hygiene", "tests/engine/embedding", "tests/engine/knowledge", "tests/agents/test_plugin.py"),
    *("tests/server/test_cli.py", "tests/server/test_claude_plugin.py", "tests/server/test_doctor.py"),
)
"""The tests of what lies differently in a wheel than in the tree."""


def is_harness_test(path: Path) -> bool:
    """Does a test file need nothing but pytest, the standard library and the injected package?"""
    needed = set()
    for node in ast.walk(ast.parse(path.read_bytes())):
        if isinstance(node, ast.Import):
            needed |= {alias.name.split(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.level == 0 and node.module:
            needed.add(node.module.split(".")[0])
    return "_aqe_inject" in needed and not needed - sys.stdlib_module_names - {"pytest", "_aqe_inject"}


def harness_tests() -> list[str]:
    """The test files that can run under the older interpreters."""
    found = (path for path in (ROOT / "tests" / "agents").rglob("test_*.py") if is_harness_test(path))
    return [path.relative_to(ROOT / "tests").as_posix() for path in sorted(found)]


def import_all(python: str) -> int:
    """Import every injected module under `python`, each in one process, with nothing installed."""
    names = sorted(path.stem for path in (INJECT / "_aqe_inject").glob("*.py") if path.stem != "__main__")
    needs_pytest = "pytest"
    code = f"""
import importlib, sys
sys.dont_write_bytecode = True
sys.path.insert(0, {str(INJECT)!r})
for name in {names!r}:
    try:
        importlib.import_module("_aqe_inject." + name if name != "__init__" else "_aqe_inject")
    except ModuleNotFoundError as error:
        if error.name not in ({needs_pytest!r}, "coverage"):
            raise
"""
    return subprocess.run([python, "-I", "-c", code], cwd=WORK, check=False).returncode


def run_harness(minor: str, python: str) -> tuple[int, str]:
    """Run the harness tests in an environment that holds pytest alone, away from aqe's own sources; the status, and
    what was said."""
    if status := import_all(python):
        return status, ""
    home, tree = WORK / f"harness-py{minor}", WORK / f"harness-py{minor}-tests"
    subprocess.run([python, "-m", "venv", "--clear", str(home)], check=True)
    inside = str(home / "bin" / "python")
    quiet = [inside, "-m", "pip", "--disable-pip-version-check", "install", "--quiet", "--no-compile"]
    subprocess.run([*quiet, "pytest"], check=True)
    shutil.rmtree(tree, ignore_errors=True)
    tree.mkdir()
    (tree / "pytest.ini").write_text("[pytest]\n", encoding="utf-8")  # the settings above are for newer ones
    for name in (chosen := harness_tests()):
        (tree / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(ROOT / "tests" / name, tree / name)
    if not chosen:
        return 0, "no test file needs only the injected package: every module was imported, nothing more\n"
    environ = {**os.environ, "PYTHONPATH": str(INJECT), "PYTHONDONTWRITEBYTECODE": "1"}
    command = [inside, "-m", "pytest", "-q", "-p", "no:cacheprovider", "--import-mode=importlib", *chosen]
    done = subprocess.run(command, cwd=tree, env=environ, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, check=False)
    return done.returncode, done.stdout.decode(errors="replace")


def prepared(
    minor: str, python: str, wheel: Future[Path], paths: tuple[str, ...]
) -> tuple[int, tuple[str, Path] | None]:
    """The status of an install of the wheel; its interpreter and the folder to test it from, or None if it failed."""
    try:
        return 0, installed_suite.prepare(python, wheel.result(), f"wheel-py{minor}", *paths)
    except SystemExit as failed:
        return int(failed.code or 1), None


def clocked(work: Callable[..., Any], *given: Any) -> tuple[Any, float]:
    """What the work gives, and the seconds that it took."""
    start = time.monotonic()
    return work(*given), time.monotonic() - start


def main() -> int:
    """Find, tell, make ready what takes one processor each beside each other, run."""
    WORK.mkdir(exist_ok=True)
    found = {minor: python for minor in (*OLDER, *NEWER) if (python := interpreters.find(minor))}
    this = ".".join(map(str, sys.version_info[:2]))
    print(f"this one: {this} - found besides: {', '.join(found) or 'none'}", flush=True)
    whole = {minor: python for minor, python in found.items() if minor in NEWER}
    results = {}
    with ThreadPoolExecutor(int(os.environ.get("WORKERS", "2"))) as pool:
        wheel = pool.submit(installed_suite.build_wheel, "wheel")
        harness = {minor: pool.submit(clocked, run_harness, minor, found[minor]) for minor in OLDER if minor in found}
        newest = [*whole.items(), (this, sys.executable)]
        some = {minor: OF_THE_INSTALL if minor == this and whole else () for minor, _ in newest}
        ready = {minor: pool.submit(clocked, prepared, minor, at, wheel, some[minor]) for minor, at in newest}
    for minor, job in harness.items():
        (status, said), took_s = job.result()
        print(f"\n== CPython {minor}: the injected harness\n{said}", end="", flush=True)
        results[minor] = told(status, took_s)
    for minor, job in ready.items():
        print(f"\n== CPython {minor}: the {'tests of an install' if some[minor] else 'fast suite'}", flush=True)
        (status, place), took_s = job.result()
        if place:
            status, more_s = clocked(installed_suite.run_suite, *place, [*sys.argv[1:], *some[minor]])
            took_s += more_s
        results[minor] = told(status, took_s)
    for minor, result in results.items():
        print(f"CPython {minor}: {result}")
    return 1 if any("FAILED" in result for result in results.values()) else 0


def told(status: int, took_s: float) -> str:
    """How a run ended, as one phrase."""
    return f"{'passed' if status == 0 else f'FAILED (exit {status})'} in {took_s:.0f} s"


if __name__ == "__main__":
    sys.exit(main())
