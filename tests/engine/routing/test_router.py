"""The router at work: falls back at once, backs off last, heeds limits, and keeps what happened."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Awaitable, Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import anyio
import pytest
from model_server import ModelServer

from aqe.engine.errors import AqeError, UserError
from aqe.engine.memory import Store
from aqe.engine.privacy import audit, open_guard
from aqe.engine.providers import CompletionRequest, Message, Price, ProviderFailure, open_providers
from aqe.engine.providers.scripted import Scripted
from aqe.engine.routing import Routed, Router, RouteRequest, live_settings, read_routes
from aqe.engine.routing.breaker import Circuit
from aqe.engine.settings import Settings

HELLO = CompletionRequest((Message("user", "hello"),), timeout_s=30)
ASK = RouteRequest("hello", needs_model=True, strategy="quality")
DOWN = ProviderFailure("server", "out of order")


def settings(**tables: Any) -> Settings:
    return Settings.model_validate(tables)


def table(server: ModelServer, **more: Any) -> dict[str, Any]:
    return {"kind": "openai-compatible", "base_url": server.base_url, "models": ["m"], **more}


def run(router: Router, work: Callable[[], Awaitable[Any]]) -> Any:
    async def whole() -> Any:
        try:
            return await work()
        finally:
            await router.close()

    return anyio.run(whole)


def error_of(router: Router, request: RouteRequest = ASK, completion: CompletionRequest = HELLO) -> AqeError:
    with pytest.raises(AqeError) as caught:
        run(router, lambda: router.run(request, completion))
    return caught.value


def outcomes(routed: Routed) -> list[tuple[str, str]]:
    return [(attempt.provider, attempt.outcome) for attempt in routed.attempts]


def test_the_best_model_answers(store: Store) -> None:
    """The request goes to the decided model, once, and the answer says what it cost."""
    first = Scripted(["good"], name="first", local=False, known_price=Price(1.0, 2.0, "settings"))
    router = Router([first, Scripted(["poor"], name="second")], store=store, settings=settings())
    routed = run(router, lambda: router.run(ASK, HELLO))
    assert (routed.completion.text, outcomes(routed)) == ("good", [("first", "ok")])
    assert routed.cost_usd == pytest.approx((2 * 1.0 + 1 * 2.0) / 1e6)


def test_a_failed_model_is_followed_by_the_next_one_at_once(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    """When the first fails, the second is asked without any pause."""

    async def no_sleep(seconds: float) -> None:
        raise AssertionError(f"slept {seconds} s")

    router = Router(
        [Scripted([DOWN], name="first", local=False), Scripted(["good"], name="second")],
        store=store,
        settings=settings(),
    )
    monkeypatch.setattr(anyio, "sleep", no_sleep)
    routed = run(router, lambda: router.run(ASK, HELLO))
    assert outcomes(routed) == [("first", "server"), ("second", "ok")]


def test_only_when_all_have_failed_comes_another_round(store: Store) -> None:
    """A model that fails once and then answers is reached in the second round, after every other was asked."""
    router = Router(
        [Scripted([DOWN, "late"], name="first", local=False), Scripted([DOWN], name="second")],
        store=store,
        settings=settings(),
    )
    routed = run(router, lambda: router.run(ASK, HELLO))
    assert outcomes(routed) == [("first", "server"), ("second", "server"), ("first", "ok")]
    assert [attempt.round for attempt in routed.attempts] == [1, 1, 2]


def test_the_rounds_end(store: Store) -> None:
    """When every round failed, one error says what each model said last."""
    first = Scripted([DOWN], name="first")
    router = Router([first, Scripted([DOWN], name="second")], store=store, settings=settings(router={"rounds": 2}))
    error = error_of(router)
    assert (error.code, len(first.asked)) == ("provider-failed", 2)
    assert "first/script server: out of order" in error.message


@pytest.mark.parametrize("kind", ["request", "auth"])
def test_what_the_same_request_would_meet_again_is_not_tried_again(store: Store, kind: Any) -> None:
    """A model that refused this very request, or the key, is not asked in a second round."""
    first = Scripted([ProviderFailure(kind, "no")], name="first")
    router = Router([first], store=store, settings=settings())
    assert error_of(router).code == "provider-failed"
    assert len(first.asked) == 1


def test_a_query_leaves_the_pause_to_the_passages(store: Store) -> None:
    """A query, which found passages can still answer, is tried one round only."""
    first = Scripted([DOWN], name="first")
    router = Router([first], store=store, settings=settings())
    request = RouteRequest("hello", strategy="quality")
    assert error_of(router, request).code == "provider-failed"
    assert len(first.asked) == 1


def test_failures_open_the_breaker_and_the_model_is_left_alone(store: Store) -> None:
    """After enough failures the model is no candidate any more, and the others answer alone."""
    first, second = Scripted([DOWN], name="first", local=False), Scripted(["good"], name="second")
    router = Router([first, second], store=store, settings=settings(breaker={"min_calls": 3, "open_s": 1000}))

    async def work() -> list[Routed]:
        return [await router.run(ASK, HELLO) for _ in range(6)]

    routed = run(router, work)
    assert [outcomes(one)[0][0] for one in routed] == ["first"] * 3 + ["second"] * 3
    assert len(first.asked) == 3
    why = {one.provider: one.why for one in router.decide(ASK).candidates}
    assert why["first"] == "its breaker is open"


def test_a_single_model_is_waited_for_while_its_breaker_is_open(tmp_path: Path) -> None:
    """With no other model, a request waits for the open breaker's time and then probes, if it still has the time."""
    with Store.open(tmp_path / "real-clock.db") as store:
        only = Scripted([DOWN, DOWN, "healed"], name="only")
        quick = settings(breaker={"min_calls": 2, "open_s": 0.2}, router={"rounds": 5})
        router = Router([only], store=store, settings=quick)
        routed = run(router, lambda: router.run(ASK, HELLO))
        assert routed.completion.text == "healed"
        assert store.now() > 0


