"""The decision: who is kept, who is left out and why, and in which order the kept are asked."""

from __future__ import annotations

import tomllib
from typing import Any, get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aqe.engine.errors import UserError
from aqe.engine.providers import Price
from aqe.engine.routing import Decision, RouteRequest, rules_text, shipped_rules
from aqe.engine.routing.breaker import Permission
from aqe.engine.routing.policy import Option, Switches, decide
from aqe.engine.routing.rules import read_rules
from aqe.engine.settings import RouterSettings

HERE = Option("house", "small", "local", price=Price(0.0, 0.0, "this machine"))
FAR = Option("far", "big", "cloud", price=Price(2.0, 10.0, "settings"))
ASK = RouteRequest("Why is the cart empty?")
COMPLETE = RouteRequest("Write a limerick.", needs_model=True)


def go(request: RouteRequest, *options: Option, need: float = 0.5, **switches: Any) -> Decision:
    return decide(request, options, shipped_rules(), Switches(**switches), need)


def names(decision: Decision) -> list[str]:
    return [candidate.model for candidate in decision.kept]


def why_out(decision: Decision, model: str) -> str:
    return next(one.why for one in decision.candidates if one.model == model and not one.kept)


def refused(request: RouteRequest, *options: Option, **switches: Any) -> UserError:
    with pytest.raises(UserError) as caught:
        go(request, *options, **switches)
    return caught.value


def test_a_query_without_any_model_is_answered_from_passages() -> None:
    """With no model at all, a query goes to the extractive provider."""
    decision = go(ASK)
    assert (decision.provider, decision.model, decision.tier) == ("extractive", "extractive", "extractive")


def test_a_completion_without_any_model_is_an_error_with_two_commands() -> None:
    """With no model at all, a completion is `no-model`, and the message has both commands that add one."""
    error = refused(COMPLETE)
    assert error.code == "no-model"
    assert "pip install 'aqe[openai]'" in error.fix
    assert "export AQE_PROVIDERS=" in error.fix


def test_passages_never_answer_a_completion() -> None:
    """The extractive provider is a candidate of every query and of no completion."""
    assert "extractive" in names(go(ASK, HERE))
    assert why_out(go(COMPLETE, HERE), "extractive") == "a plain completion needs a model"


def test_every_model_is_listed_with_its_reason() -> None:
    """Kept or left out, each candidate says why."""
    decision = go(ASK, HERE, FAR, cloud_enabled=False)
    assert {one.model for one in decision.candidates} == {"small", "big", "extractive"}
    assert all(one.why for one in decision.candidates)
    assert decision.provider in decision.reason


@pytest.mark.parametrize(
    ("strategy", "model"), [("balanced", "small"), ("privacy", "small"), ("latency", "extractive")]
)
def test_a_query_uses_the_model_that_was_configured(strategy: str, model: str) -> None:
    """However easy a question looks, a free local model goes before passages, unless time is all that counts."""
    assert go(RouteRequest("Why?", strategy=strategy), HERE, need=0.01).model == model


def test_a_hard_prompt_goes_to_the_better_model_and_an_easy_one_stays() -> None:
    """The need for a strong model moves a completion from the local to the cloud model."""
    assert go(COMPLETE, HERE, FAR, need=0.9).model == "big"
    assert go(COMPLETE, HERE, FAR, need=0.1).model == "small"


@pytest.mark.parametrize(
    ("strategy", "model"), [("cost", "small"), ("privacy", "small"), ("quality", "big"), ("latency", "quick")]
)
def test_each_strategy_prefers_what_it_is_named_for(strategy: str, model: str) -> None:
    """Cost and privacy stay on the machine, quality takes the best model, latency the quickest."""
    quick = Option("far", "quick", "cloud", quality=0.5, price=Price(1.0, 1.0, "settings"), latency_ms=150)
    request = RouteRequest("Explain.", strategy=strategy, needs_model=True)
    assert go(request, HERE, FAR, quick, need=0.6).model == model


def test_the_settings_strategy_holds_where_the_request_is_silent() -> None:
    """The request's own strategy wins over the settings', that over the table's."""
    assert go(COMPLETE, HERE, FAR, strategy="quality").strategy == "quality"
    asked = RouteRequest("x", needs_model=True, strategy="cost")
    assert go(asked, HERE, FAR, strategy="quality").strategy == "cost"
    assert go(COMPLETE, HERE, FAR).strategy == "balanced"


