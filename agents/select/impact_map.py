"""The impact map: which test depends on which parts of the project, kept in the project's store.

A set of parts is kept for each test, and one for what importing (or collecting) a file does. A recorded run replaces
the sets of the tests that it ran; where nothing that a test depended on has changed since, the old set is kept as well,
because then another set only means that the test does not always take the same way. Tests that are gone go.
"""

from __future__ import annotations

import hashlib
import json
import os
import sys
import zlib
from array import array
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import apsw

from aqe.agents.inject._aqe_inject import anatomy, entries
from aqe.agents.select.taking import MODULE, Part, TakenRun, read_runs, remove
from aqe.engine.index import index_scope
from aqe.engine.memory.graph.recorded import link_coverage
from aqe.engine.memory.store import Store

FORMAT = f"{entries.FORMAT}.{anatomy.FORMAT}"


@dataclass(frozen=True)
class FileParts:
    """What a file was when it was recorded: the content's SHA-256, digests of its functions, of what its import
    executes, and of the heads of its plain functions. `is_known` is False where the text was not to be had.
    """

    content: str
    functions: Mapping[str, str] = field(default_factory=dict)
    module: str = ""
    heads: Mapping[str, str] = field(default_factory=dict)
    is_known: bool = True


@dataclass(frozen=True)
class MappedTest:
    """One recorded test; one that was collected and never run has the outcome "" and no parts."""

    file: str
    parts: frozenset[int]
    outcome: str
    duration_s: float


@dataclass(frozen=True)
class ImpactMap:
    """The map in memory. `parts` by number; `imports` by file, `<start>` being what preceded the collection.

    `coarse` are files that were imported without marks (test files among them); `outside` top-level names that were
    imported from elsewhere than the project; `places` the project's folders on the import path, each with the dotted
    name that it stands for; `python_files` and `testpaths` are pytest's settings of that name.
    """

    parts: Mapping[int, Part]
    tests: Mapping[str, MappedTest]
    imports: Mapping[str, frozenset[int]]
    files: Mapping[str, FileParts]
    coarse: frozenset[str]
    outside: frozenset[str]
    places: tuple[tuple[str, str], ...]
    python_files: tuple[str, ...]
    testpaths: tuple[str, ...]
    python: str
    recorded_at: int

    @cached_property
    def test_files(self) -> frozenset[str]:
        """The files that hold recorded tests."""
        return frozenset(test.file for test in self.tests.values())


def update(store: Store, project: Path) -> int:
    """Take the runs that lie in the project's spool into the store; returns how many there were."""
    spool, count = project / ".aqe" / "spool", 0
    if not spool.is_dir():
        return 0
    for run, paths in read_runs(spool):
        if run is not None and run.facts.get("format") == entries.FORMAT:
            with store.writing() as connection:
                _Writer(connection, store, project).take(run)
            count += 1
        remove(paths)
    if count and store.graph is not None:
        link_coverage(store, index_scope(store).rstrip("/"))
    return count


def load(store: Store) -> ImpactMap | None:
    """The map; None where none was recorded, or one that another version of aqe has recorded."""
    with store.reading() as connection:
        facts = {name: json.loads(value) for name, value in connection.execute("SELECT * FROM impact_facts")}
        if facts.get("format") != FORMAT:
            return None
        rows = connection.execute("SELECT number, file, name, digest FROM impact_parts")
        parts = {number: (file, name, digest) for number, file, name, digest in rows}
        tests: dict[str, MappedTest] = {}
        imports: dict[str, frozenset[int]] = {}
        rows = connection.execute("SELECT kind, name, file, parts, outcome, duration_s FROM impact_sets")
        for kind, name, file, blob, outcome, duration_s in rows:
            numbers = frozenset(_unpack(blob))
            if kind == "test":
                tests[name] = MappedTest(file, numbers, outcome, duration_s)
            else:
                imports[name] = numbers
        files = {
            file: FileParts(content, **json.loads(told))
            for file, content, told in connection.execute("SELECT file, content, anatomy FROM impact_files")
        }
    return ImpactMap(
        parts=parts,
        tests=tests,
        imports=imports,
        files=files,
        coarse=frozenset(facts["coarse"]),
        outside=frozenset(facts["outside"]),
        places=tuple((folder, prefix) for folder, prefix in facts["places"]),
        python_files=tuple(facts["python_files"]),
        testpaths=tuple(facts["testpaths"]),
        python=facts["python"],
        recorded_at=facts["recorded_at"],
    )


def has_other_format(store: Store) -> bool:
    """Whether a map is there that this version cannot read."""
    with store.reading() as connection:
        row = connection.execute("SELECT value FROM impact_facts WHERE name = 'format'").fetchone()
    return row is not None and json.loads(row[0]) != FORMAT


def describe(source: bytes | str, content: str = "") -> FileParts:
    """What a source text consists of; raises SyntaxError or ValueError where it is no Python."""
    found = anatomy.dissect(source)
    functions = {name: digest for name, (digest, _, _) in found.functions.items()}
    return FileParts(content, functions, found.module, found.heads)


