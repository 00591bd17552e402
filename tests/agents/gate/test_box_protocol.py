"""A subject that attacks the protocol between aqe and its box, and a caller that goes away in the middle."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from aqe.agents.gate import Box, BoxSpec
from aqe.engine.errors import UserError

TROUBLE = """
import os, signal, struct, sys, threading, time

def freeze_later(args, emit):
    me = os.getpid()
    threading.Thread(target=lambda: (time.sleep(0.2), os.kill(me, signal.SIGSTOP)), daemon=True).start()

def end_with(args, emit):
    for fd in range(3, 256):
        try:
            os.write(fd, b"E" + struct.pack(">I", len(args["text"])) + args["text"].encode())
        except OSError:
            pass

def close_stdout(args, emit):
    os.close(1)

def wait(args, emit):
    emit("waiting")
    time.sleep(args["seconds"])
    return "waited"

def bomb(args, emit):
    inside = sys._getframe(1).f_locals
    body = inside["nonce"] + b"V[" + b"{}," * args["values"] + b"{}]"
    inside["send"](struct.pack(">I", len(body)) + body)
    os._exit(0)
"""


@pytest.fixture
def trouble(project: Path, spec_of: Callable[..., BoxSpec]) -> Iterator[Box]:
    """An open box with a subject that attacks the protocol."""
    (project / "trouble.py").write_text(TROUBLE, "utf-8")
    with Box.open(spec_of(project)) as box:
        yield box


@pytest.mark.services
def test_big_command_to_a_stopped_zygote_is_a_timeout(trouble: Box) -> None:
    """A zygote that takes no more commands ends at the wall clock, however big the command is."""
    trouble.preload("trouble:freeze_later", {}, wall_s=10)
    time.sleep(0.5)
    started = time.monotonic()
    assert trouble.run("trouble:wait", {"fill": "x" * 1_000_000}, wall_s=0.5).state == "timeout"
    assert time.monotonic() - started < 10


@pytest.mark.parametrize("text", ["[]", "{", "[" * 5000, '{"exit": "0", "signal": null, "killed": null}', "1" * 20_000])
def test_end_that_no_zygote_says_is_forged(trouble: Box, text: str) -> None:
    """An end of a case in a shape that the zygote never gives is a forgery, not a crash of aqe."""
    assert trouble.preload("trouble:end_with", {"text": text}, wall_s=10).state == "forged"


def test_closed_stdout_costs_no_processor_time(trouble: Box) -> None:
    """A subject that closed its stdout does not make aqe spin while the next case runs."""
    trouble.preload("trouble:close_stdout", {}, wall_s=10)
    before = time.thread_time()
    assert trouble.run("trouble:wait", {"seconds": 1.0}, wall_s=10).state == "ok"
    assert time.thread_time() - before < 0.1


def test_answer_that_would_swell_in_memory_is_refused(trouble: Box) -> None:
    """Sixty megabytes of empty objects, gigabytes once read, are too much output and never become objects."""
    import tracemalloc

    tracemalloc.start()
    try:
        assert trouble.run("trouble:bomb", {"values": 8_000_000}, wall_s=30).state == "output"
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < 200 << 20
    assert trouble.run("trouble:wait", {"seconds": 0}, wall_s=10).value == "waited"


def test_caller_that_raises_on_progress_ends_the_box(trouble: Box) -> None:
    """An exception of the progress callback comes out, and no later case gets the answer of the one it left."""

    def refuse(said: Any) -> None:
        raise LookupError(said)

    with pytest.raises(LookupError):
        trouble.run("trouble:wait", {"seconds": 0.2}, wall_s=10, on_progress=refuse)
    assert trouble.run("trouble:wait", {"seconds": 0}, wall_s=10).state == "died"


CHATTER = """
import os, struct
for fd in range(3, 256):
    try:
        os.write(fd, {letter!r} + struct.pack(">I", 2) + b"[]")
    except OSError:
        pass
"""


@pytest.fixture
def chatty(project: Path, tmp_path: Path) -> Callable[[bytes], BoxSpec]:
    """Makes an environment whose start-up code writes a frame of some letter to every pipe."""

    def make(letter: bytes) -> BoxSpec:
        subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(tmp_path / "env")], check=True)
        site = next((tmp_path / "env").glob("lib/python*/site-packages"))
        (site / "sitecustomize.py").write_text(CHATTER.format(letter=letter), "utf-8")
        return BoxSpec(python=str(tmp_path / "env" / "bin" / "python"), project=str(project), path=(str(project),))

    return make


def test_environment_that_speaks_for_the_zygote_gets_no_answer_taken(chatty: Callable[[bytes], BoxSpec]) -> None:
    """Start-up code that says to be ready in the zygote's place turns on no layer, and the next case is forged."""
    with Box.open(chatty(b"Z")) as box:
        assert "memory of the warm process closed to its cases" not in box.layers.in_force
        assert box.run("subject:double", {"value": 2}, wall_s=10).state == "forged"


@pytest.mark.parametrize("letter", [b"R", b"?"])
def test_environment_that_breaks_the_protocol_at_its_start_is_refused(
    chatty: Callable[[bytes], BoxSpec], letter: bytes
) -> None:
    """Frames that no zygote sends before it is ready end the box at once, with the error of a box that is not built."""
    with pytest.raises(UserError) as caught:
        Box.open(chatty(letter))
    assert caught.value.code == "no-sandbox"
