"""What the supervisor is told: one JSON object made from a `BoxSpec`, an interpreter and a rung."""

from __future__ import annotations

import base64
import contextlib
import json
import os
import secrets
import struct
import subprocess
import tempfile
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

from aqe.agents.gate.allow_list import DEVICES, ETC, entry_by_entry, make_allow_list
from aqe.agents.gate.probing import Interpreter
from aqe.agents.gate.spec import BoxSpec
from aqe.engine.errors import UserError

HERE = Path(__file__).resolve().parent
INJECT = str(HERE.parent / "inject")
FIRST_JOB_UID, JOB_UIDS = 2_000_000_000, 100_000_000


# Runs under aqe's own Python with -I -S: the few modules it needs, without the rest of aqe or site-packages.
def boot(module: str) -> str:
    """Source that runs `main` of a module of this package."""
    packages: tuple[tuple[str, list[str]], ...] = (
        ("aqe", []),
        ("aqe.agents", [str(HERE.parent)]),
        ("aqe.agents.gate", [str(HERE)]),
    )
    return (
        "import sys, types\n"
        f"for name, path in {packages!r}:\n"
        "    sys.modules[name] = module = types.ModuleType(name); module.__path__ = path\n"
        f"from aqe.agents.gate.{module} import main; main()"
    )


def hand_over(process: subprocess.Popen[bytes], plan: Mapping[str, Any]) -> None:
    """Tell a process that began with `boot` its plan; one that died meanwhile is for its watcher to notice."""
    text = json.dumps(plan).encode()
    assert process.stdin is not None
    with contextlib.suppress(BrokenPipeError):
        process.stdin.write(struct.pack(">I", len(text)) + text)
        process.stdin.flush()


def make_plan(spec: BoxSpec, interpreter: Interpreter, rung: int, fds: dict[str, int]) -> dict[str, Any]:
    """The plan for one box. Raises `UserError` (no-such-project, no-sandbox) for folders that cannot be bound."""
    project = os.path.abspath(spec.project)
    if not os.path.isdir(project):
        raise UserError(
            f"The project folder {project} does not exist.", code="no-such-project", fix="Name another one."
        )
    if os.path.realpath(project) == "/":
        raise UserError(
            "The project is the root of the file system, which cannot be shown inside a sandbox.",
            code="no-sandbox",
            fix="Name the folder that holds the project with --project.",
        )
    named = [os.path.abspath(path) for path in (*spec.path, *spec.readable, INJECT)]
    allowed = make_allow_list(interpreter, project, named)
    return {
        "rung": rung,
        "root": hasattr(os, "geteuid") and os.geteuid() == 0,
        "job_uid": FIRST_JOB_UID + secrets.randbelow(JOB_UIDS),
        "python": interpreter.executable,
        "project": project,
        "cwd": os.path.abspath(spec.cwd) if spec.cwd else project,
        "path": [*(os.path.abspath(path) for path in spec.path), INJECT],
        "needed": [project, *named],
        "system": allowed.system,
        "private": entry_by_entry(allowed.private) if rung == 3 else allowed.private,
        "links": allowed.links,
        "masked": allowed.masked,
        "shown": allowed.shown,
        "devices": DEVICES,
        "etc": ETC,
        "files": {_relative(name): base64.b64encode(data).decode() for name, data in spec.files.items()},
        "env": _environment(spec, interpreter),
        "limits": asdict(spec.limits),
        "scratch_parent": tempfile.gettempdir(),
        "keep": list(fds.values()),
        **fds,
    }


def _relative(name: str) -> str:
    if os.path.isabs(name) or ".." in Path(name).parts:
        raise ValueError(f"a scratch file needs a relative name inside scratch, not {name!r}")
    return name


def _environment(spec: BoxSpec, interpreter: Interpreter) -> dict[str, str]:
    """A clean environment; "{scratch}" becomes the scratch folder inside."""
    environment = {
        "PATH": os.pathsep.join((os.path.dirname(interpreter.executable), "/usr/local/bin", "/usr/bin", "/bin")),
        "HOME": "{scratch}",
        "TMPDIR": "{scratch}",
        "LANG": "C.UTF-8",
        "TZ": "UTC",
        "PYTHONHASHSEED": str(spec.hash_seed),
        "PYTHONDONTWRITEBYTECODE": "1",
        "OPENBLAS_NUM_THREADS": "1",
        "OMP_NUM_THREADS": "1",
    }
    if interpreter.user_base:
        environment["PYTHONUSERBASE"] = interpreter.user_base
    if interpreter.prefix != interpreter.base_prefix:
        environment["VIRTUAL_ENV"] = interpreter.prefix
    return {**environment, **spec.env}
