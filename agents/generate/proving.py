"""The draft before the gate: what fails, flakes, passes on the broken twin or adds nothing leaves the file."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from aqe.agents.gate.evidence import Evidence, TestEvidence
from aqe.agents.gate.verify import VerifyReport, VerifyRequest, verify
from aqe.agents.generate import render
from aqe.agents.generate.cases import Case
from aqe.agents.generate.plan import Plan, machine_load
from aqe.agents.generate.render import Style
from aqe.agents.generate.target import Subject
from aqe.engine.errors import Cancelled, UserError
from aqe.engine.progress import CancelToken, Progress

MAX_ROUNDS = 4
MUTANTS_FOR_MODULE = 200
MAX_MUTANTS = 600
SAMPLE = 40  # mutants that a busy machine still measures
BUSY = 1.5


@dataclass(frozen=True, eq=False)
class Draft:
    """The cases of one module and the file they go to; `polish` formats the text as the project would."""

    subject: Subject
    style: Style
    path: Path
    cases: tuple[Case, ...]
    polish: Callable[[str], str]

    def rendered(self) -> tuple[str, render.Plan]:
        """The text of the file and the plan behind it."""
        planned = render.plan(self.cases, self.subject.outline, self.style)
        return self.polish(render.file_text(planned, self.style)), planned


Texts = Mapping[Draft, tuple[str, render.Plan]]
"""Drafts with the text of their file and the plan behind it."""


@dataclass
class Proof:
    """Files (path to text) whose every test stood, with the evidence about exactly this text."""

    files: dict[Path, str] = field(default_factory=dict)
    tests: int = 0
    evidence: Evidence | None = None
    fallen: list[str] = field(default_factory=list)
    unwritten: int = 0
    unverified: int = 0
    rounds: int = 0
    is_whole: bool = False

    @property
    def out_of_time(self) -> bool:
        """Whether no text stood whole although tests were drafted."""
        return self.rounds > 0 and not self.is_whole


class Gate:
    """One request's settings for `verify`."""

    def __init__(
        self,
        project: Path,
        python: str | None,
        seed: int,
        plan: Plan,
        progress: Progress,
        cancel: CancelToken,
        stop: CancelToken,
    ) -> None:
        self.project = project
        self.python = python
        self.seed = seed
        self.plan = plan
        self.progress = progress
        self.cancel = cancel
        self.stop = stop

    def prove(self, drafts: Sequence[Draft], *, quick: bool = False) -> Proof:
        """Verify, drop what fell, verify again, until a text stands whole; the last text that stood is the answer.

        Under a budget the drafts are cut first to what one verification can take. Where time ends before a text stood
        whole, the tests of the last one that stood by themselves are the answer. With `quick` (Ctrl-C) no mutants run.
        """
        proof = Proof()
        current = affordable(drafts, self.plan.most_cases(time.monotonic(), machine_load()))
        dropped = sum(len(draft.cases) for draft in drafts) - sum(len(draft.cases) for draft in current)
        proof.unverified = dropped
        for _ in range(MAX_ROUNDS):
            texts = {draft: draft.rendered() for draft in current}
            texts = {draft: both for draft, both in texts.items() if both[1].tests}
            if not proof.rounds:
                proof.unwritten = sum(both[1].left_out for both in texts.values())
            if not texts:
                return proof
            started = time.monotonic()
            try:
                report = self._verify(texts, with_mutants=not quick, stoppable=not quick)
            except Cancelled:
                if proof.files:
                    break
                if self.cancel.is_set or quick:
                    raise
                quick = True
                continue
            except UserError as error:
                if not proof.files:
                    raise
                proof.fallen.append(f"the last verification, so an earlier one counts: {error.message}")
                break
            proof.rounds += 1
            bad, idle = judge(texts, report.evidence)
            proof.fallen += [f"{name}: {why}" for name, why in sorted(bad.items())]
            stood = proof.is_whole
            if bad and not stood:
                salvage(proof, texts, bad, report.evidence)
            elif not bad and not (stood and _is_weaker(report.evidence, proof.evidence)):
                proof.files = {draft.path: both[0] for draft, both in texts.items()}
                proof.evidence = report.evidence
                proof.tests = len(report.evidence.tests)
                proof.is_whole = True
            if not bad and (stood or quick or not idle):
                break
            current = [without(draft, both[1], bad.keys() | idle) for draft, both in texts.items()]
            now = time.monotonic()
            if not self.plan.may_verify_again(now, now - started, is_needed=bool(bad) and not proof.is_whole):
                break
        return proof

    def _verify(self, texts: Texts, *, with_mutants: bool, stoppable: bool) -> VerifyReport:
        subjects = tuple(draft.subject.module for draft in texts)
        load = machine_load()
        mutants = min(MUTANTS_FOR_MODULE * len(subjects), MAX_MUTANTS) if with_mutants else 0
        if self.plan.budget_s is not None and load > BUSY:
            mutants = max(min(mutants, SAMPLE), int(mutants / load))
        request = VerifyRequest(
            tests=(),
            project=str(self.project),
            subjects=subjects,
            python=self.python,
            seed=self.seed,
            max_mutants=mutants,
            budget_s=self.plan.verify_s(time.monotonic(), load),
            sources={draft.path.name: text for draft, (text, _) in texts.items()},
            within={draft.subject.module: draft.subject.within() for draft in texts},
            elsewhere=True,
        )
        token = CancelToken()
        forget = [
            source.on_cancel(token.cancel) for source in ([self.cancel, self.stop] if stoppable else [self.cancel])
        ]
        try:
            return verify(request, progress=self.progress, cancel=token)
        finally:
            for undo in forget:
                undo()


