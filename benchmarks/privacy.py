"""How well secrets are found in files of settings, commands, code, logs and prose: `python benchmarks/privacy.py`.

The labelled lines of benchmarks/data/secrets_1.txt and secrets_2.txt were written for this (rules are tuned on the
first half, figures reported on the second). By class and by format: recall (all of a value covered), how many spans are
exactly the value, and precision, where every span that touches no value is false. Beside it, in the same run, the
redactor of an earlier revision of this repository (`--before REV`, read from git) and detect-secrets with its default
plugins, where it is installed (`python -m pip install detect-secrets`, `--peers-from DIR` for a folder that pip
installed it to). Then false alarms in the standard library's source for 1,000 lines, with the speed on it by processor
time, and the slowest of texts of a megabyte that are made to hold the patterns up.
"""

from __future__ import annotations

import argparse
import importlib
import json
import statistics
import subprocess
import sys
import sysconfig
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from aqe.engine.privacy.redactor import PERSONAL, scan

ROOT = Path(__file__).resolve().parents[1]
DATA = ROOT / "benchmarks" / "data"
BEFORE = "2192578ec211"
"""The last revision whose redactor knew unquoted values by a format of their own only."""
ODD: tuple[str, ...] = (
    "password=",
    "password: ",
    "password='",
    "--password ",
    " -pX",
    "secret ",
    "passwordpassword",
    "a:5432:b:c:",
    "cookie: a=b;",
    'auth=("a",',
    "password=a1b2c3\n",
    "password=${P:-",
    "<password>",
    "://a:b",
    "1.2.3.4",
    "keykeykeykey",
    "aB3-aB3-aB3-aB3-",
    "passwd is ",
    "machine a login b password ",
    "password: |\n  ",
    'variable "pw" {',
    "\t\t\t\t",
    '["--password", ',
    "- --password\n",
    "mysql -pX ",
    "password: a b ",
    "password: &a ",
    "$2b$12$",
)

Find = Callable[[str, str | None], list[tuple[int, int, str]]]
"""Begin, end and class of what a system finds in a text of the file of that name."""


@dataclass(frozen=True)
class Case:
    """A text with its values (none: nothing is to be found), its format, their class and its file's name."""

    text: str
    values: tuple[tuple[int, int], ...]
    form: str
    kind: str
    path: str


def main() -> int:
    """Print the tables; exit 1 where recall or precision of the half falls below 0.9."""
    options = _arguments()
    if options.peers_from is not None:
        sys.path.append(str(options.peers_from))
    cases = read_cases(DATA / f"secrets_{1 if options.half == 'tune' else 2}.txt")
    systems, missing = _systems(options)
    report: dict[str, Any] = {"half": options.half, "lines": _counts(cases), "not compared": missing, "systems": {}}
    for name, find in systems.items():
        report["systems"][name] = _measure(cases, find, with_path=options.with_path)
    ours = {name: find for name, find in systems.items() if name != "detect-secrets"}
    files = _library(options.files)
    report["standard library"] = {name: _alarms(files, find) for name, find in systems.items()}
    report["speed"] = _speed(files, ours, options.rounds)
    report["odd texts"] = _odd(ours)
    print(json.dumps(report) if options.json else "\n".join(_table(report)))
    now = report["systems"]["now"]["all"]
    return 0 if now["recall"] >= 0.9 and now["precision"] >= 0.9 else 1


def read_cases(file: Path) -> list[Case]:
    """The lines of a file of labelled lines, in its order."""
    found, head = [], ("", "", "")
    for line in file.read_text(encoding="utf-8").splitlines():
        if line.startswith("@ "):
            form, kind, path = line.split(" ", 3)[1:]
            head = (form, "" if kind == "-" else kind, path)
        elif line and head[0]:
            text, values = _unmarked(line.replace("\u23ce", "\n").replace("\u2040", ""))
            found.append(Case(text, values, *head))
    return found


def _unmarked(marked: str) -> tuple[str, tuple[tuple[int, int], ...]]:
    text, values = "", []
    for number, part in enumerate(marked.replace("\u27e7", "\u27e6").split("\u27e6")):
        if number % 2:
            values.append((len(text), len(text) + len(part)))
        text += part
    return text, tuple(values)


def _counts(cases: Sequence[Case]) -> dict[str, int]:
    with_values = [case for case in cases if case.values]
    return {
        "with secrets": len(with_values),
        "without": len(cases) - len(with_values),
        "values": sum(len(case.values) for case in cases),
        "formats": len({case.form for case in cases}),
    }


