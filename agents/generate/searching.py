"""The search for cases, one module after the other, inside one sandbox box."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from aqe.agents.gate.box import Box, BoxSpec, CaseResult, Limits
from aqe.agents.gate.interpreter import Interpreter
from aqe.agents.generate.cases import SearchResult, read_result
from aqe.agents.generate.examples import Examples
from aqe.agents.generate.plan import UNLIMITED_SEARCH_S, Plan
from aqe.agents.generate.target import Subject, search_path
from aqe.engine.errors import UserError
from aqe.engine.progress import CancelToken, Progress

IMPORT_WALL_S = 20.0
SEARCH_ENTRY = "_aqe_inject.search:run"
IMPORT_ENTRY = "_aqe_inject.importing:check"


@dataclass
class Found:
    """What the searches gave so far; `broken` maps a module that cannot be imported to its error."""

    results: dict[str, SearchResult] = field(default_factory=dict)
    broken: dict[str, UserError] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)
    not_searched: list[str] = field(default_factory=list)
    partial: bool = False


class Search:
    """One box of the project's Python; `stop` ends the running search and keeps what it found."""

    def __init__(self, spec: BoxSpec, progress: Progress, cancel: CancelToken, stop: CancelToken) -> None:
        self.spec = spec
        self.progress = progress
        self.cancel = cancel
        self.stop = stop
        self.box: Box | None = None

    def __enter__(self) -> Search:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """End the box; a later call opens a new one."""
        if self.box is not None:
            self.box.close()
            self.box = None

    def check_import(self, subject: Subject) -> UserError | None:
        """Import the subject once, away from everything; what keeps it from being tested, or None."""
        self.progress(f"Importing {subject.module}")
        args = {"module": subject.module, "path": str(subject.path)}
        box = self._opened()
        forget = self.stop.on_cancel(box.kill)
        try:
            result = box.run(IMPORT_ENTRY, args, wall_s=IMPORT_WALL_S)
        finally:
            forget()
        self.cancel.check()
        self.stop.check()
        return import_problem(subject, result)

    def search(
        self, subject: Subject, examples: Examples, *, seconds: float | None, evaluations: int | None, seed: int
    ) -> tuple[SearchResult, str]:
        """The cases found for one module, and a sentence when the search ended early (then they are partial)."""
        held: dict[str, Any] = {}

        def heard(message: Any) -> None:
            if isinstance(message, Mapping):
                if "partial" in message:
                    held["partial"] = message["partial"]
                elif message.get("text"):
                    self._tell(subject, message)

        args = {
            "module": subject.module,
            "names": list(subject.names) if subject.names else None,
            "within": [list(span) for span in subject.within()],
            "budget_s": seconds,
            "evaluations": evaluations,
            "seed": seed,
            "example_sources": [list(source) for source in examples.sources],
        }
        wall_s = UNLIMITED_SEARCH_S if seconds is None else seconds * 1.3 + 3.0
        box = self._opened()
        forget = self.stop.on_cancel(box.kill)
        try:
            result = box.run(SEARCH_ENTRY, args, wall_s=wall_s, on_progress=heard)
        finally:
            forget()
        self.cancel.check()
        if result.state == "ok":
            answer = read_result(result.value, subject.module)
            empty = not answer.functions and not subject.outline.is_empty
            return answer, f"The search in {subject.module} broke off and found nothing." if empty else ""
        why = "was stopped" if self.stop.is_set else ended_by(result)
        return read_result(held.get("partial"), subject.module), f"The search in {subject.module} {why}."

    def _tell(self, subject: Subject, message: Mapping[str, Any]) -> None:
        done, total = message.get("done"), message.get("total")
        self.progress(
            f"{subject.module}: {message['text']}",
            float(done) if isinstance(done, int | float) else 0.0,
            float(total) if isinstance(total, int | float) else None,
        )

    def _opened(self) -> Box:
        if self.box is None or not self.box.alive:
            if self.box is not None:
                self.box.close()
            self.box = Box.open(self.spec, cancel=self.cancel)
        return self.box