@pytest.mark.services
def test_waiting_for_a_probe_costs_no_round(tmp_path: Path) -> None:
    """Requests that come while another one probes wait for its outcome, however few rounds they have."""
    with Store.open(tmp_path / "real-clock.db") as store:
        only = Scripted([DOWN, "healed"], name="only", delay_s=0.3)
        known = settings(breaker={"min_calls": 1, "open_s": 0.1}, router={"rounds": 2})
        router = Router([only], store=store, settings=known)

        async def work() -> list[str]:
            answers: list[str] = []

            async def one() -> None:
                answers.append((await router.run(ASK, HELLO)).completion.text)

            async with anyio.create_task_group() as group:
                for _ in range(4):
                    group.start_soon(one)
                    await anyio.sleep(0.2)
            return answers

        assert run(router, work) == ["healed"] * 4


def test_two_processes_share_a_breaker(tmp_path: Path) -> None:
    """What one process learnt about a dead model, another heeds."""
    path = tmp_path / "aqe.db"
    script = (
        "import anyio, sys\nfrom pathlib import Path\n"
        "from aqe.engine.memory import Store\nfrom aqe.engine.providers import *\n"
        "from aqe.engine.providers.scripted import Scripted\nfrom aqe.engine.routing import *\n"
        "from aqe.engine.settings import Settings\n"
        "store = Store.open(Path(sys.argv[1]))\n"
        "known = Settings.model_validate({'breaker': {'min_calls': 3, 'open_s': 1000}, 'router': {'rounds': 1}})\n"
        "router = Router([Scripted([ProviderFailure('server', 'x')], name='first')], store=store, settings=known)\n"
        "async def work():\n"
        "    for _ in range(3):\n"
        "        try:\n"
        "            await router.run(RouteRequest('x', needs_model=True), CompletionRequest(()))\n"
        "        except Exception as error:\n"
        "            print(error.code)\n"
        "anyio.run(work)\n"
    )
    done = subprocess.run([sys.executable, "-c", script, str(path)], capture_output=True, text=True, timeout=100)
    assert done.stdout.split() == ["provider-failed"] * 3, done.stderr
    with Store.open(path) as store:
        router = Router([Scripted(["x"], name="first")], store=store, settings=settings())
        with pytest.raises(UserError, match="its breaker is open") as caught:
            router.decide(ASK)
        assert caught.value.code == "no-route"


