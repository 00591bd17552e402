"""How much of what is planted into real packages a review finds: `python benchmarks/review/measure.py [--json FILE]`.

Behaviour defects and harmless rewrites are planted by seeded scripts into pinned packages (source distributions with
their own tests), one change each; the other kinds come from `kinds.py`. Each change is reviewed with `aqe review
--base --head --json` (with `--direct` only both versions are executed, in this process), ruff's correctness rules and,
with `--pyright`, pyright run beside it: what they say of the head and not of the base counts. The packages of the group
"tuning" were looked at while the reviewer was made, those of "reporting" were not.
"""

from __future__ import annotations

import argparse
import difflib
import json
import random
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import platformdirs
from defects import plant_defects
from plant import Plant
from rewrites import plant_rewrites
from subjects import NEEDED, PACKAGES, Package, fetch, sources

HERE = Path(__file__).resolve().parent
RUFF = "E7,E9,F,B,ASYNC,PLE,PLW,S,PT,PERF"


@dataclass
class Outcome:
    """What was said of one plant. `said` are the sentences of aqe, `hit` whether one of them is what is looked for."""

    plant: Plant
    group: str
    lines: int
    hit: bool = False
    findings: int = 0
    seconds: float = 0.0
    said: list[str] = field(default_factory=list)
    others: dict[str, bool] = field(default_factory=dict)
    partial: bool = False
    error: str = ""