def test_every_strategy_of_the_settings_stands_in_the_table() -> None:
    """The settings offer exactly the strategies that the rule table has."""
    assert set(get_args(RouterSettings.model_fields["strategy"].annotation)) == set(shipped_rules().strategies)


@pytest.mark.parametrize(
    ("switches", "out", "reason"),
    [
        ({"local_enabled": False}, "small", "local.enabled is false"),
        ({"cloud_enabled": False}, "big", "cloud.enabled is false"),
        ({"force": "local"}, "big", "the setting router.force forces local"),
        ({"force": "cloud"}, "small", "the setting router.force forces cloud"),
        ({"cloud_barred": "privacy mode 'strict'"}, "big", "privacy mode 'strict'"),
    ],
)
def test_a_switch_leaves_models_out(switches: dict[str, Any], out: str, reason: str) -> None:
    """Each kill switch leaves its models out, by name."""
    assert why_out(go(ASK, HERE, FAR, **switches), out) == reason


def test_the_operators_force_holds_over_the_requests() -> None:
    """Where setting and request force different sides, nothing is asked of the side that the setting closed."""
    request = RouteRequest("x", force="cloud", needs_model=True)
    assert go(request, HERE, FAR, force="local").model == "small"
    assert go(request, HERE, FAR).model == "big"


def test_forced_to_the_cloud_passages_are_the_last_resort() -> None:
    """A query forced to the cloud asks passages after every model, however cheap they are."""
    request = RouteRequest("x", force="cloud", strategy="cost")
    assert names(go(request, HERE, FAR)) == ["big", "extractive"]


def test_a_forced_side_without_a_model_is_told() -> None:
    """Where passages answer what was forced to a model, the reason says that none is configured, or why none may."""
    forced = RouteRequest("x", force="cloud")
    assert go(forced).reason.endswith(
        "; the request forces cloud, but no cloud model is configured, so passages answer"
    )
    assert "no cloud model is configured" in go(forced, HERE).reason
    assert "none may take it (far/big: cloud.enabled is false)" in go(forced, FAR, cloud_enabled=False).reason
    assert "the setting router.force forces cloud" in go(RouteRequest("x"), force="cloud").reason
    assert "forces" not in go(forced, FAR).reason
    assert "forces" not in go(RouteRequest("x")).reason


def test_a_secret_request_stays_here() -> None:
    """A request of the class secret never goes to a cloud model."""
    decision = go(RouteRequest("x", privacy="secret"), HERE, FAR, need=1.0)
    assert why_out(decision, "big") == "privacy class 'secret' stays on this machine"
    assert refused(RouteRequest("x", privacy="secret", needs_model=True), FAR).code == "no-route"


@pytest.mark.parametrize(("field", "value"), [("strategy", "balance"), ("privacy", "secrets")])
def test_an_unknown_word_suggests_the_near_one(field: str, value: str) -> None:
    """A strategy or privacy class that the table does not have is an error with the nearest one."""
    error = refused(RouteRequest("x", **{field: value}), HERE)
    assert error.code == "bad-argument"
    assert "Did you mean" in error.fix


def test_tasks_of_the_settings_stay_or_go() -> None:
    """A task listed in router.local_tasks stays; one in router.cloud_tasks goes; one in both stays."""
    request = RouteRequest("x", task="triage", needs_model=True)
    assert names(go(request, HERE, FAR, local_tasks=("triage",))) == ["small"]
    assert names(go(request, HERE, FAR, cloud_tasks=("triage",))) == ["big"]
    assert names(go(request, HERE, FAR, local_tasks=("triage",), cloud_tasks=("triage",))) == ["small"]


def test_rules_of_the_table_are_named_in_the_decision() -> None:
    """A rule on the request's task applies and is named: one bars the cloud, one raises the need."""
    kept = go(RouteRequest("x", task="redact", needs_model=True), HERE, FAR)
    assert (names(kept), kept.rules) == (["small"], ("secrets stay here",))
    assert go(RouteRequest("x", task="fix", needs_model=True), HERE, need=0.1).score == 0.5
    assert go(RouteRequest("x", task="summarise", needs_model=True), HERE, need=0.9).score == 0.4