def test_a_hanging_server_costs_its_timeout_and_no_more(store: Store) -> None:
    """A server that hangs is cut at its timeout and another one answers."""
    with ModelServer(mode="hang") as dead, ModelServer(answer="here") as well:
        known = settings(providers={"a": table(dead, timeout_s=0.5, priority=1), "b": table(well)})
        router = Router(open_providers(known), store=store, settings=known)
        routed = run(router, lambda: router.run(ASK, HELLO))
    assert (routed.completion.text, outcomes(routed)) == ("here", [("a", "timeout"), ("b", "ok")])


def test_retry_after_is_heeded_by_all_that_follow(store: Store) -> None:
    """After a 429 with Retry-After the server is not asked again before its time, and no failure is counted."""
    with ModelServer(mode="limit") as busy, ModelServer() as well:
        busy.retry_after = "500"
        known = settings(providers={"a": table(busy, priority=1), "b": table(well)})
        router = Router(open_providers(known), store=store, settings=known)

        async def work() -> list[Routed]:
            return [await router.run(ASK, HELLO) for _ in range(3)]

        routed = run(router, work)
    assert [outcomes(one) for one in routed] == [[("a", "rate-limit"), ("b", "ok")], [("b", "ok")], [("b", "ok")]]
    assert len(busy.requests) == 1
    assert router.circuits.all()["a", "m"].buckets == ()


@pytest.mark.services
def test_a_single_server_that_asks_for_a_rest_gets_it(tmp_path: Path) -> None:
    """With no other model, the request waits as long as the 429 asked, and is then answered."""
    with ModelServer(mode="limit") as busy, Store.open(tmp_path / "real-clock.db") as store:
        busy.retry_after = "1"
        known = settings(providers={"a": table(busy)})
        router = Router(open_providers(known), store=store, settings=known)

        async def work() -> Routed:
            async with anyio.create_task_group() as group:

                async def recover() -> None:
                    while not busy.requests:
                        await anyio.sleep(0.01)
                    busy.mode = "ok"

                group.start_soon(recover)
                routed = await router.run(ASK, HELLO)
            return routed

        routed = run(router, work)
    assert outcomes(routed) == [("a", "rate-limit"), ("a", "ok")]
    assert len(busy.requests) == 2


def test_a_server_that_comes_back_is_probed_and_used_again(tmp_path: Path) -> None:
    """A dead server opens its breaker; once it listens again, probes close it and it answers as before."""
    changes: list[tuple[str, str]] = []

    def watch(key: tuple[str, str], before: Circuit, after: Circuit, now: int) -> None:
        changes.append((before.state, after.state))

    with ModelServer(answer="prime") as prime, ModelServer() as spare, Store.open(tmp_path / "real.db") as store:
        known = settings(
            providers={"a": table(prime, priority=1), "b": table(spare)}, breaker={"min_calls": 2, "open_s": 0.1}
        )
        router = Router(open_providers(known), store=store, settings=known, watch=watch)
        prime.die()

        async def work() -> str:
            for _ in range(3):
                await router.run(ASK, HELLO)
            await anyio.to_thread.run_sync(prime.come_back)
            with anyio.fail_after(60):
                while (routed := await router.run(ASK, HELLO)).completion.provider != "a" or changes[-1][1] != "closed":
                    await anyio.sleep(0.02)
            return str(routed.completion.text)

        assert run(router, work) == "prime"
    assert changes[0] == ("closed", "open")
    assert changes[-1] == ("half-open", "closed")


def test_no_more_calls_at_once_than_allowed(store: Store) -> None:
    """A provider never gets more calls at a time than its max_concurrency, and all are answered."""
    with ModelServer() as server:
        server.delay_s = 0.05
        known = settings(providers={"a": table(server, max_concurrency=2)})
        router = Router(open_providers(known), store=store, settings=known)

        async def work() -> list[str]:
            answers: list[str] = []

            async def one() -> None:
                answers.append((await router.run(ASK, HELLO)).completion.text)

            async with anyio.create_task_group() as group:
                for _ in range(7):
                    group.start_soon(one)
            return answers

        assert run(router, work) == ["an answer"] * 7
        assert server.most_at_once == 2


