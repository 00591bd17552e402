"""A project with everything that a recorder may overlook, and how the selector's tests run things."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

import aqe.agents.inject
from aqe.agents.select.impact_map import ImpactMap, load, update
from aqe.engine.memory.opening import open_store

INJECT = Path(next(iter(aqe.agents.inject.__path__)))
FILES = {
    "pyproject.toml": '[project]\nname = "thing"\nversion = "0"\n[tool.pytest.ini_options]\ntestpaths = ["tests"]\n',
    "thing/__init__.py": "",
    "thing/consts.py": "FACTOR = 2\n",
    "thing/lone.py": "def alone():\n    return 1\n",
    "thing/resource.py": """
def open_resource():
    return {"open": True}


def close_resource(resource):
    resource["open"] = False
""",
    "thing/core.py": """
import functools
import threading

from thing.consts import FACTOR


def double(number):
    return number * FACTOR


def at_import(number):
    return number + 1


LIMIT = at_import(3)


def in_thread(out):
    out.append(double(1))


def started():
    out = []
    thread = threading.Thread(target=in_thread, args=(out,))
    thread.start()
    thread.join()
    return out


class Box:
    size = 3

    @property
    def volume(self):
        return self.size ** 3


@functools.lru_cache(None)
def cached():
    return built()


def built():
    return 5


def unused():
    return 1


async def later():
    return 7


def main():
    print(double(21))


if __name__ == "__main__":
    main()
""",
    "tests/conftest.py": """
import pytest
from thing.resource import close_resource, open_resource


@pytest.fixture(scope="session")
def resource():
    opened = open_resource()
    yield opened
    close_resource(opened)
""",
    "tests/data/in.txt": "hello\n",
    "tests/test_core.py": """
import asyncio
import importlib
import pathlib
import subprocess
import sys

from thing.core import LIMIT, Box, cached, double, later, started

HERE = pathlib.Path(__file__).parent


def test_double():
    assert double(2) == 4


def test_thread():
    assert started() == [2]


def test_box():
    assert Box().volume == 27


def test_cached_first():
    assert cached() == 5


def test_cached_second():
    assert cached() == 5


def test_limit():
    assert LIMIT == 4


def test_uses(resource):
    assert resource["open"]


def test_uses_too(resource):
    assert resource["open"]


def test_plain():
    assert True


def test_reads():
    assert (HERE / "data" / "in.txt").read_text() == "hello\\n"


def test_dynamic():
    assert importlib.import_module("thing.lone").alone() == 1


def test_later():
    assert asyncio.run(later()) == 7
""",
    "tests/test_processes.py": """
import multiprocessing
import pathlib
import subprocess
import sys

ROOT = pathlib.Path(__file__).parent.parent


def in_child(queue):
    from thing.core import unused

    queue.put(unused())


def run(kind):
    context = multiprocessing.get_context(kind)
    queue = context.Queue()
    process = context.Process(target=in_child, args=(queue,))
    process.start()
    assert queue.get() == 1
    process.join()


def test_process():
    done = subprocess.run([sys.executable, "-m", "thing.core"], cwd=ROOT, stdout=subprocess.PIPE, check=True)
    assert done.stdout.strip() == b"42"


def test_killed():
    code = "import os, thing.core; thing.core.double(1); os.kill(os.getpid(), 9)"
    assert subprocess.run([sys.executable, "-c", code], cwd=ROOT).returncode == -9


def test_alone():
    subprocess.run([sys.executable, "-I", "-c", "pass"], check=True)


def test_fork():
    run("fork")


def test_spawn():
    run("spawn")
""",
}


def write(folder: Path, files: dict[str, str]) -> Path:
    """A project of these files."""
    for name, text in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    return folder


def record(folder: Path, *args: str, **environ: str) -> subprocess.CompletedProcess[str]:
    """Run the suite with `--aqe-map`, as a user does."""
    kept = {name: value for name, value in os.environ.items() if not name.lstrip("_").startswith(("PYTEST", "AQE"))}
    kept |= {"PYTHONPATH": str(INJECT), "PYTHONDONTWRITEBYTECODE": "1", "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"}
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-p", "_aqe_inject.plugin", "--aqe-map"]
    return subprocess.run(
        [*command, *args], cwd=folder, env=kept | environ, capture_output=True, text=True, timeout=120, check=False
    )


def take(folder: Path) -> ImpactMap:
    """The map after what lies in the spool was taken."""
    with open_store(folder) as store:
        update(store, folder)
        found = load(store)
    assert found is not None
    return found


def parts_of(found: ImpactMap, test: str) -> set[str]:
    """What a test depends on, as `file:name`."""
    return {":".join(found.parts[number][:2]) for number in found.tests[test].parts}


@pytest.fixture
def thing(tmp_path: Path) -> Path:
    """The project, not recorded yet."""
    return write(tmp_path / "project", FILES)


@pytest.fixture(scope="module")
def recorded(tmp_path_factory: pytest.TempPathFactory) -> ImpactMap:
    """The map of one run of the project's whole suite."""
    folder = write(tmp_path_factory.mktemp("recorded"), FILES)
    done = record(folder)
    assert "what 17 tests executed is mapped" in done.stdout, done.stdout + done.stderr
    return take(folder)
