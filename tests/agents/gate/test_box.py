"""A box: what a case answers, what it may use, and what happens when it or its zygote ends."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
import uuid
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from aqe.agents.gate import Box, BoxSpec, Limits
from aqe.engine.errors import Cancelled, UserError
from aqe.engine.progress import CancelToken


def test_case_answers_with_its_value_and_what_it_printed(box: Box) -> None:
    """A case's value, progress, stdout and stderr come back."""
    seen: list[Any] = []
    result = box.run("subject:double", {"value": 21}, wall_s=10, on_progress=seen.append)
    assert (result.state, result.value, result.exit_status) == ("ok", {"value": 42}, 0)
    assert (result.stdout, result.stderr, seen) == ("printed\n", "warned\n", [{"step": 1}])


def test_exception_comes_back_as_text(box: Box) -> None:
    """An exception of the case gives state "error" with type, message and traceback."""
    result = box.run("subject:fail", {}, wall_s=10)
    assert result.state == "error"
    assert result.error.startswith("ValueError: wrong input\n")
    assert 'subject.py", line' in result.error


def test_value_that_json_cannot_hold_is_an_error(box: Box) -> None:
    """A value that is no JSON is the case's error, and the box stays usable."""
    assert box.run("subject:unanswerable", {}, wall_s=10).state == "error"
    assert box.run("subject:double", {"value": 1}, wall_s=10).state == "ok"


def test_unknown_entry_is_an_error(box: Box) -> None:
    """A module that is not there is an error that names it."""
    assert "No module named 'nowhere'" in box.run("nowhere:run", {}, wall_s=10).error


def test_each_case_starts_from_the_preloaded_state(box: Box) -> None:
    """What a preload leaves is there for all cases; what a case leaves is gone with it."""
    first = box.preload("subject:warm", {}, wall_s=10)
    assert first.state == "ok"
    assert {box.run("subject:warm", {}, wall_s=10).value for _ in range(2)} == {first.value}


def test_big_value_comes_back_whole(box: Box) -> None:
    """A value of several megabytes passes the pipes."""
    result = box.run("subject:huge", {"size": 5_000_000}, wall_s=20)
    assert (result.state, len(result.value)) == ("ok", 5_000_000)


def test_case_sees_a_clean_environment(
    project: Path, monkeypatch: pytest.MonkeyPatch, spec_of: Callable[..., BoxSpec]
) -> None:
    """Hash seed, variables, drafts and folders are those of the spec; aqe's own environment stays outside."""
    monkeypatch.setenv("SECRET", "leaked")
    spec = spec_of(project, hash_seed=7, env={"FLAG": "on"}, files={"drafts/a.txt": b"draft"})
    with Box.open(spec) as box:
        facts = box.run("subject:facts", {"scratch": box.scratch}, wall_s=10).value
        scratch = box.scratch
    assert facts["hash_seed"] == "7"
    assert facts["flag"] == "on"
    assert (facts["draft"], facts["secret"], facts["stdin"]) == ("draft", None, "")
    assert (facts["cwd"], facts["path"], facts["home"]) == (str(project), str(project), scratch)
    assert len(facts["fds"]) <= 5


def test_servers_and_process_pools_work_inside(box: Box) -> None:
    """With namespaces a test that needs a loopback server or a process pool runs."""
    if box.layers.below_namespaces:
        assert "no sockets" in box.layers.in_force
        return
    assert box.run("subject:server", {}, wall_s=10).value == "hi"
    assert box.run("subject:processes", {}, wall_s=20).value == [1, 2]


def test_wall_clock_ends_a_case_and_spares_the_box(box: Box) -> None:
    """A case that sleeps past its wall clock is a timeout; the next one runs."""
    started = time.monotonic()
    assert box.run("subject:sleep", {}, wall_s=0.3).state == "timeout"
    assert time.monotonic() - started < 5
    assert box.run("subject:double", {"value": 1}, wall_s=10).state == "ok"


def test_kill_from_another_thread_ends_the_case(box: Box) -> None:
    """`kill` while a case runs gives that case state "died", and every later one."""
    results = []
    thread = threading.Thread(target=lambda: results.append(box.run("subject:sleep", {}, wall_s=60)))
    thread.start()
    time.sleep(0.3)
    box.kill()
    thread.join(30)
    assert results[0].state == "died"
    assert box.run("subject:double", {"value": 1}, wall_s=10).state == "died"


