"""Requests through the router while its first server dies, hangs, limits and comes back: how many are lost (bar: 0).

python benchmarks/resilience.py [--requests N] [--at-once N] [--json FILE]

Two real HTTP servers on loopback speak OpenAI's interface; the first has priority. The requests run in seven equal
phases: well, dead (nothing listens), back, hanging (longer than the timeout), back, limiting (429 with Retry-After: 1),
back. Before each "back" the run waits until the breaker may probe again. Breaker and timeout are set short, so that the
run is; a figure of latency is a request's whole time as its caller sees it.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import tempfile
import time
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import anyio

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "tests" / "engine" / "routing"))

from model_server import ModelServer

from aqe.engine.errors import AqeError
from aqe.engine.memory import Store
from aqe.engine.providers import CompletionRequest, Message, open_providers
from aqe.engine.routing import Router, RouteRequest
from aqe.engine.routing.breaker import Circuit
from aqe.engine.settings import Settings

PHASES = ("well", "dead", "back 1", "hanging", "back 2", "limiting", "back 3")
TIMEOUT_S = 1.0
OPEN_S = 0.5


@dataclass
class Phase:
    """What happened in one phase."""

    by: Counter[str] = field(default_factory=Counter)
    lost: list[str] = field(default_factory=list)
    latencies_ms: list[float] = field(default_factory=list)
    calls: Counter[str] = field(default_factory=Counter)


def main() -> int:
    """Run, print the table, write the JSON; 1 where a request was lost."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--requests", type=int, default=280)
    parser.add_argument("--at-once", type=int, default=4)
    parser.add_argument("--json", type=Path, help="write the figures here")
    asked = parser.parse_args()
    changes: list[str] = []
    start = time.monotonic()

    def watch(key: tuple[str, str], before: Circuit, after: Circuit, now: int) -> None:
        changes.append(f"{time.monotonic() - start:7.2f} s  {key[0]}: {before.state} -> {after.state}")

    with (
        tempfile.TemporaryDirectory() as folder,
        Store.open(Path(folder) / "aqe.db") as store,
        ModelServer(answer="first") as first,
        ModelServer(answer="second") as second,
    ):
        known = settings(first, second)
        router = Router(open_providers(known), store=store, settings=known, watch=watch)
        phases = anyio.run(run, router, first, asked.requests // len(PHASES), asked.at_once)
    figures = summary(phases, changes)
    show(figures)
    if asked.json:
        asked.json.write_text(json.dumps(figures, indent=1) + "\n", encoding="utf-8")
    return int(figures["lost"] > 0)


def settings(first: ModelServer, second: ModelServer) -> Settings:
    """Two providers, the first with priority, and a breaker that is quick to open and to heal."""

    def table(server: ModelServer, priority: int) -> dict[str, Any]:
        return {
            "kind": "openai-compatible",
            "base_url": server.base_url,
            "models": ["m"],
            "timeout_s": TIMEOUT_S,
            "priority": priority,
            "max_concurrency": 64,
        }

    breaker = {"min_calls": 4, "open_s": OPEN_S, "window_s": 10, "slow_s": 5}
    providers = {"first": table(first, 1), "second": table(second, 0)}
    return Settings.model_validate({"providers": providers, "breaker": breaker})


async def run(router: Router, first: ModelServer, each: int, at_once: int) -> dict[str, Phase]:
    """All phases, one after the other."""
    found = {}
    for provider in router.providers.values():
        await provider.health()  # the client library is loaded before the clock runs
    try:
        for name in PHASES:
            await change(router, first, name)
            found[name] = await phase(router, each, at_once)
    finally:
        await router.close()
    return found


async def change(router: Router, first: ModelServer, name: str) -> None:
    """Make the first server what the phase is named for."""
    if name == "dead":
        await anyio.to_thread.run_sync(first.die)
    elif name.startswith("back") and first.mode == "ok":
        await anyio.to_thread.run_sync(first.come_back)
    first.mode = {"hanging": "hang", "limiting": "limit"}.get(name, "ok")
    if name.startswith("back"):
        await anyio.sleep(router.rest_s(("first", "m")) + 0.05)


async def phase(router: Router, each: int, at_once: int) -> Phase:
    """`each` requests, `at_once` of them at a time."""
    found = Phase()
    places = anyio.Semaphore(at_once)
    async with anyio.create_task_group() as group:
        for number in range(each):
            await places.acquire()
            group.start_soon(one, router, number, found, places)
    return found


async def one(router: Router, number: int, found: Phase, places: anyio.Semaphore) -> None:
    """One request, and what became of it."""
    request = RouteRequest(f"question {number}", needs_model=True)
    completion = CompletionRequest((Message("user", request.prompt),), timeout_s=30.0)
    start = time.perf_counter()
    try:
        routed = await router.run(request, completion, request_id=f"r{number}")
    except AqeError as error:
        found.lost.append(str(error))
    else:
        found.by[routed.completion.provider] += 1
        found.calls.update(f"{call.provider} {call.outcome}" for call in routed.attempts)
        found.latencies_ms.append(1000 * (time.perf_counter() - start))
    finally:
        places.release()


def summary(phases: dict[str, Phase], changes: list[str]) -> dict[str, Any]:
    """The figures of the run."""
    every = [latency for phase in phases.values() for latency in phase.latencies_ms]
    return {
        "requests": sum(len(phase.latencies_ms) + len(phase.lost) for phase in phases.values()),
        "lost": sum(len(phase.lost) for phase in phases.values()),
        "why_lost": [why for phase in phases.values() for why in phase.lost][:5],
        "p50_ms": quantile(every, 0.50),
        "p95_ms": quantile(every, 0.95),
        "by_provider": dict(sum((phase.by for phase in phases.values()), Counter())),
        "phases": {
            name: {
                "lost": len(phase.lost),
                "by_provider": dict(phase.by),
                "calls": dict(phase.calls),
                "p50_ms": quantile(phase.latencies_ms, 0.50),
                "p95_ms": quantile(phase.latencies_ms, 0.95),
            }
            for name, phase in phases.items()
        },
        "breaker": changes,
    }


def quantile(values: list[float], share: float) -> float:
    """The value at this share, 0 where there is none."""
    if len(values) < 2:
        return round(values[0], 2) if values else 0.0
    return round(statistics.quantiles(values, n=100, method="inclusive")[round(100 * share) - 1], 2)


def show(figures: dict[str, Any]) -> None:
    """Print the table."""
    print(f"{'phase':<10}{'lost':>6}{'first':>7}{'second':>8}{'p50 ms':>9}{'p95 ms':>9}  calls")
    for name, phase in figures["phases"].items():
        by, calls = phase["by_provider"], ", ".join(f"{call} {n}" for call, n in sorted(phase["calls"].items()))
        line = f"{name:<10}{phase['lost']:>6}{by.get('first', 0):>7}{by.get('second', 0):>8}"
        print(f"{line}{phase['p50_ms']:>9.1f}{phase['p95_ms']:>9.1f}  {calls}")
    print(f"{figures['requests']} requests, {figures['lost']} lost (bar: 0)", end="; ")
    print(f"p50 {figures['p50_ms']:.1f} ms, p95 {figures['p95_ms']:.1f} ms; {figures['by_provider']}")
    print("the breaker of the first server:")
    for line in figures["breaker"]:
        print(f"  {line}")
    for why in figures["why_lost"]:
        print(f"  lost: {why}")


if __name__ == "__main__":
    try:
        sys.exit(main())
    except AqeError as error:  # as without the extra that speaks with the servers
        sys.exit(str(error))
