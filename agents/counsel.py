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
from aqe.engine.errors import AqeError, UserError
from aqe.engine.memory.entry import Hit, Kept, SearchAnswer
from aqe.engine.privacy.never_send import WITHHELD, NeverSend
from aqe.engine.privacy.structure import redacted
from aqe.engine.subset import AgentMemory, own_memory

FLAKY = "agents/flaky"
SUSPECTS = "agents/generate"
MOST_TESTS = 40
MOST_NOTES = 5
LOOKED_AT = 30
SERVER_S = 5.0
"""How long a server may take for one call, and all of its advice for one report."""

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
    """All that one report has to ask and to leave. `files` maps each file to the words to look for; what was said of
    the `healthy` tests before is over."""

    tests: tuple[str, ...] = ()
    healthy: frozenset[str] = frozenset()
    files: Mapping[str, str] | None = None
    lessons: tuple[Lesson, ...] = ()

    def __bool__(self) -> bool:
        return bool(self.tests or self.healthy or self.files or self.lessons)


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
    _withdraw(asked.healthy, memory)
    for lesson in asked.lessons:
        memory.remember(lesson.text, namespace=lesson.namespace, metadata=lesson.metadata, file=lesson.file)
    return tuple(dict.fromkeys(found))


@contextlib.contextmanager
def open_memory(project: Path) -> Iterator[AgentMemory]:
    """The memory of the server that the settings name, else the project's own.

    What goes to a server is redacted, holds nothing of files that never leave, and the privacy mode strict refuses it:
    behind a port of this machine may be a tunnel. Raises `AqeError`.
    """
    from aqe.engine.settings import load_settings

    settings = load_settings(project)
    server = settings.engine_server
    if server is None:
        with own_memory(project) as memory:
            yield memory
        return
    if settings.privacy.mode == "strict":
        raise UserError(
            f"{server} may be a tunnel to another machine, and the privacy mode is strict.",
            code="strict-mode",
            fix="Unset engine_server, or set privacy.mode to balanced.",
        )
    from aqe.agents.remote import open_remote

    with open_remote(server, os.environ.get("AQE_ENGINE_TOKEN", ""), timeout_s=SERVER_S) as remote:
        never = NeverSend(project, settings.privacy.never_send)
        yield GuardedMemory(remote, never, is_open=settings.privacy.mode == "off")


class GuardedMemory:
    """A memory elsewhere that is given no secrets and no personal data, and nothing about files that never leave."""

    def __init__(self, memory: AgentMemory, never_send: NeverSend, *, is_open: bool) -> None:
        self._memory = memory
        self._never_send = never_send
        self._is_open = is_open

    def search(
        self, query: str, *, k: int = 10, namespace: str | None = None, filter: Mapping[str, Any] | None = None
    ) -> SearchAnswer:
        return self._memory.search(self._said(query), k=k, namespace=namespace, filter=self._said(filter))

    def remember(
        self,
        text: str,
        *,
        namespace: str = "default",
        id: str | None = None,
        metadata: Mapping[str, Any] | None = None,
        file: str = "",
        line: int = 0,
        ttl: str | float | None = None,
    ) -> Kept:
        is_covered = self._never_send.covers(file or None) or self._never_send.source_of([text]) is not None
        said = WITHHELD if is_covered else self._said(text)
        told = {} if is_covered else self._said(metadata)
        return self._memory.remember(said, namespace=namespace, id=id, metadata=told, file=file, line=line, ttl=ttl)

    def _said(self, value: Any) -> Any:
        return value if self._is_open else redacted(value)


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
        for hit in memory.search(test, namespace=FLAKY, filter={"test": test, "state": "flaky"}, k=1).hits:
            yield _advice(test, hit)


def _withdraw(healthy: frozenset[str], memory: AgentMemory) -> None:
    """What was said of tests that a later hunt found stable counts no more; the memory stays, marked."""
    if not healthy:
        return
    for hit in memory.search("flaky", namespace=FLAKY, filter={"state": "flaky"}, k=MOST_TESTS).hits:
        kept = hit.memory
        if kept.metadata.get("test") in healthy:
            memory.remember(kept.text, namespace=FLAKY, metadata={"state": "stable since"}, file=kept.provenance.file)


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
    healthy = frozenset(nodeid for nodeid, test in report.tests.items() if test.verdict == "stable")
    return Questions(healthy=healthy, lessons=tuple(_flaky_lesson(nodeid, test) for nodeid, test in flaky))


def _flaky_lesson(nodeid: str, test: Any) -> Lesson:
    cause = f" ({test.category})" if test.category else ""
    after = f" It fails after {', '.join(test.polluters)}." if test.polluters else ""
    metadata = {"test": nodeid, "category": test.category or "", "state": "flaky"}
    return Lesson(f"{nodeid} was found flaky{cause}.{after}", FLAKY, metadata, nodeid.partition("::")[0])


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
