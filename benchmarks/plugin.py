"""What the pytest plugin costs a test run: `python benchmarks/plugin.py [--runs N] [--installed] [--json FILE]`.

Off (bar: 5 ms): processor time of its import and hooks inside a pytest process; whole runs with it against whole runs
with an empty plugin that is named the same way, as paired differences of processor time; and, where valgrind is found,
the same as instructions, which come out the same under any load. An empty plugin is the unit because `-p NAME` makes
pytest look through all installed distributions, whatever NAME is. `--installed` builds a wheel and compares an
environment that has it with one that has not: pytest reads the list of files of each distribution that brings a
plugin, so that costs more than the plugin does. On: the cost per recorded test.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import shutil
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import platformdirs
from environments import environment

BAR_MS = 5.0
TESTS = 2000
ROOT = Path(__file__).resolve().parent.parent
PYTEST = ("-m", "pytest", "-q", "-p", "no:cacheprovider")
PLUGIN, EMPTY = ("-p", "aqe.agents.plugin"), ("-p", "nothing_at_all")

PROBE = """
import sys, time
import pytest

class Clock:
    def __init__(self):
        self.spent = 0.0

clock = Clock()
start = time.process_time()
import aqe.agents.plugin as plugin
clock.spent += time.process_time() - start

for name in ("pytest_addoption", "pytest_configure"):
    def timed(function):
        import functools, inspect
        @functools.wraps(function)
        def wrapper(*args, **kwargs):
            start = time.process_time()
            try:
                return function(*args, **kwargs)
            finally:
                clock.spent += time.process_time() - start
        return wrapper
    setattr(plugin, name, timed(getattr(plugin, name)))