def test_time_runs_out_with_an_error_of_its_own(store: Store) -> None:
    """A request whose time is over ends as out of time with what was tried."""
    slow = Scripted(["late"], name="slow", delay_s=30)
    router = Router([slow], store=store, settings=settings())
    error = error_of(router, ASK, CompletionRequest(HELLO.messages, timeout_s=0.3))
    assert (error.code, error.exit_status) == ("out-of-time", 4)
    assert "slow/script timeout" in error.message


@pytest.mark.parametrize(
    ("switch", "local"), [("[tool.aqe.cloud]\nenabled = false", False), ('[tool.aqe.router]\nforce = "local"', False)]
)
def test_a_kill_switch_written_meanwhile_acts_on_the_next_call(
    tmp_path: Path, store: Store, switch: str, local: bool
) -> None:
    """A switch written into pyproject.toml while a request is on its way holds before its next call."""
    file = tmp_path / "pyproject.toml"
    file.write_text("")

    def fail_and_switch(request: CompletionRequest) -> str:
        file.write_text(switch)
        raise DOWN

    far, other = Scripted([fail_and_switch], name="far", local=local), Scripted(["x"], name="other", local=local)
    home = Scripted(["home"], name="home")
    router = Router([far, other, home], store=store, settings=live_settings(tmp_path))
    routed = run(router, lambda: router.run(ASK, HELLO))
    assert outcomes(routed) == [("far", "server"), ("home", "ok")]
    assert other.asked == []


def test_a_guard_that_lets_nothing_leave_bars_every_cloud_model(store: Store) -> None:
    """In strict mode a cloud model is left out with the mode as its reason, and is never called."""

    far = Scripted(["x"], name="far", local=False)
    strict = settings(privacy={"mode": "strict"})
    with open_guard(store.path.parent, strict, store) as guard:
        router = Router([far], store=store, settings=strict, guard=guard)
        refused = error_of(router)
        assert (refused.code, "privacy mode 'strict'" in refused.message) == ("strict-mode", True)
        with pytest.raises(UserError, match="privacy mode 'strict'"):
            router.stream(ASK, replace(HELLO, purpose="query"))
        with pytest.raises(UserError, match="privacy mode 'strict'"):
            router.decide(ASK)
    assert far.asked == []
    told = [(one.event, one.recipient, one.purpose, one.mode) for one in audit.entries(store)]
    purposes = ("complete", "query")  # a look at the route asks for nothing
    assert told == [("refused", "far ()", purpose, "strict") for purpose in purposes]


def test_a_refusal_of_the_guard_sends_the_request_to_the_next_model(store: Store) -> None:
    """Where the guard refuses one provider, the next answers; where none is left, its error is what the caller gets."""

    def refuse(request: CompletionRequest) -> str:
        raise UserError("No consent for far.", code="bad-argument")

    far = Scripted([refuse], name="far", local=False)
    router = Router([far, Scripted(["home"], name="home")], store=store, settings=settings())
    assert outcomes(run(router, lambda: router.run(ASK, HELLO))) == [("far", "bad-argument"), ("home", "ok")]
    alone = Router([Scripted([refuse], name="far", local=False)], store=store, settings=settings())
    assert "No consent" in error_of(alone).message


def test_a_provider_with_a_bug_is_a_failed_provider(store: Store) -> None:
    """An error that no provider should raise counts as a failure, and the next one answers."""

    def bug(request: CompletionRequest) -> str:
        raise KeyError("oops")

    router = Router(
        [Scripted([bug], name="first", local=False), Scripted(["good"], name="second")],
        store=store,
        settings=settings(),
    )
    assert outcomes(run(router, lambda: router.run(ASK, HELLO))) == [("first", "answer"), ("second", "ok")]


def read(router: Router, timeout_s: float = 30) -> tuple[list[str], list[tuple[str, str]]]:
    """The pieces of a stream, and its attempts."""
    stream = router.stream(ASK, CompletionRequest(HELLO.messages, timeout_s=timeout_s), request_id="r")

    async def work() -> list[str]:
        return [piece async for piece in stream]

    pieces = run(router, work)
    return pieces, [(attempt.provider, attempt.outcome) for attempt in stream.attempts]