class _Writer:
    """Puts one run into the tables, within a transaction."""

    def __init__(self, connection: apsw.Connection, store: Store, project: Path) -> None:
        self._connection = connection
        self._store = store
        self._project = project
        self._numbers: dict[Part, int] = {}
        self._parts: dict[int, Part] = {}

    def take(self, run: TakenRun) -> None:
        """All of the run; where the tables hold another format, they are emptied first."""
        before = self._facts()
        if before.get("format", FORMAT) != FORMAT:
            for table in ("impact_parts", "impact_sets", "impact_files", "impact_facts"):
                self._connection.execute(f"DELETE FROM {table}")
            before = {}
        for number, *part in self._connection.execute("SELECT number, file, name, digest FROM impact_parts"):
            self._note((part[0], part[1], part[2]), number)
        self._describe(run)
        for name, parts in run.imports.items():
            self._put("import", name, name, parts, "", 0.0, run)
        current = self._current()
        for nodeid, test in run.tests.items():
            parts = test.parts | self._kept(nodeid, test.parts, current)
            self._put("test", nodeid, test.file, parts, test.outcome, test.duration_s, run)
        self._forget(run)
        self._keep_facts(run, before)

    def _facts(self) -> dict[str, Any]:
        return {name: json.loads(value) for name, value in self._connection.execute("SELECT * FROM impact_facts")}

    def _describe(self, run: TakenRun) -> None:
        """Keep what each loaded file was; an unmarked one is read from disk, if it is still what was imported."""
        found = {
            file: FileParts(line["content"], dict(line["functions"]), line["module"], line["heads"])
            for file, line in run.files.items()
        }
        for file, content in run.coarse.items():
            found[file] = self._read(file, content)
        for file, parts in found.items():
            told = {"functions": parts.functions, "module": parts.module, "heads": parts.heads}
            self._connection.execute(
                "INSERT OR REPLACE INTO impact_files VALUES (?, ?, ?)",
                (file, parts.content, json.dumps({**told, "is_known": parts.is_known})),
            )

    def _read(self, file: str, content: str) -> FileParts:
        try:
            data = (self._project / file).read_bytes()
            if hashlib.sha256(data).hexdigest() == content:
                return describe(data, content)
        except (OSError, SyntaxError, ValueError, RecursionError):
            pass
        return FileParts(content, is_known=False)

    def _current(self) -> dict[tuple[str, str], str]:
        found = {}
        for file, told in self._connection.execute("SELECT file, anatomy FROM impact_files"):
            parts = json.loads(told)
            found[file, MODULE] = parts["module"]
            found.update({(file, name): digest for name, digest in parts["functions"].items()})
        return found

    def _kept(self, nodeid: str, fresh: set[Part], current: Mapping[tuple[str, str], str]) -> set[Part]:
        """What the test depended on before, if all of that is still what it was."""
        row = self._connection.execute(
            "SELECT parts FROM impact_sets WHERE kind = 'test' AND name = ?", (nodeid,)
        ).fetchone()
        if row is None:
            return set()
        before = {self._parts[number] for number in _unpack(row[0])}
        now = {(file, name): digest for file, name, digest in fresh}
        same = all(current.get((file, name), now.get((file, name), digest)) == digest for file, name, digest in before)
        return before if same else set()

    def _put(
        self, kind: str, name: str, file: str, parts: Iterable[Part], outcome: str, duration_s: float, run: TakenRun
    ) -> None:
        numbers = sorted(self._number(part) for part in parts)
        here = self._store.here
        row = (kind, name, file, _pack(numbers), outcome, duration_s, run.run, run.facts["started_at"])
        self._connection.execute(
            "INSERT OR REPLACE INTO impact_sets VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
            (*row, here.worktree, here.commit),
        )

    def _number(self, part: Part) -> int:
        if part not in self._numbers:
            self._connection.execute("INSERT INTO impact_parts (file, name, digest) VALUES (?, ?, ?)", part)
            self._note(part, self._connection.last_insert_rowid())
        return self._numbers[part]

    def _note(self, part: Part, number: int) -> None:
        self._numbers[part], self._parts[number] = number, part

    def _forget(self, run: TakenRun) -> None:
        """Tests that are no longer collected go; those that were collected and never recorded are noted."""
        execute = self._connection.execute
        known: dict[str, set[str]] = {}
        for name, file in execute("SELECT name, file FROM impact_sets WHERE kind = 'test'"):
            known.setdefault(file, set()).add(name)
        for file, names in known.items():
            there = run.collected.get(file)
            if there is not None:
                gone = names - set(there)
            elif (run.whole and file not in run.collected) or not os.path.exists(self._project / file):
                gone = names
            else:
                continue
            for name in gone:
                execute("DELETE FROM impact_sets WHERE kind = 'test' AND name = ?", (name,))
        for file, tests in run.collected.items():
            for name in tests:
                if name not in known.get(file, ()) and name not in run.tests:
                    self._put("test", name, file, (), "", 0.0, run)

    def _keep_facts(self, run: TakenRun, before: Mapping[str, Any]) -> None:
        facts = {
            "format": FORMAT,
            "python": run.facts["python"],
            "python_files": run.facts["python_files"],
            "testpaths": run.facts["testpaths"],
            "recorded_at": run.facts["started_at"],
            "coarse": sorted({*before.get("coarse", ()), *run.coarse} - run.files.keys()),
            "outside": sorted({*before.get("outside", ()), *run.outside}),
            "places": sorted({*map(tuple, before.get("places", ())), *run.places}),
        }
        for name, value in facts.items():
            self._connection.execute("INSERT OR REPLACE INTO impact_facts VALUES (?, ?)", (name, json.dumps(value)))


def _pack(numbers: Iterable[int]) -> bytes:
    packed = array("I", numbers)
    if sys.byteorder == "big":
        packed.byteswap()
    return zlib.compress(packed.tobytes(), 1)


def _unpack(blob: bytes) -> array[int]:
    found = array("I")
    found.frombytes(zlib.decompress(blob))
    if sys.byteorder == "big":
        found.byteswap()
    return found