def _systems(options: argparse.Namespace) -> tuple[dict[str, Find], list[str]]:
    systems: dict[str, Find] = {"now": lambda text, path: [(s.start, s.end, s.kind) for s in scan(text, path)]}
    missing = []
    before = _before(options.before)
    if before is None:
        missing.append(f"revision {options.before}: not in git here")
    else:
        systems["before"] = before
    try:
        systems["detect-secrets"] = _detect_secrets()
    except ImportError:
        missing.append("detect-secrets: python -m pip install detect-secrets")
    return systems, missing


def _before(revision: str) -> Find | None:
    """The redactor of a revision, its modules written to a folder of its own under another name."""
    folder = Path(tempfile.mkdtemp(prefix="redactor-before-")) / "redactor_before"
    (folder / "data").mkdir(parents=True)
    listed = _git("ls-tree", "-r", "--full-tree", "--name-only", revision, "engine/privacy")
    if not listed:
        return None
    for name in listed.splitlines():
        text = _git("show", f"{revision}:{name}")
        if text is None:
            return None
        own = name.removeprefix("engine/privacy/")
        (folder / own).write_text(text.replace("aqe.engine.privacy", "redactor_before"), encoding="utf-8")
    (folder / "__init__.py").write_text("", encoding="utf-8")
    sys.path.insert(0, str(folder.parent))
    earlier = importlib.import_module("redactor_before.redactor")
    return lambda text, path: [(s.start, s.end, s.kind) for s in earlier.scan(text, path)]


def _git(*arguments: str) -> str | None:
    done = subprocess.run(["git", *arguments], cwd=ROOT, capture_output=True, text=True, check=False)
    return done.stdout if done.returncode == 0 else None


def _detect_secrets() -> Find:
    """detect-secrets gives values, not places: they are looked for in the text. It reads files, by their names too."""
    scanner = importlib.import_module("detect_secrets.core.scan")
    settings = importlib.import_module("detect_secrets.settings")
    folder = Path(tempfile.mkdtemp(prefix="detect-secrets-"))

    def find(text: str, path: str | None) -> list[tuple[int, int, str]]:
        file = folder / (path or "lines.txt")
        file.write_text(text, encoding="utf-8")
        with settings.default_settings():
            values = {one.secret_value for one in scanner.scan_file(str(file)) if one.secret_value}
        return [(at, at + len(value), "") for value in values for at in _places(text, value)]

    return find


def _places(text: str, value: str) -> Iterator[int]:
    at = text.find(value)
    if at < 0:
        yield 0
    while at >= 0:
        yield at
        at = text.find(value, at + 1)


def _measure(cases: Sequence[Case], find: Find, *, with_path: bool) -> dict[str, Any]:
    tallies: dict[tuple[str, str], Counter[str]] = {}
    for case in cases:
        spans = [(start, end) for start, end, _ in find(case.text, case.path if with_path else None)]
        tally = Counter(values=len(case.values))
        for start, end in case.values:
            tally["found"] += any(one <= start and other >= end for one, other in spans)
            tally["exact"] += (start, end) in spans
        touching = [any(one < end and other > start for start, end in case.values) for one, other in spans]
        tally["false"] += touching.count(False)
        tally["true"] += touching.count(True)
        for key in (("all", "all"), ("format", case.form), *([("class", case.kind)] if case.kind else [])):
            tallies.setdefault(key, Counter()).update(tally)
    return {
        "all": _rates(tallies["all", "all"]),
        "classes": {name: _rates(tally) for (what, name), tally in sorted(tallies.items()) if what == "class"},
        "formats": {name: _rates(tally) for (what, name), tally in sorted(tallies.items()) if what == "format"},
    }


def _rates(tally: Counter[str]) -> dict[str, Any]:
    spans = tally["true"] + tally["false"]
    return {
        "values": tally["values"],
        "recall": round(tally["found"] / tally["values"], 3) if tally["values"] else None,
        "exact": round(tally["exact"] / tally["values"], 3) if tally["values"] else None,
        "false": tally["false"],
        "precision": round(tally["true"] / spans, 3) if spans else None,
    }


