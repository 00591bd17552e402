"""What the project index costs: the first run, one over an unchanged project, one after a file changed.

python benchmarks/index.py [PROJECT] [--words] [--json]

PROJECT (default: this repository) is copied to a temporary folder first, so that its own `.aqe` is left alone and
files can be changed. Times are processor time in ms, of this process and of the git that it asks; --words leaves the
embedder out.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from aqe.engine.index import IndexReport, index_project, index_scope
from aqe.engine.index.files import find_files
from aqe.engine.memory import Store

ROOT = Path(__file__).resolve().parent.parent
SETTLE_S = 2.5  # a file that changed less long ago is read again


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("project", nargs="?", type=Path, default=ROOT)
    parser.add_argument("--words", action="store_true", help="without the embedder")
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    figures = measure(options.project.resolve(), None if options.words else the_embedder())
    if options.json:
        print(json.dumps(figures))
        return
    for name, figure in figures.items():
        print(f"{name:<34}{figure:>14,.1f}")


def the_embedder() -> Any:
    """The built-in one, opened before anything is timed."""
    from aqe.engine.embedding import open_embedder
    from aqe.engine.settings import load_settings

    embedder = open_embedder(load_settings(ROOT))
    embedder.embed(["warm"])
    return embedder


def measure(project: Path, embedder: Any) -> dict[str, float]:
    """All figures of one run, in the order of the table."""
    with tempfile.TemporaryDirectory() as folder:
        copy = Path(folder) / "project"
        for file in find_files(project)[0]:
            target = copy / file.path.relative_to(project)
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(file.path, target)
        if shutil.which("git"):
            subprocess.run(["git", "init", "-q", str(copy)], check=True)
        time.sleep(SETTLE_S)
        with Store.open(Path(folder) / "aqe.db") as store:

            def run() -> IndexReport:
                return index_project(store, embedder, copy)

            report, first = timed(run)
            size = sum(store.stats().bytes.values())
            _, unchanged = timed(run)
            files = find_files(copy)[0]
            for file in files:
                os.utime(file.path)
            time.sleep(SETTLE_S)
            touched, touching = timed(run)
            source = next(file.path for file in files if file.path.suffix == ".py" and file.size > 2000)
            source.write_text(source.read_text(encoding="utf-8") + "\n\ndef added() -> int:\n    return 1\n")
            changed, changing = timed(run)
            store.search("added", namespace=index_scope(store))
        return {
            "files": report.files,
            "passages": report.passages,
            "first run ms": first,
            "passages a second": report.passages / first * 1000,
            "unchanged ms": unchanged,
            "all touched, none changed ms": touching,
            "files read then": touched.read,
            "one file changed ms": changing,
            "files written then": changed.changed,
            "bytes a passage": size / max(1, report.passages),
        }


def timed(work: Callable[[], IndexReport]) -> tuple[IndexReport, float]:
    """What `work` gives, and its processor time in ms with that of the processes it started."""
    start = os.times()
    report = work()
    end = os.times()
    return report, 1000 * (sum(end[:4]) - sum(start[:4]))


if __name__ == "__main__":
    sys.exit(main())
