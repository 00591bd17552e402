"""What an agent asks the engine's memory about its report, and what it leaves there for the next one.

Agents share memory through the named subset of the engine (`aqe.engine.AgentEngine`), so it may be this project's own
or that of a server (setting `engine_server`). Nothing in a report's figures or verdicts rests on it: what memory says
stands apart, as `advice`, each with its source.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from aqe.agents.advice import Advice
from aqe.engine.errors import AqeError
from aqe.engine.memory.entry import Hit
from aqe.engine.subset import AgentMemory, own_memory

FLAKY = "agents/flaky"
SUSPECTS = "agents/generate"
MOST_TESTS = 40
MOST_NOTES = 5
LOOKED_AT = 30
APART = ("index/", "knowledge/", "agents/")
"""Namespaces that hold no notes of people and assistants."""


@dataclass(frozen=True)
class Lesson:
    """What an agent leaves for others."""

    text: str
    namespace: str
    metadata: Mapping[str, str]
    file: str = ""


@dataclass(frozen=True)
class Questions:
    """All that one report has to ask and to leave. `files` maps each file to the words to look for."""

    tests: tuple[str, ...] = ()
    files: Mapping[str, str] | None = None
    lessons: tuple[Lesson, ...] = ()

    def __bool__(self) -> bool:
        return bool(self.tests or self.files or self.lessons)


def consulted(agent: str, report: Any, project: Path) -> Any:
    """The report with the memory's advice, after its lessons were left there; one without a memory at hand says why."""
    asked = questions(agent, report)
    if not asked:
        return report
    try:
        with open_memory(project) as memory:
            return replace(report, advice=consult(asked, memory))
    except AqeError as error:
        return replace(report, notes=(*report.notes, f"the memory was not asked: {error.message}"))


def consult(asked: Questions, memory: AgentMemory) -> tuple[Advice, ...]:
    """Ask, then leave the lessons; each piece of advice once, in the order of the questions."""
    found = [*_of_tests(asked.tests, memory), *_of_files(asked.files or {}, memory)]
    for lesson in asked.lessons:
        memory.remember(lesson.text, namespace=lesson.namespace, metadata=lesson.metadata, file=lesson.file)
    return tuple(dict.fromkeys(found))


@contextlib.contextmanager
def open_memory(project: Path) -> Iterator[AgentMemory]:
    """The memory of the server that the settings name, else the project's own. Raises `AqeError`."""
    from aqe.engine.settings import load_settings

    server = load_settings(project).engine_server
    if server is None:
        with own_memory(project) as memory:
            yield memory
        return
    from aqe.agents.remote import open_remote

    with open_remote(server, os.environ.get("AQE_ENGINE_TOKEN", "")) as remote:
        yield remote


def questions(agent: str, report: Any) -> Questions:
    """What the report of that agent gives to ask and to leave."""
    make = _QUESTIONS.get(agent)
    return Questions() if make is None else make(report)


def _of_tests(tests: Iterable[str], memory: AgentMemory) -> Iterator[Advice]:
    """What the flaky hunter left about any of these tests."""
    wanted = list(tests)[:MOST_TESTS]
    if not wanted or not memory.search(wanted[0], namespace=FLAKY, k=1).hits:
        return
    for test in wanted:
        for hit in memory.search(test, namespace=FLAKY, filter={"test": test}, k=1).hits:
            yield _advice(test, hit)


def _of_files(files: Mapping[str, str], memory: AgentMemory) -> Iterator[Advice]:
    """What people and assistants noted about any of these files."""
    told = 0
    for file, words in files.items():
        for hit in memory.search(words, k=LOOKED_AT).hits:
            here = hit.memory.provenance.file == file and not hit.memory.namespace.startswith(APART)
            if here and told < MOST_NOTES:
                told += 1
                yield _advice(file, hit)


def _advice(about: str, hit: Hit) -> Advice:
    return Advice(about, hit.memory.text, f"{hit.memory.namespace}/{hit.memory.id}")


def _of_flaky(report: Any) -> Questions:
    flaky = [(nodeid, test) for nodeid, test in report.tests.items() if test.flaky]
    return Questions(lessons=tuple(_flaky_lesson(nodeid, test) for nodeid, test in flaky))


def _flaky_lesson(nodeid: str, test: Any) -> Lesson:
    cause = f" ({test.category})" if test.category else ""
    after = f" It fails after {', '.join(test.polluters)}." if test.polluters else ""
    metadata = {"test": nodeid, "category": test.category or ""}
    return Lesson(f"{nodeid} is flaky{cause}.{after}", FLAKY, metadata, nodeid.partition("::")[0])


def _of_review(report: Any) -> Questions:
    files: dict[str, str] = {}
    for one in report.findings:
        files[one.path] = f"{files.get(one.path, one.path)} {one.name}"
    return Questions(files=files)


def _of_coverage(report: Any) -> Questions:
    files: dict[str, str] = {}
    for gap in report.gaps:
        files[gap.path] = f"{files.get(gap.path, gap.path)} {gap.name}"
    return Questions(files=files, tests=tuple(one.nodeid for one in report.failures))


def _of_select(report: Any) -> Questions:
    return Questions(tests=tuple(one.nodeid for one in report.tests))


def _of_execute(report: Any) -> Questions:
    return Questions(tests=tuple(one.nodeid for one in report.failures))


def _of_generate(report: Any) -> Questions:
    lessons = [
        Lesson(
            f"Suspected bug in {bug.module}::{bug.target} line {bug.line}: {bug.why}",
            SUSPECTS,
            {"target": f"{bug.module}::{bug.target}"},
        )
        for bug in report.suspects
    ]
    return Questions(lessons=tuple(lessons))


_QUESTIONS = {
    "flaky": _of_flaky,
    "review": _of_review,
    "coverage": _of_coverage,
    "select": _of_select,
    "execute": _of_execute,
    "generate": _of_generate,
}