def test_limits_on_cost_and_time_leave_models_out() -> None:
    """A model that would cost or take more than the request allows is left out, and so is one of unknown price."""
    dear = RouteRequest("x", max_cost_usd=0.001)
    assert "the limit is $0.001" in why_out(go(dear, HERE, FAR), "big")
    unknown = Option("far", "big", "cloud")
    assert "price is not known" in why_out(go(dear, HERE, unknown), "big")
    slow = Option("house", "small", "local", price=Price(0, 0, ""), latency_ms=9000)
    assert "takes 9000 ms" in why_out(go(RouteRequest("x", max_latency_ms=500), slow), "small")


def test_an_open_breaker_leaves_its_model_out() -> None:
    """A model whose breaker is open is not asked, and says so."""
    ill = Option("house", "small", "local", permission=Permission(False, reason="its breaker is open", until=9))
    assert why_out(go(ASK, ill), "small") == "its breaker is open"
    assert "its breaker is open" in refused(COMPLETE, ill).message


def test_a_higher_priority_is_asked_first() -> None:
    """Priority goes before everything that a strategy weighs."""
    first = Option("zz", "poor", "local", quality=0.01, priority=1)
    assert names(go(COMPLETE, HERE, FAR, first))[0] == "poor"


def test_among_equals_the_settings_order_holds() -> None:
    """Two models of one provider that nothing tells apart are asked in the order of the settings, best first."""
    second = Option("house", "a-later-one", "local", price=Price(0.0, 0.0, "this machine"))
    assert names(go(COMPLETE, HERE, second)) == ["small", "a-later-one"]


def test_the_shipped_table_is_what_is_printed() -> None:
    """`rules_text` is the TOML that the router follows."""
    assert read_rules(tomllib.loads(rules_text())) == shipped_rules()


def test_a_broken_table_is_an_error_that_says_where() -> None:
    """A table with a part missing, or a default that it does not have, is refused."""
    found = tomllib.loads(rules_text())
    del found["scales"]["cost_usd"]
    with pytest.raises(UserError, match="cost_usd"):
        read_rules(found)
    found = tomllib.loads(rules_text().replace('strategy = "balanced"', 'strategy = "best"'))
    with pytest.raises(UserError, match="strategy"):
        read_rules(found)


OPTIONS = st.lists(
    st.builds(
        Option,
        provider=st.sampled_from("abc"),
        model=st.sampled_from("xyz"),
        tier=st.sampled_from(["local", "cloud"]),
        quality=st.none() | st.floats(0, 1),
        price=st.none() | st.builds(Price, st.floats(0, 100), st.floats(0, 100), st.just("settings")),
        latency_ms=st.none() | st.floats(0, 1e6),
        priority=st.integers(-3, 3),
    ),
    max_size=6,
    unique_by=lambda option: (option.provider, option.model),
)
REQUESTS = st.builds(
    RouteRequest,
    prompt=st.sampled_from(["", "a", "why? " * 5]),
    task=st.none() | st.sampled_from(["fix", "redact", "other"]),
    privacy=st.none() | st.sampled_from(["public", "internal", "secret"]),
    strategy=st.none() | st.sampled_from(sorted(shipped_rules().strategies)),
    force=st.none() | st.sampled_from(["local", "cloud"]),
    max_cost_usd=st.none() | st.floats(0, 1),
)
SWITCHES = st.builds(
    Switches,
    force=st.sampled_from(["none", "local", "cloud"]),
    local_enabled=st.booleans(),
    cloud_enabled=st.booleans(),
    cloud_barred=st.sampled_from(["", "strict"]),
)


@given(REQUESTS, OPTIONS, SWITCHES, st.floats(0, 1))
def test_no_switch_is_ever_passed(
    request: RouteRequest, options: list[Option], switches: Switches, need: float
) -> None:
    """Whatever is asked, a query always has an answerer, every option is listed once, the first kept one is chosen,
    and no kept one stands against a switch, the privacy class or the limit."""
    decision = decide(request, options, shipped_rules(), switches, need)
    assert (decision.provider, decision.model) == (decision.kept[0].provider, decision.kept[0].model)
    assert sorted((one.provider, one.model) for one in decision.candidates) == sorted(
        [*((option.provider, option.model) for option in options), ("extractive", "extractive")]
    )
    tiers = {one.tier for one in decision.kept}
    if switches.cloud_barred or not switches.cloud_enabled or request.privacy == "secret" or switches.force == "local":
        assert "cloud" not in tiers
    if not switches.local_enabled or switches.force == "cloud":
        assert "local" not in tiers
    if request.max_cost_usd is not None:
        assert all(one.cost_usd is not None and one.cost_usd <= request.max_cost_usd for one in decision.kept)
    assert 0 <= decision.score <= 1
