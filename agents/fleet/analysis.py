"""`analyze`: coverage, review and an audit of the suite side by side, as one report of a project's state."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

from aqe.agents.fleet.joining import deadline_s, joined_evidence
from aqe.agents.fleet.report import AnalyzeReport, AnalyzeRequest, Part
from aqe.agents.fleet.side_by_side import Outcome, Task, ask_agent, side_by_side
from aqe.agents.gate.interpreter import find_interpreter
from aqe.engine.errors import UserError
from aqe.engine.progress import CancelToken, Progress, silent
from aqe.engine.settings import load_settings

REVIEW_S = 20.0
AUDIT_S = 60.0


def analyze(
    request: AnalyzeRequest, *, progress: Progress = silent, cancel: CancelToken | None = None
) -> AnalyzeReport:
    """Look at the project from three sides and report them as one.

    A project without git has no review, unless `since` asks for one. Raises `UserError` (no-interpreter, unknown-ref,
    ...) for what no agent could work with, and `Cancelled`; what goes wrong in one agent is a part of the report.
    """
    started = time.monotonic()
    project = Path(request.project).resolve()
    interpreter = find_interpreter(project, request.python, load_settings(project).python, trusted=True)
    shared: dict[str, Any] = {"project": str(project), "python": request.python, "cwd": request.cwd}
    cancel = cancel or CancelToken()
    with cancel.reading():
        left_out = _why_no_review(request, project)
    wanted: dict[str, tuple[str, dict[str, Any]]] = {
        "coverage": ("coverage", {"top": request.top, "budget_s": request.budget_s}),
        "review": ("review", {"since": request.since, "budget_s": request.budget_s or REVIEW_S, "seed": request.seed}),
        "audit": ("review", {"scope": "tests", "budget_s": request.budget_s or AUDIT_S}),
    }
    tasks = [
        Task(name, ask_agent, {"agent": agent, "arguments": {**shared, **arguments}}, request.local)
        for name, (agent, arguments) in wanted.items()
        if name != "review" or not left_out
    ]
    outcomes = side_by_side(tasks, deadline_s=deadline_s(request.budget_s), progress=progress, cancel=cancel)
    if left_out:
        outcomes["review"] = Outcome(None, Part("review", "left out", 0.0, left_out))
    reports = [outcomes[name].value for name in wanted]
    duration_s = time.monotonic() - started
    return AnalyzeReport(
        coverage=outcomes["coverage"].value,
        review=outcomes["review"].value,
        audit=outcomes["audit"].value,
        parts=tuple(outcomes[name].part for name in wanted),
        local=request.local,
        partial=any(report is not None and report.partial for report in reports),
        duration_s=round(duration_s, 3),
        evidence=joined_evidence(
            reports, interpreter, seed=request.seed, budget_s=request.budget_s, duration_s=duration_s
        ),
    )


def _why_no_review(request: AnalyzeRequest, project: Path) -> str:
    """Why there is nothing to review, or ""; with `since` the error is raised."""
    from aqe.agents.changes import read_changes

    try:
        changes = read_changes(project, since=request.since)
    except UserError as error:
        if request.since is not None or error.code != "no-git":
            raise
        return error.message
    return "" if changes.files else f"Nothing changed since {changes.base}."
