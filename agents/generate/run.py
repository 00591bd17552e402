"""`generate`: from a target to verified test files, phase by phase."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

from aqe.agents.gate.box import Limits
from aqe.agents.gate.interpreter import Interpreter, find_interpreter, side_folder
from aqe.agents.generate import files, suspects
from aqe.agents.generate.cases import SearchResult
from aqe.agents.generate.examples import Examples, find_examples
from aqe.agents.generate.layout import find_ruff, format_with_ruff
from aqe.agents.generate.plan import Plan
from aqe.agents.generate.proving import Draft, Gate, Proof
from aqe.agents.generate.render import Style
from aqe.agents.generate.report import GenerateReport, GenerateRequest, SuspectedBug, Unreached
from aqe.agents.generate.searching import Found, Search, box_spec, search_all
from aqe.agents.generate.target import Subject, pytest_pythonpath, resolve_all
from aqe.engine.errors import Cancelled, InternalError, OutOfTime
from aqe.engine.progress import CancelToken, Progress, silent
from aqe.engine.settings import Settings, load_settings


def generate(
    request: GenerateRequest,
    *,
    progress: Progress = silent,
    cancel: CancelToken | None = None,
    stop: CancelToken | None = None,
) -> GenerateReport:
    """Write verified tests for `request.target` and report what they show.

    `cancel` ends everything at once (`Cancelled`); `stop` ends the search, verifies what was found and writes it.
    Raises `UserError` for a target, folder or interpreter that cannot be used, `OutOfTime` when the code under test
    took all the time and nothing could be verified.
    """
    return _Run(request, progress, cancel or CancelToken(), stop or CancelToken()).report()


@dataclass
class _Phases:
    """Wall seconds by phase, in the order they ran."""

    seconds: dict[str, float] = field(default_factory=dict)

    @contextmanager
    def timed(self, name: str) -> Iterator[None]:
        started = time.monotonic()
        try:
            yield
        finally:
            self.seconds[name] = round(self.seconds.get(name, 0.0) + time.monotonic() - started, 3)


class _Run:
    def __init__(self, request: GenerateRequest, progress: Progress, cancel: CancelToken, stop: CancelToken) -> None:
        self.request = request
        self.progress = progress
        self.cancel = cancel
        self.stop = stop
        self.phases = _Phases()
        self.project = Path(request.project).resolve()
        self.settings = load_settings(self.project)

    def report(self) -> GenerateReport:
        """All phases, with the hard end armed once the first import is over."""
        with self.phases.timed("reading"):
            self.progress(f"Reading {self.request.target}")
            interpreter = self._interpreter()
            targets = self.request.targets or (self.request.target,)
            subjects = resolve_all(targets, self.project, _import_path(interpreter))
            folder = files.output_folder(self.project, self.request.out)
            files.refuse_unwritable(folder)
            side_folder(interpreter, self.project)
            names = files.file_names(subjects, self.request.suffix)
            paths = {module: folder / name for module, name in names.items()}
            files.refuse_foreign(list(paths.values()))
        with files.locked(self.project, list(paths.values())):
            return self._work(interpreter, subjects, paths)

    def _interpreter(self) -> Interpreter:
        return find_interpreter(self.project, self.request.python, self.settings.python)

    def _work(self, interpreter: Interpreter, subjects: Sequence[Subject], paths: dict[str, Path]) -> GenerateReport:
        work = CancelToken()
        forget = self.cancel.on_cancel(work.cancel)
        try:
            spec = box_spec(interpreter, self.project, subjects, _limits(self.settings))
            with Search(spec, self.progress, work, self.stop) as search:
                if len(subjects) == 1:
                    with self.phases.timed("importing"):
                        problem = search.check_import(subjects[0])
                    if problem is not None:
                        raise problem
                plan = Plan(None if self.request.evaluations else self.request.budget_s, time.monotonic())
                with self._hard_end(plan, work):
                    examples = self._examples(subjects)
                    found = self._search(search, subjects, examples, plan)
                    search.close()
                    return self._finish(interpreter, subjects, paths, examples, found, plan, work)
        except Cancelled:
            if self.cancel.is_set:
                raise
            raise OutOfTime(
                f"The work on {self.request.target} took 1.5 times its budget and was ended; nothing was written.",
                code="out-of-time",
                fix="Give a larger --budget, or name one function.",
            ) from None
        finally:
            forget()

    @contextmanager
    def _hard_end(self, plan: Plan, work: CancelToken) -> Iterator[None]:
        end = plan.hard_end_s()
        if end is None:
            yield
            return
        timer = threading.Timer(max(0.1, end - time.monotonic()), work.cancel)
        timer.daemon = True
        timer.start()
        try:
            yield
        finally:
            timer.cancel()

    def _examples(self, subjects: Sequence[Subject]) -> dict[str, Examples]:
        with self.phases.timed("reading"):
            self.progress("Reading tests and call sites of the project")
            return {subject.module: find_examples(subject, self.project) for subject in subjects}

    def _search(self, search: Search, subjects: Sequence[Subject], examples: dict[str, Examples], plan: Plan) -> Found:
        with self.phases.timed("searching"):
            self.progress(f"Searching calls of {self.request.target}")
            found = search_all(
                search, subjects, examples, plan, evaluations=self.request.evaluations, seed=self.request.seed
            )
        if found.broken and not found.results:
            raise next(iter(found.broken.values()))
        if found.notes and not self.stop.is_set and not any(result.functions for result in found.results.values()):
            raise InternalError(found.notes[0], code="internal", fix="Name one function, or report the module.")
        return found

    def _finish(
        self,
        interpreter: Interpreter,
        subjects: Sequence[Subject],
        paths: dict[str, Path],
        examples: dict[str, Examples],
        found: Found,
        plan: Plan,
        work: CancelToken,
    ) -> GenerateReport:
        with self.phases.timed("rendering"):
            self.progress("Rendering tests")
            drafts = [
                self._draft(interpreter, subject, examples[subject.module].style, paths[subject.module], result)
                for subject in subjects
                if (result := found.results.get(subject.module)) is not None
            ]
        with self.phases.timed("verifying"):
            self.progress("Verifying in shuffled runs")
            gate = Gate(self.project, interpreter.executable, self.request.seed, plan, self.progress, work, self.stop)
            proof = gate.prove(drafts, quick=self.stop.is_set)
        self.cancel.check()
        for path, text in proof.files.items():
            self.progress(f"Writing {path.name}")
            files.write_tests(path, text)
        return self._answer(interpreter, subjects, found, proof)

    def _draft(
        self, interpreter: Interpreter, subject: Subject, style: Style, path: Path, result: SearchResult
    ) -> Draft:
        ruff = find_ruff([Path(interpreter.executable).parent])
        polish = partial(format_with_ruff, path=path, project=self.project, ruff=ruff)
        cases = suspects.without_suspects(result.cases, result.suspects)
        return Draft(subject, style, path, tuple(cases), polish)

    def _answer(
        self, interpreter: Interpreter, subjects: Sequence[Subject], found: Found, proof: Proof
    ) -> GenerateReport:
        bugs: list[SuspectedBug] = []
        unreached: list[Unreached] = []
        for subject in subjects:
            result = found.results.get(subject.module)
            if result is not None:
                bugs += suspects.select(result.suspects, subject.module, subject.outline)
                unreached += _unreached(result)
        unreached += [Unreached(module, "*", 0, error.message) for module, error in found.broken.items()]
        unreached += [Unreached(module, "*", 0, "the budget ended before its search") for module in found.not_searched]
        return GenerateReport(
            target=self.request.target,
            files=tuple(_shown(path, self.project) for path in proof.files),
            tests=proof.tests,
            evidence=proof.evidence,
            suspects=tuple(bugs),
            unreached=tuple(unreached),
            executions=sum(result.executions for result in found.results.values()),
            phases_s=dict(self.phases.seconds),
            partial=found.partial or proof.out_of_time,
            interrupted=self.stop.is_set,
            notes=tuple(_notes(interpreter, self.project, subjects, found, proof)),
        )


def _limits(settings: Settings) -> Limits:
    box = settings.sandbox
    return Limits(memory_mb=box.memory_mb, processes=box.processes, scratch_mb=box.scratch_mb)


def _import_path(interpreter: Interpreter) -> list[str]:
    """The interpreter's path, with the folders that its editable installs import from."""
    return [*interpreter.sys_path, *(str(Path(entry).parent) for entry in interpreter.editable)]


