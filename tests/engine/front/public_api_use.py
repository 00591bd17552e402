"""The engine's whole public face as a caller uses it: type-checked by `make types`, and run by a test.

`python tests/engine/front/public_api_use.py PROJECT` runs it on a project of your own.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from pathlib import Path

import anyio

from aqe.engine import (
    AgentEngine,
    Answer,
    BatchItem,
    CancelToken,
    Engine,
    EngineStats,
    Message,
    Provider,
    QueryConfig,
    Session,
    UserError,
    Verdict,
    load_settings,
)
from aqe.engine.embedding import Embedder, open_embedder
from aqe.engine.sync import Engine as SyncEngine


def says_something(answer: Answer) -> bool:
    """A check of an answer."""
    return bool(answer.text)


async def judged_elsewhere(answer: Answer) -> Verdict:
    """A check that waits for something, and says what it saw."""
    await anyio.sleep(0)
    return Verdict(passed=answer.answered, detail="looked at", output=answer.text)


async def as_an_agent(engine: AgentEngine) -> str:
    """All that an agent may call."""
    answer = await engine.query("How are totals rounded?", task="question", validate=judged_elsewhere)
    await engine.remember("Totals round half up.", metadata={"by": "agent"}, file="pricing.py", line=1)
    hits = (await engine.search("totals", k=3, filter={"by": "agent"})).hits
    await engine.feedback(answer.request_id, signal_type="implicit", task_success=bool(hits))
    tier = (await engine.route("Write a test for totals", config=QueryConfig(strategy="cost"))).tier
    stats: EngineStats = await engine.stats()
    return f"{tier} {stats.queries}"


async def asynchronous(project: Path, embedder: Embedder | None, providers: Sequence[Provider] | None) -> list[str]:
    """The calls of the async engine."""
    lines: list[str] = []
    settings = load_settings(project)
    async with await Engine.open(project, settings=settings, embedder=embedder, providers=providers) as engine:
        report = await engine.index(progress=lambda text, done=0.0, total=None: None, cancel=CancelToken())
        lines.append(f"indexed {report.files}")
        answer = await engine.query("How are totals rounded?", config=QueryConfig(k=8), validate=says_something)
        lines += [f"{citation.file}:{citation.line}" for citation in answer.citations]
        lines.append(f"{answer.tier} {answer.usage.output_tokens} {answer.timings.retrieve:.3f}")
        kept = await engine.remember("The cashier is called Bob.", id="bob", namespace="people")
        vectors = await engine.embed(["one", "two"])
        lines.append(f"{vectors.shape} {(await engine.embed('one')).shape}")
        lines.append(f"{await engine.similarity('a cart', 'the cart'):.2f}")
        items: list[BatchItem] = await engine.query_batch(["Who is Bob?", ""], parallel=2, window_ms=5)
        lines += [item.answer.text if item.answer else str(item.error and item.error.code) for item in items]
        stream = engine.stream("Who is the cashier?", session="talk")
        lines += [piece async for piece in stream]
        lines.append(stream.answer.request_id if stream.answer else "")
        try:
            done = await engine.complete(
                [Message("user", "Count to three.")],
                temperature=0.0,
                top_p=1.0,
                max_tokens=20,
                stop=["four"],
                seed=1,
                json_schema=None,
                n=2,
                validate=says_something,
            )
            lines += [sample.text for sample in done.samples]
            async with engine.stream("Count.", retrieve=False) as plain:
                lines += [piece async for piece in plain]
        except UserError as error:
            lines.append(error.code)
        lines.append(await as_an_agent(engine))
        await engine.forget(kept.id, namespace="people", erase=True)
        lines.append(await conversation(engine))
    return lines


async def conversation(engine: Engine) -> str:
    """The calls of `engine.sessions`."""
    sessions = engine.sessions
    made: Session = await sessions.create("review", metadata={"ticket": 1}, token_budget=1000)
    await sessions.add_context(made.name, "The discount is ten percent.")
    await sessions.chat("review", "What is the discount?")
    await sessions.set_metadata("review", {"ticket": None})
    turns = [turn.role for turn in await sessions.history("review", last=3)]
    shown = [message.role for message in await sessions.messages("review")]
    found = [hit.session for hit in await sessions.search("discount", k=2)]
    document = json.dumps(await sessions.export("review"))
    await sessions.end("review")
    again = await sessions.resume("review")
    await sessions.end("review", remove=True)
    back = await sessions.import_session(document, name="review-2")
    back = await sessions.get(back.id)
    names = [session.name for session in await sessions.list(every=True, limit=5)]
    await sessions.end("review-2", remove=True)
    return f"{turns} {shown} {found} {again.state} {back.turns} {names}"


def synchronous(project: Path, embedder: Embedder | None, providers: Sequence[Provider] | None) -> list[str]:
    """The same engine without async."""
    with SyncEngine.open(project, embedder=embedder, providers=providers) as engine:
        lines = [engine.query("How are totals rounded?", session="talk").text]
        with engine.stream("And where?", session="talk") as stream:
            lines += list(stream)
        lines.append(engine.sessions.get("talk").state)
        lines.append(str(engine.stats().store.memories))
    return lines


def main() -> None:
    """Run both on the project that is named."""
    project = Path(sys.argv[1])
    embedder = open_embedder(load_settings(project))
    for line in [*anyio.run(asynchronous, project, embedder, None), *synchronous(project, embedder, None)]:
        print(line)


if __name__ == "__main__":
    main()
