"""The test generator beside Pynguin on public modules: `python benchmarks/testgen.py [--modules M ...] [--seeds N]`.

Makes a virtual environment with the pinned subjects and Pynguin, lets both write tests for each module (Pynguin inside
aqe's sandbox, mutation-analysis assertions), and judges both by the same gate with the same mutants. Prints a table of
medians over the seeds and writes all figures to a JSON file.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import platformdirs
from environments import environment

from aqe.agents.gate.box import Box, BoxSpec, Limits
from aqe.agents.gate.evidence import Evidence
from aqe.agents.gate.verify import VerifyRequest, verify
from aqe.agents.generate import GenerateRequest, generate
from aqe.engine.errors import AqeError

SUBJECTS = {
    "inflection": "inflection==0.5.1",
    "isodate.isoduration": "isodate==0.7.2",
    "jsonpointer": "jsonpointer==3.0.0",
    "semver.version": "semver==3.0.4",
    "cachetools.keys": "cachetools==5.5.2",
    "slugify.slugify": "python-slugify==8.0.4",
}
PYNGUIN = "pynguin==0.48.0"
PYTEST = "pytest==8.4.2"
PYNGUIN_WALL_FACTOR = 8  # assertions by mutation analysis take several times the search
PYNGUIN_LIMITS = Limits(memory_mb=6144, processes=512, scratch_mb=512, open_files=1024, output_kb=65536)
HERE = Path(__file__).resolve().parent


@dataclass(frozen=True)
class Row:
    """One generator on one module with one seed. `*_percent` are of the stable tests; `kept_percent` leaves equivalent-
    looking mutants out, `killed_percent` leaves none out. `why` says why there are no figures."""

    module: str
    generator: str
    seed: int
    seconds: float
    tests: int = 0
    stable: int = 0
    code_lines: int = 0
    branches_percent: float = 0.0
    killed_percent: float = 0.0
    kept_percent: float = 0.0
    mutants: int = 0
    why: str = ""


def main() -> int:
    """Run the comparison; exit 1 when a test of ours does not hold, or a mean is not above Pynguin's."""
    options = parse_arguments()
    python = options.python or str(environment(options.venv, [*SUBJECTS.values(), PYNGUIN, PYTEST, "coverage"]))
    rows: list[Row] = []

    def compare(module: str, seed: int) -> list[Row]:
        found = []
        for generator in options.generators:
            found.append(measure(generator, module, seed, python, options))
            print(f"  {module} {generator} seed {seed}: {one_line(found[-1])}", file=sys.stderr, flush=True)
        return found

    with ThreadPoolExecutor(options.jobs) as pool:
        pairs = [(module, seed) for module in options.modules for seed in range(options.seeds)]
        for found in pool.map(lambda pair: compare(*pair), pairs):
            rows.extend(found)
    middle = medians(rows)
    print(table(middle))
    report = {"python": python, "options": vars(options), "rows": [asdict(one) for one in rows]}
    options.json.write_text(json.dumps(report, indent=1, default=str) + "\n", encoding="utf-8")
    print(f"All figures: {options.json}")
    return verdict(rows, middle)


def parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--modules", nargs="+", default=list(SUBJECTS), choices=list(SUBJECTS), metavar="MODULE")
    parser.add_argument("--generators", nargs="+", default=["aqe", "pynguin"], choices=["aqe", "pynguin"])
    parser.add_argument("--seeds", type=int, default=3, help="runs of each generator on each module")
    parser.add_argument("--budget", type=float, default=30.0, help="seconds: aqe's budget, Pynguin's search time")
    parser.add_argument("--mutants", type=int, default=100, help="mutants of each module, the same for both")
    parser.add_argument("--jobs", type=int, default=1, help="comparisons side by side; both generators share the load")
    parser.add_argument("--python", help="an interpreter that has the subjects and Pynguin (else one is made)")
    cache = Path(platformdirs.user_cache_dir("aqe")) / "benchmarks" / "testgen"
    parser.add_argument("--venv", type=Path, default=cache, help="where the environment is made")
    parser.add_argument("--json", type=Path, default=Path("testgen.json"), help="file for all figures")
    parser.add_argument("--keep", type=Path, help="folder that keeps the generated tests")
    return parser.parse_args()


def measure(generator: str, module: str, seed: int, python: str, options: argparse.Namespace) -> Row:
    """Let one generator write tests in a fresh project, then judge them."""
    with tempfile.TemporaryDirectory() as folder:
        project = Path(folder)
        (project / "pyproject.toml").write_text('[project]\nname = "subjects"\nversion = "0"\n')
        start = time.monotonic()
        try:
            if generator == "aqe":
                files = by_aqe(module, seed, python, project, options.budget)
            else:
                files = by_pynguin(module, seed, python, project, options.budget)
        except AqeError as error:
            return Row(module, generator, seed, time.monotonic() - start, why=str(error))
        seconds = time.monotonic() - start
        if options.keep is not None:
            keep(options.keep / f"{generator}-{module}-{seed}", files)
        row = Row(module, generator, seed, round(seconds, 1))
        if not files:
            return replace(row, why="no tests were written")
        request = VerifyRequest(
            tests=tuple(map(str, files)), project=str(project), subjects=(module,), python=python,
            max_mutants=options.mutants, leave_out=False,
        )  # fmt: skip
        lines = sum(len(file.read_text(encoding="utf-8").splitlines()) for file in files)
        try:
            return figures(replace(row, code_lines=lines), verify(request).evidence)
        except AqeError as error:
            return replace(row, why=str(error))


