"""The rules: which tests a change needs, and why. Pure but for the texts that it is given to compare.

A change inside a function needs the tests that executed the function; a change of what an import executes (module or
class level, decorators, defaults, imports) those that import the file, by the recorded imports and by the import graph;
a conftest all tests beneath it; configuration all tests; a data file those that read it. What changed since the map was
recorded counts like the change itself. Where nothing can be known, more is chosen.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import PurePosixPath

from aqe.agents.inject._aqe_inject.doings import DATA, LISTING, OPAQUE
from aqe.agents.inject._aqe_inject.entries import START
from aqe.agents.select.impact_map import FileParts, ImpactMap
from aqe.agents.select.imports import CONFTEST, ImportGraph
from aqe.agents.select.taking import MODULE

ITSELF, EXECUTES, READS, IMPORTS, BENEATH, EVERY, OPAQUE_DIRECTNESS = 0.7, 0.6, 0.5, 0.35, 0.3, 0.15, 0.1
"""How directly a test is hit, by the rule that chose it; the first part of its risk."""

CONFIGURATION = re.compile(
    r"(pyproject\.toml|pytest\.ini|\.pytest\.ini|pytest\.toml|tox\.ini|setup\.cfg|setup\.py|Pipfile(\.lock)?"
    r"|(poetry|uv|pdm)\.lock|pylock.*\.toml|environment\.ya?ml|\.env|(.*/)?(requirements|constraints)[^/]*\.(txt|in))"
)
PROSE = re.compile(
    r"(.*/)?(README|CHANGELOG|CHANGES|HISTORY|NEWS|CONTRIBUTING|LICEN[CS]E|AUTHORS|NOTICE|CODEOWNERS)[^/]*"
    r"|.*\.(md|rst|adoc)|(docs?|LICENSES)/.*|\.(gitignore|gitattributes|editorconfig|mailmap)|\.(github|vscode|idea)/.*"
)


@dataclass(frozen=True)
class FileDelta:
    """One file as two versions, whichever two are compared.

    `old` and `new` are None where that side has no file; a side that is no Python has `is_known` False. `lines` gives
    by function the changed line to name; `words` end the reason ("changed at line 25"). `is_new_kind` is a rename.
    """

    path: str
    old: FileParts | None
    new: FileParts | None
    words: str
    lines: Mapping[str, int] = field(default_factory=dict)
    old_text: str = ""

    def said(self, name: str = "") -> str:
        """The end of a reason."""
        line = self.lines.get(name)
        return f"changed at line {line}" if line else self.words


@dataclass
class Choice:
    """What was chosen: by test the directness and the reason of its most direct rule; `why_all` where it is all.

    `wanted_files` are test files whose present tests have to be looked up, with the reason; `notes` is what a person
    should know: changes that no test needs among them.
    """

    tests: dict[str, tuple[float, str]] = field(default_factory=dict)
    why_all: str = ""
    wanted_files: dict[str, str] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)

    def add(self, test: str, directness: float, reason: str) -> None:
        if test not in self.tests or self.tests[test][0] < directness:
            self.tests[test] = (directness, reason)


class Chooser:
    """Applies the rules to one change after the other."""

    def __init__(self, found: ImpactMap, graph: Callable[[], ImportGraph], is_test_file: Callable[[str], bool]):
        self.map = found
        self.choice = Choice()
        self._graph = graph
        self._is_test_file = is_test_file
        self._by_part: dict[tuple[str, str], list[int]] = {}
        for number, (file, name, _) in found.parts.items():
            self._by_part.setdefault((file, name), []).append(number)
        self._by_file: dict[str, list[str]] = {}
        for nodeid, test in found.tests.items():
            self._by_file.setdefault(test.file, []).append(nodeid)

    # whole suite

    def every_test(self, reason: str) -> None:
        """All tests, for this reason."""
        self.choice.why_all = self.choice.why_all or reason
        for nodeid in self.map.tests:
            self.choice.add(nodeid, EVERY, reason)

    def unrecorded(self) -> None:
        """Tests that were collected and of which nothing was recorded."""
        for nodeid, test in self.map.tests.items():
            if not test.outcome:
                self.choice.add(nodeid, ITSELF, "has not been recorded yet")

    def opaque(self) -> None:
        """Tests that start processes which nobody can look into."""
        for number in self._numbers("", OPAQUE):
            program = self.map.parts[number][2]
            self.having([number], OPAQUE_DIRECTNESS, f"starts {program}, which cannot be seen into")

    # Python files

    def source(self, delta: FileDelta) -> None:
        """A Python file that is no test file and no conftest."""
        path, old, new = delta.path, delta.old, delta.new
        if old is None and new is None:
            return
        if path in self.map.coarse:
            self._module(delta, f"imports {path}, {delta.said()}", delta.said())
        elif old is None:
            self._added_file(delta)
        elif new is None or not (old.is_known and new.is_known):
            gone = "was deleted" if new is None else delta.said()
            for name in {name for file, name in self._by_part if file == path and not name.startswith("<")}:
                self._function(path, name, f"executes {_title(path, name)}, whose file {gone}")
            self._module(delta, f"imports {path}, which {gone}", gone)
        else:
            self._functions(delta, old, new)

    def _functions(self, delta: FileDelta, old: FileParts, new: FileParts) -> None:
        path = delta.path
        changed = [name for name in old.functions if new.functions.get(name) != old.functions[name]]
        hit = 0
        for name in changed:
            what = delta.said(name) if name in new.functions else "which was deleted"
            hit += self._function(path, name, f"executes {_title(path, name)}, {what}")
        why = self._level(delta, old, new)
        if why:
            hit += self._module(delta, f"imports {path}, {why}", why)
        fresh = [name for name in new.functions if name not in old.functions]
        for name in fresh:  # where the map is of the new version
            hit += self._function(path, name, f"executes {_title(path, name)}, which is new")
        if (changed or why or fresh) and not hit:
            names = ", ".join(_title(path, name) for name in (changed or fresh or [MODULE])[:3])
            word = "new" if fresh and not changed and not why else "changed"
            self.choice.notes.append(f"no test executes {names} ({word})")

    def _level(self, delta: FileDelta, old: FileParts, new: FileParts) -> str:
        """How the change reaches beyond function bodies, in words; empty where it does not."""
        if old.module != new.module:
            return f"{delta.said(MODULE)} at module or class level"
        gone = [name for name in old.heads if name not in new.heads]
        if gone:
            return f"which lost {gone[0]}"
        other = [name for name in old.heads if new.heads[name] != old.heads[name]]
        if other:
            return f"where the signature of {other[0]} changed"
        for name in new.heads:
            if name not in old.heads and self._may_hide(delta, name):
                return f"which got {name}"
        return ""

    def _may_hide(self, delta: FileDelta, name: str) -> bool:
        """Whether a new function may take the place of something that is already used under its name."""
        seen = re.search(rf"\b{re.escape(name)}\b", delta.old_text) is not None
        return seen or not delta.old_text or delta.path in self._graph().stars

    def _added_file(self, delta: FileDelta) -> None:
        top = PurePosixPath(delta.path.removeprefix("src/")).parts[0].removesuffix(".py")
        importers = self._graph().importers(delta.path) - {delta.path}
        for name in {name for file, name in self._by_part if file == delta.path and not name.startswith("<")}:
            self._function(delta.path, name, f"executes {_title(delta.path, name)}, which is new")
        if top in self.map.outside and not delta.path.removeprefix("src/").startswith(f"{top}/"):
            self.every_test(f"the new file {delta.path} may take the place of the module {top}")
        elif importers:
            self._module(delta, f"imports {delta.path}, which is new", "which is new")
        else:
            self.choice.notes.append(f"{delta.path} is new and nothing imports it")

    def _function(self, path: str, name: str, reason: str) -> int:
        """Tests that executed a function, and those that import a file whose import executed it."""
        numbers = self._numbers(path, name)
        hit = self.having(numbers, EXECUTES, reason)
        wanted = set(numbers)
        files = [file for file, parts in self.map.imports.items() if wanted & parts]
        if START in files:
            self.every_test(f"{_title(path, name)} is executed before the tests are collected, and changed")
        if files:
            verb = reason.removeprefix("executes ")
            hit += self._reach(files, IMPORTS, f"imports what executes {verb}")
        return hit

    def _module(self, delta: FileDelta, reason: str, why: str) -> int:
        """Tests that import a file."""
        path = delta.path
        hit = self.having(self._numbers(path, MODULE), IMPORTS, reason)
        reached = self._reach([path], IMPORTS, reason)
        known = path in self.map.files
        at_start = not self.map.imports.get(START, frozenset()).isdisjoint(self._numbers(path, MODULE))
        top = PurePosixPath(path.removeprefix("src/")).parts[0].removesuffix(".py")
        if known and not reached and (at_start or path in self.map.coarse or not hit):
            self.every_test(f"{path} is imported in a way that the source does not show, and {why}")
            return len(self.map.tests)
        if not known and top in self.map.outside:
            self.every_test(f"the tests import {top} from elsewhere than the project, and {path} changed")
            return len(self.map.tests)
        return hit + reached

    # tests, conftests, configuration, data

    def test_file(self, delta: FileDelta) -> None:
        """A test file: its changed tests; all of its tests where something else in it changed."""
        path, old, new = delta.path, delta.old, delta.new
        if new is None:
            return
        there = self._by_file.get(path, [])
        if old is None or not there or not (old.is_known and new.is_known):
            self.choice.wanted_files[path] = "is a new test" if old is None else f"stands in {path}, {delta.said()}"
            for nodeid in there:
                self.choice.add(nodeid, ITSELF, f"stands in {path}, {delta.said()}")
            if old is not None:
                self._reach([path], IMPORTS, f"imports {path}, {delta.said()}")
            return
        names = {**old.functions, **new.functions}
        changed = [name for name in names if old.functions.get(name) != new.functions.get(name)]
        changed = list(dict.fromkeys(name.partition(".<locals>")[0] for name in changed))
        tests = {_bare(nodeid) for nodeid in there}
        shared = [name for name in changed if name in old.functions and name.replace(".", "::") not in tests]
        why = self._level(delta, old, new) if not shared else f"{delta.said(shared[0])} in {shared[0]}"
        if why:
            for nodeid in there:
                self.choice.add(nodeid, IMPORTS, f"stands in {path}, {why}")
            self._reach([path], IMPORTS, f"imports {path}, {why}", but=path)
        for name in changed:
            self._changed_test(delta, name, there)
        if changed or why:
            self.choice.wanted_files[path] = "is a new test"

    def _changed_test(self, delta: FileDelta, name: str, there: Iterable[str]) -> None:
        last = name.rpartition(".")[2]
        for nodeid in there:
            if _bare(nodeid).rpartition("::")[2] == last:
                self.choice.add(nodeid, ITSELF, f"is itself {delta.said(name)}")
        if "." in name:
            for file in self._graph().importers(delta.path) - {delta.path}:
                for nodeid in self._by_file.get(file, ()):
                    if _bare(nodeid).rpartition("::")[2] == last:
                        self.choice.add(nodeid, ITSELF, f"inherits {name}, {delta.said(name)}")

    def conftest(self, path: str, words: str) -> None:
        """A conftest: all tests beneath its folder."""
        folder = path.removesuffix(CONFTEST)
        hit = 0
        for nodeid, test in self.map.tests.items():
            if test.file.startswith(folder):
                self.choice.add(nodeid, BENEATH, f"stands beneath {path}, {words}")
                hit += 1
        hit += self._reach([path], BENEATH, f"uses {path}, {words}")
        if not hit:
            self.choice.notes.append(f"no recorded test stands beneath {path}")

    def data(self, path: str, words: str, *, existed: bool, came_or_went: bool) -> None:
        """A file that is no Python: the tests that read it, or listed its folder where it came or went."""
        numbers = self._numbers(path, DATA)
        files = [name for name, parts in self.map.imports.items() if parts & set(numbers)]
        hit = self.having(numbers, READS, f"reads {path}, {words}") + self._starting(files, f"{path}, {words}")
        if came_or_went:
            folder = str(PurePosixPath(path).parent)
            listings = self._numbers("." if folder == "." else folder, LISTING)
            hit += self.having(listings, READS, f"lists {folder}, where {path} {words}")
            importing = [name for name, parts in self.map.imports.items() if parts & set(listings)]
            hit += self._starting(importing, f"{path}, {words}")
        if hit:
            return
        if PROSE.fullmatch(path):
            self.choice.notes.append(f"no recorded test reads {path}")
        elif existed:
            self.every_test(f"{path} {words}, no recorded test opened it, and what else reads it cannot be known")
        else:
            self.choice.notes.append(f"{path} is new and no recorded test looked for it")

    def _starting(self, files: list[str], what: str) -> int:
        if START in files:
            self.every_test(f"the suite's start reads {what}")
            return len(self.map.tests)
        return self._reach(files, IMPORTS, f"imports what reads {what}") if files else 0

    # hits

    def _numbers(self, file: str, name: str) -> list[int]:
        return self._by_part.get((file, name), [])

    def having(self, numbers: Iterable[int], directness: float, reason: str) -> int:
        """Choose the tests that depend on one of these parts; returns how many there are."""
        wanted = frozenset(numbers)
        hit = 0
        if wanted:
            for nodeid, test in self.map.tests.items():
                if not wanted.isdisjoint(test.parts):
                    self.choice.add(nodeid, directness, reason)
                    hit += 1
        return hit

    def having_any(self, reasons: Mapping[int, str], directness: float) -> None:
        """Choose the tests that depend on any of these parts, each with the reason of one of them."""
        for nodeid, test in self.map.tests.items():
            hit = test.parts & reasons.keys()
            if hit:
                self.choice.add(nodeid, directness, reasons[min(hit)])

    def _reach(self, files: Iterable[str], directness: float, reason: str, but: str = "") -> int:
        """Tests whose file imports one of these, by the graph and by what was seen when they ran."""
        found = self._graph().reaching(files)
        hit = 0
        for file in found:
            for nodeid in self._by_file.get(file, ()) if file != but else ():
                self.choice.add(nodeid, directness, reason)
                hit += 1
            if not hit and self._is_test_file(file):
                hit += 1
        return hit


def _title(path: str, name: str) -> str:
    """A function as a person names it: `pricing.percent_off`."""
    stem = PurePosixPath(path)
    module = stem.parent.name if stem.name == "__init__.py" else stem.stem
    return f"{module}.{name}" if name != MODULE else path


def _bare(nodeid: str) -> str:
    """A test's place in its file, without parameters.

    >>> _bare("tests/test_a.py::TestA::test_b[1-::x]")
    'TestA::test_b'
    """
    return nodeid.partition("[")[0].partition("::")[2]
