"""Reviews a change: rules, smells, clones, untested branches and both versions executed, within one budget."""

from __future__ import annotations

import os
import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from threading import Lock

from aqe.agents.changes import Changes, read_changes, write_base
from aqe.agents.execute import TestFailure, python_setting
from aqe.agents.gate.circumstances import circumstances
from aqe.agents.gate.evidence import Evidence
from aqe.agents.gate.interpreter import Interpreter, find_interpreter
from aqe.agents.review.behaviour import judge
from aqe.agents.review.branches import BranchReview, find_untested
from aqe.agents.review.broken import Broken, find_broken
from aqe.agents.review.brought import brought, place
from aqe.agents.review.clones import find_clones
from aqe.agents.review.decisions import read_decisions, weighed, without_dismissed
from aqe.agents.review.executed import Comparison, compare_versions
from aqe.agents.review.finding import Finding
from aqe.agents.review.looking import look
from aqe.agents.review.ranking import ranked, shown_of
from aqe.agents.review.report import MOST_FINDINGS, NotCompared, ReviewFigures, ReviewReport
from aqe.agents.review.request import ReviewRequest
from aqe.agents.review.sides import Sides
from aqe.agents.review.sources import Source, sources_of
from aqe.engine.errors import UserError
from aqe.engine.progress import CancelToken, Progress, silent
from aqe.engine.scratch import scratch_folder

CLONES_SHARE = 0.3
LOOKING_SHARE = 0.9
LEAST_LOOKING_S = 5.0
EXECUTED_SHARE = 0.85
WEAK = frozenset({"no-sandbox", "weak-sandbox"})
PROSE = (".md", ".rst", ".txt", ".markdown")
MOST_PROSE = 20_000


def review(request: ReviewRequest, *, progress: Progress = silent, cancel: CancelToken | None = None) -> ReviewReport:
    """Review a change, or audit the test suite (`scope="tests"`).

    Nothing is written into either version's tree but `.aqe/`. Findings are no error. Raises `UserError` (no-git,
    unknown-ref, shallow-clone, bad-argument, no-such-path, no-interpreter, bad-decisions, missing-extra) and
    `Cancelled`.
    """
    token = cancel or CancelToken()
    if request.scope == "tests":
        from aqe.agents.review.audit import audit

        return audit(request, progress=progress, cancel=token)
    with ExitStack() as stack:
        return _Review(request, progress, token, stack).report()


