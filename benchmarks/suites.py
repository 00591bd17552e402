"""Real packages with the tests that came with them, and which test executed which function, as it was measured.

The source archive of a package is fetched through pip and unpacked; its suite runs once under coverage.py in an
environment of its own, with a context for each test function. Nothing of aqe takes part in that.
"""

from __future__ import annotations

import ast
import json
import os
import shutil
import sqlite3
import subprocess
import sys
import tarfile
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from environments import environment

from aqe.engine.index.indexing import is_test_file

LIMIT_S = 600
TOOLS = (
    "attrs==26.1.0",
    "coverage==7.17.3",
    "face==26.0.1",
    "freezegun==1.5.5",
    "html5lib==1.1",
    "hypothesis==6.170.15",
    "multimethod==2.1",
    "numpy==2.4.6",
    "orderedmultidict==1.0.2",
    "pretend==1.0.9",
    "pytest==9.2.0",
    "pytz==2026.6",
    "referencing==0.37.0",
    "regex==2026.11.15",
    "rpds-py==2026.9.1",
    "simplejson==4.3.0",
    "text-unidecode==1.3",
    "toolz==1.2.0",
)
"""pytest, coverage.py, and what the suites need."""

_RECORDED = """[run]
branch = False
dynamic_context = test_function
data_file = {data}
source = .
"""


@dataclass(frozen=True)
class Suite:
    """A package's tree, and of each of its functions (file, qualified name) the tests (file, qualified name) that
    executed a line of its body."""

    name: str
    root: Path
    covered: Mapping[tuple[str, str], frozenset[tuple[str, str]]]


def read_suite(pin: str, cache: Path) -> Suite | None:
    """The suite of `name==version`, recorded once and kept in `cache`; None where it cannot be had or run."""
    folder = cache / pin.replace("==", "-")
    kept = folder / "covered.json"
    if not kept.exists():
        folder.mkdir(parents=True, exist_ok=True)
        root = _unpacked(pin, folder)
        if root is None:
            print(f"{pin} cannot be had and is left out.", file=sys.stderr)
            return None
        python = environment(cache / "environment", TOOLS)
        covered = {} if not _recorded(python, root, folder) else dict(_read(folder / "data", root))
        shown = [[*function, sorted(tests)] for function, tests in sorted(covered.items())]
        kept.write_text(json.dumps([root.name, shown]), encoding="utf-8")
    name, rows = json.loads(kept.read_text(encoding="utf-8"))
    found = {(file, one): frozenset((test, case) for test, case in tests) for file, one, tests in rows}
    if not found:
        print(f"{pin}: its suite does not run here; it is left out.", file=sys.stderr)
        return None
    return Suite(pin, folder / name, found)


def _unpacked(pin: str, folder: Path) -> Path | None:
    command = [sys.executable, "-m", "pip", "download", "-q", "--disable-pip-version-check", "--no-deps"]
    command += ["--no-binary=:all:", "-d", str(folder), pin]
    if not list(folder.glob("*.tar.gz")) and subprocess.run(command, capture_output=True, check=False).returncode:
        return None
    archive = next(folder.glob("*.tar.gz"), None)
    if archive is None:
        return None
    with tarfile.open(archive) as tar:
        tar.extractall(folder, filter="data")
    return next(path for path in sorted(folder.iterdir()) if path.is_dir())


def _recorded(python: Path, root: Path, folder: Path) -> bool:
    """Run the suite; failing tests are no matter, what ran is recorded."""
    settings = folder / "coverage.ini"
    settings.write_text(_RECORDED.format(data=folder / "data"), encoding="utf-8")
    (folder / "data").unlink(missing_ok=True)
    environ = {name: value for name, value in os.environ.items() if not name.startswith(("PYTEST", "COV"))}
    places = [str(root / "src"), str(root)]
    command = [str(python), "-m", "coverage", "run", f"--rcfile={settings}", "-m", "pytest", "-q", "--maxfail=200"]
    command += ["-p", "no:cacheprovider", "-o", "addopts=", "--continue-on-collection-errors"]
    with (folder / "run.txt").open("w", encoding="utf-8") as log:
        try:
            subprocess.run(
                command,
                cwd=root,
                env=environ | {"PYTHONPATH": os.pathsep.join(places), "PYTHONDONTWRITEBYTECODE": "1"},
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                timeout=LIMIT_S,
                check=False,
            )
        except subprocess.TimeoutExpired:
            return False
    shutil.rmtree(root / ".pytest_cache", ignore_errors=True)
    return (folder / "data").exists()


def _read(data: Path, root: Path) -> Iterator[tuple[tuple[str, str], frozenset[tuple[str, str]]]]:
    """Each function that a test executed, with these tests."""
    from coverage.numbits import numbits_to_nums

    lines: dict[str, dict[int, set[str]]] = defaultdict(lambda: defaultdict(set))
    with sqlite3.connect(data) as connection:
        sql = (
            "SELECT path, context, numbits FROM line_bits JOIN file ON file.id = file_id"
            " JOIN context ON context.id = context_id WHERE context != ''"
        )
        for path, context, bits in connection.execute(sql):
            try:
                name = Path(path).relative_to(root).as_posix()
            except ValueError:
                continue
            for line in numbits_to_nums(bits):
                lines[name][line].add(context)
    named = _tests(root, [name for name in lines if is_test_file(name)])
    for name, by_line in lines.items():
        if is_test_file(name):
            continue
        for function, first, last in _functions(root / name):
            contexts = set().union(*(by_line.get(line, set()) for line in range(first, last + 1)))
            tests = frozenset(named[context] for context in contexts if context in named)
            if tests:
                yield (name, function), tests


def _tests(root: Path, files: Sequence[str]) -> dict[str, tuple[str, str]]:
    """The test that each name of a context stands for: `package.module.Class.test`, by any end of the module's name."""
    found: dict[str, tuple[str, str]] = {}
    for file in files:
        parts = file.rpartition(".")[0].split("/")
        for function, _, _ in _functions(root / file):
            for at in range(len(parts)):
                found.setdefault(".".join([*parts[at:], function]), (file, function))
    return found


def _functions(path: Path) -> Iterator[tuple[str, int, int]]:
    """The functions of a file that are not within another: qualified name, first and last line of the body."""

    def inside(body: Sequence[ast.stmt], before: str) -> Iterator[tuple[str, int, int]]:
        for node in body:
            if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
                yield f"{before}{node.name}", node.body[0].lineno, node.end_lineno or node.lineno
            elif isinstance(node, ast.ClassDef):
                yield from inside(node.body, f"{before}{node.name}.")

    try:
        tree = ast.parse(path.read_bytes())
    except (OSError, SyntaxError, ValueError):
        return
    yield from inside(tree.body, "")
