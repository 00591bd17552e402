"""The engine without async, and the engine's public face as a whole."""

from __future__ import annotations

import inspect
import queue
import runpy
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import anyio
import apsw
import pytest

from aqe.engine import sync
from aqe.engine.answer import QueryConfig
from aqe.engine.engine import Engine
from aqe.engine.errors import Cancelled, UserError
from aqe.engine.portals import PortalThread
from aqe.engine.providers.scripted import Scripted
from aqe.engine.sessions.face import Sessions
from aqe.engine.subset import AgentEngine

ROOT = Path(__file__).resolve().parents[3]
USE = Path(__file__).with_name("public_api_use.py")


def calls(owner: type) -> dict[str, Any]:
    """The public methods of a class."""
    return {name: value for name, value in vars(owner).items() if not name.startswith("_")}


def bare(method: Any) -> Any:
    """The function behind a method, a class method or a property."""
    return getattr(method, "__func__", None) or getattr(method, "fget", None) or method


def shape(method: Any) -> tuple[Any, ...]:
    """A method's parameters, with defaults and annotations, and what it gives."""
    found = inspect.signature(bare(method))
    return (
        *((one.name, one.kind, one.default, one.annotation) for one in found.parameters.values()),
        found.return_annotation,
    )


@pytest.fixture
def engine(project: Path, embedder: Any) -> Iterator[sync.Engine]:
    """An open engine without models."""
    with sync.Engine.open(project, embedder=embedder, providers=()) as opened:
        yield opened


@pytest.mark.parametrize(("asynchronous", "twin"), [(Engine, sync.Engine), (Sessions, sync.Sessions)])
def test_twin_has_the_same_calls(asynchronous: type, twin: type) -> None:
    """Every public call is there in both, with the same parameters, defaults, annotations and result."""
    assert {name: shape(value) for name, value in calls(asynchronous).items()} == {
        name: shape(value) for name, value in calls(twin).items()
    }


def test_every_call_waits_in_one_and_not_in_the_other() -> None:
    """What is awaited in the engine is plain in its twin."""
    waits = {name for name, value in calls(Engine).items() if inspect.iscoroutinefunction(bare(value))}
    assert waits == calls(Engine).keys() - {"stream", "database"}
    assert [name for name, value in calls(sync.Engine).items() if inspect.iscoroutinefunction(value)] == []


def test_an_engine_that_nobody_was_given_is_closed(project: Path, embedder: Any) -> None:
    """A Ctrl-C between the opening and its result leaves no engine open: its models are let go."""
    model = Scripted(["never asked"])

    class Interrupted(sync.Engine):
        def __init__(self, *given: Any) -> None:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        Interrupted.open(project, embedder=embedder, providers=[model])
    assert model.closed


def test_a_thread_that_is_broken_off_waits_for_none_of_its_calls() -> None:
    """Closing it so ends the calls that run; closing it in good order waits for them."""
    thread = PortalThread("aqe-test")
    call = thread.start().start_task_soon(anyio.sleep, 30)
    began = time.monotonic()
    thread.close(cancel=True)
    assert time.monotonic() - began < 15
    assert call.cancelled()


def test_agents_may_call_six() -> None:
    """The protocol for agents is exactly the named subset, with the engine's own signatures."""
    wanted = {"query", "search", "remember", "feedback", "route", "stats"}
    assert calls(AgentEngine).keys() == wanted
    assert {name: shape(getattr(AgentEngine, name)) for name in wanted} == {
        name: shape(getattr(Engine, name)) for name in wanted
    }


def test_agents_see_no_engine_but_the_subset() -> None:
    """No module of the agents imports the engine itself or its twin."""
    sources = {path: path.read_text(encoding="utf-8") for path in (ROOT / "agents").rglob("*.py")}
    assert [path for path, text in sources.items() if "aqe.engine.engine" in text or "aqe.engine.sync" in text] == []


def test_twin_answers_streams_and_tells_errors(engine: sync.Engine) -> None:
    """The twin answers, streams the same text, and raises the engine's own errors."""
    engine.index()
    answer = engine.query("When is shipping free?")
    stream = engine.stream("When is shipping free?")
    assert "".join(stream) == answer.text
    assert stream.answer is not None
    assert stream.answer.citations == answer.citations
    assert list(stream) == []
    with pytest.raises(UserError, match="empty"):
        engine.query("")
    with pytest.raises(UserError, match="No model"):
        list(engine.stream("x", retrieve=False))


