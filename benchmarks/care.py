"""What the care of a store costs: `python benchmarks/care.py [--memories N ...] [--json]`.

A store of N memories (40 words, 384 numbers each) on this machine's disk, one call of each, in seconds: a whole backup,
an increment after one memory in a hundred changed, verify, a snapshot, diff, rollback, restores, a change of the key,
and the repair of a file with one page of memories overwritten, in clear and encrypted. Beside the whole backup stands a
plain copy of the file's bytes, which is no backup while somebody writes. A repair runs in a process of its own, whose
largest memory above that of its start is told in MB (on Linux; 0 elsewhere).
"""

from __future__ import annotations

import argparse
import contextlib
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

import numpy as np

from aqe.engine.memory import NewMemory, Store
from aqe.engine.memory.care import Place, back_up, compare, repair, restore, roll_back, take_snapshot, verify
from aqe.engine.memory.care.sealing import seal
from aqe.engine.memory.file.connection import open_connection, transaction
from aqe.engine.memory.file.sums import fill as fill_sums

PAGE = 4096
KEPT = 20
KEY = "AQE_DB_KEY"


def main() -> int:
    """Measure and print; exit 1 where a repair lost more than the page had."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--memories", type=int, nargs="+", default=[2_000, 10_000])
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--repair", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.repair is not None:
        print(json.dumps(repair_here(Place(options.repair, os.environ.get(KEY)))))
        return 0
    rows = [measure(count) for count in options.memories]
    if options.json:
        print(json.dumps({"rows": rows}, indent=1))
    else:
        for name in rows[0]:
            print(f"{name:<22}" + "".join(f"{row[name]:>14,.3f}" for row in rows))
    return 0 if all(row["lost"] < 60 and row["lost encrypted"] < 60 for row in rows) else 1


def measure(count: int) -> dict[str, Any]:
    """One store of `count` memories."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        place = Place(folder / ".aqe" / "aqe.db")
        place.folder.mkdir()
        row: dict[str, Any] = {"memories": count}
        with Store.open(place.path) as store:
            fill(store, count)
            row["snapshot"] = seconds(lambda: take_snapshot(store, "then", kept=KEPT))
            row["copy of bytes"] = seconds(lambda: shutil.copyfile(place.path, folder / "bytes.db"))
            row["backup"] = seconds(lambda: back_up(place, folder / "whole.db"))
            for number in range(0, count, 100):
                store.update(str(number), text=f"changed {number}")
            row["increment"] = seconds(lambda: back_up(place, folder / "since.db", since=folder / "whole.db"))
            row["verify"] = seconds(lambda: verify(place))
            row["checksums"] = sums_made(place)
            row["diff"] = seconds(lambda: compare(place, "then", "now"))
            row["rollback"] = seconds(lambda: roll_back(store, "then", kept=KEPT))
            row["restore"] = seconds(lambda: restore(place, folder / "whole.db"))
            row["restore increment"] = seconds(lambda: restore(place, folder / "since.db"))
        row["whole MB"] = (folder / "whole.db").stat().st_size / 1e6
        row["increment MB"] = (folder / "since.db").stat().st_size / 1e6
        row["repair"], row["lost"], row["repair MB"] = repaired(place, count)
        row["change of key"] = seconds(lambda: seal(place, "a key"))
        sealed = Place(place.path, "a key")
        row["repair encrypted"], row["lost encrypted"], row["repair encrypted MB"] = repaired(
            sealed, count - row["lost"]
        )
        return row


def fill(store: Store, count: int) -> None:
    """Keep `count` memories of random words with random vectors."""
    rng = np.random.default_rng(1)
    words = np.array([f"word{number}" for number in range(5000)])
    for start in range(0, count, 1000):
        store.add_many(
            NewMemory(
                " ".join(rng.choice(words, 40)),
                id=str(number),
                vector=rng.standard_normal(384).tolist(),
                embedder_id="random",
            )
            for number in range(start, min(start + 1000, count))
        )


def sums_made(place: Place) -> float:
    """Give all rows and vectors their checksums, as step 19 does to a store of before it; the seconds."""
    connection = open_connection(place.path, key=place.key)
    try:
        with transaction(connection, place.path):
            connection.execute("UPDATE memories SET vector_sum = NULL, row_sum = NULL")
            return seconds(lambda: fill_sums(connection))
    finally:
        connection.close()


def repaired(place: Place, count: int) -> tuple[float, int, float]:
    """Overwrite a page of memories and repair; the seconds, how many memories are gone, and the memory it took."""
    connection = open_connection(place.path, key=place.key)
    sql = "SELECT pageno FROM dbstat WHERE name = 'memories' AND pagetype = 'leaf' ORDER BY pageno LIMIT 1 OFFSET 5"
    page = int(connection.execute(sql).get)
    connection.close()
    data = bytearray(place.path.read_bytes())
    data[(page - 1) * PAGE : page * PAGE] = b"\xa5" * PAGE
    place.path.write_bytes(data)
    command = [sys.executable, __file__, "--repair", str(place.path)]
    environ = {name: value for name, value in os.environ.items() if name != KEY}
    environ |= {} if place.key is None else {KEY: place.key}
    told = json.loads(subprocess.run(command, env=environ, check=True, stdout=subprocess.PIPE).stdout)
    return told["seconds"], count - told["memories"], told["mb"]


def repair_here(place: Place) -> dict[str, Any]:
    """Repair in this process; the seconds, the memories after it, and the MB of memory above those before it."""
    before, found = resident_kib("VmRSS"), list[int]()
    took = seconds(lambda: found.append(repair(place).memories))
    return {"seconds": took, "memories": found[0], "mb": (resident_kib("VmHWM") - before) * 1024 / 1e6}


def resident_kib(name: str) -> int:
    """A line of what Linux says of this process, in KiB; 0 on other systems."""
    with contextlib.suppress(OSError):
        for line in Path("/proc/self/status").read_text().splitlines():
            if line.startswith(f"{name}:"):
                return int(line.split()[1])
    return 0


def seconds(work: Callable[[], object]) -> float:
    """How long one call takes."""
    began = time.perf_counter()
    work()
    return time.perf_counter() - began


if __name__ == "__main__":
    sys.exit(main())
