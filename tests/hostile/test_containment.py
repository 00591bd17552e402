"""Each hostile module runs in a box, as root and as a plain user, and nothing of the user's comes to harm."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

HERE = Path(__file__).resolve().parent
MODULES = sorted(path.stem for path in (HERE / "modules").glob("*.py"))
ONE_OF_EACH_KIND = {
    "become_root",
    "daemon_double_fork",
    "endless_loop",
    "fill_scratch_bytes",
    "flood_output",
    "forge_frames",
    "import_exits",
    "kill_parent",
    "memory_one",
    "network_tcp",
    "patch_harness",
    "read_secrets",
    "segfault",
    "signals_ignored",
    "thread_at_exit",
    "write_symlink",
}
"""What the fast tier runs; the services tier runs them all."""
NOBODY = 65534
USERS = {"root": 0, "user": NOBODY} if os.geteuid() == 0 else {"user": os.geteuid()}
BOUND_S = 20.0
Contain = Callable[..., dict[str, Any]]

sys.path.insert(0, str(HERE))
from contain import constants


class Warden:
    """A process of one user that runs modules in boxes; `opened` is ":open" where everybody may enter the folders
    needed."""

    def __init__(self, uid: int, opened: str, home: Path) -> None:
        os.chmod(home, 0o700)  # a closed home
        os.chown(home, uid, uid)
        self._uid, self._things = uid, home / "things"
        self._things.mkdir()
        os.chown(self._things, uid, uid)
        command = [sys.executable, str(HERE / "as_user.py"), f"{uid}{opened}", str(self._things)]
        command.append(str(HERE / "contain.py"))
        environ = {**os.environ, "HOME": str(home), "XDG_CACHE_HOME": str(home / ".cache"), "TMPDIR": "/tmp"}
        self._process = subprocess.Popen(command, env=environ, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)

    def contain(self, module: str, rung: int | None = None) -> dict[str, Any]:
        """Run a module, on this rung or on the highest that holds; the report of `contain.py`."""
        marker = uuid.uuid4().hex
        folder = self._things / marker
        folder.mkdir()
        os.chown(folder, self._uid, self._uid)
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(json.dumps([str(folder), {"module": module, "marker": marker, "rung": rung}]) + "\n")
        self._process.stdin.flush()
        report: dict[str, Any] | None = json.loads(self._process.stdout.readline() or "null")
        assert report is not None, "the fork failed: see stderr"
        return report

    def close(self) -> None:
        """End the process."""
        self._process.communicate()


@pytest.fixture(scope="session")
def contain(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Contain]:
    """Run a module as a user: `contain(module, user, rung)`. The processes that do it start at the first need."""
    wardens: dict[tuple[int, str], Warden] = {}

    def run(module: str, user: str, rung: int | None = None) -> dict[str, Any]:
        uid, opened = USERS[user], ":open" if rung == 2 else ""
        if (uid, opened) not in wardens:
            wardens[uid, opened] = Warden(uid, opened, tmp_path_factory.mktemp(f"home-{uid}"))
        return wardens[uid, opened].contain(module, rung)

    yield run
    for warden in wardens.values():
        warden.close()


def assert_contained(report: dict[str, Any], module: str) -> None:
    """What must hold on every rung."""
    facts = constants(module)
    assert report["state"] in facts["STATES"], report
    if report["state"] == "ok":
        assert report["value"] == [], report
    assert report["survivors"] == []
    assert report["bystander"]
    assert not report["scratch_left"]
    assert report["visitors"] == []
    assert report["leftovers"] >= facts["LEFTOVERS"], report
    assert report["tail"] <= 20_000
    assert report["seconds"] < BOUND_S
    assert report["following"] in (["ok", "hello"], ["died", None]), report


@pytest.mark.parametrize(
    "user", [*list(USERS)[:1], *(pytest.param(name, marks=pytest.mark.services) for name in list(USERS)[1:])]
)
@pytest.mark.parametrize(
    "module",
    [one if one in ONE_OF_EACH_KIND else pytest.param(one, marks=pytest.mark.services) for one in MODULES],
)
def test_hostile_module_is_contained(module: str, user: str, contain: Contain) -> None:
    """A hostile module ends as it must, leaves nothing alive and the user's files byte-identical."""
    report = contain(module, user)
    assert_contained(report, module)
    assert report["same"], report


# What a rung below namespaces cannot hold, as its layers say: then only the rest is asserted.
# Rung 1 as root stays uid 0, without capabilities; scratch is measured now and then, not limited by its file system.
GAPS = {1: {"become_root", "change_mode", "fill_scratch_files"}, 2: {"fill_scratch_files"}}
WATCHED_ONLY = ("fork_bomb", 1, "root")
"""The kernel does not count the processes of uid 0: the box is ended once the watcher sees too many, which on a busy
machine may be after the bomb has counted its own."""

LOWER = [(2, "root"), (1, "root"), (1, "user")] if os.geteuid() == 0 else [(1, "user")]
# Without any wall there are still a clock, limits and a sweep.
CLOCK_AND_SWEEP = [
    "daemon_double_fork",
    "daemon_setsid",
    "deep_recursion",
    "endless_c",
    "endless_loop",
    "exit_zero",
    "flood_frames",
    "flood_output",
    "forge_frames",
    "import_exits",
    "import_forks",
    "import_hangs",
    "import_prints",
    "memory_many",
    "patch_harness",
    "segfault",
    "signals_ignored",
    "stop_self",
    "thread_at_exit",
]


@pytest.mark.services
@pytest.mark.parametrize(("rung", "user"), LOWER)
@pytest.mark.parametrize("module", MODULES)
def test_hostile_module_is_contained_below_namespaces(module: str, rung: int, user: str, contain: Contain) -> None:
    """On the rungs without namespaces the same holds, but for the gaps that the layers name."""
    report = contain(module, user, rung)
    assert report["rung"].startswith(str(rung))
    if module in GAPS[rung] or (module, rung, user) == WATCHED_ONLY:
        assert report["survivors"] == []
        return
    assert_contained(report, module)
    assert report["same"], report


@pytest.mark.services
@pytest.mark.parametrize("module", CLOCK_AND_SWEEP)
def test_clock_limits_and_sweep_hold_without_any_wall(module: str, contain: Contain) -> None:
    """On rung 0 what runs on, hides or floods is still ended and nothing is left alive."""
    user = list(USERS)[-1]
    assert_contained(contain(module, user, 0), module)


def test_there_are_at_least_25_hostile_modules() -> None:
    """The collection holds at least 25 modules, each with a sentence that says what it tries."""
    assert len(MODULES) >= 25
    for module in MODULES:
        assert (HERE / "modules" / f"{module}.py").read_text("utf-8").startswith('"""')