def _library(most: int) -> list[tuple[str, str]]:
    """The standard library's own modules, its tests included, without installed packages."""
    root = Path(sysconfig.get_path("stdlib"))
    found = []
    for file in sorted(root.rglob("*.py")):
        if not {"site-packages", "dist-packages", "__pycache__"}.isdisjoint(file.parts):
            continue
        try:
            found.append((file.name, file.read_text(encoding="utf-8")))
        except (OSError, UnicodeDecodeError):
            continue
    step = max(1, len(found) // most)
    return found[::step]


def _alarms(files: Sequence[tuple[str, str]], find: Find) -> dict[str, Any]:
    """Alarms on secrets for 1,000 lines; personal data, which its authors' addresses are, is counted by nobody."""
    lines = sum(text.count("\n") for _, text in files)
    alarms = 0
    for name, text in files:
        alarms += sum(kind not in PERSONAL for _, _, kind in find(text, name))
    return {"lines": lines, "alarms": alarms, "per 1,000 lines": round(1000 * alarms / lines, 3)}


def _speed(files: Sequence[tuple[str, str]], systems: dict[str, Find], rounds: int) -> dict[str, Any]:
    """Megabytes a second of processor time, in turns; the median of the rounds, and the quickest."""
    size = sum(len(text.encode()) for _, text in files) / 1e6
    taken: dict[str, list[float]] = {name: [] for name in systems}
    for _ in range(rounds):
        for name, find in systems.items():
            began = time.thread_time()
            for _, text in files:
                find(text, None)
            taken[name].append(time.thread_time() - began)
    return {
        name: {"MB/s": round(size / statistics.median(spent), 2), "best": round(size / min(spent), 2)}
        for name, spent in taken.items()
    }


def _odd(systems: dict[str, Find]) -> dict[str, Any]:
    found = {}
    for name, find in systems.items():
        slowest = max((_seconds(find, unit), unit) for unit in ODD)
        found[name] = {"s for 1 MB": round(slowest[0], 2), "text": slowest[1][:30]}
    return found


def _seconds(find: Find, unit: str) -> float:
    text = unit * (1_000_000 // len(unit))
    began = time.thread_time()
    find(text, None)
    return time.thread_time() - began


def _table(report: dict[str, Any]) -> Iterator[str]:
    counts = report["lines"]
    yield (
        f"half {report['half']}: {counts['with secrets']} lines with secrets ({counts['values']} values), "
        f"{counts['without']} without, {counts['formats']} formats"
    )
    yield from (f"not compared: {one}" for one in report["not compared"])
    names = list(report["systems"])
    yield "\n" + f"{'':14}{'values':>7}" + "".join(f"{name:>36}" for name in names)
    yield f"{'':21}" + f"{'recall  exact  false  precision':>36}" * len(names)
    yield _row("all", [report["systems"][name]["all"] for name in names])
    for what in ("classes", "formats"):
        yield f"by {what}"
        for one in report["systems"]["now"][what]:
            yield _row(one, [report["systems"][name][what][one] for name in names])
    yield "\nfalse alarms in the standard library"
    for name, alarms in report["standard library"].items():
        yield f"  {name:15} {alarms['per 1,000 lines']} for 1,000 lines ({alarms['alarms']} in {alarms['lines']:,})"
    yield "speed on it, of processor time"
    for name, speed in report["speed"].items():
        yield f"  {name:15} {speed['MB/s']} MB/s (best {speed['best']})"
    yield "slowest odd text of 1 MB"
    for name, odd in report["odd texts"].items():
        yield f"  {name:15} {odd['s for 1 MB']} s ({odd['text']!r} repeated)"


def _row(name: str, all_rates: Sequence[dict[str, Any]]) -> str:
    cells = "".join(
        f"{_shown(rates['recall']):>11}{_shown(rates['exact']):>7}{rates['false']:>7}{_shown(rates['precision']):>11}"
        for rates in all_rates
    )
    return f"  {name:12}{all_rates[0]['values']:>7}{cells}"


def _shown(rate: float | None) -> str:
    return "-" if rate is None else f"{rate:.3f}"


def _arguments() -> argparse.Namespace:
    parsed = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parsed.add_argument("--half", choices=("tune", "report"), default="report")
    parsed.add_argument("--with-path", action="store_true", help="give the files' names too")
    parsed.add_argument("--before", default=BEFORE, metavar="REV", help="revision to compare with")
    parsed.add_argument("--peers-from", type=Path, metavar="DIR", help="folder that pip installed detect-secrets to")
    parsed.add_argument("--files", type=int, default=400, help="files of the standard library to take")
    parsed.add_argument("--rounds", type=int, default=3, help="rounds of the measurement of speed")
    parsed.add_argument("--json", action="store_true")
    return parsed.parse_args()


if __name__ == "__main__":
    sys.exit(main())
