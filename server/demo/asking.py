"""The demo's questions: one with its citation, and those that are asked again after feedback."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from aqe.server.demo.report import Asked
from aqe.server.demo.script import LessonPlan, Question
from aqe.server.demo.session import Session
from aqe.server.demo.tally import Lesson, Told, has_changed, leads_with, told_of

RANKED = 6


async def ask(session: Session, question: Question) -> Asked:
    """The question and its answer; the first one makes the server read the project."""
    told = told_of(await session.call("query", {"prompt": question.prompt}, answered))
    right = any(quote.file == question.file and question.words in quote.text for quote in told.quotes)
    return Asked(question, told, right)


def answered(answer: Mapping[str, Any]) -> tuple[str, str]:
    """The first quote of an answer, and where it stands."""
    told = told_of(answer)
    if not told.answered or not told.quotes:
        return "No answer: the project does not say", f"confidence {told.confidence:g}" if told.confidence else ""
    return told.quotes[0].text.splitlines()[0], cited(told)


def cited(told: Told) -> str:
    """The places of an answer's quotes, in order."""
    return ", ".join(f"{quote.file}:{quote.line}" if quote.file else "a remembered correction" for quote in told.quotes)


async def teach(session: Session, plan: LessonPlan) -> Lesson:
    """Ask, give feedback, ask again; both answers with the ranking of the lesson's drawer."""
    before, first = await _ask_and_rank(session, plan)
    feedback: dict[str, Any] = {"request_id": first["request_id"]}
    if plan.correction is not None:
        feedback["correction"] = plan.correction
    if plan.rating is not None:
        feedback["rating"] = plan.rating
        if before.quotes:
            feedback["used"] = [before.quotes[0].id]
    kept = await session.call("feedback", feedback, marked)
    after, _ = await _ask_and_rank(session, plan)
    return Lesson(
        prompt=plan.prompt,
        given="the right answer" if plan.correction else f"{plan.rating} of 5 for the first quote",
        why=plan.why,
        before=before,
        after=after,
        marked=int(kept["marked"]),
        changed=has_changed(before, after),
        helped=leads_with(after, plan.words) and not leads_with(before, plan.words),
    )


async def _ask_and_rank(session: Session, plan: LessonPlan) -> tuple[Told, dict[str, Any]]:
    answer = await session.call("query", {"prompt": plan.prompt}, answered)
    search = {"query": plan.prompt, "namespace": plan.drawer, "k": RANKED, "metadata": dict(plan.filter)}
    ranked = await session.call("memory_search", search, found)
    return told_of(answer, ranked), answer


def found(answer: Mapping[str, Any]) -> tuple[str, str]:
    """How many passages were ranked, and the first one with its score."""
    rows = answer["found"]
    if not rows:
        return "Nothing found", ""
    places = ", ".join(f"{row.get('file') or row['namespace']} {row['score']:.2f}" for row in rows[:3])
    return f"{len(rows)} passage{'' if len(rows) == 1 else 's'} ranked", places


def marked(answer: Mapping[str, Any]) -> tuple[str, str]:
    """What feedback kept."""
    many = "memory" if answer["marked"] == 1 else "memories"
    came = f"{answer['marked']} {many} marked, with success {answer['success']:.2f} of 1"
    return came, "the correction is remembered" if answer.get("memory_id") else ""