def affordable(drafts: Sequence[Draft], most: int | None) -> list[Draft]:
    """The drafts cut to `most` cases in all: each turn keeps the case that adds most arms and kills."""
    if most is None or sum(len(draft.cases) for draft in drafts) <= most:
        return list(drafts)
    held = {
        (number, place): {f"arm {case.target} {arm}" for arm in case.arms} | {f"kill {kill}" for kill in case.kills}
        for number, draft in enumerate(drafts)
        for place, case in enumerate(draft.cases)
    }
    kept: set[tuple[int, int]] = set()
    seen: dict[int, set[str]] = {number: set() for number in range(len(drafts))}
    while len(kept) < most:
        left = [key for key in held if key not in kept]
        best = max(left, key=lambda key: (len(held[key] - seen[key[0]]), _is_documented(drafts, key), -key[0], -key[1]))
        kept.add(best)
        seen[best[0]] |= held[best]
    return [
        replace(draft, cases=tuple(case for place, case in enumerate(draft.cases) if (number, place) in kept))
        for number, draft in enumerate(drafts)
    ]


def _is_documented(drafts: Sequence[Draft], key: tuple[int, int]) -> bool:
    return drafts[key[0]].cases[key[1]].documented


def salvage(proof: Proof, texts: Texts, bad: Mapping[str, str], evidence: Evidence) -> None:
    """Keep of texts that did not stand whole the test functions that did, under the names that were verified."""
    files: dict[Path, str] = {}
    names: set[str] = set()
    for draft, (_, planned) in texts.items():
        of_test = {test: [f"{draft.path.name}::{node}" for node in test.nodes()] for test in planned.tests}
        standing = tuple(test for test, nodes in of_test.items() if not any(node in bad for node in nodes))
        if standing:
            files[draft.path] = draft.polish(render.file_text(replace(planned, tests=standing), draft.style))
            names |= {node for test in standing for node in of_test[test]}
    rows = tuple(test for test in evidence.tests if _plain(test.name) in names)
    if len(rows) < proof.tests or not rows:
        return
    note = "Some drafted tests fell and time ended before the rest ran again as one file; each passed every run."
    proof.files = files
    proof.tests = len(rows)
    proof.evidence = replace(evidence, tests=rows, notes=(*evidence.notes, note))


def _is_weaker(evidence: Evidence, before: Evidence | None) -> bool:
    """Whether a later round measured less than the one that stood, because its time was cut."""
    if before is None:
        return False
    lines, lines_before = (sum(subject.lines_covered for subject in one.subjects) for one in (evidence, before))
    arms, arms_before = (sum(subject.branches_covered for subject in one.subjects) for one in (evidence, before))
    return lines < lines_before or arms < arms_before or evidence.mutants_total < before.mutants_total


def judge(texts: Texts, evidence: Evidence) -> tuple[dict[str, str], set[str]]:
    """Tests that must go with the reason, and tests that others make superfluous, by `file::test[row]`."""
    bad: dict[str, str] = {}
    seen: dict[str, TestEvidence] = {_plain(test.name): test for test in evidence.tests}
    cases = {
        f"{draft.path.name}::{node}": case
        for draft, both in texts.items()
        for node, case in render.nodes(both[1]).items()
    }
    for name in cases:
        test = seen.get(name)
        if test is None:
            bad[name] = "was not collected"
        elif test.verdict != "stable":
            bad[name] = f"{test.verdict}: {test.message}".rstrip(": ")
    strangers = [name for name in seen if name not in cases]
    for name in strangers:
        if seen[name].verdict != "stable":
            owner = [known for known in cases if known.partition("[")[0] == name.partition("[")[0]]
            bad.update(dict.fromkeys(owner, f"{seen[name].verdict}: {seen[name].message}".rstrip(": ")))
    return bad, superfluous({name: case for name, case in cases.items() if name not in bad}, seen, evidence)


def superfluous(cases: Mapping[str, Case], seen: Mapping[str, TestEvidence], evidence: Evidence) -> set[str]:
    """Tests without which nothing is lost: each one's arms and kills are held by tests that stay.

    Documented cases stay. Mutual twins lose one of the two, never both.
    """
    kills: dict[str, set[str]] = {name: {f"search {kill}" for kill in case.kills} for name, case in cases.items()}
    for mutant in evidence.mutants:
        for name in mutant.killed_by:
            kills.get(_plain(name), set()).add(f"{mutant.path} {mutant.id}")
    held = {name: kills[name] | {f"arm {case.target} {arm}" for arm in case.arms} for name, case in cases.items()}
    gone: set[str] = set()
    for name in sorted(cases, key=lambda each: (len(held[each]), each), reverse=False):
        test = seen.get(name)
        if cases[name].documented or test is None or test.adds_lines or test.adds_branches or test.adds_kills:
            continue
        rest: set[str] = set().union(*(held[other] for other in cases if other != name and other not in gone))
        if held[name] <= rest and len(cases) - len(gone) > 1:
            gone.add(name)
    return gone


def without(draft: Draft, planned: render.Plan, names: set[str]) -> Draft:
    """The draft less the cases of the named tests."""
    gone = {case for node, case in render.nodes(planned).items() if f"{draft.path.name}::{node}" in names}
    shown = set(render.nodes(planned).values())
    kept = tuple(case for case in draft.cases if case in shown and case not in gone)
    return replace(draft, cases=kept)


def _plain(name: str) -> str:
    """`folder/test_x.py::test[row]` without the folder."""
    file, separator, rest = name.partition("::")
    return f"{Path(file).name}{separator}{rest}"
