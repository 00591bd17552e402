"""A box: what a case answers, what it may use, and what happens when it or its zygote ends."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import threading
import time
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from aqe.agents.gate import Box, BoxSpec, Limits
from aqe.engine.errors import Cancelled, UserError
from aqe.engine.progress import CancelToken

SUBJECT = """
import os, sys, time

def double(args, emit):
    emit({"step": 1})
    print("printed")
    print("warned", file=sys.stderr)
    return {"value": args["value"] * 2}

def fail(args, emit):
    raise ValueError("wrong input")

def unanswerable(args, emit):
    return object()

def sleep(args, emit):
    time.sleep(60)

def warm(args, emit):
    return os.environ.setdefault("WARM", str(os.getpid()))

def facts(args, emit):
    return {
        "hash_seed": os.environ["PYTHONHASHSEED"], "flag": os.environ.get("FLAG"), "cwd": os.getcwd(),
        "path": sys.path[0], "draft": open(os.path.join(args["scratch"], "drafts", "a.txt")).read(),
        "home": os.path.expanduser("~"), "version": list(sys.version_info[:2]), "secret": os.environ.get("SECRET"),
        "stdin": sys.stdin.read(), "fds": sorted(int(fd) for fd in os.listdir("/proc/self/fd")),
    }

def server(args, emit):
    import socket, threading
    with socket.create_server(("127.0.0.1", 0)) as listener:
        threading.Thread(target=lambda: listener.accept()[0].sendall(b"hi"), daemon=True).start()
        with socket.create_connection(listener.getsockname()) as client:
            return client.recv(2).decode()

def processes(args, emit):
    import concurrent.futures, multiprocessing
    with concurrent.futures.ProcessPoolExecutor(2, mp_context=multiprocessing.get_context("fork")) as pool:
        return list(pool.map(abs, [-1, -2]))

def needs_package(args, emit):
    import only_there
    return only_there.NAME

def huge(args, emit):
    return "x" * args["size"]
"""


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A project with one module; pytest's folders are closed to others (mode 0700)."""
    (tmp_path / "project").mkdir()
    (tmp_path / "project" / "subject.py").write_text(SUBJECT, "utf-8")
    return tmp_path / "project"


def spec_of(project: Path, **changes: Any) -> BoxSpec:
    """A box for `project` under aqe's own Python."""
    return BoxSpec(**{"python": sys.executable, "project": str(project), "path": (str(project),), **changes})


@pytest.fixture
def box(project: Path) -> Iterator[Box]:
    """An open box on the rung that this machine gives."""
    with Box.open(spec_of(project)) as box:
        yield box


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


def test_case_sees_a_clean_environment(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
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


def test_suite_profile_keeps_the_users_variables(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """With the profile "suite" the project's own code sees the user's environment variables."""
    monkeypatch.setenv("SECRET", "mine")
    with Box.open(spec_of(project, profile="suite", files={"drafts/a.txt": b""})) as box:
        assert box.run("subject:facts", {"scratch": box.scratch}, wall_s=10).value["secret"] == "mine"


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


def test_kill_from_another_thread_ends_the_case_at_once(box: Box) -> None:
    """`kill` while a case runs gives that case state "died" quickly, and every later one at once."""
    results = []
    thread = threading.Thread(target=lambda: results.append(box.run("subject:sleep", {}, wall_s=60)))
    thread.start()
    time.sleep(0.3)
    started = time.monotonic()
    box.kill()
    thread.join(10)
    assert time.monotonic() - started < 20
    assert results[0].state == "died"
    assert box.run("subject:double", {"value": 1}, wall_s=10).state == "died"


def test_cancel_token_ends_the_box(project: Path) -> None:
    """A cancelled token kills the box; one that is set already opens none."""
    token = CancelToken()
    with Box.open(spec_of(project), cancel=token) as box:
        threading.Timer(0.2, token.cancel).start()
        assert box.run("subject:sleep", {}, wall_s=60).state == "died"
    with pytest.raises(Cancelled):
        Box.open(spec_of(project), cancel=token)


def test_several_boxes_work_at_once(project: Path) -> None:
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
def test_each_rung_runs_a_case_and_says_what_it_lacks(project: Path, rung: int) -> None:
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


def test_memory_cap_holds_for_the_limit_given(project: Path) -> None:
    """A case that takes more than the box may ends, and the box goes on where only the case was over."""
    with Box.open(spec_of(project, limits=Limits(memory_mb=128))) as box:
        result = box.run("subject:huge", {"size": 900_000_000}, wall_s=20)
        assert result.state in ("memory", "error")
        assert box.run("subject:double", {"value": 1}, wall_s=10).state == "ok"


def test_subject_finds_a_package_that_aqe_lacks(project: Path, tmp_path: Path) -> None:
    """A subject runs with the packages of its own environment, under a home that others may not enter."""
    home = tmp_path / "home"
    home.mkdir(mode=0o700)
    environment = home / "env"
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(environment)], check=True)
    site = next(environment.glob("lib/python*/site-packages"))
    (site / "only_there.py").write_text("NAME = 'found'\n", "utf-8")
    moved = home / "project"
    shutil.copytree(project, moved)
    spec = spec_of(moved, python=str(environment / "bin" / "python"), path=(str(moved),))
    with Box.open(spec) as box:
        assert box.run("subject:needs_package", {}, wall_s=10).value == "found"


