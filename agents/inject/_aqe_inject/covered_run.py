"""Starts pytest under coverage (`python -m _aqe_inject.covered_run ARGS`), or reports a data file (`--data FILE`).

The first word is the side folder with aqe's own pytest and coverage, or "-". pytest-cov is told to stand back, since
two measurements in one process disturb each other.
"""

import importlib.util
import os
import sys
from typing import List


def main(words: List[str]) -> int:
    """Run, report, and return pytest's status."""
    side, rest = words[0], words[1:]
    if side != "-":
        sys.path.append(side)
    if importlib.util.find_spec("coverage") is None:
        sys.stderr.write("coverage cannot be imported\n")
        return 126
    from . import covering

    if rest[0] == "--data":
        return _report(rest[1], rest[2])
    covering.begin()
    import pytest

    status = int(pytest.main(_without_pytest_cov(rest)))
    covering.finish()
    covering.write_answer(status)
    return status


def _without_pytest_cov(words: List[str]) -> List[str]:
    loaded = importlib.util.find_spec("pytest_cov") is not None and not os.environ.get("PYTEST_DISABLE_PLUGIN_AUTOLOAD")
    return ["--no-cov", *words] if loaded else words


def _report(data: str, folder: str) -> int:
    from . import covering

    cover = covering.configured(data)
    told = covering.report(cover, None, os.path.join(folder, "coverage.json"))
    covering._write(os.path.join(folder, "run.json"), dict(told, status=0, cut=False, test=""))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
