"""Every agent on one real package with its own suite: `python benchmarks/tour.py [--json FILE]`.

The package is a source distribution from PyPI, made a git repository with one commit; then one function is changed, and
each agent is asked through the command line, as a user would. The table says how long each took and what it gave.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tarfile
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from environments import environment

TOOLS = ("pytest==8.4.2",)
LIMITS = ("--seed", "1", "--budget", "20s")


@dataclass(frozen=True)
class Change:
    """The planted change: the file, the text to replace, the text in its place."""

    path: str
    before: str
    after: str


CHANGE = Change("boltons/mathutils.py", "return min(max(x, lower), upper)", "return max(min(x, lower), upper)")


@dataclass(frozen=True)
class Stop:
    """One agent of the tour: its command, wall seconds, exit status, and what it gave in words."""

    agent: str
    command: str
    seconds: float
    status: int
    gave: str


def main() -> int:
    """Tour the package, print the table, write the JSON; 1 where a command failed."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--package", default="boltons==26.2.0", help="a package whose sdist holds its tests")
    parser.add_argument("--work", type=Path, help="folder to work in and keep (else a temporary one)")
    parser.add_argument("--json", type=Path, help="write the figures here")
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="aqe-tour-") as name:
        work = asked.work or Path(name)
        python = environment(work / "environment", TOOLS)
        project = unpack(asked.package, work)
        tour = Tour(project, python)
        stops = tour.go()
    print(f"{asked.package} with its own suite, Python {sys.version.split()[0]}, change in {CHANGE.path}\n")
    for stop in stops:
        print(f"{stop.agent:10} {stop.seconds:6.1f} s  exit {stop.status}  {stop.gave}\n           {stop.command}")
    if asked.json:
        asked.json.write_text(json.dumps({"package": asked.package, "stops": [asdict(one) for one in stops]}, indent=2))
    return int(any(stop.status not in tour.expected(stop) for stop in stops))


def unpack(package: str, work: Path) -> Path:
    """The sdist of the package as a git repository with one commit."""
    download = [sys.executable, "-m", "pip", "download", "-q", "--no-deps", "--no-binary", ":all:", package]
    subprocess.run([*download, "-d", str(work)], check=True)
    (archive,) = work.glob("*.tar.gz")
    with tarfile.open(archive) as opened:
        opened.extractall(work, filter="data")
    project = next(path for path in work.iterdir() if path.is_dir() and (path / "PKG-INFO").exists())
    git = ["git", "-c", "user.name=tour", "-c", "user.email=tour@example.org"]
    for words in (["init", "-q"], ["add", "-A", "-f"], ["commit", "-qm", "as released"]):
        subprocess.run([*git, *words], cwd=project, check=True)
    return project


class Tour:
    """The commands in their order."""

    def __init__(self, project: Path, python: Path) -> None:
        self.project = project
        self.python = python

    def go(self) -> list[Stop]:
        """Ask each agent, plant the change after the suite was recorded, and go on."""
        stops = [
            self.ask("execute", ["execute", "--map"], _executed),
            self.ask("coverage", ["coverage"], _covered),
            self.ask("flaky", ["flaky", "--runs", "6", "--seed", "1"], _hunted),
        ]
        path = self.project / CHANGE.path
        text = path.read_text(encoding="utf-8")
        if CHANGE.before not in text:
            raise SystemExit(f"{CHANGE.path} does not hold the text to change")
        path.write_text(text.replace(CHANGE.before, CHANGE.after), encoding="utf-8")
        stops += [
            self.ask("select", ["select"], _selected),
            self.ask("review", ["review"], _reviewed),
            self.ask("run", ["run"], _ran),
            self.ask("generate", ["generate", "boltons/formatutils.py", *LIMITS, "--out", ".aqe/tour"], _generated),
            self.ask("verify", ["verify", "tests/test_mathutils.py"], _verified),
            self.ask("audit", ["audit"], _audited),
            self.ask("analyze", ["analyze"], _analysed),
        ]
        return stops

    def ask(self, agent: str, words: Sequence[str], tell: Callable[[dict[str, Any]], str]) -> Stop:
        """Run one command with --json and put its answer in words."""
        options = ["--json", "--project", str(self.project), "--python", str(self.python)]
        command = [sys.executable, "-m", "aqe.server.cli", *words, *options]
        print(f"aqe {' '.join(words)}", file=sys.stderr, flush=True)
        start = time.monotonic()
        done = subprocess.run(command, cwd=self.project, capture_output=True, text=True, check=False)
        seconds = time.monotonic() - start
        try:
            gave = tell(json.loads(done.stdout))
        except (ValueError, KeyError) as error:
            gave = f"no answer ({type(error).__name__}): {done.stderr.strip()[-300:]}"
        return Stop(agent, f"aqe {' '.join(words)}", round(seconds, 1), done.returncode, gave)

    @staticmethod
    def expected(stop: Stop) -> tuple[int, ...]:
        """Statuses that are no fault: `run` runs a test that the change breaks."""
        return (0, 1) if stop.agent in ("run", "analyze") else (0,)