def _unreached(result: SearchResult) -> list[Unreached]:
    """What the search says it could not reach, and the functions it never ran, with its reason."""
    items = [
        Unreached(result.module, str(function.get("qualname")), 0, str(function["why_not"]))
        for function in result.functions
        if function.get("why_not")
    ]
    for place in result.not_reached:
        line = place.get("line") or 0
        items.append(Unreached(result.module, str(place.get("function")), int(line), str(place.get("why"))))
    return list(dict.fromkeys(items))


def _shown(path: Path, project: Path) -> str:
    return path.relative_to(project).as_posix() if path.is_relative_to(project) else str(path)


def _notes(
    interpreter: Interpreter, project: Path, subjects: Sequence[Subject], found: Found, proof: Proof
) -> Iterator[str]:
    yield from found.notes
    yield from proof.evidence.notes if proof.evidence else ()
    if proof.fallen:
        yield f"{len(proof.fallen)} drafted tests fell in verification: {proof.fallen[0]}" + (
            " ..." if len(proof.fallen) > 1 else ""
        )
    if proof.unwritten:
        yield f"{proof.unwritten} cases were left out because no short, readable test expresses them."
    if proof.unverified:
        yield f"{proof.unverified} cases were left out: the time does not reach to verify them all. Give more --budget."
    if proof.out_of_time and not proof.files:
        yield "The time ended before any test stood in verification, so none was written."
    known = {str(Path(entry).resolve()) for entry in _import_path(interpreter) if entry}
    if all(path.resolve().is_relative_to(project) for path in proof.files):
        known |= {str(entry.resolve()) for entry in pytest_pythonpath(project)}
    for root in dict.fromkeys(subject.root for subject in subjects):
        if proof.files and str(root) not in known and root != project:
            folder = _shown(root, project)
            yield f"{folder} is not on the path of {interpreter.executable}: run the tests with PYTHONPATH={folder}."
