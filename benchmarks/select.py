"""What selection misses and what it saves: `python benchmarks/select.py [--mutants N] [--json FILE]`.

One package from PyPI is taken as a source distribution with its own tests. Each mutant changes one function of it; the
whole suite says which tests fail, and `aqe select` must have named every one of them (safety) while naming as few as it
can. testmon selects for the same mutants in the same run, on a copy of its own. Before that, the cost of recording: the
suite's processor time plain, under coverage.py with a context for each test, under testmon, and with `--aqe-map`.
"""

from __future__ import annotations

import sys

if __name__ == "__main__":
    from selection import main

    sys.exit(main())
else:  # "import select" in a benchmark finds this file first: the standard library's module takes its place
    from importlib import import_module
    from pathlib import Path

    _here = Path(__file__).resolve().parent
    _path = list(sys.path)
    sys.path[:] = [place for place in _path if Path(place or ".").resolve() != _here]
    del sys.modules[__name__]
    sys.modules[__name__] = import_module("select")
    sys.path[:] = _path