def keep(folder: Path, files: Sequence[Path]) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for file in files:
        (folder / file.name).write_bytes(file.read_bytes())


def by_aqe(module: str, seed: int, python: str, project: Path, budget_s: float) -> list[Path]:
    """Tests by `aqe generate MODULE --budget S --seed N`."""
    out = project / "tests"
    report = generate(GenerateRequest(module, str(project), out=str(out), budget_s=budget_s, seed=seed, python=python))
    return [project / file for file in report.files]


def by_pynguin(module: str, seed: int, python: str, project: Path, search_s: float) -> list[Path]:
    """Tests by Pynguin in a box; its search time is `search_s`, its assertions come on top."""
    code = "import importlib.util, os, sys; s = importlib.util.find_spec(sys.argv[1].partition('.')[0]);"
    code += "p = os.path.dirname(s.origin); print(os.path.dirname(p) if s.submodule_search_locations else p)"
    root = subprocess.run([python, "-c", code, module], capture_output=True, text=True, check=True).stdout.strip()
    spec = BoxSpec(python=python, project=str(project), path=(str(HERE),), limits=PYNGUIN_LIMITS)
    wall_s = PYNGUIN_WALL_FACTOR * search_s + 120.0
    args = {"module": module, "project_path": root, "seed": seed, "search_s": int(search_s), "wall_s": wall_s}
    with Box.open(spec) as box:
        result = box.run("pynguin_case:generate", args, wall_s=wall_s + 10.0)
    if result.state != "ok":
        raise SystemExit(f"Pynguin could not be run: {result.state} {result.error}")
    if not result.value["files"]:
        print(result.value["said"][-600:], file=sys.stderr)
    written = []
    (project / "tests").mkdir()
    for name, text in result.value["files"].items():
        if name.startswith("test_"):
            file = project / "tests" / name
            file.write_text(text, encoding="utf-8")
            written.append(file)
    return written


def figures(row: Row, evidence: Evidence) -> Row:
    """Fill in what the gate found."""
    run = [one for one in evidence.mutants if one.state != "left-out"]
    usual = [one for one in run if not one.reason]
    return replace(
        row,
        tests=len(evidence.tests),
        stable=sum(one.verdict == "stable" for one in evidence.tests),
        branches_percent=round(evidence.branches_percent, 1),
        killed_percent=share(sum(one.state == "killed" for one in run), len(run)),
        kept_percent=share(sum(one.state == "killed" for one in usual), len(usual)),
        mutants=len(run),
    )


def share(part: int, whole: int) -> float:
    return round(100.0 * part / whole, 1) if whole else 100.0


def medians(rows: Sequence[Row]) -> dict[tuple[str, str], dict[str, float]]:
    """The median of each figure over the seeds, by module and generator."""
    names = ("seconds", "tests", "stable", "code_lines", "branches_percent", "killed_percent", "kept_percent")
    groups: dict[tuple[str, str], list[Row]] = {}
    for row in rows:
        groups.setdefault((row.module, row.generator), []).append(row)
    return {
        key: {name: statistics.median(float(getattr(row, name)) for row in group) for name in names}
        for key, group in groups.items()
    }


def means(middle: Mapping[tuple[str, str], Mapping[str, float]], generator: str) -> tuple[float, float, float]:
    """Mean branch coverage and mutants killed (none left out; without the equivalent-looking) over the modules."""
    mine = [values for (_, name), values in middle.items() if name == generator]

    def mean(name: str) -> float:
        return statistics.fmean(values[name] for values in mine) if mine else 0.0

    return mean("branches_percent"), mean("killed_percent"), mean("kept_percent")


def table(middle: Mapping[tuple[str, str], Mapping[str, float]]) -> str:
    return "\n".join(_table_lines(middle))


def _table_lines(middle: Mapping[tuple[str, str], Mapping[str, float]]) -> Iterator[str]:
    yield "| module | generator | wall s | tests | stable | lines | branch % | mutants % | less equivalent-looking % |"
    yield "|---|---|---|---|---|---|---|---|---|"
    for (module, generator), values in middle.items():
        yield f"| {module} | {generator} | " + " | ".join(f"{one:.0f}" for one in values.values()) + " |"
    for generator in dict.fromkeys(name for _, name in middle):
        rates_text = " | ".join(f"**{one:.1f}**" for one in means(middle, generator))
        yield f"| mean | {generator} | | | | | {rates_text} |"


def one_line(row: Row) -> str:
    if row.why:
        return row.why
    return (
        f"{row.seconds:.0f} s, {row.stable} of {row.tests} tests stable, {row.branches_percent} % branches, "
        f"{row.killed_percent} % of {row.mutants} mutants"
    )


def verdict(rows: Sequence[Row], middle: Mapping[tuple[str, str], Mapping[str, float]]) -> int:
    """0 when all tests of ours hold and both means are above Pynguin's."""
    status = 0
    for row in rows:
        if row.generator == "aqe" and (row.why or row.stable < row.tests):
            print(f"Not all tests hold: {row.module} seed {row.seed}: {row.why or f'{row.stable} of {row.tests}'}")
            status = 1
    if {name for _, name in middle} == {"aqe", "pynguin"}:
        ours, theirs = means(middle, "aqe"), means(middle, "pynguin")
        if not all(mine > other for mine, other in zip(ours, theirs, strict=True)):
            print("A mean is not above Pynguin's.")
            status = 1
    return status


if __name__ == "__main__":
    os.environ.setdefault("PYTHONDONTWRITEBYTECODE", "1")
    sys.exit(main())
