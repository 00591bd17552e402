"""What `pytest --aqe-map` left in the spool, read back: each run whole, with what its child processes did.

Each process of a run numbers functions and files in its own way; here they become parts: (file, name, digest). What is
depended on beside a function has a name in angle brackets: `<module>` is all that importing the file executes.
"""

from __future__ import annotations

import contextlib
import json
import os
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from aqe.agents.inject._aqe_inject.doings import OPAQUE
from aqe.agents.inject._aqe_inject.entries import IMPORT

RUN_CHARACTERS = 26
MODULE = "<module>"
Part = tuple[str, str, str]
"""File (posix, relative to the project), name of a function in it or a name in angle brackets, and digest."""


@dataclass
class TakenTest:
    """One test of a run: its file, all parts that it depends on, and how it went."""

    file: str
    parts: set[Part]
    outcome: str
    duration_s: float


@dataclass
class TakenRun:
    """One recorded run.

    `imports` holds by file what importing (or collecting) it did; `files` the lines that describe marked files;
    `collected` the tests of each file that was collected whole; `coarse` the content hash of each project file that
    was imported without marks; `places` pairs of a folder and the dotted name of what lies in it (mostly none);
    `whole` says whether all of the suite was collected.
    """

    run: str
    facts: dict[str, Any] = field(default_factory=dict)
    tests: dict[str, TakenTest] = field(default_factory=dict)
    imports: dict[str, set[Part]] = field(default_factory=dict)
    files: dict[str, dict[str, Any]] = field(default_factory=dict)
    collected: dict[str, list[str]] = field(default_factory=dict)
    coarse: dict[str, str] = field(default_factory=dict)
    outside: set[str] = field(default_factory=set)
    places: set[tuple[str, str]] = field(default_factory=set)
    whole: bool = False


def read_runs(spool: Path) -> Iterator[tuple[TakenRun | None, list[Path]]]:
    """Each run that is over, oldest first, with its files; None for one whose files cannot be understood."""
    names: dict[str, list[Path]] = {}
    for path in sorted([*spool.glob("*.map"), *spool.glob("*.marks")]):
        names.setdefault(path.name[:RUN_CHARACTERS], []).append(path)
    for run, paths in sorted(names.items()):
        main = spool / f"{run}-main.map"
        if any(line.get("k") == "end" for line in _lines(main)):
            yield _read_run(run, paths), paths


def _read_run(run: str, paths: list[Path]) -> TakenRun | None:
    """The run; None where it is broken."""
    taken = TakenRun(run)
    processes = [_Process(path) for path in paths if path.suffix == ".map"]
    children = [one for one in processes if one.is_child]
    try:
        done = _by_scope(children)
        started = Counter(scope for one in processes for scope in one.starts)
        seen = Counter(one.scope for one in children)
        unseen = {scope for scope, count in started.items() if count > seen[scope]}
        for process in processes:
            process.add_to(taken, done, unseen)
    except (KeyError, TypeError, ValueError, IndexError):
        return None
    return taken


def _by_scope(children: Iterable[_Process]) -> dict[str, set[Part]]:
    """What the child processes of each scope did."""
    done: dict[str, set[Part]] = {}
    for child in children:
        done.setdefault(child.scope, set()).update(child.all_done())
    return done