def test_aqe_folder_of_the_project_is_hidden(project: Path) -> None:
    """The database, tokens and results in `.aqe/` cannot be read inside, and stay as they are."""
    (project / ".aqe").mkdir()
    (project / ".aqe" / "token").write_text("secret", "utf-8")
    code = "def read(args, emit):\n    return open(args['path']).read()\n"
    (project / "thief.py").write_text(code, "utf-8")
    with Box.open(spec_of(project)) as box:
        result = box.run("thief:read", {"path": str(project / ".aqe" / "token")}, wall_s=10)
    assert result.state == "error"
    assert (project / ".aqe" / "token").read_text("utf-8") == "secret"


def test_project_through_a_symlink_is_found_inside(project: Path, tmp_path: Path) -> None:
    """A project that is named through a symlink has the same path inside."""
    link = tmp_path / "link"
    link.symlink_to(project, target_is_directory=True)
    with Box.open(spec_of(link, path=(str(link),))) as box:
        assert box.run("subject:double", {"value": 2}, wall_s=10).value == {"value": 4}


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


def test_missing_project_is_the_users_mistake(tmp_path: Path) -> None:
    """A project folder that does not exist is refused before anything is built."""
    with pytest.raises(UserError) as caught:
        Box.open(spec_of(tmp_path / "nowhere"))
    assert caught.value.code == "no-such-project"


TROUBLE = """
import os, signal, struct, sys, threading, time

def freeze_later(args, emit):
    me = os.getpid()
    threading.Thread(target=lambda: (time.sleep(0.2), os.kill(me, signal.SIGSTOP)), daemon=True).start()

def end_with(args, emit):
    for fd in range(3, 20):
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
def trouble(project: Path) -> Iterator[Box]:
    """An open box with a subject that attacks the protocol."""
    (project / "trouble.py").write_text(TROUBLE, "utf-8")
    with Box.open(spec_of(project)) as box:
        yield box


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


CLOSED = """
import os, sys, tempfile
from aqe.agents.gate import Box, BoxSpec, kernel

project = sys.argv[1]
if os.geteuid() == 0:  # a file system that cannot show root's files as another user's, as a container's root is one
    kernel.unshare(kernel.CLONE_NEWNS)
    kernel.mount("none", "/", "", kernel.MS_REC | kernel.MS_PRIVATE)
    space = tempfile.mkdtemp(dir=os.path.dirname(project))
    kernel.mount("space", space, "tmpfs", 0)
    for name in ("upper", "work"):
        os.mkdir(os.path.join(space, name))
    kernel.mount("over", project, "overlay", 0, f"lowerdir={project},upperdir={space}/upper,workdir={space}/work")
os.chmod(project, 0o700)
with Box.open(BoxSpec(python=sys.executable, project=project, path=(project,))) as box:
    print(box.run("kernel_switches:attack", {}, wall_s=10).value)
    print(box.run("subject:double", {"value": 2}, wall_s=10).state)