def test_cancel_token_ends_the_box(project: Path, spec_of: Callable[..., BoxSpec]) -> None:
    """A cancelled token kills the box; one that is set already opens none."""
    token = CancelToken()
    with Box.open(spec_of(project), cancel=token) as box:
        threading.Timer(0.2, token.cancel).start()
        assert box.run("subject:sleep", {}, wall_s=60).state == "died"
    with pytest.raises(Cancelled):
        Box.open(spec_of(project), cancel=token)


def test_several_boxes_work_at_once(project: Path, spec_of: Callable[..., BoxSpec]) -> None:
    """Boxes opened from threads do not disturb one another."""
    values: list[int] = []

    def work(number: int) -> None:
        with Box.open(spec_of(project)) as box:
            values.append(box.run("subject:double", {"value": number}, wall_s=20).value["value"])

    threads = [threading.Thread(target=work, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert sorted(values) == [0, 2, 4, 6]


@pytest.mark.parametrize("rung", [3, 2, 1, 0])
def test_each_rung_runs_a_case_and_says_what_it_lacks(
    project: Path, rung: int, spec_of: Callable[..., BoxSpec]
) -> None:
    """A forced rung runs cases and names its layers, or is refused in one sentence."""
    box, code = None, ""
    try:
        box = Box.open(spec_of(project), rung=rung)
    except UserError as error:
        code = error.code
    if box is None:
        assert (code, rung in (1, 2, 3)) == ("no-sandbox", True)
        return
    with box:
        assert box.layers.rung.startswith(str(rung))
        assert box.layers.below_namespaces == (rung < 3)
        assert bool(box.layers.missing) or rung == 3
        assert box.run("subject:double", {"value": 4}, wall_s=10).value == {"value": 8}


def test_memory_cap_holds_for_the_limit_given(project: Path, spec_of: Callable[..., BoxSpec]) -> None:
    """A case that takes more than the box may ends, and the box goes on where only the case was over."""
    with Box.open(spec_of(project, limits=Limits(memory_mb=128))) as box:
        result = box.run("subject:huge", {"size": 900_000_000}, wall_s=20)
        assert result.state in ("memory", "error")
        assert box.run("subject:double", {"value": 1}, wall_s=10).state == "ok"


def test_nothing_outlives_a_killed_aqe(project: Path) -> None:
    """kill -9 of the process that opened a box ends everything in it."""
    marker = uuid.uuid4().hex
    code = (
        "import sys\nfrom aqe.agents.gate import Box, BoxSpec\n"
        f"box = Box.open(BoxSpec(python=sys.executable, project={str(project)!r}, path=({str(project)!r},),"
        f" env={{'AQE_MARKER': {marker!r}}}))\n"
        "print('open', flush=True)\nbox.run('subject:sleep', {}, wall_s=60)\n"
    )
    with subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True) as owner:
        assert owner.stdout is not None
        assert owner.stdout.readline() == "open\n"
        time.sleep(0.2)
        assert marked(marker)
        os.kill(owner.pid, signal.SIGKILL)
        deadline = time.monotonic() + 5
        while marked(marker) and time.monotonic() < deadline:
            time.sleep(0.02)
    assert marked(marker) == []


def marked(marker: str) -> list[str]:
    """Living processes with the marker in their environment."""
    found = []
    for name in os.listdir("/proc"):
        try:
            if name.isdigit() and f"AQE_MARKER={marker}".encode() in Path("/proc", name, "environ").read_bytes():
                found.append(name)
        except OSError:
            continue
    return found


def test_missing_project_is_the_users_mistake(tmp_path: Path, spec_of: Callable[..., BoxSpec]) -> None:
    """A project folder that does not exist is refused before anything is built."""
    with pytest.raises(UserError) as caught:
        Box.open(spec_of(tmp_path / "nowhere"))
    assert caught.value.code == "no-such-project"


def test_python_without_ctypes_is_said_to_lack_what_needs_it(
    project: Path, tmp_path: Path, spec_of: Callable[..., BoxSpec]
) -> None:
    """Where the project's Python has no ctypes the layers name what is missing; cases run all the same."""
    hiding = tmp_path / "hiding"
    hiding.mkdir()
    (hiding / "ctypes.py").write_text("raise ImportError('this Python was built without libffi')\n", "utf-8")
    with Box.open(spec_of(project)) as whole, Box.open(spec_of(project, path=(str(hiding), str(project)))) as lacking:
        said = {one.partition(" (")[0] for one in lacking.layers.missing} - set(whole.layers.missing)
        assert said == set(whole.layers.in_force) - set(lacking.layers.in_force)
        assert "memory of the warm process closed to its cases" in said
        assert lacking.run("subject:double", {"value": 4}, wall_s=10).value == {"value": 8}
