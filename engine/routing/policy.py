"""The decision: which models may be asked for a request, in which order, and why each was kept or left out.

A pure function of the request, of what is known of each model, of the switches and of the rule table.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from functools import cached_property
from typing import TYPE_CHECKING

from aqe.engine.errors import UserError
from aqe.engine.memory.entry import made
from aqe.engine.providers.protocol import Price, Usage, estimated_tokens
from aqe.engine.routing.breaker import ALLOWED, Permission
from aqe.engine.routing.decision import EXTRACTIVE, Candidate, Decision, RouteRequest, Tier
from aqe.engine.routing.rules import Assumed, Rule, RuleTable, Weights

if TYPE_CHECKING:
    from aqe.engine.settings import Settings

NO_MODEL_FIX = (
    "Add one: pip install 'aqe[openai]' and then export AQE_PROVIDERS="
    '\'{"house": {"kind": "openai-compatible", "base_url": "http://127.0.0.1:11434/v1", "models": ["MODEL"]}}\' '
    "(or the same as [tool.aqe.providers.house] in pyproject.toml)."
)


@dataclass(frozen=True)
class Option:
    """What is known of one model before a request: quality and latency are None where only its tier says them."""

    provider: str
    model: str
    tier: Tier
    quality: float | None = None
    price: Price | None = None
    latency_ms: float | None = None
    priority: int = 0
    permission: Permission = ALLOWED


FINDING = Option(EXTRACTIVE, EXTRACTIVE, "extractive", price=Price(0.0, 0.0, "this machine"))
"""The provider that answers with found passages; it needs no breaker, since it is part of this process."""

_NO_USAGE = Usage(0, 0)
_ANY = Assumed(0.5, 4000.0)
"""What is taken for granted of a tier that the table does not have."""

_Order = tuple[bool, int, float, int]
"""The best first: what is no last resort, by priority, by worth, and by its place in the settings."""


@dataclass(frozen=True)
class Switches:
    """What the operator set; they hold over what a request asks for. `cloud_barred` says why nothing may leave."""

    strategy: str = ""
    force: str = "none"
    local_enabled: bool = True
    cloud_enabled: bool = True
    local_tasks: tuple[str, ...] = ()
    cloud_tasks: tuple[str, ...] = ()
    cloud_barred: str = ""

    @classmethod
    def of(cls, settings: Settings, *, cloud_barred: str = "") -> Switches:
        """The switches as the settings have them now."""
        return cls(
            strategy=settings.router.strategy,
            force=settings.router.force,
            local_enabled=settings.local.enabled,
            cloud_enabled=settings.cloud.enabled,
            local_tasks=settings.router.local_tasks,
            cloud_tasks=settings.router.cloud_tasks,
            cloud_barred=cloud_barred,
        )


def decide(
    request: RouteRequest, options: Sequence[Option], table: RuleTable, switches: Switches, need: float
) -> Decision:
    """Judge every option for the request; `need` is the scorer's, before the rules.

    Raises `UserError`: no-model where no model is configured for a plain completion, no-route where every one was left
    out, bad-argument for a strategy or privacy class that the table does not have.
    """
    return course_of(request, table, switches).decide(request.prompt, options, need)


def course_of(request: RouteRequest, table: RuleTable, switches: Switches) -> Course:
    """What is settled for a request whatever its prompt says; `decide` raises the same, no-model and no-route later."""
    strategy = request.strategy or switches.strategy or table.strategy
    weights = table.strategies.get(strategy)
    if weights is None:
        raise _unknown("strategy", strategy, table.strategies)
    privacy = request.privacy or table.privacy_class
    if privacy not in table.privacy:
        raise _unknown("privacy class", privacy, table.privacy)
    rules = (*table.for_task(request.task), *_own_rules(request.task, switches))
    forced = _forced(request, switches)
    return Course(
        request=request,
        table=table,
        weights=weights,
        switches=switches,
        rules=rules,
        forced=forced,
        passages_last=forced[0] == "cloud" or any(rule.tier == "cloud" for rule in rules),
        strategy=strategy,
        privacy=privacy,
        least=max(0.0, *(rule.need_at_least for rule in rules)) if rules else 0.0,
        most=min(1.0, *(rule.need_at_most for rule in rules)) if rules else 1.0,
    )


def nothing_left(request: RouteRequest, candidates: Sequence[Candidate], cloud_barred: str = "") -> UserError:
    """The error where no candidate was kept: no model at all, none but those that the privacy mode bars, or each with
    the reason that left it out."""
    models = [one for one in candidates if one.tier != "extractive"]
    if not models:
        return UserError("No model is configured, and a completion needs one.", code="no-model", fix=NO_MODEL_FIX)
    if cloud_barred and all(one.why == cloud_barred for one in models):
        names = ", ".join(f"{one.provider}/{one.model}" for one in models[:4])
        return UserError(
            f"Every model is elsewhere ({names}{', ...' if len(models) > 4 else ''}), and {cloud_barred}.",
            code="strict-mode",
            fix="Add a model on this machine, or set privacy.mode to balanced.",
        )
    reasons = "; ".join(f"{one.provider}/{one.model}: {one.why}" for one in models[:4])
    more = f"; and {len(models) - 4} more" if len(models) > 4 else ""
    return UserError(
        f"No model may take this request ({reasons}{more}).",
        code="no-route",
        fix="Change the setting or the request that leaves it out, or add a model.",
    )


@dataclass(frozen=True)
class Course:
    """The decision but for what a prompt says: requests that differ in their prompt alone share one. The need is held
    between `least` and `most`; of `request` everything but the prompt counts. `forced` is the tier that is forced and
    who forces it; with `passages_last`, where something asks for the cloud by name, they are only the last resort."""

    request: RouteRequest
    table: RuleTable
    weights: Weights
    switches: Switches
    rules: tuple[Rule, ...]
    forced: tuple[str, str]
    passages_last: bool
    strategy: str
    privacy: str
    least: float
    most: float

    def decide(self, prompt: str, options: Sequence[Option], need: float) -> Decision:
        """As `decide` of this module."""
        need = min(max(need, self.least), self.most)
        if options:
            kept, out = self._ranked(prompt, options, need)
        else:
            passages = self._passages(need)
            kept, out = ((passages,), ()) if passages.kept else ((), (passages,))
        if not kept:
            raise nothing_left(self.request, out, self.switches.cloud_barred)
        first = kept[0]
        return made(
            Decision,
            {
                "provider": first.provider,
                "model": first.model,
                "tier": first.tier,
                "score": need,
                "reason": self._reason(need, kept) + self._unmet(first, out),
                "candidates": (*kept, *out),
                "strategy": self.strategy,
                "privacy": self.privacy,
                "rules": self.names,
            },
        )

    def _ranked(
        self, prompt: str, options: Sequence[Option], need: float
    ) -> tuple[Sequence[Candidate], Sequence[Candidate]]:
        """The candidates that are kept, the best first, and those that are left out, by name."""
        usage = Usage(estimated_tokens(prompt), self.table.output_tokens)
        ranked: list[tuple[_Order, Candidate]] = []
        out: list[Candidate] = []
        for place, option in enumerate((*options, FINDING)):
            candidate = self._candidate(option, need, usage)
            if candidate.score is None:
                out.append(candidate)
            else:
                is_last = self.passages_last and option.tier == "extractive"
                ranked.append(((is_last, -option.priority, -candidate.score, place), candidate))
        return [one for _, one in sorted(ranked)], sorted(out, key=lambda one: (one.provider, one.model))

    def _passages(self, need: float) -> Candidate:
        """The passages as the only candidate: they cost nothing, and up to some need are as likely right as they can
        ever be, so that one candidate is the same for all prompts."""
        assumed = self.table.tiers.get(FINDING.tier, _ANY)
        if 1.0 - need * (1.0 - assumed.quality) >= assumed.at_most:
            return self._passages_at_best
        return self._candidate(FINDING, need, _NO_USAGE)

    @cached_property
    def _passages_at_best(self) -> Candidate:
        return self._candidate(FINDING, 0.0, _NO_USAGE)

    @cached_property
    def names(self) -> tuple[str, ...]:
        """What the rules are called."""
        return tuple([rule.name for rule in self.rules])

    def _reason(self, need: float, kept: Sequence[Candidate]) -> str:
        first = kept[0]
        text = f"{self.strategy}, need {need:.2f}: {first.provider}/{first.model} is {first.why}"
        if len(kept) > 1:
            text += f"; next {kept[1].provider}/{kept[1].model}"
        return f"{text}; rules: {', '.join(self.names)}" if self.names else text

    def _unmet(self, first: Candidate, out: Sequence[Candidate]) -> str:
        """Why passages answer where a model was asked for by force; empty where none was, or one answers."""
        tier, by = self.forced
        if not tier or first.tier != FINDING.tier:
            return ""
        barred = [f"{one.provider}/{one.model}: {one.why}" for one in out if one.tier == tier]
        why = f"none may take it ({'; '.join(barred)})" if barred else f"no {tier} model is configured"
        return f"; {by} forces {tier}, but {why}, so passages answer"

    def _candidate(self, option: Option, need: float, usage: Usage) -> Candidate:
        assumed = self.table.tiers.get(option.tier, _ANY)
        quality = assumed.quality if option.quality is None else option.quality
        latency_ms = assumed.latency_ms if option.latency_ms is None else option.latency_ms
        cost_usd = None if option.price is None else option.price.of(usage)
        score = None
        why = self._why_out(option, cost_usd, latency_ms)
        is_kept = not why
        if is_kept:
            right = min(1.0 - need * (1.0 - quality), assumed.at_most)
            score = self._worth(option.tier, right, cost_usd, latency_ms)
            why = f"right with {right:.2f}, {_money(cost_usd)}, {latency_ms:.0f} ms: worth {score:.3f}"
            why = f"last resort: {why}" if self.passages_last and option.tier == "extractive" else why
        return made(
            Candidate,
            {
                "provider": option.provider,
                "model": option.model,
                "tier": option.tier,
                "kept": is_kept,
                "why": why,
                "score": None if score is None else round(score, 6),
                "quality": quality,
                "cost_usd": cost_usd,
                "latency_ms": round(latency_ms, 1),
            },
        )

    def _worth(self, tier: Tier, right: float, cost_usd: float | None, latency_ms: float) -> float:
        cost = self.table.scale_usd if cost_usd is None else cost_usd  # unknown: taken to cost what weighs half
        money = cost / (cost + self.table.scale_usd)
        time = latency_ms / (latency_ms + self.table.scale_ms)
        here = 0.0 if tier == "cloud" else 1.0
        weights = self.weights
        return weights.quality * right - weights.cost * money - weights.latency * time + weights.local * here

    def _why_out(self, option: Option, cost_usd: float | None, latency_ms: float) -> str:
        if option.tier == "extractive":
            return "a plain completion needs a model" if self.request.needs_model else ""
        return (
            self._barred_by_switches(option.tier)
            or self._barred_by_privacy(option.tier)
            or self._barred_by_rules(option.tier)
            or ("" if option.permission.allowed else option.permission.reason)
            or self._barred_by_budget(cost_usd, latency_ms)
        )

    def _barred_by_switches(self, tier: Tier) -> str:
        if tier == "local" and not self.switches.local_enabled:
            return "local.enabled is false"
        if tier == "cloud" and not self.switches.cloud_enabled:
            return "cloud.enabled is false"
        forced, by = self.forced
        return f"{by} forces {forced}" if forced and forced != tier else ""

    def _barred_by_privacy(self, tier: Tier) -> str:
        if tier != "cloud":
            return ""
        if self.switches.cloud_barred:
            return self.switches.cloud_barred
        return "" if self.table.privacy[self.privacy] else f"privacy class {self.privacy!r} stays on this machine"

    def _barred_by_rules(self, tier: Tier) -> str:
        for rule in self.rules:
            if rule.tier is not None and rule.tier != tier:
                return f"rule {rule.name!r}: {rule.why}"
        return ""

    def _barred_by_budget(self, cost_usd: float | None, latency_ms: float) -> str:
        most = self.request.max_cost_usd
        if most is not None and cost_usd is None:
            return "its price is not known, and the request has a limit"
        if most is not None and cost_usd is not None and cost_usd > most:
            return f"it would cost {_money(cost_usd)}, the limit is {_money(most)}"
        slowest = self.request.max_latency_ms
        if slowest is not None and latency_ms > slowest:
            return f"it takes {latency_ms:.0f} ms, the limit is {slowest:.0f}"
        return ""


def _forced(request: RouteRequest, switches: Switches) -> tuple[str, str]:
    """The tier that is forced and who forces it; the setting holds over the request."""
    if switches.force != "none":
        return switches.force, "the setting router.force"
    return request.force or "", "the request"


def _own_rules(task: str | None, switches: Switches) -> tuple[Rule, ...]:
    """The settings' rules on this task. A task in both lists stays here: the narrower promise holds."""
    if task is not None and task in switches.local_tasks:
        return (Rule("router.local_tasks", (task,), "the settings keep this task here", tier="local"),)
    if task is not None and task in switches.cloud_tasks:
        return (Rule("router.cloud_tasks", (task,), "the settings send this task to the cloud", tier="cloud"),)
    return ()


def _money(usd: float | None) -> str:
    if usd is None:
        return "price unknown"
    return "free" if usd == 0 else f"${usd:.6f}".rstrip("0")


def _unknown(what: str, value: str, known: Mapping[str, object]) -> UserError:
    near = get_close_matches(value, known, n=1, cutoff=0.5)
    fix = f"Did you mean {near[0]!r}?" if near else f"Give one of: {', '.join(known)}."
    return UserError(f"There is no {what} {value!r}.", code="bad-argument", fix=fix)
