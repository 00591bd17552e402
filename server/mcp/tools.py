"""The tools: their arguments, their words, and which agent or store call stands behind each.

Descriptions say when to use a tool and when not, in at most 300 characters.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Annotated, Any, Literal

from mcp.server.mcpserver.context import Context
from mcp.server.mcpserver.tools import Tool
from mcp_types import CallToolResult
from pydantic import BaseModel, Field

from aqe.engine.errors import AqeError, UserError
from aqe.server.counting import counted
from aqe.server.kept import kept_object, taken_over
from aqe.server.mcp.answers import allowed, answer, answer_bytes, failure, fitting, outlet
from aqe.server.mcp.app import make_tool
from aqe.server.mcp.desk import nearness, row_of
from aqe.server.mcp.fields import JobAnswer, JobId, Offset, Project, Python, Tokens
from aqe.server.mcp.service import in_thread
from aqe.server.mcp.whole import asks_for_whole, with_whole

if TYPE_CHECKING:
    from aqe.server.mcp.service import Service

Detail = Annotated[
    Literal["summary", "tests", "report"], Field(description="tests: the test source; report: the whole report")
]
Verdicts = Annotated[
    Literal["summary", "tests", "report"], Field(description="tests: the verdict on each; report: the whole report")
]
Namespace = Annotated[str, Field(description="a drawer of the memory")]
Seconds = Annotated[float, Field(strict=True)]


class MemoryAdded(BaseModel):
    """What memory_add answers."""

    id: str
    namespace: str
    existed: bool
    recalled: bool = False
    joined: list[str] = []
    kept_end: bool = False
    expires_at: str = ""
    warning: str = ""


class MemoryFound(BaseModel):
    """What memory_search answers."""

    mode: str
    found: list[dict[str, Any]]
    absent: dict[str, Any] | None = None
    note: str | None = None


class Figures(BaseModel):
    """What stats answers."""

    memories: int
    namespaces: dict[str, int]
    jobs: dict[str, int]
    test_outcomes: int
    bytes: int
    activity: dict[str, Any]
    project: str


def make_tools(service: Service) -> list[Tool]:
    """The tools over one service."""
    from aqe.server.mcp.asking import make_engine_tools
    from aqe.server.mcp.measuring import make_measuring_tools

    testing = [_generate_tests(service), _verify_tests(service), *make_measuring_tools(service, _worded)]
    return [*testing, *make_engine_tools(service, _worded), *_memory_tools(service), _stats(service)]


def _generate_tests(service: Service) -> Tool:
    async def generate_tests(
        ctx: Context[Any, Any],
        target: Annotated[str | None, Field(description="PATH, PATH::NAME, MODULE or MODULE::NAME")] = None,
        out: Annotated[str | None, Field(description="folder to write test_<module>.py into")] = None,
        budget_s: Annotated[float, Field(gt=0, le=1800, description="seconds of search")] = 20.0,
        seed: int = 0,
        python: Python = None,
        project: Project = None,
        job_id: JobId = None,
        detail: Detail = "summary",
        offset: Offset = 0,
    ) -> Annotated[CallToolResult, JobAnswer]:
        from aqe.server.mcp.work import Call, work

        arguments = None
        if job_id is None:
            if target is None:
                raise UserError("generate_tests needs `target`.", code="missing-argument", fix="Or give a `job_id`.")
            arguments = {"target": target, "out": out, "budget_s": budget_s, "seed": seed, "python": python}
        return await work(service, ctx, Call("generate", project, arguments, job_id, detail, offset))

    return make_tool(
        _worded(generate_tests),
        title="Generate tests",
        read_only=False,
        description=(
            "Write pytest tests for a module, class or function that were executed, are stable and come with coverage "
            "and mutation figures; also names suspected bugs. Writes files only into `out`. Not for judging tests you "
            "already have (verify_tests)."
        ),
    )


def _verify_tests(service: Service) -> Tool:
    async def verify_tests(
        ctx: Context[Any, Any],
        paths: Annotated[list[str] | None, Field(description="test files of the project")] = None,
        draft: Annotated[str | None, Field(description="source of one test file that need not exist")] = None,
        subjects: Annotated[list[str] | None, Field(description="modules under test, if not clear")] = None,
        runs: Annotated[int, Field(ge=1, le=50, description="shuffled runs")] = 5,
        budget_s: Annotated[float | None, Field(gt=0, le=1800, description="seconds in all")] = None,
        seed: int = 0,
        python: Python = None,
        project: Project = None,
        job_id: JobId = None,
        detail: Verdicts = "summary",
        offset: Offset = 0,
    ) -> Annotated[CallToolResult, JobAnswer]:
        from aqe.server.mcp.work import Call, verify_arguments, work

        arguments = None
        if job_id is None:
            options = {"runs": runs, "budget_s": budget_s, "seed": seed, "python": python}
            arguments = verify_arguments(paths, draft, subjects) | options
        return await work(service, ctx, Call("verify", project, arguments, job_id, detail, offset))

    return make_tool(
        _worded(verify_tests),
        title="Verify tests",
        read_only=True,
        idempotent=True,
        description=(
            "Judge tests before you keep them: give a draft as text, or paths. Runs them shuffled in a sandbox; "
            "answers which pass, are flaky or add nothing, with coverage, mutants killed and hints on what to assert. "
            "Not for running the whole suite."
        ),
    )


def _memory_tools(service: Service) -> list[Tool]:
    async def memory_add(
        ctx: Context[Any, Any],
        text: Annotated[str, Field(description="one fact, complete by itself")],
        namespace: Namespace = "default",
        id: Annotated[str | None, Field(description="your own id; makes a row of its own")] = None,
        file: Annotated[str | None, Field(description="file it is about")] = None,
        line: Annotated[int | None, Field(ge=1)] = None,
        metadata: Annotated[dict[str, Any] | None, Field(description="what to filter by later")] = None,
        ttl: Annotated[str | Seconds | None, Field(description="keep it this long, like 30d; or never")] = None,
        project: Project = None,
    ) -> Annotated[CallToolResult, MemoryAdded]:
        desk = service.desk(await service.project(project, ctx))
        kept = await in_thread(lambda: desk.add(text, namespace, id, file, line, metadata or {}, ttl))
        how = "Kept already" if kept.existed else "Remembered"
        how = "Not stored again, since it was just recalled; it is kept" if kept.recalled else how
        told, data = f"{how} as {kept.id} in {kept.namespace}.{taken_over(kept)}", kept_object(kept)
        if warning := await in_thread(lambda: desk.file_warning(file)):
            data["warning"] = warning
            told += f" {warning}"
        return with_whole(ctx, answer(told, data, content=False), kept)

    async def memory_search(
        ctx: Context[Any, Any],
        query: Annotated[str, Field(description="words of what is sought")],
        namespace: Annotated[str | None, Field(description="only this drawer")] = None,
        k: Annotated[int, Field(ge=1, le=50, description="how many")] = 5,
        metadata: Annotated[dict[str, Any] | None, Field(description="only rows with these values")] = None,
        explain: Annotated[bool, Field(description="show what scores are made of")] = False,
        as_of: Annotated[str | None, Field(description="as it was then: 2026-03-01, 3h ago")] = None,
        max_tokens: Tokens = None,
        project: Project = None,
    ) -> Annotated[CallToolResult, MemoryFound]:
        from aqe.server.nearness import held_of_each, is_far

        desk = service.desk(await service.project(project, ctx))
        most = await in_thread(lambda: answer_bytes(desk.project, max_tokens))
        only = metadata or {}
        whole = await in_thread(lambda: desk.search(query, namespace, k, only, explain=explain, as_of=as_of))
        counts = await in_thread(lambda: held_of_each(query, whole.hits))
        mode, found = whole.mode, [row_of(hit) | of_hit for hit, of_hit in zip(whole.hits, counts, strict=True)]
        rows = fitting(await in_thread(lambda: allowed(found)), most * 3 // 8, long="text", most=most * 3 // 20)
        lines = [f"{row['id']} ({nearness(row) or 'score ' + str(row['score'])}): {row['text']}" for row in rows]
        head = f"{len(found)} found (by {mode})." if found else f"Nothing found (by {mode})."
        head += " None holds a word of the query: they may have nothing to do with it." if is_far(counts) else ""
        data: dict[str, Any] = {"mode": mode, "found": rows}
        if whole.note:
            head, data = f"{head} {whole.note}", data | {"note": whole.note}
        if not found and (nothing := await in_thread(lambda: desk.absence(namespace, ever=as_of is not None))):
            head, data = f"{head} {nothing.told}", data | {"absent": nothing.shown}
        if len(rows) < len(found):
            head += f" The first {len(rows)} fit; ask with a larger max_tokens, or a narrower query."
        told = answer("\n".join([head, *lines]), data, content=bool(rows), most=most)
        return await in_thread(lambda: with_whole(ctx, told, whole))

    add = make_tool(
        _worded(memory_add),
        title="Remember",
        read_only=False,
        idempotent=True,
        description=(
            "Keep a fact about this project that the next session should know: a decision, a trap, how to run "
            "something. Not for what the code or its docs already say, nor for secrets."
        ),
    )
    search = make_tool(
        _worded(memory_search),
        title="Search memory",
        read_only=True,
        idempotent=True,
        description="Find what was remembered about this project. Use it before work on it. Not a search of the code.",
    )
    return [add, search]


def _stats(service: Service) -> Tool:
    async def stats(ctx: Context[Any, Any], project: Project = None) -> Annotated[CallToolResult, Figures]:
        desk = service.desk(await service.project(project, ctx))
        figures = desk.known_figures()
        if figures is None:
            figures = await in_thread(desk.count)
        counts = ((figures["test_outcomes"], "test outcome"), (figures["bytes"], "byte"))
        by_namespace = ", ".join(f"{count} in {name}" for name, count in figures["namespaces"].items())
        text = f"Memories: {figures['memories']}" + (f" ({by_namespace}); " if by_namespace else "; ")
        text += ", ".join(f"{count} {noun}{'' if count == 1 else 's'}" for count, noun in counts) + "."
        if figures["jobs"]:
            text += " Jobs: " + ", ".join(f"{count} {state}" for state, count in figures["jobs"].items()) + "."
        text += _told_activity(figures["activity"])
        told = answer(text, figures, content=False)
        if not asks_for_whole(ctx):
            return told
        root = await service.project(project, ctx)
        return with_whole(ctx, told, await service.engines.call(root, lambda engine: engine.stats()))

    return make_tool(
        _worded(stats),
        title="Figures",
        read_only=True,
        idempotent=True,
        description=(
            "What this project's store holds (memories by namespace, jobs by state, test outcomes, size), what was "
            "asked, how sure the answers were, what feedback said."
        ),
    )


def _told_activity(activity: Mapping[str, Any]) -> str:
    """What was asked and what came of it as sentences, each where there is something to tell."""
    asked = counted(activity["queries"], "query", "queries")
    told = f" Asked: {asked}, {counted(activity['completions'], 'completion')}"
    if activity["mean_confidence"] is not None:
        told += f", mean confidence {activity['mean_confidence']:.2f}"
    told = f"{told}." if activity["queries"] or activity["completions"] else ""
    for name in ("signals", "sessions"):
        if activity[name]:
            what = "Feedback" if name == "signals" else "Sessions"
            told += f" {what}: " + ", ".join(f"{count} {kind}" for kind, count in activity[name].items()) + "."
    return told


def _worded(function: Any) -> Any:
    """The tool function with every failure answered as our own sentence and code, never as an exception."""
    from functools import wraps

    @wraps(function)
    async def call(*args: Any, **kwargs: Any) -> CallToolResult:
        try:
            result: CallToolResult = await function(*args, **kwargs)
            way = outlet()
            if way is not None and way.payload:
                await in_thread(lambda: way.log(_client_of(kwargs.get("ctx")), function.__name__))
        except AqeError as error:
            return failure(error)
        except Exception as error:
            return failure(_internal(function.__name__, error))
        return result

    return call


def _client_of(context: Any) -> str:
    """Who is given the answer: "mcp", with the client's own name where it said one."""
    params = getattr(getattr(getattr(context, "request_context", None), "session", None), "client_params", None)
    name = getattr(getattr(params, "client_info", None), "name", "")
    return f"mcp:{name[:100]}" if name else "mcp"


def _internal(tool: str, error: Exception) -> AqeError:
    import logging

    from aqe.engine.errors import InternalError
    from aqe.engine.mistakes import mistake_of

    if (mistake := mistake_of(error)) is not None:
        return mistake
    logging.getLogger(__name__).exception("%s failed", tool)
    what = " ".join(f"{type(error).__name__}: {error}".split())[:300]
    return InternalError(
        f"aqe itself failed with {what}.", code="internal", fix="The server's stderr has the traceback."
    )
