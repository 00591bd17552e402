"""Run the fast suite against a built wheel: `python tools/installed_suite.py [PYTHON] [--wheel FILE] [pytest args]`.

The wheel is built once (it serves every CPython from 3.11 on), or given, and installed into a fresh environment under
.work/; the tests run from a copy of the tree without the four floors, so that nothing but the installed package can be
imported. What reads sources and documents alone (the mark `tree`) is the same for every Python and is left to
`make test`.
"""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
WORK = ROOT / ".work"
FLOORS = ("server", "agents", "engine", "simd")
FAST = "not services and not nightly and not tree"
IN_BOXES = ("aqe", "pytest", "_pytest", "pluggy", "iniconfig", "packaging", "pygments", "coverage", "xdist", "execnet")


def call(command: list[str], cwd: Path = ROOT, env: dict[str, str] | None = None, silent: bool = False) -> None:
    """Run a command and leave with its status when it fails."""
    print("+", " ".join(command), flush=True)
    done = subprocess.run(command, cwd=cwd, env=env, stdout=subprocess.DEVNULL if silent else None, check=False)
    if done.returncode:
        sys.exit(done.returncode)


def tracked() -> list[str]:
    """Every file of the tree that git does not ignore, or all of them in a tree without git."""
    listed = ["git", "ls-files", "--cached", "--others", "--exclude-standard"]
    if (ROOT / ".git").exists() and shutil.which("git"):
        names = subprocess.run(listed, cwd=ROOT, capture_output=True, text=True, check=True).stdout.splitlines()
        return [name for name in names if (ROOT / name).is_file()]
    hidden = {".venv", ".work", ".links", "build", "dist", "__pycache__"}
    found = (path.relative_to(ROOT) for path in ROOT.rglob("*") if path.is_file())
    return [path.as_posix() for path in found if not hidden & set(path.parts)]


def copy_tree(target: Path, left_out: tuple[str, ...] = ()) -> None:
    """Copy the tree into an empty folder, without the top-level folders named in `left_out`."""
    shutil.rmtree(target, ignore_errors=True)
    for name in tracked():
        if name.split("/")[0] not in left_out:
            (target / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(ROOT / name, target / name)


def build_wheel(name: str) -> Path:
    """Build the wheel from a copy of the tree, so that no leftover of an editable build slips into it."""
    source, out = WORK / f"{name}-source", WORK / f"{name}-dist"
    copy_tree(source)
    shutil.rmtree(out, ignore_errors=True)
    call([sys.executable, "-m", "build", "--wheel", "--outdir", str(out), str(source)], silent=True)
    shutil.rmtree(source)
    return next(out.glob("*.whl"))


def install(python: str, wheel: Path, name: str) -> str:
    """Make a fresh environment with the wheel and the test group in it, by this Python's pip; return its interpreter.

    Byte code is made at once for what the boxes of user code import, since they write none, and for the rest by what
    imports it first: pip would take longer for that than for all else.
    """
    home = WORK / f"{name}-venv"
    shutil.rmtree(home, ignore_errors=True)
    call([python, "-m", "venv", "--without-pip", str(home)])
    inside = str(home / "bin" / "python")
    pip = [sys.executable, "-m", "pip", "--disable-pip-version-check", "--python", inside, "install", "--quiet"]
    call([*pip, "--no-compile", str(wheel), "--group", f"{ROOT / 'pyproject.toml'}:test"])
    packages = next(home.glob("lib/python*/site-packages"))
    compiled = [str(packages / package) for package in IN_BOXES if (packages / package).exists()]
    call([inside, "-m", "compileall", "-q", *compiled])
    return inside


def prepare(python: str, wheel: Path, name: str, *paths: str) -> tuple[str, Path]:
    """An environment with the wheel and a copy of the tree without the floors: the interpreter and the folder.

    The tests of `paths` (else all) are collected once, so that they are compiled and no worker has to do it again.
    """
    inside = install(python, wheel, name)
    tree = WORK / f"{name}-tree"
    copy_tree(tree, left_out=FLOORS)
    if not sys.dont_write_bytecode:
        call([inside, "-m", "pytest", "--collect-only", "-q", *paths], tree, own_environment(inside), silent=True)
    return inside, tree


def own_environment(inside: str) -> dict[str, str]:
    """The variables of a process that finds the installed commands, and no package from elsewhere."""
    environ = {key: value for key, value in os.environ.items() if key not in ("PYTHONPATH", "VIRTUAL_ENV")}
    return {**environ, "PATH": os.pathsep.join([str(Path(inside).parent), environ.get("PATH", os.defpath)])}


def run_suite(inside: str, tree: Path, arguments: list[str]) -> int:
    """Run the fast suite from the copy with the installed package; the status of pytest."""
    command = [inside, "-m", "pytest", "-n", os.environ.get("WORKERS", "2"), "-m", FAST, "-q", *arguments]
    print("+", " ".join(command), flush=True)
    return subprocess.run(command, cwd=tree, env=own_environment(inside), check=False).returncode


def main(python: str, wheel: Path | None, arguments: list[str]) -> int:
    """Build, install, copy, test."""
    version = subprocess.run(
        [python, "-c", "import sys; print('%d.%d' % sys.version_info[:2])"], capture_output=True, text=True, check=True
    ).stdout.strip()
    return run_suite(*prepare(python, wheel or build_wheel("wheel"), f"wheel-py{version}"), arguments)


if __name__ == "__main__":
    words = sys.argv[1:]
    python = words.pop(0) if words and not words[0].startswith("-") else sys.executable
    parser = argparse.ArgumentParser(
        usage="%(prog)s [PYTHON] [--wheel FILE] [pytest args]", description="Run the fast suite against a built wheel."
    )
    parser.add_argument("--wheel", type=Path, metavar="FILE", help="a wheel that is built already")
    told, rest = parser.parse_known_args(words)
    sys.exit(main(python, told.wheel, rest))
