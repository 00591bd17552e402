"""The tools of the engine: ask, teach, and see where a request would go."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any, Literal

from mcp.server.mcpserver.context import Context
from mcp.server.mcpserver.tools import Tool
from mcp_types import CallToolResult
from pydantic import BaseModel, Field

from aqe.server.counting import memories
from aqe.server.mcp.answers import allowed, answer, answer_bytes, fitting, shorten
from aqe.server.mcp.app import make_tool
from aqe.server.mcp.fields import Project, Tokens
from aqe.server.mcp.service import in_thread
from aqe.server.mcp.whole import with_whole

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from aqe.engine.answer import Answer
    from aqe.engine.memory.absence import Absent
    from aqe.engine.routing import Decision
    from aqe.engine.sessions.names import NewName
    from aqe.server.mcp.service import Service

Task = Annotated[str | None, Field(description="what it is for, such as unit_test")]
QUOTE = 600
CANDIDATES = 6


class Answered(BaseModel):
    """What query answers."""

    answered: bool
    confidence: float | None
    provider: str
    model: str
    tier: str
    citations: list[dict[str, Any]]
    request_id: str
    absent: dict[str, Any] | None = None
    begun: dict[str, Any] | None = None


class Taught(BaseModel):
    """What feedback answers."""

    success: float
    marked: int
    memory_id: str | None


class Routed(BaseModel):
    """What route answers."""

    provider: str
    model: str
    tier: str
    score: float
    reason: str
    candidates: list[dict[str, Any]]


def make_engine_tools(service: Service, worded: Callable[[Any], Any]) -> list[Tool]:
    """query, feedback and route over one service; `worded` makes failures answers."""
    return [_query(service, worded), _feedback(service, worded), _route(service, worded)]


def _query(service: Service, worded: Callable[[Any], Any]) -> Tool:
    async def query(
        ctx: Context[Any, Any],
        prompt: Annotated[str, Field(description="the question, in plain words")],
        session: Annotated[str | None, Field(description="name of a conversation; a new one begins it")] = None,
        namespace: Annotated[str | None, Field(description="only from here; index/ is the project's files")] = None,
        task: Task = None,
        max_tokens: Tokens = None,
        project: Project = None,
    ) -> Annotated[CallToolResult, Answered]:
        from aqe.engine.answer import QueryConfig

        root = await service.project(project, ctx)
        config = QueryConfig(namespace=namespace)
        begun = None if session is None else await in_thread(lambda: service.desk(root).new_session(session))
        said = await service.engines.call(
            root, lambda engine: engine.query(prompt, session=session, task=task, config=config), fresh=True
        )
        nothing = None if said.answered else await in_thread(lambda: service.desk(root).absence(namespace))
        notes = {name: note for name, note in (("absent", nothing), ("begun", begun)) if note is not None}
        return await in_thread(lambda: with_whole(ctx, _shown(said, answer_bytes(root, max_tokens), notes), said))

    return make_tool(
        worded(query),
        title="Ask the project",
        read_only=True,
        description=(
            "Answer a question from this project's docs, code, tests and memory, with file and line of each quote; "
            "says so where they hold no answer. Use it before you read files one by one. Not for general questions."
        ),
    )


def _feedback(service: Service, worded: Callable[[Any], Any]) -> Tool:
    async def feedback(
        ctx: Context[Any, Any],
        request_id: Annotated[str, Field(description="the answer's own")],
        rating: Annotated[int | None, Field(ge=1, le=5, description="1 useless, 5 just right")] = None,
        success: Annotated[bool | None, Field(description="whether what it was for succeeded")] = None,
        correction: Annotated[str | None, Field(description="the right answer; it is remembered")] = None,
        signal: Annotated[Literal["positive", "negative", "implicit"] | None, Field(description="by itself")] = None,
        used: Annotated[list[str] | None, Field(description="ids of the citations that helped")] = None,
        project: Project = None,
    ) -> Annotated[CallToolResult, Taught]:
        root = await service.project(project, ctx)
        kept = await service.engines.call(
            root,
            lambda engine: engine.feedback(
                request_id,
                rating=rating,
                task_success=success,
                correction=correction,
                signal_type=signal,
                metadata={} if used is None else {"used": used},
            ),
        )
        told = f"Kept: success {kept.success:.2f}, {memories(kept.marked)} marked."
        if kept.memory_id is not None:
            told += f" The correction is remembered as {kept.memory_id}."
        data = {"success": kept.success, "marked": kept.marked, "memory_id": kept.memory_id}
        return with_whole(ctx, answer(told, data, content=False), kept)

    return make_tool(
        worded(feedback),
        title="Teach",
        read_only=False,
        description=(
            "Say how an answer of query went, once you know: it moves what is found next time. A correction is "
            "remembered. Not for facts that no answer was about (memory_add)."
        ),
    )


def _route(service: Service, worded: Callable[[Any], Any]) -> Tool:
    async def route(
        ctx: Context[Any, Any],
        prompt: Annotated[str, Field(description="the request as it would be sent")],
        task: Task = None,
        needs_model: Annotated[bool, Field(description="a plain completion, without retrieval")] = False,
        project: Project = None,
    ) -> Annotated[CallToolResult, Routed]:
        root = await service.project(project, ctx)
        found = await service.engines.call(
            root, lambda engine: engine.route(prompt, task=task, needs_model=needs_model)
        )
        return with_whole(ctx, answer(_explained(found), _routed(found), content=False), found)

    return make_tool(
        worded(route),
        title="Explain a route",
        read_only=True,
        idempotent=True,
        description=(
            "Say which model a request would go to now, the need for a strong one (0 to 1), and why others were "
            "left out. Nothing is sent."
        ),
    )


def _shown(said: Answer, most: int, notes: Mapping[str, Absent | NewName]) -> CallToolResult:
    """An answer of at most `most` bytes as the client may have it: the quotes go through the guard file by file, the
    text is made of them. `notes` are said too: that the namespace holds nothing, that a session begins."""
    quotes: list[dict[str, Any]] = allowed(
        [{"id": one.id, "quote": shorten(one.quote, QUOTE), **_place(one.file, one.line)} for one in said.citations]
    )
    rows = fitting(quotes, most * 3 // 8, long="quote", most=QUOTE)
    if said.tier == "extractive" and said.answered:
        text = "\n".join(f"{row['quote']} [{_where(row)}]" for row in rows)
        files: list[str] = []
    else:
        text = said.text
        files = [one.file for one in said.citations if one.file]
        if rows and said.answered:
            text += "\n" + "\n".join(f"- {_where(row)}" for row in rows)
    text += "".join(f"\n{note.told}" for note in notes.values())
    confidence = None if said.confidence is None else round(said.confidence, 3)
    sure = "" if confidence is None else f", confidence {confidence}"
    data = {
        "answered": said.answered,
        "confidence": confidence,
        "provider": said.provider,
        "model": said.model,
        "tier": said.tier,
        "citations": rows,
        "request_id": said.request_id,
        **{name: note.shown for name, note in notes.items()},
    }
    return answer(f"{text}\n({said.tier}{sure}; request_id {said.request_id})", data, paths=files, most=most)


def _place(file: str | None, line: int | None) -> dict[str, Any]:
    return {} if file is None else {"file": file, **({} if line is None else {"line": line})}


def _where(row: dict[str, Any]) -> str:
    if "file" not in row:
        return f"memory {row['id']}"
    return f"{row['file']}:{row['line']}" if "line" in row else str(row["file"])


def _explained(found: Decision) -> str:
    lines = [f"{found.provider}/{found.model} ({found.tier}), need of a strong model {found.score:.2f}: {found.reason}"]
    lines += [f"- {one.provider}/{one.model}: {'kept' if one.kept else 'left out'}, {one.why}" for one in _some(found)]
    return "\n".join(lines)


def _routed(found: Decision) -> dict[str, Any]:
    return {
        "provider": found.provider,
        "model": found.model,
        "tier": found.tier,
        "score": round(found.score, 4),
        "reason": found.reason,
        "candidates": [
            {"provider": one.provider, "model": one.model, "kept": one.kept, "why": one.why} for one in _some(found)
        ],
    }


def _some(found: Decision) -> list[Any]:
    return list(found.candidates[:CANDIDATES])
