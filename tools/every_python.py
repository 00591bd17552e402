"""Run the suite under every newer CPython that starts here, and the injected harness's tests under the older ones.

aqe itself needs 3.11; what it injects into a project must run from 3.9 on. Prints which interpreters were found, runs
all of them, and fails when one failed.
"""

from __future__ import annotations

import ast
import os
import shutil
import subprocess
import sys
from pathlib import Path

import interpreters

ROOT = Path(__file__).resolve().parent.parent
WORK = ROOT / ".work"
INJECT = ROOT / "agents" / "inject"
NEWER = [f"3.{minor}" for minor in range(11, 20) if minor != sys.version_info.minor]
OLDER = ("3.9", "3.10")


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


def run_harness(minor: str, python: str) -> int:
    """Run the harness tests in an environment that holds pytest alone, away from aqe's own sources."""
    if status := import_all(python):
        return status
    home, tree = WORK / f"harness-py{minor}", WORK / f"harness-py{minor}-tests"
    subprocess.run([python, "-m", "venv", "--clear", str(home)], check=True)
    inside = str(home / "bin" / "python")
    quiet = [inside, "-m", "pip", "--disable-pip-version-check", "install", "--quiet"]
    subprocess.run([*quiet, "pytest"], check=True)
    shutil.rmtree(tree, ignore_errors=True)
    tree.mkdir()
    (tree / "pytest.ini").write_text("[pytest]\n", encoding="utf-8")  # the settings above are for newer ones
    for name in (chosen := harness_tests()):
        (tree / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(ROOT / "tests" / name, tree / name)
    if not chosen:
        print("no test file needs only the injected package: every module was imported, nothing more")
        return 0
    environ = {**os.environ, "PYTHONPATH": str(INJECT), "PYTHONDONTWRITEBYTECODE": "1"}
    command = [inside, "-m", "pytest", "-q", "-p", "no:cacheprovider", "--import-mode=importlib", *chosen]
    return subprocess.run(command, cwd=tree, env=environ, check=False).returncode


def main() -> int:
    """Find, tell, run."""
    WORK.mkdir(exist_ok=True)
    found = {minor: python for minor in (*OLDER, *NEWER) if (python := interpreters.find(minor))}
    this = ".".join(map(str, sys.version_info[:2]))
    print(f"this one: {this} - found besides: {', '.join(found) or 'none'}", flush=True)
    results = {}
    for minor, python in found.items():
        print(f"\n== CPython {minor}: {'the injected harness' if minor in OLDER else 'the fast suite'}", flush=True)
        if minor in OLDER:
            results[minor] = run_harness(minor, python)
        else:
            suite = [sys.executable, str(ROOT / "tools" / "installed_suite.py"), python]
            results[minor] = subprocess.run(suite, check=False).returncode
    for minor, status in results.items():
        print(f"CPython {minor}: {'passed' if status == 0 else f'FAILED (exit {status})'}")
    return 1 if any(results.values()) else 0


if __name__ == "__main__":
    sys.exit(main())