class _Process:
    """The lines of one process of a run."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.lines = list(_lines(path))
        self.is_child = any(line.get("k") == "child" for line in self.lines)
        self.scope = next((str(line["scope"]) for line in self.lines if line.get("k") == "child"), "")
        self.starts = [str(line["scope"]) for line in self.lines if line.get("k") == "start"]
        self.worker = path.stem[RUN_CHARACTERS + 1 :].partition(".")[0]
        self.modules: dict[str, str] = {}
        self.parts: dict[int, Part] = {}
        for line in self.lines:
            if line.get("k") == "file":
                self.modules[line["file"]] = line["module"]
                for place, (name, digest) in enumerate(line["functions"]):
                    self.parts[line["first"] + place] = (line["file"], name, digest)
        for line in self.lines:
            if line.get("k") == "part":
                self.parts[line["number"]] = self._part(line["file"], line["name"], line["digest"])

    def _part(self, file: str, name: str, digest: str) -> Part:
        return (file, MODULE, self.modules.get(file, "")) if name == IMPORT else (file, name, digest)

    def known(self, hits: Iterable[int]) -> set[Part]:
        """The parts that numbers stand for, each function's module with it."""
        found = {self.parts[number] for number in hits if number >= 0}
        return found | {(file, MODULE, self.modules[file]) for file, _, _ in found if file in self.modules}

    def all_done(self) -> set[Part]:
        """What a child did; of one that was killed, what it had marked, and all that it imported and read."""
        hits = [number for line in self.lines if line.get("k") == "child-hits" for number in line["hits"]]
        marks = self.path.with_suffix(".marks")
        if marks.exists():
            data = marks.read_bytes()
            hits += [number for number in self.parts if number >= len(data) or data[number]]
            hits += [number for line in self.lines if line.get("k") == "import" for number in line["hits"]]
        coarse = {(str(line["file"]), MODULE, "") for line in self.lines if line.get("k") == "coarse"}
        return self.known(hits) | coarse

    def add_to(self, run: TakenRun, done: Mapping[str, set[Part]], unseen: set[str]) -> None:
        """Put what this process recorded into the run; `done` are its children's doings by scope."""
        for line in self.lines:
            kind = line.get("k")
            if kind == "run" and self.worker == "main":
                run.facts = line
            elif kind == "file":
                run.files[line["file"]] = line
            elif kind == "import":
                run.imports.setdefault(line["file"], set()).update(self._whole(line["hits"], done, unseen))
            elif kind == "collected":
                run.collected[line["file"]] = line["tests"]
            elif kind == "whole":
                run.whole = True
            elif kind == "loaded":
                run.coarse |= line["coarse"]
                run.outside |= set(line["outside"])
                run.places |= {(place, "") for place in line["places"]}
                run.places |= {_place(name, file) for name, file in line["modules"].items() if file.endswith(".py")}
            elif kind == "test":
                parts = self._whole(line["hits"], done, unseen)
                before = run.tests.get(line["test"])
                parts |= before.parts if before else set()
                run.tests[line["test"]] = TakenTest(line["file"], parts, line["outcome"], float(line["duration_s"]))
        for line in self.lines:
            if line.get("k") == "more":
                for test in line["tests"]:
                    if test in run.tests:
                        run.tests[test].parts |= self._whole(line["hits"], done, unseen)

    def _whole(self, hits: Iterable[int], done: Mapping[str, set[Part]], unseen: set[str]) -> set[Part]:
        """The parts of a set, with what the processes did that were started in its scopes."""
        numbers = list(hits)
        found = self.known(numbers)
        for number in numbers:
            scope = f"{self.worker}.{-number}"
            if number < 0 and scope in done:
                found |= done[scope]
            if number < 0 and scope in unseen:
                found.add(("", OPAQUE, "python"))
        return found


def _place(module: str, file: str) -> tuple[str, str]:
    """Where modules like this one are found: a folder, and the dotted name that stands for it.

    >>> _place("aqe.agents.execute", "agents/execute.py"), _place("pkg", "src/pkg/__init__.py")
    (('', 'aqe'), ('src', ''))
    """
    names, parts = module.split("."), file.removesuffix(".py").removesuffix("/__init__").split("/")
    while names and parts and names[-1] == parts[-1]:
        names.pop()
        parts.pop()
    return "/".join(parts), ".".join(names)


def _lines(path: Path) -> Iterator[dict[str, Any]]:
    with contextlib.suppress(OSError), path.open("rb") as file:
        for line in file:
            with contextlib.suppress(ValueError):
                found = json.loads(line)
                if isinstance(found, dict):
                    yield found


def remove(paths: Iterable[Path]) -> None:
    """Delete the files of a run that was taken."""
    for path in paths:
        with contextlib.suppress(OSError):
            os.unlink(path)
