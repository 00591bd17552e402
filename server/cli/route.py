"""`aqe route`: where a request would go, why, and where the last ones went."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from typing import TYPE_CHECKING, Annotated, Any

import typer

from aqe.engine.errors import UserError
from aqe.server.cli.answers import prompt_of
from aqe.server.cli.lines import LinesOption, answer_lines, with_id
from aqe.server.cli.memory_lines import refuse_beside_lines
from aqe.server.cli.output import JsonOption, ProjectOption, kept_where, print_json, project_at
from aqe.server.counting import counted

if TYPE_CHECKING:
    from pathlib import Path

    from aqe.engine.routing import Candidate, Decision, Need, Route, RouteRequest
    from aqe.engine.routing.rules import RuleTable

MOST_LOGGED = 10_000


def command(
    prompt: Annotated[str | None, typer.Argument(metavar="[PROMPT]", help="The request; - reads stdin.")] = None,
    task: Annotated[str | None, typer.Option("--task", metavar="NAME", help="The task, for the rules on it.")] = None,
    privacy: Annotated[
        str | None, typer.Option("--privacy", metavar="CLASS", help="public, internal or secret.")
    ] = None,
    strategy: Annotated[
        str | None, typer.Option("--strategy", metavar="NAME", help="balanced, cost, latency, quality or privacy.")
    ] = None,
    force: Annotated[str | None, typer.Option("--force", metavar="SIDE", help="local or cloud.")] = None,
    max_cost: Annotated[
        float | None, typer.Option("--max-cost", metavar="USD", min=0, help="What the answer may cost.")
    ] = None,
    max_latency: Annotated[
        float | None, typer.Option("--max-latency", metavar="MS", min=0, help="How long the answer may take.")
    ] = None,
    completion: Annotated[
        bool, typer.Option("--completion", help="A plain completion, which found passages cannot answer.")
    ] = False,
    explain: Annotated[
        bool, typer.Option("--explain", help="Show every candidate and what moved the score; without PROMPT the log.")
    ] = False,
    limit: Annotated[
        int, typer.Option("--limit", metavar="N", min=1, max=MOST_LOGGED, help="Lines of the log at most.")
    ] = 10,
    rules: Annotated[bool, typer.Option("--rules", help="Print the rule table that decides.")] = False,
    jsonl: LinesOption = False,
    json: JsonOption = False,
    project: ProjectOption = None,
) -> None:
    """Show which model a request would go to, and why; nothing is asked.

    The score says how much the request needs a strong model, from 0 to 1. With --explain and no PROMPT the last routes
    that were taken are shown, with every call. With --jsonl each line holds `prompt` and may hold id; its answer has
    the id and the score.
    """
    root = project_at(project)
    if jsonl:
        refuse_beside_lines(**{"--rules": rules or None, "--explain": explain or None})
        refuse_beside_lines(**{"--completion": completion or None})
    if rules:
        _print_rules(kept_where(root), json)
    elif jsonl:
        refuse_beside_lines(**{"A PROMPT": prompt, "--task": task, "--privacy": privacy, "--strategy": strategy})
        refuse_beside_lines(**{"--force": force, "--max-cost": max_cost, "--max-latency": max_latency})
        answer_lines(kept_where(root), "route", _score, keys=("id", "prompt"))
    elif prompt is None and explain:
        _print_log(root, limit, json)
    elif prompt is None:
        raise UserError("There is no request to route.", code="usage", fix="Give it, or --explain, --rules or --jsonl.")
    else:
        from aqe.engine.routing import RouteRequest

        request = RouteRequest(
            prompt=_checked(prompt_of(prompt)),
            task=task,
            privacy=privacy,
            max_cost_usd=max_cost,
            max_latency_ms=max_latency,
            strategy=strategy,
            force=_side(force),
            needs_model=completion,
        )
        _print_decision(root, request, explain, json)


def _score(line: Mapping[str, Any]) -> Mapping[str, Any]:
    from aqe.engine.routing import need_of

    score = float(f"{need_of(_checked(line.get('prompt'))):.5g}")
    return with_id(line, {"score": score})


def _checked(prompt: Any) -> str:
    from aqe.engine.memory.entry import check_text

    if not isinstance(prompt, str):
        raise UserError("There is no prompt.", code="bad-text", fix='Give a text as "prompt".')
    return check_text(prompt)


def _side(force: str | None) -> Any:
    if force not in (None, "local", "cloud"):
        raise UserError(f"--force is {force!r}.", code="bad-argument", fix="Give local or cloud.")
    return force


def _print_decision(root: Path, request: RouteRequest, explain: bool, json: bool) -> None:
    from aqe.engine.memory.opening import open_to_read
    from aqe.engine.privacy import open_guard
    from aqe.engine.providers import open_providers
    from aqe.engine.routing import Router, explain_need
    from aqe.engine.settings import load_settings

    settings = load_settings(root)
    with open_to_read(root) as store:
        guard = open_guard(root, settings, store)
        try:
            router = Router(open_providers(settings, guard=guard), store=store, settings=settings, guard=guard)
            decision = router.decide(request)
        finally:
            guard.close()
    need = explain_need(request.prompt)
    if json:
        print_json("route", decision_object(decision, need), project=kept_where(root))
        return
    print(f"score     {decision.score:.3f}")
    print(f"goes to   {decision.provider}/{decision.model} ({decision.tier})")
    print(f"because   {decision.reason}")
    if explain:
        _explain(decision, need)


def decision_object(decision: Decision, need: Need) -> dict[str, Any]:
    """A decision as JSON, with what moved the scorer's own figure."""
    return {
        "score": round(decision.score, 5),
        "scored": round(need.score, 5),
        "because": [{"what": what, "moved": moved} for what, moved in need.because],
        "provider": decision.provider,
        "model": decision.model,
        "tier": decision.tier,
        "reason": decision.reason,
        "strategy": decision.strategy,
        "privacy": decision.privacy,
        "rules": list(decision.rules),
        "candidates": [vars(candidate) for candidate in decision.candidates],
    }