def main() -> int:
    """Plant, review, print; exit 1 where a bar is missed or a review breaks."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--each", type=int, default=16, help="defects, and rewrites, planted in each package")
    parser.add_argument("--packages", nargs="+", choices=[one.name for one in PACKAGES], metavar="NAME")
    parser.add_argument("--kinds", nargs="+", help="rows of the table to fill; all by default")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--budget", type=float, default=20.0, help="seconds for each review")
    parser.add_argument("--direct", action="store_true", help="only execute both versions, without the other rooms")
    parser.add_argument("--no-tests", action="store_true", help="take the packages' own tests out of both trees")
    parser.add_argument("--check", action="store_true", help="run the packages' own tests on each harmless rewrite")
    parser.add_argument("--pyright", metavar="COMMAND", help="pyright beside it (slow; the command or its path)")
    parser.add_argument("--others", action="store_true", help="only the tools beside it, without aqe")
    parser.add_argument("--json", type=Path, dest="out", help="write all outcomes to this file")
    cache = Path(platformdirs.user_cache_dir("aqe")) / "benchmarks" / "review"
    parser.add_argument("--cache", type=Path, default=cache, help="where packages and the environment are kept")
    options = parser.parse_args()
    folders = fetch(options.cache / "packages")
    sys.path.append(str(HERE.parent))
    from environments import environment

    python = environment(options.cache / "venv", NEEDED)
    outcomes: list[Outcome] = []
    with tempfile.TemporaryDirectory() as scratch:
        for package in PACKAGES:
            if options.packages is None or package.name in options.packages:
                bench = Bench(package, folders[package.name], python, Path(scratch), options)
                outcomes += bench.run()
                if options.out:
                    rows = [as_data(one) for one in outcomes]
                    options.out.write_text(json.dumps(rows, indent=1) + "\n", encoding="utf-8")
    print(table(outcomes))
    return verdict(outcomes)


class Bench:
    """One package: its base tree, and a head for each plant."""

    def __init__(
        self, package: Package, folder: Path, python: Path, scratch: Path, options: argparse.Namespace
    ) -> None:
        self.package, self.python, self.options = package, python, options
        self.base = scratch / package.name / "base"
        shutil.copytree(folder, self.base, ignore=shutil.ignore_patterns("*.egg-info", "__pycache__", "PKG-INFO"))
        if options.no_tests and package.tests:
            found = self.base / package.tests
            shutil.rmtree(found) if found.is_dir() else found.unlink()
        self.files = sources(package, folder)
        for path, text in self.files.items():
            (self.base / path).write_bytes(text.encode("utf-8"))
        self.head = scratch / package.name / "head"
        self.ruff_before: dict[str, Counter[tuple[str, str]]] = {}
        self.pyright_before: dict[tuple[str, str], Counter[tuple[str, str]]] = {}

    def plants(self) -> list[Plant]:
        """The changes of all kinds that were asked for, the same for the same seed."""
        chance = random.Random(f"{self.options.seed} {self.package.name}")
        found = plant_defects(self.package.name, self.files, self.options.each, chance)
        found += plant_rewrites(self.package.name, self.files, self.options.each, chance)
        found += other_kinds(self.package, self.files, self.options.seed)
        return [one for one in found if not self.options.kinds or one.kind in self.options.kinds]

    def run(self) -> list[Outcome]:
        """Review each plant."""
        outcomes = []
        for number, plant in enumerate(self.plants()):
            outcome = Outcome(plant, self.package.group, changed_lines(plant, self.files))
            self.build(plant)
            if self.options.check and plant.kind == "harmless" and not self.passes():
                print(f"  {plant.operator} in {plant.name}: the package's own tests fail on it", file=sys.stderr)
                continue
            started = time.monotonic()
            if not self.options.others:
                (self.direct if self.options.direct else self.review)(outcome)
            outcome.seconds = time.monotonic() - started
            outcome.others["ruff"] = self.ruff(plant)
            if self.options.pyright:
                outcome.others["pyright"] = self.pyright(plant)
            outcomes.append(outcome)
            said = f"{outcome.seconds:.1f} s {outcome.error} {' | '.join(outcome.said)[:300]}"
            what = f"{self.package.name} {number + 1}: {plant.kind}, {plant.operator}, {plant.name}"
            print(f"{what}: {'hit' if outcome.hit else '-'} {said}", file=sys.stderr, flush=True)
        return outcomes

    def build(self, plant: Plant) -> None:
        """The head's tree, and the base's where the plant changes that as well."""
        shutil.rmtree(self.head, ignore_errors=True)
        for path in plant.base:
            (self.base / path).parent.mkdir(parents=True, exist_ok=True)
        for path, text in self.files.items():
            (self.base / path).write_bytes(plant.base.get(path, text).encode("utf-8"))
        extra = {path: text for path, text in plant.base.items() if path not in self.files}
        for path, text in extra.items():
            (self.base / path).write_bytes(text.encode("utf-8"))
        shutil.copytree(self.base, self.head)
        for path, text in plant.files.items():
            (self.head / path).parent.mkdir(parents=True, exist_ok=True)
            (self.head / path).write_bytes(text.encode("utf-8"))

    # -- reviewers ------------------------------------------------------------------------------------------------

    def review(self, outcome: Outcome) -> None:
        """The real command on both trees."""
        command = [sys.executable, "-m", "aqe.server.cli", "review", "--base", str(self.base), "--head", str(self.head)]
        command += ["--json", "--budget", f"{self.options.budget:g}", "--python", str(self.python)]
        done = subprocess.run(command, cwd=self.head, capture_output=True, text=True, check=False)
        try:
            answer = json.loads(done.stdout)
        except ValueError:
            outcome.error = (done.stderr.strip().splitlines() or ["no answer"])[-1]
            return
        found = answer.get("findings", [])
        outcome.findings = len(found)
        outcome.partial = bool(answer.get("partial"))
        outcome.said = [f"{one['rule']} [{one['severity']}] {one['message']}" for one in found]
        outcome.hit = any(matches(outcome.plant, str(one["rule"]), str(one["path"])) for one in found)

    def direct(self, outcome: Outcome) -> None:
        """Executed review alone, in this process."""
        from aqe.agents.changes import read_changes
        from aqe.agents.gate.interpreter import find_interpreter
        from aqe.agents.review.executed import compare_versions

        found = compare_versions(
            self.head,
            read_changes(self.head, base=self.base, head=self.head),
            base_folder=self.base,
            head_folder=self.head,
            interpreter=find_interpreter(self.head, str(self.python)),
            seed=self.options.seed,
            deadline=time.monotonic() + self.options.budget,
        )
        outcome.findings = len(found.differences)
        outcome.partial = found.partial
        outcome.said = [
            f"{'' if one.is_fair else 'unfair '}{'crash ' if one.crash else ''}{one.sentence}"
            for one in found.differences
        ]
        outcome.said += [f"not compared: {one.name}: {one.why}" for one in found.not_compared]
        outcome.hit = any(matches(outcome.plant, "behaviour-changed", one.path) for one in found.differences)

    def ruff(self, plant: Plant) -> bool:
        """Whether ruff says more of the head's files than of the base's."""
        return any(
            self.ruff_says(text) - self.ruff_says(plant.base.get(path) or self.files.get(path, ""))
            for path, text in plant.files.items()
            if path.endswith(".py")
        )

    def ruff_says(self, text: str) -> Counter[tuple[str, str]]:
        """Codes and messages of ruff for one text, whatever lines they are on."""
        if text not in self.ruff_before:
            command = [
                sys.executable,
                "-m",
                "ruff",
                "check",
                "--isolated",
                "--select",
                RUFF,
                "--output-format",
                "json",
                "-",
            ]
            done = subprocess.run(command, input=text, capture_output=True, text=True, check=False)
            rows = json.loads(done.stdout or "[]")
            self.ruff_before[text] = Counter((str(row["code"]), str(row["message"])) for row in rows)
        return self.ruff_before[text]

    def pyright(self, plant: Plant) -> bool:
        """Whether pyright says more of the head's files than of the base's."""
        for path in plant.files:
            old = (self.base / path).read_text(encoding="utf-8") if (self.base / path).is_file() else ""
            if (path, old) not in self.pyright_before:
                self.pyright_before[path, old] = self.pyright_says(self.base, path) if old else Counter()
            if self.pyright_says(self.head, path) - self.pyright_before[path, old]:
                return True
        return False

    def pyright_says(self, tree: Path, path: str) -> Counter[tuple[str, str]]:
        """Rules and messages of pyright for one file."""
        command = [self.options.pyright, "--outputjson", "--pythonpath", str(self.python), str(tree / path)]
        done = subprocess.run(command, cwd=tree, capture_output=True, text=True, check=False)
        rows = json.loads(done.stdout)["generalDiagnostics"] if done.stdout.startswith("{") else []
        return Counter((str(row.get("rule")), str(row["message"]).replace(str(tree), "")) for row in rows)

    def passes(self) -> bool:
        """Whether the package's own tests pass on the head."""
        if not self.package.tests or self.options.no_tests:
            return True
        command = [str(self.python), "-m", "pytest", "-q", "-x", "-p", "no:cacheprovider", self.package.tests]
        path = ":".join(str(self.head / part) for part in ("src", "."))
        env = {"PATH": "/usr/bin:/bin", "PYTHONPATH": path, "PYTHONDONTWRITEBYTECODE": "1"}
        done = subprocess.run(command, cwd=self.head, env=env, capture_output=True, check=False)
        return done.returncode == 0 or not self.base_passes()

    def base_passes(self) -> bool:
        """Whether they pass on the base at all, on this Python."""
        if not hasattr(self, "_base_passes"):
            command = [str(self.python), "-m", "pytest", "-q", "-x", "-p", "no:cacheprovider", self.package.tests]
            path = ":".join(str(self.base / part) for part in ("src", "."))
            env = {"PATH": "/usr/bin:/bin", "PYTHONPATH": path, "PYTHONDONTWRITEBYTECODE": "1"}
            done = subprocess.run(command, cwd=self.base, env=env, capture_output=True, check=False)
            self._base_passes = done.returncode == 0
        return self._base_passes


