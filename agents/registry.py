"""The one table of agents: command line and MCP read names, requests and functions here.

A row names its code as `module:name` so that reading the table imports nothing.
"""

from __future__ import annotations

import dataclasses
import importlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from aqe.engine.errors import UserError
from aqe.engine.progress import CancelToken, Progress, silent


@dataclass(frozen=True)
class Agent:
    """One agent: its verb on the command line, its MCP tool (None where it has none), its request and its function.

    `run` is called as `run(request, progress=..., cancel=...)` and returns a frozen dataclass.
    """

    name: str
    verb: str
    tool: str | None
    request: str
    run: str


AGENTS: dict[str, Agent] = {
    agent.name: agent
    for agent in (
        Agent(
            "generate",
            "generate",
            "generate_tests",
            "aqe.agents.generate:GenerateRequest",
            "aqe.agents.generate:generate",
        ),
        Agent(
            "verify", "verify", "verify_tests", "aqe.agents.gate.verify:VerifyRequest", "aqe.agents.gate.verify:verify"
        ),
        Agent("flaky", "flaky", "find_flaky_tests", "aqe.agents.flaky:FlakyRequest", "aqe.agents.flaky:hunt"),
        Agent("execute", "execute", None, "aqe.agents.execute:ExecuteRequest", "aqe.agents.execute:execute"),
        Agent(
            "coverage",
            "coverage",
            "coverage_gaps",
            "aqe.agents.coverage:CoverageRequest",
            "aqe.agents.coverage:coverage",
        ),
        Agent("select", "select", "select_tests", "aqe.agents.select:SelectRequest", "aqe.agents.select:select"),
        Agent("review", "review", "review_changes", "aqe.agents.review:ReviewRequest", "aqe.agents.review:review"),
        Agent("run", "run", None, "aqe.agents.fleet:RunRequest", "aqe.agents.fleet:run"),
        Agent("analyze", "analyze", None, "aqe.agents.fleet:AnalyzeRequest", "aqe.agents.fleet:analyze"),
    )
}


def resolve(reference: str) -> Any:
    """The object that `module:name` names; imports the module."""
    module, _, name = reference.partition(":")
    return getattr(importlib.import_module(module), name)


def build_request(agent: Agent, arguments: Mapping[str, Any]) -> Any:
    """The agent's request from plain data (lists become tuples); raises `UserError` for a field it does not have."""
    request = resolve(agent.request)
    fields = {field.name for field in dataclasses.fields(request)}
    unknown = sorted(set(arguments) - fields)
    if unknown:
        raise UserError(
            f"The {agent.name} agent has no argument {unknown[0]!r}.",
            code="unknown-argument",
            fix=f"It takes: {', '.join(sorted(fields))}.",
        )
    return request(**{name: tuple(value) if isinstance(value, list) else value for name, value in arguments.items()})


def run_agent(
    agent: Agent, request: Any, *, progress: Progress = silent, cancel: CancelToken | None = None, **more: Any
) -> Any:
    """The agent's report, with what the memory says about it; what others should know is left there.

    Raises what the agent raises. `more` are arguments that only this agent takes.
    """
    from aqe.agents.counsel import consulted

    report = resolve(agent.run)(request, progress=progress, cancel=cancel, **more)
    return consulted(agent.name, report, Path(request.project))
