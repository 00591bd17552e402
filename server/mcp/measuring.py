"""The tools of the agents that look and write nothing: flaky tests, untested code, selection, review."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Annotated, Any, Literal

from mcp.server.mcpserver.context import Context
from mcp.server.mcpserver.tools import Tool
from mcp_types import CallToolResult
from pydantic import Field

from aqe.server.mcp.app import make_tool
from aqe.server.mcp.fields import Budget, JobAnswer, JobId, Offset, Project, Python, Since

if TYPE_CHECKING:
    from aqe.server.mcp.service import Service

Worded = Callable[[Any], Any]
Paths = Annotated[list[str] | None, Field(description="test files, folders or node ids; else the suite")]
Tests = Annotated[Literal["summary", "tests", "report"], Field(description="tests: one line each")]
Gaps = Annotated[Literal["summary", "gaps", "report"], Field(description="gaps: one line each")]
Findings = Annotated[Literal["summary", "findings", "report"], Field(description="findings: with all evidence")]


def make_measuring_tools(service: Service, worded: Worded) -> list[Tool]:
    """find_flaky_tests, coverage_gaps, select_tests and review_changes; `worded` makes failures answers."""
    return [make(service, worded) for make in (_flaky, _coverage, _select, _review)]


def _flaky(service: Service, worded: Worded) -> Tool:
    async def find_flaky_tests(
        ctx: Context[Any, Any],
        paths: Paths = None,
        test: Annotated[str | None, Field(description="explain this one node id")] = None,
        runs: Annotated[int, Field(ge=2, le=100, description="runs of the whole suite")] = 12,
        budget_s: Budget = None,
        seed: int = 0,
        python: Python = None,
        project: Project = None,
        job_id: JobId = None,
        detail: Tests = "summary",
        offset: Offset = 0,
    ) -> Annotated[CallToolResult, JobAnswer]:
        from aqe.server.mcp.work import Call, work

        asked = {"paths": paths or [], "test": test, "runs": runs, "budget_s": budget_s, "seed": seed, "python": python}
        return await work(service, ctx, Call("flaky", project, _new(job_id, asked), job_id, detail, offset))

    return make_tool(
        worded(find_flaky_tests),
        title="Hunt flaky tests",
        read_only=True,
        description=(
            "Run the suite many times in other orders, hash seeds and time zones on a shielded copy: which tests flip, "
            "why, which test breaks them, and the command that shows it. Use it before you call a failure flaky. Slow."
        ),
    )


def _coverage(service: Service, worded: Worded) -> Tool:
    async def coverage_gaps(
        ctx: Context[Any, Any],
        since: Annotated[str | None, Field(description="git base; tells of its changed lines too")] = None,
        paths: Annotated[list[str] | None, Field(description="source files or folders; else all")] = None,
        top: Annotated[int, Field(ge=0, le=500, description="how many gaps; 0 is all")] = 20,
        budget_s: Budget = None,
        python: Python = None,
        project: Project = None,
        job_id: JobId = None,
        detail: Gaps = "summary",
        offset: Offset = 0,
    ) -> Annotated[CallToolResult, JobAnswer]:
        from aqe.server.mcp.work import Call, work

        asked = {"since": since, "paths": paths or [], "top": top, "budget_s": budget_s, "python": python}
        return await work(service, ctx, Call("coverage", project, _new(job_id, asked), job_id, detail, offset))

    return make_tool(
        worded(coverage_gaps),
        title="Find untested code",
        read_only=True,
        description=(
            "Run the suite under coverage and rank what no test reaches by risk, with reasons: what to test next. With "
            "`since` also which changed lines are untested. Give a gap to generate_tests as PATH::NAME."
        ),
    )


def _select(service: Service, worded: Worded) -> Tool:
    async def select_tests(
        ctx: Context[Any, Any],
        since: Since = None,
        run: Annotated[bool, Field(description="run them too")] = False,
        budget_s: Budget = None,
        python: Python = None,
        project: Project = None,
        job_id: JobId = None,
        detail: Tests = "summary",
        offset: Offset = 0,
    ) -> Annotated[CallToolResult, JobAnswer]:
        from aqe.server.mcp.work import Call, work

        asked = {"since": since, "run": run, "budget_s": budget_s, "python": python, "isolated": True}
        return await work(service, ctx, Call("select", project, _new(job_id, asked), job_id, detail, offset))

    return make_tool(
        worded(select_tests),
        title="Select tests",
        read_only=True,
        description=(
            "Which tests a change needs, each with its reason, from a recorded map of what each test executes; the "
            "whole suite where that cannot be known. With run=true also runs them, on a shielded copy, and tells what "
            "failed. Use it after edits."
        ),
    )


def _review(service: Service, worded: Worded) -> Tool:
    async def review_changes(
        ctx: Context[Any, Any],
        since: Since = None,
        scope: Annotated[Literal["changes", "tests"], Field(description="tests: audit the whole suite")] = "changes",
        message: Annotated[str | None, Field(description="what the change is for")] = None,
        budget_s: Annotated[float, Field(gt=0, le=1800, description="seconds in all")] = 20.0,
        python: Python = None,
        project: Project = None,
        job_id: JobId = None,
        detail: Findings = "summary",
        offset: Offset = 0,
    ) -> Annotated[CallToolResult, JobAnswer]:
        from aqe.server.mcp.work import Call, work

        asked = {"since": since, "scope": scope, "message": message, "budget_s": budget_s, "python": python}
        return await work(service, ctx, Call("review", project, _new(job_id, asked), job_id, detail, offset))

    return make_tool(
        worded(review_changes),
        title="Review a change",
        read_only=True,
        description=(
            "What a change breaks or leaves unsafe or untested: old and new code run on the same inputs, rules, test "
            "smells, copies. Use it before you say a change is done. scope='tests' audits the suite: are the tests any "
            "good? No matters of style."
        ),
    )


def _new(job_id: str | None, arguments: dict[str, Any]) -> dict[str, Any] | None:
    """The arguments of a new job; None where an earlier one goes on."""
    return arguments if job_id is None else None