"""


def test_closed_project_on_a_file_system_without_id_maps_runs_as_its_owner(project: Path) -> None:
    """A project that only root may read runs where files cannot be shown as another user's, and steers nothing."""
    hostile = Path(__file__).parents[2] / "hostile" / "modules" / "kernel_switches.py"
    shutil.copy(hostile, project)
    done = subprocess.run([sys.executable, "-c", CLOSED, str(project)], capture_output=True, text=True, timeout=60)
    assert (done.stdout, done.returncode) == ("[]\nok\n", 0), done.stderr


LITTER = """
import os

def leave(args, emit):
    for place in args["places"]:
        os.makedirs(os.path.join(place, "left", "deep", "closed"))
        open(os.path.join(place, "left", "deep", "file"), "w").close()
        os.chmod(os.path.join(place, "left", "deep", "closed"), 0)
        os.chmod(os.path.join(place, "left"), 0)
    os.chmod(args["places"][0], 0)

def warm(args, emit):
    open(os.path.join(os.environ["TMPDIR"], "warm"), "w").close()

def see(args, emit):
    return [sorted(os.listdir(place)) for place in args["places"]]

def rewrite(args, emit):
    done = []
    drafts = os.path.join(os.environ["TMPDIR"], "drafts")
    acts = {
        "write": lambda: open(os.path.join(drafts, "test_a.py"), "a").close(),
        "add": lambda: open(os.path.join(drafts, "conftest.py"), "w").close(),
        "remove": lambda: os.remove(os.path.join(drafts, "test_a.py")),
        "move": lambda: os.rename(drafts, drafts + "2"),
        "chmod": lambda: os.chmod(drafts, 0o777),
    }
    for name, act in acts.items():
        try:
            act()
            done.append(name)
        except OSError:
            pass
    return done
"""


def test_files_that_a_case_leaves_are_gone_for_the_next(project: Path) -> None:
    """What a case leaves in scratch, however closed, is not there for the next one; what a preload left stays."""
    (project / "litter.py").write_text(LITTER, "utf-8")
    with Box.open(spec_of(project, files={"drafts/test_a.py": b""})) as box:
        places = [box.scratch] if box.layers.below_namespaces else [box.scratch, "/tmp", "/dev/shm"]
        assert box.preload("litter:warm", {}, wall_s=10).state == "ok"
        before = box.run("litter:see", {"places": places}, wall_s=10).value
        assert before[0] == ["drafts", "warm"]
        assert box.run("litter:leave", {"places": places}, wall_s=10).state == "ok"
        assert box.run("litter:see", {"places": places}, wall_s=10).value == before


def test_given_files_cannot_be_changed_by_a_case(project: Path) -> None:
    """The files that the caller gave are read-only inside, or the layers say that they are not."""
    (project / "litter.py").write_text(LITTER, "utf-8")
    with Box.open(spec_of(project, files={"drafts/test_a.py": b"pass"})) as box:
        done = box.run("litter:rewrite", {}, wall_s=10).value
        assert done == [] or "given files read-only" in box.layers.missing


IN_TEMP = """
import os, sys, tempfile
from aqe.agents.gate import Box, BoxSpec

with tempfile.NamedTemporaryFile("w", dir="/tmp", prefix="module_", suffix=".py") as stream:
    stream.write("def hello(args, emit):\\n    return 'hello'\\n")
    stream.flush()
    os.chmod(stream.name, 0o644)
    module = os.path.basename(stream.name)[:-3]
    for spec in (BoxSpec(python=sys.executable, project="/tmp", path=("/tmp",), files={"drafts/a.txt": b""}),
                 BoxSpec(python=sys.executable, project=sys.argv[1], path=("/tmp",))):
        with Box.open(spec) as box:
            print(box.run(module + ":hello", {}, wall_s=10).value)
"""


def test_module_that_lies_in_the_temp_folder_itself_runs(project: Path) -> None:
    """A file in /tmp, where the box has its own scratch, is shown inside as one in any other folder."""
    done = subprocess.run([sys.executable, "-c", IN_TEMP, str(project)], capture_output=True, text=True, timeout=60)
    assert (done.stdout, done.returncode) == ("hello\nhello\n", 0), done.stderr
