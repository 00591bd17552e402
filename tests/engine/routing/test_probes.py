"""Probes at work: asked where nothing can be kept, and lent for as long as their call may take."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import anyio
import pytest

from aqe.engine.memory import Store
from aqe.engine.memory.opening import open_store
from aqe.engine.providers import CompletionRequest, Message, ProviderFailure
from aqe.engine.providers.scripted import Scripted
from aqe.engine.routing import Router, RouteRequest
from aqe.engine.routing.breaker import BreakerPolicy, Circuit
from aqe.engine.settings import Settings

ASK = RouteRequest("hello", needs_model=True)
HELLO = CompletionRequest((Message("user", "hello"),), timeout_s=300)
POLICY = BreakerPolicy()

ASKS = """
import ctypes, logging, os, resource, sys
from pathlib import Path
import anyio
from aqe.engine.memory.opening import open_or_read
from aqe.engine.providers import CompletionRequest, Message
from aqe.engine.providers.scripted import Scripted
from aqe.engine.routing import Router, RouteRequest
from aqe.engine.settings import Settings
logging.basicConfig(format="%(message)s", level=logging.WARNING)
path, why = Path(sys.argv[1]), sys.argv[2]
if why == "sealed" and os.geteuid() == 0:  # root without its capabilities is bound by the rights of the folder
    ctypes.CDLL(None).capset((ctypes.c_uint32 * 2)(0x20080522, 0), (ctypes.c_uint32 * 6)())
store, unwritable = open_or_read(path, settings=Settings())
assert (unwritable is not None) == (why == "sealed")
with store:
    if why == "full":
        resource.setrlimit(resource.RLIMIT_FSIZE, (4096, resource.RLIM_INFINITY))
    only = Scripted(["good"], name="only")
    router = Router([only], store=store, settings=Settings())
    completion = CompletionRequest((Message("user", "hello"),), timeout_s=30)
    routed = anyio.run(router.run, RouteRequest("hello", needs_model=True), completion)
    print(routed.completion.text, len(only.asked))
    resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
"""


def keep(store: Store, circuit: Circuit) -> None:
    with store.writing() as connection:
        row = ("only", "script", circuit.to_json(), store.now())
        connection.execute("INSERT OR REPLACE INTO circuits VALUES (?, ?, ?, ?)", row)


@pytest.mark.parametrize("state", ["closed", "open", "half-open"])
@pytest.mark.parametrize(("why", "code"), [("sealed", "opened for writing"), ("full", "no space left")])
def test_a_model_is_asked_where_no_probe_can_be_kept(tmp_path: Path, why: str, code: str, state: Any) -> None:
    """Where the store can only be read, or has no room, a model whose opening is over is asked like one that never
    failed, with one warning that says what was not kept."""
    with open_store(tmp_path) as store:
        keep(store, Circuit(state=state, opened=int(state != "closed"), open_until=5, probe_until=5))
    if why == "sealed":
        for one in (*(tmp_path / ".aqe").rglob("*"), tmp_path / ".aqe"):
            one.chmod(one.stat().st_mode & 0o555)
    command = [sys.executable, "-c", ASKS, str(tmp_path), why]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    (tmp_path / ".aqe").chmod(0o755)
    assert done.stdout == "good 1\n", done.stderr
    (told,) = [line for line in done.stderr.splitlines() if "only/script" in line]
    assert told.startswith("The breaker of only/script could not be kept: ")
    assert code in told


@pytest.mark.parametrize(("streams", "least_s"), [(False, 115), (True, 290)])
def test_a_probe_is_lent_for_as_long_as_its_call_may_take(tmp_path: Path, streams: bool, least_s: float) -> None:
    """While a probe with a long timeout is out, its lease lasts for all of that time; a stream's for the request's."""
    table = {"kind": "openai-compatible", "base_url": "http://127.0.0.1:9/v1", "models": ["m"], "timeout_s": 120}
    with Store.open(tmp_path / "aqe.db") as store:
        keep(store, Circuit(state="open", opened=1, open_until=5))
        slow = Scripted(["good"], name="only", delay_s=30)
        router = Router([slow], store=store, settings=Settings.model_validate({"providers": {"only": table}}))

        async def ask() -> None:
            if not streams:
                await router.run(ASK, HELLO)
            async for _ in router.stream(ASK, HELLO):
                pass

        async def look() -> float:
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(ask)
                while not slow.asked:
                    await anyio.sleep(0.01)
                lent_s = (router.circuits.all()["only", "script"].probe_until - store.now()) / 1e6
                tasks.cancel_scope.cancel()
            return lent_s

        assert least_s < anyio.run(look) <= 300


def test_a_429_from_before_leaves_anothers_probe_out(tmp_path: Path) -> None:
    """While a probe is out, a call from before the opening that ends with a Retry-After lends no second one."""
    with Store.open(tmp_path / "aqe.db") as store:
        limited = ProviderFailure("rate-limit", "too many", retry_after_s=0.001)
        late = Scripted([limited], name="only", delay_s=0.2)
        router = Router([late], store=store, settings=Settings.model_validate({"router": {"rounds": 1}}))

        async def work() -> bool:
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(ask)
                while not late.asked:
                    await anyio.sleep(0.01)
                keep(store, Circuit(state="open", opened=1, open_until=5))
                assert router.circuits.ask(("only", "script"), POLICY).probe
            await anyio.sleep(0.01)
            return router.circuits.ask(("only", "script"), POLICY).allowed

        async def ask() -> None:
            with pytest.raises(Exception, match="too many"):
                await router.run(ASK, HELLO)

        assert not anyio.run(work)