def test_a_stream_falls_back_before_its_first_piece(store: Store) -> None:
    """A stream whose first model fails comes from the next one, and the log says who answered."""
    first, second = Scripted([DOWN], name="first", local=False), Scripted(["a b c"], name="second")
    router = Router([first, second], store=store, settings=settings())
    assert read(router) == (["a", " b", " c"], [("first", "server"), ("second", "ok")])
    assert [(route.provider, route.outcome) for route in read_routes(store)] == [("second", "ok")]


@pytest.mark.parametrize(("mode", "timeout_s"), [("break", 60), pytest.param("stall", 6, marks=pytest.mark.services)])
def test_a_stream_that_stops_in_the_middle_is_an_error(store: Store, mode: str, timeout_s: float) -> None:
    """Once pieces came, a broken or stalled stream is an error, never the beginning of another answer."""
    with ModelServer(answer="a b c", mode=mode) as server, ModelServer() as other:
        known = settings(providers={"a": table(server, timeout_s=timeout_s, priority=1), "b": table(other)})
        router = Router(open_providers(known), store=store, settings=known)
        with pytest.raises(UserError) as caught:
            read(router)
        assert caught.value.code == "provider-failed"
        assert other.requests == []
        server.mode = "ok"
    assert router.circuits.all()["a", "m"].buckets[0].failed == 1


def test_a_stream_that_its_reader_leaves_frees_its_place(store: Store) -> None:
    """A reader that stops early frees the provider's place for the next call."""
    with ModelServer(answer="a b c") as server:
        known = settings(providers={"a": table(server, max_concurrency=1)})
        router = Router(open_providers(known), store=store, settings=known)

        async def work() -> str:
            stream = router.stream(ASK, HELLO)
            async for _ in stream:
                break
            await stream.aclose()
            return (await router.run(ASK, HELLO)).completion.text

        assert run(router, work) == "a b c"


def test_each_route_is_logged_with_its_attempts_and_no_prompt(store: Store) -> None:
    """A request with an id leaves its decision, its calls and its outcome in the store, and none of its words."""
    first, second = Scripted([DOWN], name="first", local=False), Scripted(["good"], name="second")
    router = Router([first, second], store=store, settings=settings(router={"rounds": 1}))
    secret = RouteRequest("xyzzy plugh", task="fix", needs_model=True, strategy="quality")
    run(router, lambda: router.run(secret, HELLO, request_id="r-1"))
    second.steps = [DOWN]
    with pytest.raises(UserError):
        run(router, lambda: router.run(secret, HELLO, request_id="r-2"))
    newest, oldest = read_routes(store)
    assert (oldest.request_id, oldest.provider, oldest.task, oldest.outcome) == ("r-1", "second", "fix", "ok")
    assert [attempt["outcome"] for attempt in oldest.attempts] == ["server", "ok"]
    assert (newest.outcome, newest.tier) == ("provider-failed", "cloud")
    assert read_routes(store, request_id="r-1") == [oldest]
    with store.reading() as connection:
        assert "xyzzy" not in json.dumps(connection.execute("SELECT * FROM routes").fetchall())


def test_a_cancelled_call_gives_its_probe_back(tmp_path: Path) -> None:
    """A probe that its user cancels leaves the breaker ready for the next probe."""
    with Store.open(tmp_path / "real.db") as store:
        only = Scripted([DOWN, DOWN, "x"], name="only")
        known = settings(breaker={"min_calls": 2, "open_s": 0.05}, router={"rounds": 1})
        router = Router([only], store=store, settings=known)

        async def work() -> None:
            for _ in range(2):
                with pytest.raises(UserError):
                    await router.run(ASK, HELLO)
            await anyio.sleep(0.1)
            only.delay_s = 30
            with anyio.move_on_after(0.2):
                await router.run(ASK, HELLO)

        run(router, work)
        assert router.circuits.all()["only", "script"].state == "half-open"
        assert router.decide(ASK).model == "script"