def test_twin_is_shared_between_threads(engine: sync.Engine) -> None:
    """Threads that ask at the same time each get their answer."""
    engine.index()
    found: list[str] = []
    threads = [
        threading.Thread(target=lambda: found.append(engine.query("When is shipping free?").text)) for _ in range(4)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert len(found) == 4
    assert len(set(found)) == 1


def test_closed_twin_leaves_no_thread(project: Path, embedder: Any) -> None:
    """Closing ends the engine's thread and its providers; closing twice is nothing."""
    model = Scripted(["x"])
    before = threading.active_count()
    engine = sync.Engine.open(project, embedder=embedder, providers=(model,))
    engine.close()
    engine.close()
    assert model.closed
    assert threading.active_count() <= before + 1  # a worker thread of anyio may idle


@pytest.mark.filterwarnings("error::pytest.PytestUnhandledThreadExceptionWarning")
def test_closing_while_another_program_writes_is_quiet(
    project: Path, embedder: Any, capfd: pytest.CaptureFixture[str]
) -> None:
    """What was recalled cannot be counted while another program writes: closing says nothing of it, and ends."""
    with sync.Engine.open(project, embedder=embedder, providers=()) as engine:
        engine.remember("refunds round half up", id="a")
        assert [hit.memory.id for hit in engine.search("refunds", k=1).hits] == ["a"]
        other = apsw.Connection(str(engine.database))
        other.execute("BEGIN IMMEDIATE")
    other.execute("ROLLBACK")
    other.close()
    assert capfd.readouterr() == ("", "")
    with pytest.raises(UserError, match="closed"):
        engine.search("refunds")


def test_stream_that_is_left_early_is_closed(project: Path, embedder: Any) -> None:
    """A stream left after its first piece ends, and the engine works on."""
    with sync.Engine.open(project, embedder=embedder, providers=(Scripted(["one two three"]),)) as engine:
        with engine.stream("Count.", retrieve=False) as stream:
            assert next(stream) == "one"
        assert list(stream) == []
        assert engine.complete("Count.").text == "one two three"


LATE_THREADS = {
    "begin": "",
    "begin-no-more": (  # as under CPython 3.12.0 and 3.12.1
        "def refuse(thread, start=threading.Thread.start):\n"
        "    if not threading.main_thread().is_alive():\n"
        "        raise RuntimeError('no new thread at interpreter shutdown')\n"
        "    start(thread)\n"
        "threading.Thread.start = refuse\n"
    ),
}


@pytest.mark.services
@pytest.mark.parametrize("late", LATE_THREADS.values(), ids=LATE_THREADS)
def test_an_engine_that_is_left_open_is_closed_after_the_programs_own_threads(project: Path, late: str) -> None:
    """A program whose main thread ends first may use its engine in another thread to the end, and ends then; what it
    asked is written."""
    program = (
        f"import sys, threading; from aqe.engine import QueryConfig; from aqe.engine.sync import Engine\n{late}"
        "engine = Engine.open(sys.argv[1])\n"
        "def work():\n"
        "    threading.main_thread().join()\n"
        "    print([len(engine.query('When is shipping free?').text) > 0 for _ in range(3)])\n"
        "    engine.query('What is found alone?', config=QueryConfig(answer=False))\n"
        "threading.Thread(target=work).start()\n"
    )
    done = subprocess.run([sys.executable, "-c", program, str(project)], capture_output=True, text=True, timeout=60)
    assert (done.stdout, done.stderr) == ("[True, True, True]\n", "")
    with sync.Engine.open(project) as engine:
        assert engine.stats().queries == 4


@pytest.mark.parametrize("thread", ["main", "late"])
def test_an_engine_is_closed_at_the_end_where_no_thread_waits_for_it(project: Path, thread: str) -> None:
    """At the system's limit of threads the end of the program closes what was left open: it ends, and what was asked is
    written."""
    program = (
        "import sys, threading; from aqe.engine import QueryConfig; from aqe.engine.sync import Engine\n"
        "def refuse(thread, start=threading.Thread.start):\n"
        "    if thread.name == 'aqe-leftover':\n"
        "        raise RuntimeError('no new thread')\n"
        "    start(thread)\n"
        "threading.Thread.start = refuse\n"
        "opened = threading.Event()\n"
        "def work():\n"
        "    engine = Engine.open(sys.argv[1])\n"
        "    opened.set()\n"
        "    if sys.argv[2] == 'late':\n"
        "        threading.main_thread().join()\n"
        "    print(len(engine.query('When is shipping free?', config=QueryConfig(answer=False)).text))\n"
        "work() if sys.argv[2] == 'main' else threading.Thread(target=work).start()\n"
        "opened.wait()\n"
    )
    command = [sys.executable, "-c", program, str(project), thread]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert (done.stdout, done.stderr) == ("0\n", "")
    with sync.Engine.open(project) as engine:
        assert engine.stats().queries == 1


def test_a_stream_of_a_closed_engine_says_so(project: Path, embedder: Any) -> None:
    """A stream that was taken before the engine was closed is refused as any call is."""
    engine = sync.Engine.open(project, embedder=embedder, providers=())
    stream = engine.stream("When is shipping free?")
    engine.close()
    with pytest.raises(UserError) as refused:
        next(stream)
    assert refused.value.code == "engine-closed"


def test_a_reader_whose_stream_is_closed_gets_an_error_of_the_engine(project: Path, embedder: Any) -> None:
    """Closed in another thread while a piece is waited for, a stream ends its reader with an error that a thread can
    catch."""
    model = Scripted(["late"], delay_s=60)
    with sync.Engine.open(project, embedder=embedder, providers=(model,)) as engine:
        stream, told = engine.stream("Count.", retrieve=False), queue.SimpleQueue[Exception]()

        def read() -> None:
            try:
                list(stream)
            except Exception as error:
                told.put(error)

        reader = threading.Thread(target=read)
        reader.start()
        while not model.asked:
            time.sleep(0.001)
        stream.close()
        reader.join(10)
        error = told.get(timeout=10)
    assert isinstance(error, UserError)
    assert error.code == "engine-closed"


def test_index_is_cancelled_by_a_scope_and_by_a_token(project: Path, embedder: Any) -> None:
    """A cancelled scope ends the indexing where it stands; so does a cancel token, by its own error."""
    from aqe.engine.progress import CancelToken

    async def run() -> tuple[bool, int]:
        async with await Engine.open(project, embedder=embedder, providers=()) as engine:
            token = CancelToken()
            token.cancel()
            with pytest.raises(Cancelled):
                await engine.index(cancel=token)
            with anyio.CancelScope() as scope:
                scope.cancel()
                await engine.index()
            return scope.cancelled_caught, (await engine.stats()).store.memories

    assert anyio.run(run) == (True, 0)


def test_the_public_face_works_as_its_example_uses_it(project: Path, embedder: Any) -> None:
    """The file that uses the whole public face runs, with a model and without."""
    use = runpy.run_path(str(USE))
    model = Scripted(["one two three"])
    with_model = anyio.run(use["asynchronous"], project, embedder, (model,))
    assert with_model[0] == "indexed 3"
    assert "one two three" in with_model
    without = anyio.run(use["asynchronous"], project, embedder, ())
    assert "no-model" in without
    assert "(2, 64) (64,)" in without
    assert use["synchronous"](project, embedder, ())[-2] == "open"


@pytest.mark.services
def test_the_public_face_is_typed() -> None:
    """The file that uses the whole public face passes mypy --strict, as `make types` checks it."""
    subprocess.run([sys.executable, "tools/links.py"], cwd=ROOT, check=True)
    done = subprocess.run(
        [sys.executable, "-m", "mypy", "--strict", str(USE)], cwd=ROOT, capture_output=True, text=True, timeout=800
    )
    assert done.returncode == 0, done.stdout


def test_settings_name_providers_and_limits(project: Path, embedder: Any) -> None:
    """Settings of the project hold for its engine: the session's budget, and what may be asked."""
    with (project / "pyproject.toml").open("a") as file:
        file.write("[tool.aqe.sessions]\ntoken_budget = 128\n[tool.aqe.local]\nenabled = false\n")
    with sync.Engine.open(project, embedder=embedder, providers=(Scripted(["x"]),)) as engine:
        assert engine.sessions.create("talk").token_budget == 128
        assert engine.query("Write a test", config=QueryConfig(strategy="quality")).tier == "extractive"
        with pytest.raises(UserError) as refused:
            engine.complete("x")
    assert refused.value.code == "no-route"


def test_program_that_leaves_an_engine_open_ends(tmp_path: Path) -> None:
    """A script that never closes its engine ends by itself, and what it asked is in the log."""
    script = (
        "import sys; from aqe.engine.sync import Engine; from aqe.engine import QueryConfig\n"
        "engine = Engine.open(sys.argv[1]); engine.remember('carts expire after a day')\n"
        "engine.query('When do carts expire?', config=QueryConfig(answer=False))\n"
    )
    subprocess.run([sys.executable, "-c", script, str(tmp_path)], check=True, timeout=120)
    with sync.Engine.open(tmp_path) as engine:
        assert engine.stats().queries == 1


CALLS: dict[str, Callable[[Any], Any]] = {
    "query": lambda engine: engine.query("When do carts expire?"),
    "query without an answer": lambda engine: engine.query("carts?", config=QueryConfig(answer=False)),
    "search": lambda engine: engine.search("carts"),
    "remember": lambda engine: engine.remember("carts expire after a day"),
    "stats": lambda engine: engine.stats(),
    "sessions": lambda engine: engine.sessions.list(),
}


@pytest.mark.parametrize("call", CALLS.values(), ids=CALLS)
def test_closed_engine_says_so(tmp_path: Path, call: Callable[[Any], Any]) -> None:
    """A call on an engine that was closed is one sentence with its code, with async and without."""
    with sync.Engine.open(tmp_path) as engine:
        engine.remember("carts keep their prices")

    async def ask_closed() -> None:
        async with await Engine.open(tmp_path) as opened:
            await opened.remember("carts keep their prices")
        await call(opened)

    for ask in (lambda: call(engine), lambda: anyio.run(ask_closed)):
        with pytest.raises(UserError) as refused:
            ask()
        assert refused.value.code == "engine-closed"