def other_kinds(package: Package, files: Mapping[str, str], seed: int) -> list[Plant]:
    """Plants of the other rows: clones, test smells, untested branches, security."""
    try:
        from kinds import plant_kinds
    except ModuleNotFoundError as error:
        if error.name != "kinds":
            raise
        return []
    return list(plant_kinds(package.name, dict(files), seed))


def matches(plant: Plant, rule: str, path: str) -> bool:
    """Whether a finding is what the plant is there for."""
    is_rule = any(rule == one or (one.endswith("*") and rule.startswith(one[:-1])) for one in plant.rules)
    return is_rule and (not plant.path or path == plant.path)


def changed_lines(plant: Plant, files: Mapping[str, str]) -> int:
    """Lines added and removed."""
    count = 0
    for path, text in plant.files.items():
        old = plant.base.get(path) or files.get(path, "")
        for tag, i, j, k, m in difflib.SequenceMatcher(None, old.split("\n"), text.split("\n")).get_opcodes():
            count += 0 if tag == "equal" else (j - i) + (m - k)
    return count


# ---------------------------------------------------------------- tables


def table(outcomes: Sequence[Outcome]) -> str:
    """Rows by group and kind; for harmless changes the share is that of false alarms."""
    tools = sorted({tool for one in outcomes for tool in one.others})
    head = ["packages", "kind", "changes", "aqe says it", "share", *tools, "findings a 1,000 lines", "median s"]
    rows = [head, ["---"] * len(head)]
    for group in dict.fromkeys(one.group for one in outcomes):
        for kind in dict.fromkeys(one.plant.kind for one in outcomes):
            some = [one for one in outcomes if one.group == group and one.plant.kind == kind]
            if some:
                rows.append([group, kind, *figures(some, tools)])
    return "\n".join("| " + " | ".join(row) + " |" for row in rows)


