"""What the pytest plugin costs a test run: `python benchmarks/plugin.py [--runs N]`.

Prints the processor time that importing and configuring the plugin takes inside a pytest process when it is off (bar:
5 ms), the same measured from outside as the difference of whole runs, and the cost per recorded test when it is on.
"""

from __future__ import annotations

import argparse
import os
import re
import resource
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

BAR_MS = 5.0
TESTS = 2000

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


def run(folder: Path, *args: str) -> tuple[float, str]:
    """Processor seconds (user and system) and output of one process in `folder`."""
    environ = os.environ | {"PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1", "PYTHONHASHSEED": "0"}
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    done = subprocess.run([sys.executable, *args], cwd=folder, env=environ, capture_output=True, text=True, check=True)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    spent = after.ru_utime - before.ru_utime + after.ru_stime - before.ru_stime
    return spent, done.stdout


def off_inside_ms(folder: Path, runs: int) -> float:
    """Median milliseconds spent in the plugin's own import and hooks, off."""
    (folder / "probe.py").write_text(PROBE, encoding="utf-8")
    spent = []
    for _ in range(runs):
        match = re.search(r"SPENT_MS ([0-9.]+)", run(folder, "probe.py", "test_one.py")[1])
        if match is None:
            raise RuntimeError("the probe printed no figure")
        spent.append(float(match[1]))
    return statistics.median(spent)


def difference_ms(folder: Path, runs: int, without: tuple[str, ...], with_it: tuple[str, ...], test: str) -> float:
    """Milliseconds by which runs with the second arguments are dearer, alternating, by their lower quartiles."""
    base, more = [], []
    for _ in range(runs):
        base.append(run(folder, "-m", "pytest", "-q", "-p", "no:cacheprovider", *without, test)[0])
        more.append(run(folder, "-m", "pytest", "-q", "-p", "no:cacheprovider", *with_it, test)[0])
    return 1000 * (statistics.quantiles(more, n=4)[0] - statistics.quantiles(base, n=4)[0])


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--runs", type=int, default=15, help="runs of each kind")
    runs = parser.parse_args().runs
    plugin = ("-p", "aqe.agents.plugin")
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "pytest.ini").write_text("[pytest]\n", encoding="utf-8")
        (folder / "test_one.py").write_text("def test_one(): pass\n", encoding="utf-8")
        many = f"import pytest\n@pytest.mark.parametrize('x', range({TESTS}))\ndef test_many(x): pass\n"
        (folder / "test_many.py").write_text(many, encoding="utf-8")
        inside = off_inside_ms(folder, runs)
        outside = difference_ms(folder, runs, (), plugin, "test_one.py")
        recording = difference_ms(folder, max(3, runs // 5), plugin, (*plugin, "--aqe"), "test_many.py")
    print(f"off, import and hooks, inside the process   {inside:7.2f} ms   (bar {BAR_MS:g} ms)")
    print(f"off, difference of whole runs               {outside:7.2f} ms")
    print(f"on, per recorded test                       {recording / TESTS:7.3f} ms   ({TESTS} tests)")
    return 0 if inside <= BAR_MS else 1


if __name__ == "__main__":
    raise SystemExit(main())
