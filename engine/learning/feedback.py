"""Feedback on an answer: kept as it was said, and filed as marks on the memories that the answer rested on.

The first memory under an answer carries most of it, so its mark weighs 1 and that of the one at rank r 1 / r. What a
user says weighs fully, an implicit signal `IMPLICIT`. Who knows better names the memories that helped, as `used` in the
metadata: then these are marked and no others. A later word on the same request replaces the marks of an earlier one, so
that saying it twice does not count twice. A correction becomes a memory, found by the words of its question too.

"I do not know" rests on nothing: what it names came nearest, and a word on such an answer says neither that these
helped nor that they misled. None of them is marked, but those that `used` names, which held the answer after all.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal, get_args

from aqe.engine.errors import UserError
from aqe.engine.memory.entry import NewMemory, check_text, metadata_json, uuid7
from aqe.engine.memory.file.row_sums import FEEDBACK, MARKS, insert_sql, sealed
from aqe.engine.memory.graph.recorded import link_correction
from aqe.engine.memory.search.ranking import CORRECTIONS
from aqe.engine.memory.store import Store
from aqe.engine.providers.extractive import UNKNOWN
from aqe.engine.requests import Interaction, require_request
from aqe.engine.retrieval import keep

if TYPE_CHECKING:
    from aqe.engine.embedding import Embedder

Signal = Literal["positive", "negative", "correction", "implicit"]
IMPLICIT = 0.3
CORRECTED = 3
"""Memories under an answer, the first ones, that its correction is joined with."""


@dataclass(frozen=True)
class Feedback:
    """What is said of one answer: at least one of a rating from 1 (useless) to 5, whether the task succeeded, a
    correction, or a signal by itself."""

    request_id: str
    rating: int | None = None
    task_success: bool | None = None
    correction: str | None = None
    signal: Signal | None = None
    metadata: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class FeedbackKept:
    """What came of it: the feedback's id, how well the answer went (0 to 1), how many memories were marked, and the
    memory that a correction became (None without one)."""

    id: str
    request_id: str
    success: float
    marked: int
    memory_id: str | None


def file_feedback(store: Store, embedder: Embedder | None, feedback: Feedback) -> FeedbackKept:
    """Keep the feedback, mark the memories under the answer and remember the correction.

    Raises `UserError` (unknown-request, bad-feedback, bad-text, bad-metadata); then nothing is kept.
    """
    extra = metadata_json(feedback.metadata)
    if feedback.metadata.get("used") is not None:
        _check_used(_answered(store, feedback.request_id), feedback.metadata["used"])
    success = success_of(feedback)
    request = _answered(store, feedback.request_id)
    signal = _signal(feedback, success)
    marks = _marks(request, feedback, success, IMPLICIT if signal == "implicit" else 1.0)
    memory_id = None if feedback.correction is None else _remember(store, embedder, request, feedback.correction)
    id, now = uuid7(store.now()), store.now()
    if memory_id is not None:
        marks.append((CORRECTIONS, memory_id, 1.0, 1.0))
    went, rating = (None if one is None else int(one) for one in (feedback.task_success, feedback.rating))
    with store.writing() as connection:
        connection.execute(
            "DELETE FROM marks WHERE feedback IN (SELECT row FROM feedback WHERE request_id = ?)", (request.id,)
        )
        said = (id, request.id, signal, rating, went, memory_id, success, extra, now)
        kept = sealed(FEEDBACK, (*said, store.here.worktree, store.here.commit))
        connection.execute(insert_sql(FEEDBACK), kept)
        row = connection.last_insert_rowid()
        connection.executemany(insert_sql(MARKS), [sealed(MARKS, (*mark, now, row)) for mark in marks])
        if store.graph is not None and memory_id is not None and not _is_abstention(request):
            link_correction(connection, request.context[:CORRECTED], (CORRECTIONS, memory_id), now=now)
    return FeedbackKept(id, request.id, success, len(marks), memory_id)


def success_of(feedback: Feedback) -> float:
    """How well the answer went, from 0 to 1: the mean of all that was said. Raises `UserError` (bad-feedback).

    >>> success_of(Feedback("r", rating=4, task_success=True))
    0.875
    """
    said: list[float] = []
    if feedback.rating is not None:
        if type(feedback.rating) not in (int, float) or feedback.rating not in (1, 2, 3, 4, 5):
            raise _bad(f"The rating is {feedback.rating!r:.40}.", "Give 1 (useless) to 5 (just right).")
        said.append((feedback.rating - 1) / 4)
    if feedback.signal is not None and str(feedback.signal) not in get_args(Signal):
        raise _bad(f"{feedback.signal!r:.40} is no signal.", f"Use {', '.join(get_args(Signal))}.")
    if feedback.task_success is not None:
        if not isinstance(feedback.task_success, int) or feedback.task_success not in (True, False):
            raise _bad(f"The success is {feedback.task_success!r:.40}.", "Give True or False.")
        said.append(float(feedback.task_success))
    if feedback.correction is not None:
        check_text(feedback.correction)
        said.append(0.0)
    if feedback.signal in ("positive", "negative"):
        said.append(float(feedback.signal == "positive"))
    if feedback.signal == "correction" and feedback.correction is None:
        raise _bad("The signal is correction and there is none.", "Give the right answer as the correction.")
    if not said and feedback.signal == "implicit":
        raise _bad("An implicit signal alone does not say how it went.", "Say with it whether the task succeeded.")
    if not said:
        raise _bad("The feedback says nothing.", "Give a rating, a success, a correction or a signal.")
    return sum(said) / len(said)


def feedback_figures(store: Store) -> dict[str, Any]:
    """What holds of the feedback that is kept, the last word on each request: `signals` by kind (a rating in the middle
    is "neutral"), `success` (its mean, None without any), and `marks`."""
    last = "FROM feedback WHERE row IN (SELECT max(row) FROM feedback GROUP BY request_id)"
    kind = "CASE WHEN signal IN ('positive', 'negative') AND success = 0.5 THEN 'neutral' ELSE signal END"
    with store.reading() as connection:
        signals = dict(connection.execute(f"SELECT {kind}, count(*) {last} GROUP BY 1 ORDER BY 1"))
        success = connection.execute(f"SELECT avg(success) {last}").get
        return {"signals": signals, "success": success, "marks": connection.execute("SELECT count(*) FROM marks").get}


def _marks(
    request: Interaction, feedback: Feedback, success: float, weight: float
) -> list[tuple[str, str, float, float]]:
    used, is_abstention = feedback.metadata.get("used"), _is_abstention(request)
    if used is None and is_abstention:
        return []
    if used is None:
        return [(*key, success, weight / rank) for rank, key in enumerate(request.context, 1)]
    return [(*key, 1.0 if is_abstention else success, weight) for key in request.context if key[1] in used]


def _answered(store: Store, request_id: str) -> Interaction:
    with store.reading() as connection:
        return require_request(connection, request_id)


def _check_used(request: Interaction, used: Any) -> None:
    """`UserError` (bad-feedback) where `used` is no list of memories that the answer rested on."""
    known = {id for _, id in request.context}
    if not isinstance(used, (list, tuple)):
        raise _bad(f"`used` is {used!r:.40}.", "List ids of memories in the answer's context.")
    for id in used:
        if not isinstance(id, str) or id not in known:
            raise _bad(
                f"`used` names {id!r:.80}, on which the answer did not rest.",
                "List ids of memories in the answer's context: those of its citations.",
            )


def _is_abstention(request: Interaction) -> bool:
    """Whether the answer was that there is none: each line of any other of passages ends with its place in brackets."""
    return request.tier == "extractive" and request.answer.startswith(UNKNOWN) and not request.answer.endswith("]")


def _signal(feedback: Feedback, success: float) -> Signal:
    if feedback.signal is not None:
        return feedback.signal
    if feedback.correction is not None:
        return "correction"
    return "positive" if success >= 0.5 else "negative"


def _remember(store: Store, embedder: Embedder | None, request: Interaction, correction: str) -> str:
    """The correction as a memory whose vector is that of question and correction together."""
    vector = None
    if embedder is not None:
        found = embedder.embed([f"{request.prompt}\n{correction}"])[0]
        vector = [float(number) for number in found] if found.any() else None
    memory = NewMemory(
        correction,
        CORRECTIONS,
        metadata={"question": request.prompt[:2_000], "request_id": request.id},
        vector=vector,
        embedder_id=None if embedder is None or vector is None else embedder.id,
        as_new=True,
    )
    return keep(store, embedder, [memory])[0].id


def _bad(message: str, fix: str) -> UserError:
    return UserError(message, code="bad-feedback", fix=fix)