def figures(some: Sequence[Outcome], tools: Iterable[str]) -> list[str]:
    """The cells of one row after its names."""
    hits = sum(one.hit for one in some)
    lines = sum(one.lines for one in some)
    return [
        str(len(some)),
        str(hits),
        f"{hits / len(some):.3f}",
        *(f"{sum(one.others.get(tool, False) for one in some) / len(some):.3f}" for tool in tools),
        f"{1000 * sum(one.findings for one in some) / max(1, lines):.0f}",
        f"{statistics.median(one.seconds for one in some):.1f}",
    ]


def verdict(outcomes: Sequence[Outcome]) -> int:
    """1 where a bar of the reporting group is missed: recall of behaviour .30, alarms .05, other kinds .5."""
    status = 0
    for kind in dict.fromkeys(one.plant.kind for one in outcomes):
        some = [one for one in outcomes if one.plant.kind == kind and one.group == "reporting"]
        share = sum(one.hit for one in some) / len(some) if some else None
        if share is None:
            continue
        is_met = share <= 0.05 if kind.startswith("harmless") else share >= (0.30 if kind == "behaviour" else 0.5)
        print(f"{kind}: {share:.3f} {'meets' if is_met else 'misses'} its bar")
        status = status if is_met else 1
    broken = [one for one in outcomes if one.error]
    if broken:
        print(f"{len(broken)} reviews broke: {broken[0].error}")
    return 1 if broken else status


def as_data(one: Outcome) -> dict[str, Any]:
    """One outcome as JSON data, without the texts."""
    return {
        "package": one.plant.package, "group": one.group, "kind": one.plant.kind, "operator": one.plant.operator,
        "path": one.plant.path, "name": one.plant.name, "hit": one.hit, "findings": one.findings, "lines": one.lines,
        "seconds": round(one.seconds, 2), "said": one.said, "others": one.others, "partial": one.partial,
        "error": one.error,
    }  # fmt: skip


if __name__ == "__main__":
    sys.exit(main())
