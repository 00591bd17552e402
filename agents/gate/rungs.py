"""Which rung of the sandbox this machine gives: the highest whose full trial box holds, remembered per boot."""

from __future__ import annotations

import json
import os
import socket
import sys
import tempfile
import threading
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import platformdirs

from aqe.agents.gate.entering import RUNGS
from aqe.engine.errors import AqeError, UserError

TRIAL_WALL_S = 20.0
_lock = threading.Lock()
_known: Choice | None = None


@dataclass(frozen=True)
class Choice:
    """The rung to use and, for each higher one, why it does not hold here."""

    rung: int
    reasons: dict[int, str]


def choose_rung(*, afresh: bool = False) -> Choice:
    """The highest rung that a trial box proves; asks the machine once per boot, user and Python."""
    global _known
    with _lock:
        if _known is None and not afresh:
            _known = _recall()
        if _known is None or afresh:
            _known = _try_all()
            _remember(_known)
        return _known


@dataclass(frozen=True)
class Attempts:
    """The rungs to try for one box, best first, and of each above them why it does not hold on this machine."""

    rungs: tuple[int, ...]
    why_not_higher: tuple[str, ...]


def rungs_to_try(project: str) -> Attempts:
    """What to try for code of `project`: as root, what the job's own user cannot reach falls from 2 to 1.

    Raises `UserError` (weak-sandbox) where only rung 0 is left and the project's settings do not allow it.
    """
    choice = choose_rung()
    if choice.rung == 0 and not _weak_is_allowed(project):
        raise UserError(
            "This machine gives no sandbox that holds unknown code, so nothing was run.",
            code="weak-sandbox",
            fix="See `aqe doctor`; to run all the same set AQE_SANDBOX_ALLOW_WEAK=1.",
        )
    reasons = tuple(f"rung {RUNGS[rung]} does not hold here: {why.rstrip('.')}" for rung, why in choice.reasons.items())
    return Attempts((2, 1) if choice.rung == 2 else (choice.rung,), reasons)


def _weak_is_allowed(project: str) -> bool:
    from aqe.engine.settings import load_settings

    return load_settings(Path(project)).sandbox.allow_weak


def _try_all() -> Choice:
    reasons: dict[int, str] = {}
    for rung in (3, 2, 1):
        why = _not_applicable(rung) or try_rung(rung)
        if not why:
            return Choice(rung, reasons)
        reasons[rung] = why
    return Choice(0, reasons)


def _not_applicable(rung: int) -> str:
    if not sys.platform.startswith("linux"):
        return f"needs Linux, this is {sys.platform}"
    if rung == 2 and os.geteuid() != 0:
        return "needs root"
    return ""


def try_rung(rung: int) -> str:
    """Build one full box on `rung` and look around inside; why it does not hold, or nothing."""
    from aqe.agents.gate.box import Box, BoxSpec

    with tempfile.TemporaryDirectory(prefix="aqe-trial-") as folder, socket.create_server(("127.0.0.1", 0)) as server:
        os.chmod(folder, 0o755)
        project, secret = Path(folder, "project"), Path(folder, "secret")
        project.mkdir()
        secret.write_text("secret", "utf-8")
        args = {"outside": str(project / "written"), "secret": str(secret), "port": server.getsockname()[1]}
        try:
            with Box.open(BoxSpec(python=sys.executable, project=str(project)), rung=rung) as box:
                result = box.run("_aqe_inject.trial:look_around", args, wall_s=TRIAL_WALL_S)
        except AqeError as error:
            return error.message
    if result.state != "ok":
        return f"the trial box gave no answer: {result.state} {result.error.splitlines()[0] if result.error else ''}"
    return _judge(result.value)


def _judge(seen: dict[str, Any]) -> str:
    if not seen["scratch"]:
        return "scratch cannot be written inside"
    for key, words in (
        ("wrote", "write to the project"),
        ("read", "read a file outside"),
        ("connected", "reach the host's network"),
    ):
        if seen[key]:
            return f"code inside can {words}"
    return ""


def _cache_file() -> Path:
    folder = Path(platformdirs.user_cache_dir("aqe"))
    return folder / "sandbox-rung.json"


def _key() -> str:
    try:
        boot = Path("/proc/sys/kernel/random/boot_id").read_text("ascii").strip()
    except OSError:
        boot = ""
    user = os.geteuid() if hasattr(os, "geteuid") else ""
    return f"{boot}/{user}/{sys.executable}/{Path(__file__).stat().st_mtime_ns}/{_standing()}"


def _standing() -> str:
    """What decides besides the kernel which walls this process may put up: its rights and the walls around it."""
    kept = []
    try:
        kept.append(os.readlink("/proc/self/ns/user"))
        lines = Path("/proc/self/status").read_text("ascii", "replace").splitlines()
        kept += [
            line.split(":")[1].strip() for line in lines if line.startswith(("CapEff", "CapBnd", "Seccomp:", "NoNew"))
        ]
        kept.append(Path("/proc/self/attr/current").read_text("ascii", "replace").strip("\0\n"))
    except OSError:
        pass
    return " ".join(kept)


def _recall() -> Choice | None:
    path = _cache_file()
    try:
        facts = path.stat()
        if (
            not hasattr(os, "geteuid")
            or facts.st_uid != os.geteuid()
            or facts.st_mode & 0o022
            or not _key().split("/")[0]
        ):
            return None  # somebody else could have written it, or nothing says when this machine booted
        data = json.loads(path.read_text("utf-8"))
        if data["key"] != _key():
            return None
        return Choice(int(data["rung"]), {int(rung): str(why) for rung, why in data["reasons"].items()})
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return None


def _remember(choice: Choice) -> None:
    path = _cache_file()
    try:
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        with tempfile.NamedTemporaryFile("w", encoding="utf-8", dir=path.parent, delete=False) as stream:
            json.dump({"key": _key(), "rung": choice.rung, "reasons": choice.reasons}, stream)
        os.replace(stream.name, path)
    except OSError:
        pass  # nowhere to write: the next process tries again
