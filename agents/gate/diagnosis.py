"""What this machine gives to the gate: the rung in use, its layers, why higher rungs do not hold, the interpreters."""

from __future__ import annotations

import os
import platform
import sys
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import platformdirs

from aqe.agents.gate.box import Box, BoxSpec, Layers
from aqe.agents.gate.entering import RUNGS
from aqe.agents.gate.interpreter import Interpreter, find_interpreter
from aqe.agents.gate.rungs import choose_rung
from aqe.engine.errors import AqeError

NO_CTYPES = "it has no ctypes: cases can reach into the memory of their warm process, and Evidence says so"


@dataclass(frozen=True)
class SandboxDiagnosis:
    """`higher` maps each rung that does not hold here to the reason; `hints` say what would give more."""

    rung: str
    in_force: tuple[str, ...]
    missing: tuple[str, ...]
    below_namespaces: bool
    higher: dict[str, str]
    hints: tuple[str, ...]
    kernel: str


@dataclass(frozen=True)
class InterpreterDiagnosis:
    """The Python that would run the project's code, or in `error` why there is none.

    `notes` say what the sandbox lacks on account of this Python or of where it lies.
    """

    executable: str
    version: str
    origin: str
    has_pytest: bool
    has_coverage: bool
    error: str = ""
    notes: tuple[str, ...] = ()


def diagnose_sandbox() -> SandboxDiagnosis:
    """Try the rungs afresh and describe the one that holds."""
    choice = choose_rung(afresh=True)
    layers = _layers(choice.rung)
    return SandboxDiagnosis(
        rung=RUNGS[choice.rung],
        in_force=layers.in_force,
        missing=layers.missing,
        below_namespaces=layers.below_namespaces,
        higher={RUNGS[rung]: why for rung, why in choice.reasons.items()},
        hints=tuple(_hints(choice.rung)),
        kernel=f"{platform.system()} {platform.release()} {platform.machine()}",
    )


def _layers(rung: int) -> Layers:
    with tempfile.TemporaryDirectory(prefix="aqe-doctor-") as folder:
        os.chmod(folder, 0o755)
        with Box.open(BoxSpec(python=sys.executable, project=folder), rung=rung) as box:
            return box.layers


def _hints(rung: int) -> list[str]:
    if rung == 3:
        return []
    if not sys.platform.startswith("linux"):
        return ["On Linux, or in a Linux container or virtual machine, aqe gives full isolation."]
    hints = []
    if _reads("/proc/sys/kernel/apparmor_restrict_unprivileged_userns") == "1":
        hints.append(
            "AppArmor takes the rights from user namespaces. In CI: sysctl "
            "kernel.apparmor_restrict_unprivileged_userns=0; "
            "on a desktop: an AppArmor profile with `userns,` for this Python."
        )
    if _reads("/proc/sys/user/max_user_namespaces") == "0":
        hints.append("User namespaces are switched off: sysctl user.max_user_namespaces=10000.")
    if _reads("/proc/sys/kernel/unprivileged_userns_clone") == "0":
        hints.append("User namespaces are for root alone: sysctl kernel.unprivileged_userns_clone=1.")
    if Path("/.dockerenv").exists() or Path("/run/.containerenv").exists():
        hints.append(
            "This is a container: docker run --security-opt seccomp=unconfined --cap-add SYS_ADMIN gives rung 3."
        )
    if rung == 0:
        hints.append("Linux 5.13 or newer with Landlock (CONFIG_SECURITY_LANDLOCK, lsm=landlock) gives rung 1.")
    return hints


def _reads(path: str) -> str:
    try:
        return Path(path).read_text("ascii").strip()
    except OSError:
        return ""


def diagnose_interpreter(
    project: Path, python: str | None, setting: str | None, environ: Mapping[str, str] = os.environ
) -> InterpreterDiagnosis:
    """Describe the interpreter that the project's code would run under; never raises for a missing one."""
    try:
        found = find_interpreter(project, python, setting, environ)
    except AqeError as error:
        return InterpreterDiagnosis("", "", "", False, False, str(error))
    notes: tuple[str, ...] = () if found.has_ctypes else (NO_CTYPES,)
    if choose_rung().rung in (1, 2) and os.geteuid() == 0:
        notes += _closed_to_others(found, project)
    return InterpreterDiagnosis(
        found.executable, found.version_text, found.origin, found.has_pytest, found.has_coverage, notes=notes
    )


def _closed_to_others(interpreter: Interpreter, project: Path) -> tuple[str, ...]:
    """Rung 2 runs code under a user of its own, which must get to the interpreter and to the project."""
    places = [
        ("this Python", os.path.abspath(interpreter.executable)),
        ("this Python", os.path.realpath(interpreter.executable)),
        ("the project", os.path.join(os.path.abspath(project), "file")),
    ]
    if not (interpreter.has_pytest and interpreter.has_coverage):
        side = os.path.join(platformdirs.user_cache_dir("aqe"), "side", "file")
        places.append(("aqe's own copies of pytest and coverage", side))
    closed = {what: folder for what, place in places if (folder := _first_closed(Path(place)))}
    return tuple(
        f"rung 2 cannot reach {what}: {folder} is closed to other users, so code runs on rung 1; "
        f"put it elsewhere or run chmod o+x {folder}"
        for what, folder in closed.items()
    )


def _first_closed(place: Path) -> Path | None:
    """The outermost folder on the way to `place` that other users may not enter."""
    for folder in reversed(place.parents):
        try:
            if not os.stat(folder).st_mode & 0o001:
                return folder
        except OSError:
            return None
    return None
