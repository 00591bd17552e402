"""Waits for a job on behalf of a tool call: progress on the way, an answer within 45 s, death with its last caller."""

from __future__ import annotations

import json
import time
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import anyio
import anyio.to_thread
from mcp_types import CallToolResult

from aqe.agents.registry import AGENTS
from aqe.engine.errors import AqeError, UserError
from aqe.server.mcp.answers import allowed, answer, failure, page
from aqe.server.mcp.service import LAST_REPORT, in_thread
from aqe.server.mcp.summaries import figures_of, hints_of, list_of, sources_of, summary_of

if TYPE_CHECKING:
    from aqe.engine.jobs import Job
    from aqe.server.mcp.service import Service

HEARTBEAT_S = 10.0
STEP_S = 0.25
DRAFT = "test_draft.py"
LISTS = {
    "generate": "tests",
    "verify": "tests",
    "flaky": "tests",
    "coverage": "gaps",
    "select": "tests",
    "review": "findings",
}
"""The detail of each agent's tool that lies between its summary and its whole report."""

_TOOLS = {agent.name: agent.tool for agent in AGENTS.values() if agent.tool}


@dataclass(frozen=True)
class Call:
    """One call of a job tool; `arguments` are None where it goes on with `job_id`."""

    agent: str
    project: str | None
    arguments: dict[str, Any] | None
    job_id: str | None
    detail: str
    offset: int


def verify_arguments(paths: list[str] | None, draft: str | None, subjects: list[str] | None) -> dict[str, Any]:
    """The verify agent's arguments, which compare with the tests that the project has; raises `UserError` unless there
    are tests to judge."""
    if not paths and not draft:
        raise UserError("verify_tests needs `paths` or a `draft`.", code="missing-argument", fix="Or give a `job_id`.")
    sources = {} if draft is None else {DRAFT: draft}
    return {"tests": list(paths or []), "sources": sources, "subjects": list(subjects or []), "beside": True}


async def work(service: Service, ctx: Any, call: Call) -> CallToolResult:
    """Start, join or find the call's job, wait for it, and answer with its outcome or how far it is.

    A cancelled call ends the job unless another call waits for it too.
    """
    project = await service.project(call.project, ctx)
    runner = await in_thread(lambda: service.runner)
    if call.arguments is None:
        job_id = str(call.job_id)
        await in_thread(lambda: _check_kind(runner.view(project, job_id), call.agent))
    else:
        arguments = _placed(call, project)
        with anyio.CancelScope(shield=True):  # a call cancelled right here must still end the job it started
            job_id, _ = await in_thread(lambda: runner.start(project, call.agent, arguments))
    with service.waiting(job_id) as others:
        try:
            job = await _wait(service, ctx, project, job_id)
        except anyio.get_cancelled_exc_class():
            if not others():
                with anyio.CancelScope(shield=True):
                    await in_thread(lambda: runner.cancel(project, job_id))
            raise
    return await _answer(service, call, project, job)


def _check_kind(job: Job, agent: str) -> None:
    if job.kind != agent:
        fix = f"Give it to {_TOOLS.get(job.kind, job.kind)}."
        raise UserError(f"Job {job.id!r} is not one of {_TOOLS[agent]}.", code="no-such-job", fix=fix)


def _placed(call: Call, project: Path) -> dict[str, Any]:
    """The job's arguments; tests that were given no folder go to one of aqe's own."""
    assert call.arguments is not None
    arguments = dict(call.arguments)
    if call.agent == "generate" and arguments.get("out") is None:
        arguments["out"] = str(project / ".aqe" / "tests")
    return arguments


async def _wait(service: Service, ctx: Any, project: Path, job_id: str) -> Job:
    """The job's row when it ended or when the answer is due; speaks of each step to a client that asked."""
    start = time.monotonic()
    spoken, last = "", start
    while True:
        job = await in_thread(lambda: service.runner.view(project, job_id))
        now = time.monotonic()
        if not job.is_live or now - start >= service.answer_s:
            return job
        text = _progress_text(job)
        if (text and text != spoken) or now - last >= HEARTBEAT_S:
            spoken, last = text, now
            told = await in_thread(partial(allowed, text))
            await ctx.report_progress(round(now - start, 2), None, told or "Still working")
        await anyio.to_thread.run_sync(lambda: service.runner.wait(job_id, STEP_S), abandon_on_cancel=True)


def _progress_text(job: Job) -> str:
    if job.total:
        return f"{job.text} ({job.done:g} of {job.total:g})"
    return job.text


async def _answer(service: Service, call: Call, project: Path, job: Job) -> CallToolResult:
    data: dict[str, Any] = {
        "state": "running" if job.is_live else job.state,
        "job_id": job.id,
        "figures": {},
        "hints": [],
        "report": LAST_REPORT,
    }
    if job.is_live:
        far = _progress_text(job) or "it has just begun"
        data["summary"] = f"Still running: {far}. Call {_TOOLS[call.agent]} again with job_id={job.id!r} to go on."
        data["figures"] = {"done": float(job.done), "total": float(job.total or 0)}
        return answer(data["summary"], data, content=False)
    if job.state != "done" or job.result is None:
        return failure(_error_of(job))
    service.reported(project, job.result)
    sources = sources_of(call.agent, job.result)
    report: dict[str, Any] = await in_thread(lambda: allowed(job.result, paths=sources))
    data["figures"] = figures_of(call.agent, report)
    if call.detail != "summary":
        whole = await in_thread(lambda: _whole(call, project, report, sources))
        data["summary"], rest = page(whole, call.offset)
        if rest is None:
            return answer(data["summary"], data)
        return answer(f"{data['summary']}\n[more with offset={rest}]", data | {"next_offset": rest})
    data["summary"] = summary_of(call.agent, report)
    data["hints"] = hints_of(call.agent, report)
    lines = [data["summary"], *(f"- {hint}" for hint in data["hints"])]
    lines.append(f"Full report: {LAST_REPORT}, or job_id={job.id!r} with detail='report' (or '{LISTS[call.agent]}').")
    return answer("\n".join(lines), data, paths=sources)


def _whole(call: Call, project: Path, report: dict[str, Any], sources: tuple[str, ...]) -> str:
    if call.detail == LISTS[call.agent]:
        return str(allowed(list_of(call.agent, report, project), paths=sources))
    return json.dumps(report, ensure_ascii=False)


def _error_of(job: Job) -> AqeError:
    known = job.error or {}
    error = AqeError(
        str(known.get("message", "The job was cancelled.")),
        code=str(known.get("code", "cancelled")),
        fix=str(known.get("fix", "")),
    )
    error.exit_status = int(known.get("exit_status", 130))
    return error
