"""What the reports of several agents have in common: one Evidence, one list of notes, one deadline."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from typing import Protocol

from aqe.agents.gate.circumstances import circumstances
from aqe.agents.gate.evidence import Evidence
from aqe.agents.gate.interpreter import Interpreter


class Reported(Protocol):
    """The fields that every agent's report has."""

    @property
    def evidence(self) -> Evidence: ...

    @property
    def partial(self) -> bool: ...


def deadline_s(budget_s: float | None) -> float | None:
    """When the agents of a budget are ended: they end by themselves before, or not at all."""
    return None if budget_s is None else 1.5 * budget_s + 10.0


def joined_evidence(
    reports: Iterable[Reported | None],
    interpreter: Interpreter,
    *,
    seed: int,
    budget_s: float | None,
    duration_s: float,
) -> Evidence:
    """One Evidence over the parts: all packages and layers; the rung is named for each part that ran something."""
    present = [report.evidence for report in reports if report is not None]
    packages: dict[str, str] = {}
    for one in present:
        packages |= one.packages
    whole = circumstances(
        interpreter,
        seed=seed,
        runs=sum(one.runs for one in present),
        budget_s=budget_s,
        duration_s=duration_s,
        rung=", ".join(dict.fromkeys(one.rung for one in present if one.rung not in ("", "none"))) or "none",
        layers=tuple(dict.fromkeys(layer for one in present for layer in one.layers)),
        layers_missing=tuple(dict.fromkeys(layer for one in present for layer in one.layers_missing)),
        below_namespaces=any(one.below_namespaces for one in present),
        packages=packages,
    )
    hash_seeds = tuple(dict.fromkeys(seed for one in present for seed in one.hash_seeds))
    return replace(whole, hash_seeds=hash_seeds)