def _executed(found: dict[str, Any]) -> str:
    return f"{found['passed']} of {found['tests']} tests passed"


def _covered(found: dict[str, Any]) -> str:
    return (
        f"{found['lines_percent']} % of lines, {found['branches_percent']} % of branches; {found['gaps_total']} gaps, "
        f"the riskiest {found['gaps'][0]['path']}:{found['gaps'][0]['line']} {found['gaps'][0]['name']}"
    )


def _hunted(found: dict[str, Any]) -> str:
    flaky = [name for name, test in found["tests"].items() if test["flaky"]]
    named = f": {', '.join(flaky[:3])}" if flaky else ""
    return f"{len(flaky)} flaky of {len(found['tests'])} in {found['executions']} runs{named}"


def _selected(found: dict[str, Any]) -> str:
    return f"{len(found['tests'])} of {found['all_tests']} tests"


def _reviewed(found: dict[str, Any]) -> str:
    rules = ", ".join(f"{one['severity']} {one['rule']} in {one['name']}" for one in found["findings"])
    rate = found["figures"]["findings_per_1000_lines"]
    return f"{len(found['findings'])} findings on {found['changed_lines']} lines ({rate} per 1,000): {rules}"


def _ran(found: dict[str, Any]) -> str:
    tests = f"{found['tests'] - found['tests_failed']} of {found['tests']} selected tests passed"
    return f"{tests}; {_parts(found)}; {len(found['review']['findings'])} findings"


def _generated(found: dict[str, Any]) -> str:
    evidence = found["evidence"]
    stable = sum(test["verdict"] == "stable" for test in evidence["tests"])
    kills = f"{evidence['mutants_killed']} of {evidence['mutants_total']} mutants killed"
    return f"{stable} of {found['tests']} tests stable, {kills}, {len(found['suspects'])} suspected bugs"


def _verified(found: dict[str, Any]) -> str:
    evidence = found["evidence"]
    verdicts = [test["verdict"] for test in evidence["tests"]]
    return (
        f"{verdicts.count('stable')} of {len(verdicts)} tests stable, {evidence['mutants_killed']} of "
        f"{evidence['mutants_total']} mutants killed"
    )


def _audited(found: dict[str, Any]) -> str:
    rules = found["figures"]["rules"]
    return ", ".join(f"{count} {rule}" for rule, count in sorted(rules.items())) or "nothing to report"


def _analysed(found: dict[str, Any]) -> str:
    findings = len(found["review"]["findings"]) + len(found["audit"]["findings"])
    return f"{_parts(found)}; {found['coverage']['gaps_total']} gaps, {findings} findings"


def _parts(found: dict[str, Any]) -> str:
    return ", ".join(f"{one['name']} {one['state']} in {one['duration_s']:.0f} s" for one in found["parts"])


if __name__ == "__main__":
    sys.exit(main())