def box_spec(interpreter: Interpreter, project: Path, subjects: Sequence[Subject], limits: Limits) -> BoxSpec:
    """The box of a search: the project's own folders on the path, unless the interpreter has them already."""
    known = {str(Path(entry).resolve()) for entry in interpreter.sys_path if entry}
    wanted = [subject.root for subject in subjects] + list(search_path(project))
    path = tuple(dict.fromkeys(str(folder) for folder in wanted if str(folder) not in known))
    return BoxSpec(python=interpreter.executable, project=str(project), path=path, limits=limits)


def import_problem(subject: Subject, result: CaseResult) -> UserError | None:
    """What the first import says, as an error for the user; None when the right file was imported."""
    name = subject.module
    if result.state == "timeout":
        text = f"Importing {name} does not end within {IMPORT_WALL_S:.0f} seconds."
        return UserError(text, code="import-hangs", fix="Move the work of import time under a main guard.")
    if result.state == "memory":
        text = f"Importing {name} needs more memory than the sandbox gives."
        return UserError(text, code="import-failed", fix="Name a smaller module.")
    if result.state != "ok" or not isinstance(result.value, Mapping):
        return UserError(
            f"Importing {name} ends the process{_exit_words(result)}.",
            code="import-exits",
            fix="Move what ends it under a main guard, or name another module.",
        )
    value = result.value
    if not value.get("error"):
        return _wrong_file(subject, str(value.get("file") or ""))
    if value["error"] in {"SystemExit", "KeyboardInterrupt"}:
        text = f"Importing {name} ends the process ({value['error']} {value['message']}".rstrip() + f"{_at(value)})."
        return UserError(text, code="import-exits", fix="Move what ends it under a main guard, or name another module.")
    message = f": {value['message']}".rstrip(": ") if value["message"] else ""
    fix = f"Correct it, or pass --python with the interpreter it is meant for (this one is {value.get('python')})."
    if value.get("missing") and value["error"] == "ModuleNotFoundError":
        fix = f"Install {value['missing']} for this Python, or pass --python with the one that has it."
    return UserError(
        f"Importing {name} raises {value['error']}{message.rstrip('.')}{_at(value)}.", code="import-failed", fix=fix
    )


def ended_by(result: CaseResult) -> str:
    """How a worker ended, in words that follow the subject of a sentence."""
    words = {
        "timeout": "did not end in time",
        "memory": "ran out of memory",
        "output": "printed more than the sandbox allows",
        "forged": "was disturbed by the code under test, so its answer does not count",
    }
    if result.state == "error":
        first = result.error.strip().splitlines()[0] if result.error.strip() else "an error"
        return f"failed with {' '.join(first.split())[:200]}".rstrip(".")
    return words.get(result.state, f"was ended by the code under test{_exit_words(result)}")


def _exit_words(result: CaseResult) -> str:
    if result.signal:
        return f" (signal {result.signal})"
    return f" (exit status {result.exit_status})" if result.exit_status is not None else ""


def _at(value: Mapping[str, Any]) -> str:
    if not value.get("line") or not value.get("path"):
        return ""
    return f" (line {value['line']} of {Path(str(value['path'])).name})"


def _wrong_file(subject: Subject, file: str) -> UserError | None:
    if not file or Path(file) == subject.path:
        return None
    return UserError(
        f"Importing {subject.module} gives {file} and not {subject.path}.",
        code="import-shadowed",
        fix="Rename one of the two, or pass --python with an environment where only one is installed.",
    )


def search_all(
    search: Search, subjects: Sequence[Subject], examples: Mapping[str, Examples], plan: Plan, **how: Any
) -> Found:
    """Search each module within its share; a module that fails leaves the others alone."""
    found = Found()
    for number, subject in enumerate(subjects):
        now = time.monotonic()
        if search.stop.is_set or not plan.may_search(now):
            found.not_searched += [other.module for other in subjects[number:]]
            found.partial = True
            break
        if len(subjects) > 1:
            problem = search.check_import(subject)
            if problem is not None:
                found.broken[subject.module] = problem
                continue
        seconds = plan.search_s(now, len(subjects) - number)
        result, early = search.search(subject, examples[subject.module], seconds=seconds, **how)
        found.results[subject.module] = result
        if early:
            found.notes.append(early)
            found.partial = True
    return found
