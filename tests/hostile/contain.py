"""Run hostile modules in boxes, with things of the user beside them, and tell as JSON what became of them all.

Started by the user whose things they are. Each line on stdin is a JSON list of an empty folder, which belongs to that
user, and an order; it is carried out in a fork of this process, which has the gate imported and nothing else, and
answered with one line: the report, or null where the fork failed (stderr says how).
"""

from __future__ import annotations

import ast
import hashlib
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
import traceback
from pathlib import Path
from typing import Any

from aqe.agents.gate.box import Box, BoxSpec, Limits

MODULES = Path(__file__).resolve().parent / "modules"
LIMIT_S = 60


def constants(module: str) -> dict[str, Any]:
    """The upper-case constants of a hostile module, read without running it."""
    tree = ast.parse((MODULES / f"{module}.py").read_text("utf-8"))
    found: dict[str, Any] = {"STATES": ("ok",), "WALL_S": 5.0, "PRELOAD": False, "LEFTOVERS": 0}
    for node in tree.body:
        if isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name):
            try:
                found[node.targets[0].id] = ast.literal_eval(node.value)
            except ValueError:
                continue
    return found


def plant(folder: Path) -> Path:
    """Files as a user has them."""
    canary = folder / "canary"
    (canary / ".ssh").mkdir(parents=True)
    (canary / "photos").mkdir()
    (canary / "notes.txt").write_text("mine\n", "utf-8")
    (canary / ".ssh" / "id_ed25519").write_text("key\n", "utf-8")
    (canary / "photos" / "cat.bin").write_bytes(bytes(range(256)))
    os.symlink("notes.txt", canary / "link")
    return canary


def fingerprint(*folders: Path) -> str:
    """Names, kinds, modes, times and contents of everything below `folders`."""
    digest = hashlib.sha256()
    for folder in folders:
        for path in sorted([folder, *folder.rglob("*")]):
            facts = path.lstat()
            digest.update(f"{path} {facts.st_mode} {facts.st_mtime_ns} {facts.st_size} {facts.st_uid}".encode())
            if path.is_file() and not path.is_symlink():
                digest.update(path.read_bytes())
    return digest.hexdigest()


def survivors(marker: str) -> list[str]:
    """Processes that carry the marker in their environment or command line."""
    found = []
    for name in os.listdir("/proc"):
        if not name.isdigit():
            continue
        for file in ("environ", "cmdline"):
            try:
                text = Path("/proc", name, file).read_bytes()
            except OSError:
                continue
            if f"AQE_MARKER={marker}".encode() in text:
                found.append(name)
    return found


class Host:
    """What the host offers to a thief: servers that note who came, a bystander."""

    def __init__(self, folder: Path, marker: str) -> None:
        self.tcp = socket.create_server(("", 0))
        self.udp = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.udp.bind(("", 0))
        self.path, self.abstract = str(folder / "socket"), f"aqe-{marker}"
        self.unix = [socket.socket(socket.AF_UNIX), socket.socket(socket.AF_UNIX)]
        for server, name in zip(self.unix, (self.path, "\0" + self.abstract), strict=True):
            server.bind(name)
            server.listen()
        for server in (self.tcp, self.udp, *self.unix):
            server.setblocking(False)
        self.bystander = subprocess.Popen([sys.executable, "-I", "-S", "-c", "import time; time.sleep(60)"])

    def visitors(self) -> list[str]:
        """Who came."""
        came = []
        for server in (self.tcp, *self.unix):
            try:
                server.accept()
                came.append("connection")
            except BlockingIOError:
                pass
        try:
            came.append(str(self.udp.recv(100)))
        except BlockingIOError:
            pass
        return came

    def close(self) -> bool:
        """Whether the bystander was still well."""
        state = Path(f"/proc/{self.bystander.pid}/stat").read_text("ascii").rpartition(")")[2].split()[0]
        well = self.bystander.poll() is None and state not in "TtZ"
        self.bystander.kill()
        self.bystander.wait()
        return well


def carry_out(folder: Path, order: dict[str, Any]) -> dict[str, Any]:
    """Run one module; what became of the user's things, of the box and of the module."""
    module, marker = order["module"], order["marker"]
    facts = constants(module)
    canary, project = plant(folder), folder / "project"
    project.mkdir()
    shutil.copy(MODULES / f"{module}.py", project)
    (project / "benign.py").write_text("def hello(args, emit):\n    return 'hello'\n", "utf-8")
    os.environ["AQE_HOST_SECRET"] = "secret"
    os.set_inheritable(os.open(canary, os.O_RDONLY), True)
    above = [Path(tempfile.gettempdir()), folder]
    before = fingerprint(canary, project), [path.stat().st_mode for path in above]
    host = Host(folder, marker)
    args = {
        "canary": str(canary),
        "home": os.path.expanduser("~"),
        "tcp_port": host.tcp.getsockname()[1],
        "udp_port": host.udp.getsockname()[1],
        "address": socket.gethostbyname(socket.gethostname()),
        "unix_path": host.path,
        "unix_abstract": host.abstract,
        "aqe_pid": os.getpid(),
        "bystander_pid": host.bystander.pid,
    }
    started = time.monotonic()
    spec = BoxSpec(
        python=order.get("python") or sys.executable,
        project=str(project),
        path=(str(project),),
        env={"AQE_MARKER": marker},
        limits=Limits(memory_mb=256),
    )
    with Box.open(spec, rung=order.get("rung")) as box:
        act = box.preload if facts["PRELOAD"] else box.run
        result = act(f"{module}:attack", args, wall_s=facts["WALL_S"])
        following = box.run("benign:hello", {}, wall_s=5.0)
        rung, scratch = box.layers.rung, box.scratch
    report = {
        "rung": rung,
        "state": result.state,
        "value": result.value,
        "error": result.error,
        "leftovers": result.leftovers,
        "tail": max(len(result.stdout), len(result.stderr)),
        "following": [following.state, following.value],
        "seconds": time.monotonic() - started,
        "visitors": host.visitors(),
        "same": (fingerprint(canary, project), [path.stat().st_mode for path in above]) == before,
        "bystander": host.close(),
        "scratch_left": not scratch.startswith("/tmp/scratch") and os.path.exists(scratch),
    }
    deadline = time.monotonic() + 1.0
    while (alive := survivors(marker)) and time.monotonic() < deadline:
        time.sleep(0.02)
    return {**report, "survivors": alive}


def begin_fork(folder: str, order: dict[str, Any], answer: int) -> None:
    """In the fork: carry out the order and leave, as a process that nothing was read or done in before."""
    status = 1
    try:
        os.setsid()
        signal.alarm(LIMIT_S)
        os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
        os.dup2(answer, 1)
        os.chdir(folder)
        os.write(1, json.dumps(carry_out(Path(folder), order)).encode())
        status = 0
    except BaseException:
        traceback.print_exc()
    finally:
        os._exit(status)


def main() -> None:
    for line in sys.stdin:
        folder, order = json.loads(line)
        with tempfile.TemporaryFile() as answer:
            child = os.fork()
            if child == 0:
                begin_fork(folder, order, answer.fileno())
            _, status = os.waitpid(child, 0)
            answer.seek(0)
            print(answer.read().decode() if status == 0 else "null", flush=True)


if __name__ == "__main__":
    main()
