"""The demo from the copy of the shop to the table of planted and found: every step is a call by a real client."""

from __future__ import annotations

import time
from collections.abc import Awaitable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import anyio

from aqe.engine.errors import AqeError
from aqe.engine.progress import Progress, silent
from aqe.server.demo import checking
from aqe.server.demo.asking import ask, teach
from aqe.server.demo.client import connected
from aqe.server.demo.report import DemoReport, ModuleResult, Verification
from aqe.server.demo.scoring import Score, compare, suspects_of
from aqe.server.demo.script import Script, read_script
from aqe.server.demo.session import Session, Step
from aqe.server.demo.shop import Truth, copy_shop, learn_at_once, read_truth
from aqe.server.demo.tally import Bar, FlakyTally, GapTally, Lesson, ReviewTally, Selection, bugs_bar, lessons_bar
from aqe.server.demo.writing import excerpt_of, module_result, verification, verify_all, write_tests

__all__ = ["DemoReport", "ModuleResult", "Step", "Verification", "run_demo"]

STAGES = 9
T = TypeVar("T")


def run_demo(folder: Path, *, budget_s: float, seed: int, progress: Progress = silent) -> DemoReport:
    """Copy the shop into `folder` and run the demo on it; `budget_s` is shared among searching and verifying.

    Raises `UserError` (folder-not-empty, project-read-only) and `GateFailed` (demo-tool-failed).
    """
    shop = copy_shop(folder)
    learn_at_once(shop)
    try:
        return anyio.run(lambda: _run(shop, budget_s, seed, progress))
    except BaseExceptionGroup as group:  # the client's task groups wrap what a tool answered
        raise _first_leaf(group) from group


def _first_leaf(error: BaseException) -> BaseException:
    """Our own error inside nested groups, else the first error."""
    if not isinstance(error, BaseExceptionGroup):
        return error
    own = error.subgroup(AqeError)
    return _first_leaf((own or error).exceptions[0])


async def _run(shop: Path, budget_s: float, seed: int, progress: Progress) -> DemoReport:
    truth, script = read_truth(), read_script()
    progress("Starting the server")
    zero = time.monotonic()
    async with connected(shop, {"SHOP_STATE": str(shop.parent / checking.STATE)}) as client:
        session = Session(client, progress, STAGES, zero)
        session.begin("ask")
        session.note("initialize", {}, 0.0, ("The server runs", "aqe serve --stdio, a process of its own"))
        asked = await ask(session, script.question)
        began = session.now()
        reports = await write_tests(session, truth, budget_s, seed)
        judged = await verify_all(session, truth, reports, 1.3 * budget_s - (session.now() - began))
        score = compare(truth.bugs, (bug for module in truth.modules for bug in suspects_of(reports[module])))
        checks = await _check(session, shop, truth, script, seed)
        session.begin("feedback")
        lessons = tuple([await teach(session, plan) for plan in script.lessons])
        session.begin("stats")
        figures = await session.call("stats", {}, _counted)
    excerpt_file, excerpt = excerpt_of(shop, [file for name in truth.modules for file in reports[name]["files"]])
    evidence = judged["evidence"]
    bars = _bars(score, checks, lessons)
    return DemoReport(
        folder=str(shop.parent),
        page="",
        seed=seed,
        duration_s=round(session.now(), 1),
        steps=tuple(sorted(session.steps, key=lambda step: step.start_s)),
        bars=bars,
        asked=asked,
        modules=tuple(module_result(f"{truth.package}.{name}", reports[name], evidence) for name in truth.modules),
        score=score,
        suspected=score.suspected,
        planted=len(score.found),
        flaky=checks.flaky,
        gaps=checks.gaps,
        selection=checks.selection,
        review=checks.review,
        lessons=lessons,
        met=all(row.met for row in bars) and asked.right and not any(step.failed for step in session.steps),
        verification=verification(judged),
        memories=figures["memories"],
        namespaces=figures["namespaces"],
        jobs=figures["jobs"],
        test_outcomes=figures["test_outcomes"],
        store_bytes=figures["bytes"],
        excerpt_file=excerpt_file,
        excerpt=excerpt,
    )


@dataclass(frozen=True)
class _Checks:
    """What the second half came to; None for a part whose tool failed."""

    flaky: FlakyTally | None
    gaps: GapTally | None
    selection: Selection | None
    review: ReviewTally | None


async def _check(session: Session, shop: Path, truth: Truth, script: Script, seed: int) -> _Checks:
    """Flaky tests and gaps of the shop as it is, then the bad change: which tests it needs, and its review."""
    flaky = await _or_none(checking.hunt(session, truth, seed))
    gaps = await _or_none(checking.rank_gaps(session, truth))
    await checking.record_map(session, shop)
    checking.change_shop(shop, script)
    selection = await _or_none(checking.select(session, script))
    review = await _or_none(checking.review(session, script))
    return _Checks(flaky, gaps, selection, review)


async def _or_none(part: Awaitable[T]) -> T | None:
    """The part, or None where its tool failed: its step tells why, and the demo goes on."""
    try:
        return await part
    except AqeError:
        return None


def _bars(score: Score, checks: _Checks, lessons: tuple[Lesson, ...]) -> tuple[Bar, ...]:
    """The table of planted and found, in the order of the story."""
    parts = (checks.flaky, checks.gaps, checks.review, checks.selection)
    return (bugs_bar(score), *(part.bar() for part in parts if part is not None), lessons_bar(lessons))


def _counted(figures: Mapping[str, Any]) -> tuple[str, str]:
    """What the store holds at the end."""
    indexed = sum(count for name, count in figures["namespaces"].items() if name.startswith("index/"))
    jobs = ", ".join(f"{count} {state}" for state, count in figures["jobs"].items())
    return f"{figures['memories']} memories, {indexed} of them passages of the shop", f"jobs: {jobs or 'none'}"