status = pytest.main(["-q", "-p", "no:cacheprovider", "-p", "aqe.agents.plugin", *sys.argv[1:]])
print("SPENT_MS", 1000 * clock.spent)
"""


def main() -> int:
    """Measure, print the table, write the JSON; 1 where a figure that the load does not blur is over the bar."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--runs", type=int, default=30, help="runs of each kind")
    parser.add_argument(
        "--installed", action="store_true", help="also build a wheel and install it (needs the network)"
    )
    parser.add_argument("--json", type=Path, help="write the figures here")
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = make_project(Path(name))
        found: dict[str, Any] = {"runs": asked.runs, "bar_ms": BAR_MS, "load": os.getloadavg()[0]}
        found["inside_ms"] = inside_ms(folder, asked.runs)
        found["whole"] = compare(
            folder, asked.runs, ([sys.executable, *PYTEST, *EMPTY, "test_one.py"], {}),
            ([sys.executable, *PYTEST, *PLUGIN, "test_one.py"], {}),
        )  # fmt: skip
        if asked.installed:
            found["installed"] = installed(folder, asked.runs)
        recording = compare(
            folder, max(3, asked.runs // 6), ([sys.executable, *PYTEST, *PLUGIN, "test_many.py"], {}),
            ([sys.executable, *PYTEST, *PLUGIN, "--aqe", "test_many.py"], {}), count=False,
        )  # fmt: skip
        found["recorded_test_ms"] = recording["difference_ms"] / TESTS
    show(found)
    if asked.json:
        asked.json.write_text(json.dumps(found, indent=1) + "\n")
    rows = [found["whole"], found.get("installed", {})]
    return int(max(found["inside_ms"], *(row.get("instructions_ms", 0.0) for row in rows)) > BAR_MS)


def make_project(folder: Path) -> Path:
    """One test, many tests, and a plugin with nothing in it."""
    (folder / "pytest.ini").write_text("[pytest]\n", encoding="utf-8")
    (folder / "nothing_at_all.py").write_text("", encoding="utf-8")
    (folder / "test_one.py").write_text("def test_one(): pass\n", encoding="utf-8")
    many = f"import pytest\n@pytest.mark.parametrize('x', range({TESTS}))\ndef test_many(x): pass\n"
    (folder / "test_many.py").write_text(many, encoding="utf-8")
    (folder / "probe.py").write_text(PROBE, encoding="utf-8")
    return folder


def environ_of(folder: Path, more: Mapping[str, str]) -> dict[str, str]:
    """The same hash seed for all, no plugins but those that are named unless `more` says so."""
    plain = {"PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1", "PYTHONHASHSEED": "0", "PYTHONPATH": str(folder)}
    return {name: value for name, value in (os.environ | plain | more).items() if value}


def spent_ms(folder: Path, command: Sequence[str], more: Mapping[str, str]) -> float:
    """Processor time of one process, user and system."""
    process = subprocess.Popen(command, cwd=folder, env=environ_of(folder, more), stdout=subprocess.DEVNULL)
    _, status, used = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise SystemExit(f"{command} exited with {process.returncode}")
    return (used.ru_utime + used.ru_stime) * 1000


def instructions(folder: Path, command: Sequence[str], more: Mapping[str, str]) -> int | None:
    """Instructions that one process executes, by valgrind; None where there is none."""
    valgrind = shutil.which("valgrind")
    if valgrind is None:
        return None
    watch = [valgrind, "--tool=cachegrind", "--cache-sim=no", "--cachegrind-out-file=/dev/null"]
    done = subprocess.run(
        [*watch, *command], cwd=folder, env=environ_of(folder, more), capture_output=True, text=True, check=False
    )
    counted = re.search(r"I\s+refs:\s+([\d,]+)", done.stderr)
    return int(counted[1].replace(",", "")) if counted else None


def compare(
    folder: Path,
    runs: int,
    less: tuple[Sequence[str], Mapping[str, str]],
    more: tuple[Sequence[str], Mapping[str, str]],
    *,
    count: bool = True,
) -> dict[str, float]:
    """By how much the second command is dearer: median of paired differences, its quartiles, and instructions.

    `instructions_ms` is the share of instructions that the second has more, of the first one's processor time.
    """
    pairs = [[spent_ms(folder, *one) for one in (less, more)]]  # warms the caches, and is dropped
    pairs = []
    for number in range(runs):
        order = (less, more) if number % 2 else (more, less)
        times = [spent_ms(folder, *one) for one in order]
        pairs.append(times if number % 2 else times[::-1])
    differences = [second - first for first, second in pairs]
    quartiles = statistics.quantiles(differences, n=4)
    found = {
        "base_ms": statistics.median(first for first, _ in pairs),
        "difference_ms": statistics.median(differences),
        "lower_quartile_ms": quartiles[0],
        "upper_quartile_ms": quartiles[2],
    }
    counts = [instructions(folder, *one) for one in (less, more)] if count else [None, None]
    if counts[0] and counts[1]:
        found |= {"base_instructions": counts[0], "more_instructions": counts[1] - counts[0]}
        quiet = min(first for first, _ in pairs)
        found["instructions_ms"] = quiet * (counts[1] - counts[0]) / counts[0]
    return found


def inside_ms(folder: Path, runs: int) -> float:
    """Median milliseconds spent in the plugin's own import and hooks, off."""
    spent = []
    for _ in range(runs):
        done = subprocess.run(
            [sys.executable, "probe.py", "test_one.py"],
            cwd=folder, env=environ_of(folder, {}), capture_output=True, text=True, check=True,
        )  # fmt: skip
        match = re.search(r"SPENT_MS ([0-9.]+)", done.stdout)
        if match is None:
            raise SystemExit("the probe printed no figure")
        spent.append(float(match[1]))
    return statistics.median(spent)


def installed(folder: Path, runs: int) -> dict[str, float]:
    """An environment with aqe's wheel, installed without what it needs, against one without it; entry points load."""
    python = environment(Path(platformdirs.user_cache_dir("aqe")) / "benchmarks" / "plugin", ["pytest==8.4.2"])
    pip = [str(python), "-m", "pip", "--disable-pip-version-check"]
    target = folder / "installed"
    subprocess.run([*pip, "install", "-q", "--no-deps", "--target", str(target), str(ROOT)], check=True)
    record = next(target.glob("aqe-*.dist-info/RECORD")).read_text("utf-8").splitlines()
    command = [str(python), *PYTEST, "test_one.py"]
    loads = {"PYTEST_DISABLE_PLUGIN_AUTOLOAD": "", "PYTHONPATH": ""}
    found = compare(folder, runs, (command, loads), (command, loads | {"PYTHONPATH": str(target)}))
    blocked = compare(
        folder, runs, ([*command, "-p", "no:aqe"], loads | {"PYTHONPATH": str(target)}),
        (command, loads | {"PYTHONPATH": str(target)}),
    )  # fmt: skip
    found["files"] = len(record)
    return found | {f"plugin_{name}": value for name, value in blocked.items()}


def show(found: Mapping[str, Any]) -> None:
    """The table."""
    print(f"| off (bar {BAR_MS:g} ms; load {found['load']:.1f}) | ms | quartiles | instructions | as ms |")
    print("|---|---|---|---|---|")
    print(f"| import and hooks, inside the process | {found['inside_ms']:.2f} | | | |")
    rows = {"whole runs, against an empty plugin": ("whole", "")}
    if "installed" in found:
        files = found["installed"]["files"]
        rows[f"a wheel of {files} files installed, against none"] = ("installed", "")
        rows["of that, the plugin itself"] = ("installed", "plugin_")
    for what, (key, prefix) in rows.items():
        row = {name.removeprefix(prefix): value for name, value in found[key].items() if name.startswith(prefix)}
        spread = f"{row['lower_quartile_ms']:.1f} to {row['upper_quartile_ms']:.1f}"
        counted = f"{row['more_instructions']:,}" if "more_instructions" in row else ""
        as_ms = f"{row['instructions_ms']:.2f}" if "instructions_ms" in row else ""
        print(f"| {what} | {row['difference_ms']:.2f} | {spread} | {counted} | {as_ms} |")
    print(f"On: {found['recorded_test_ms']:.3f} ms per recorded test ({TESTS} tests).")


if __name__ == "__main__":
    sys.exit(main())