def _explain(decision: Decision, need: Need) -> None:
    print(f"scorer    {need.score:.3f} (0.5: as likely needed as not), moved by, in log-odds:")
    for what, moved in need.because:
        print(f"          {moved:+.3f}  {what}")
    if decision.rules:
        print(f"rules     {', '.join(decision.rules)}")
    print(f"strategy  {decision.strategy}; privacy class {decision.privacy}")
    print("models    the kept ones in the order in which they are asked")
    for candidate in decision.candidates:
        print(f"          {_candidate(candidate)}")


def _candidate(one: Candidate) -> str:
    return f"{'kept' if one.kept else 'out ':<5}{one.provider}/{one.model} ({one.tier}): {one.why}"


def _print_log(root: Path, limit: int, json: bool) -> None:
    from aqe.engine.memory.opening import open_to_read
    from aqe.engine.routing import read_routes

    with open_to_read(root) as store:
        routes = read_routes(store, limit=limit)
    if json:
        print_json("route-log", {"routes": [_route_object(route) for route in routes]}, project=kept_where(root))
        return
    for route in routes:
        shown = _route_object(route)
        print(
            f"{shown['at']}  {route.request_id}  {route.outcome}  {route.provider}/{route.model}  need {route.need:.2f}"
        )
        print(f"    {_decided(route)}{route.decision['reason']}")
        for call in route.attempts:
            said = f": {call['message']}" if call["message"] else ""
            print(f"    round {call['round']}  {call['provider']}/{call['model']} {call['outcome']}{said}")
    print(f"{counted(len(routes), 'route')} in the log", file=sys.stderr)


def _decided(route: Route) -> str:
    """Whom the reason speaks of, where another one answered in the end."""
    first = (route.decision["provider"], route.decision["model"])
    return "" if first == (route.provider, route.model) else f"decided for {'/'.join(first)}: "


def _route_object(route: Route) -> dict[str, Any]:
    from aqe.engine.memory import rfc3339

    shown = {name: value for name, value in vars(route).items() if name != "created_at"}
    return {"at": rfc3339(route.created_at), **shown}


def _print_rules(kept: Path | None, json: bool) -> None:
    from aqe.engine.routing import rules_text, shipped_rules

    if json:
        print_json("route-rules", _rules_object(shipped_rules()), project=kept)
    else:
        sys.stdout.write(rules_text())


def _rules_object(table: RuleTable) -> dict[str, Any]:
    return dict(vars(table))