@dataclass
class _Review:
    """One review at work."""

    request: ReviewRequest
    progress: Progress
    cancel: CancelToken
    stack: ExitStack
    started: float = field(default_factory=time.monotonic)
    phases: dict[str, float] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)
    packages: dict[str, str] = field(default_factory=dict)
    partial: bool = False
    _lock: Lock = field(default_factory=Lock)

    @cached_property
    def head_folder(self) -> Path:
        """The tree of the head: the folder that was named, else the project."""
        return self._folder(self.request.head) or Path(self.request.project)

    def _folder(self, text: str | None) -> Path | None:
        if text is None:
            return None
        near = Path(self.request.cwd or Path.cwd(), text)
        return near.resolve() if near.exists() else Path(self.request.project, text).resolve()

    @cached_property
    def changes(self) -> Changes:
        """What changed."""
        base, head = self._folder(self.request.base), self._folder(self.request.head)
        return read_changes(Path(self.request.project), since=self.request.since, base=base, head=head)

    @cached_property
    def heads(self) -> tuple[Source, ...]:
        """The changed Python files as they are now."""
        return sources_of(self.changes, head=True)

    @cached_property
    def bases(self) -> tuple[Source, ...]:
        """The changed Python files as they were."""
        return sources_of(self.changes, head=False)

    def base_folder(self) -> Path:
        """The tree of the base; from git it is written into a temporary folder once, when somebody asks."""
        with self._lock:
            return Path(self.changes.base_folder) if self.changes.base_folder else self._written_base

    @cached_property
    def _written_base(self) -> Path:
        folder = self.stack.enter_context(scratch_folder("base"))
        write_base(Path(self.request.project), self.changes, folder)
        return folder

    def report(self) -> ReviewReport:
        """Do it all."""
        self.progress("Reading the change")
        with self._phase("reading"):
            with self.cancel.reading():
                heads, _ = self.heads, self.bases
            self.notes += self.changes.notes
            decisions = read_decisions(self.head_folder)
            interpreter = find_interpreter(
                self.head_folder, self.request.python, python_setting(self.head_folder), trusted=True
            )
        findings, comparison, branches = self._look(interpreter)
        exists = frozenset(one.path for one in decisions if os.path.isfile(self.head_folder / one.path))
        exists |= {source.path for source in heads}
        kept, dismissed = without_dismissed(findings, decisions, exists)
        shown = ranked(weighed(kept, decisions))
        figures = self._figures(comparison, branches, findings, len(shown))
        return ReviewReport(
            scope="changes",
            base=self.changes.base,
            head=self.changes.head,
            findings=tuple(shown_of(shown, MOST_FINDINGS)),
            hidden=max(0, len(shown) - MOST_FINDINGS),
            dismissed=dismissed,
            changed_lines=figures.lines_added + figures.lines_removed,
            figures=figures,
            evidence=self._evidence(interpreter, comparison, branches),
            partial=self.partial or comparison.partial or branches.partial,
            notes=tuple(dict.fromkeys((*self.notes, *comparison.notes, *branches.notes))),
        )

    def _look(self, interpreter: Interpreter) -> tuple[list[Finding], Comparison, BranchReview]:
        """All kinds of findings; the versions are compared while other threads read, and wait for the tests."""
        with ThreadPoolExecutor(max_workers=2) as threads:
            running = threads.submit(self._tests, interpreter)
            looking = threads.submit(self._static)
            try:
                comparison = self._executed(interpreter)
                findings = looking.result()
                branches, broken = running.result()
            except BaseException:
                self.cancel.cancel()
                raise
        self.cancel.check()
        findings += brought([one for source, seen in branches.found for one in place(source, [seen])], [])
        findings += broken.found
        self.notes += broken.notes
        self.partial = self.partial or broken.partial
        findings += judge(comparison.differences, self.heads, self.bases, self._message())
        return findings, comparison, branches

    def _static(self) -> list[Finding]:
        """What is seen without running anything of the project's."""
        with self._phase("rules"):
            self.progress("Looking at the changed code")
            sides = look(
                (self.heads, self.bases),
                bandit=self.request.bandit,
                wall_s=max(LEAST_LOOKING_S, self.started + self.request.budget_s - time.monotonic()),
                deadline=self.started + LOOKING_SHARE * self.request.budget_s,
                cancel=self.cancel,
            )
            if not sides.is_whole:
                self.notes.append("Not every changed file was looked at by every rule: the time ended.")
                self.partial = True
            self.notes += sides.notes
            self.packages |= sides.tools
            found = brought(sides.placed[0], sides.placed[1])
        with self._phase("clones"):
            until = min(time.monotonic() + CLONES_SHARE * self.request.budget_s, self.started + self.request.budget_s)
            clones, whole = find_clones(self.heads, self.bases, self.head_folder, deadline=until, cancel=self.cancel)
            if not whole:
                self.notes.append("Not every file was searched for other copies of the new code: the time ended.")
                self.partial = True
            found += brought([one for source, seen in clones for one in place(source, [seen])], [])
        return found

    def _executed(self, interpreter: Interpreter) -> Comparison:
        """Both versions run on the same inputs; without a sandbox a note."""
        if not any(not source.is_test for source in self.heads) or not self.bases:
            return Comparison()
        with self._phase("executed"):
            self.progress("Running both versions on the same inputs")
            try:
                return compare_versions(
                    self.head_folder,
                    self.changes,
                    base_folder=self.base_folder(),
                    head_folder=self.head_folder,
                    interpreter=interpreter,
                    seed=self.request.seed,
                    deadline=self.started + self.request.budget_s * (EXECUTED_SHARE + patience()),
                    progress=self.progress,
                    cancel=self.cancel,
                )
            except UserError as error:
                if error.code not in WEAK:
                    raise
                return Comparison(notes=(f"The two versions were not executed: {error.message}",))

    def _tests(self, interpreter: Interpreter) -> tuple[BranchReview, Broken]:
        """The head's tests that reach the change: the branches that they leave out, and those that fail since."""
        failures: list[TestFailure] = []
        deadline = self.started + self.request.budget_s * (1.0 + patience())
        with self._phase("tests"):
            sides = Sides(
                self.head_folder,
                self.base_folder,
                interpreter,
                self.request.head is not None,
                deadline,
                self.progress,
                self.cancel,
            )
            branches = find_untested(self.heads, self.bases, sides, on_failures=failures.extend)
            return branches, find_broken(failures, self.heads, sides)

    def _message(self) -> str:
        """What the author said: the message, and what was written into the changed prose."""
        said = self.changes.message if self.request.message is None else self.request.message
        parts = [said]
        for change in self.changes.files:
            if change.path.lower().endswith(PROSE) and change.new_text:
                lines = change.new_text.splitlines()
                parts += [lines[line - 1] for line in sorted(change.added) if line <= len(lines)]
        return "\n".join(parts)[:MOST_PROSE]

    def _figures(
        self, comparison: Comparison, branches: BranchReview, findings: list[Finding], shown: int
    ) -> ReviewFigures:
        added, removed = (sum(len(source.touched) for source in side) for side in (self.heads, self.bases))
        return ReviewFigures(
            files=len(self.changes.files),
            lines_added=added,
            lines_removed=removed,
            functions_changed=comparison.changed or _changed_functions(self.heads, self.bases),
            functions_compared=comparison.compared,
            not_compared=tuple(NotCompared(one.path, one.name, one.why) for one in comparison.not_compared),
            tests=branches.tests,
            rules=dict(sorted(Counter(one.rule for one in findings).items())),
            findings_per_1000_lines=round(1000 * shown / (added + removed), 1) if added + removed else None,
            phases_s={name: round(seconds, 2) for name, seconds in self.phases.items()},
        )

    def _evidence(self, interpreter: Interpreter, comparison: Comparison, branches: BranchReview) -> Evidence:
        ran = comparison.rung or (f"suite: {branches.isolation}" if branches.isolation else "none")
        return circumstances(
            interpreter,
            seed=self.request.seed,
            hash_seeds=comparison.hash_seeds,
            runs=2 if comparison.compared else int(bool(branches.tests)),
            budget_s=self.request.budget_s,
            duration_s=time.monotonic() - self.started,
            rung=ran,
            layers=comparison.layers,
            layers_missing=comparison.layers_missing,
            below_namespaces=bool(comparison.rung) and "namespaces" not in comparison.rung,
            packages=self.packages,
        )

    @contextmanager
    def _phase(self, name: str) -> Iterator[None]:
        self.cancel.check()
        start = time.monotonic()
        try:
            yield
        finally:
            self.phases[name] = time.monotonic() - start


def patience() -> float:
    """The share of the budget by which work may go beyond it, so that it ends on a busy machine too: up to half."""
    try:
        load = os.getloadavg()[0] / (os.cpu_count() or 1)
    except (OSError, AttributeError):
        return 0.0
    return max(0.0, min(0.5, 0.5 * (load - 1.0)))


def _changed_functions(heads: tuple[Source, ...], bases: tuple[Source, ...]) -> int:
    """How many functions outside of tests are new or do something else by their text."""
    before = {
        (source.path, one.qualname): one.digest
        for source in bases
        for one in source.definitions
        if one.kind == "function"
    }
    return sum(
        before.get((source.path, one.qualname)) != one.digest
        for source in heads
        if not source.is_test
        for one in source.definitions
        if one.kind == "function"
    )
