"""What a Python interpreter is and what it can import, learned by running it once, inside a box, with a time limit.

An environment of the project is the project's code: its `python` may be any program, its `.pth` files and its
`sitecustomize` run at each start. So it is asked inside the sandbox; only the Python that runs aqe itself is not.
"""

from __future__ import annotations

import json
import os
import subprocess
import threading
from collections.abc import Mapping
from dataclasses import dataclass, replace

from aqe.agents.gate.known_interpreters import Stamp, recall, remember, stamp_of
from aqe.engine.errors import UserError

OLDEST = (3, 9)
SHOWN = 160  # characters of what a program that is no Python said
PROBE_WALL_S = 20.0
MARK = "aqe-probe:"

# Runs under the project's Python, whatever its age: old syntax, nothing but the standard library.
PROBE = r"""
import json, os, sys
try:
    from importlib.util import find_spec
    has = dict((name, find_spec(name) is not None) for name in ("pytest", "coverage", "ctypes"))
except Exception:
    has = {}
editable = []
for finder in sys.meta_path:
    module = sys.modules.get(getattr(finder, "__module__", ""))
    mapping = getattr(module, "MAPPING", None)
    if isinstance(mapping, dict):
        editable += [value for value in mapping.values() if isinstance(value, str)]
user_base = ""
try:
    import site
    if site.ENABLE_USER_SITE and os.path.isdir(site.getusersitepackages()):
        user_base = site.getuserbase()
except Exception:
    pass
implementation = getattr(getattr(sys, "implementation", None), "name", "cpython")
sys.stdout.write("@MARK@" + json.dumps({
    "version": list(sys.version_info[:3]), "implementation": implementation, "prefix": sys.prefix,
    "base_prefix": getattr(sys, "base_prefix", sys.prefix), "path": [p for p in sys.path if p],
    "has": has, "executable": sys.executable, "editable": editable, "user_base": user_base,
}) + "\n")
""".replace("@MARK@", MARK)


@dataclass(frozen=True)
class Interpreter:
    """A CPython that was run. `origin` says what named it: "--python", "VIRTUAL_ENV", ".venv", ...

    `editable` lists source folders of editable installs that are not on `sys_path`; `user_base` is the user's
    site base where it holds packages, else empty.
    """

    executable: str
    version: tuple[int, int, int]
    prefix: str
    base_prefix: str
    sys_path: tuple[str, ...]
    has_pytest: bool
    has_coverage: bool
    origin: str
    has_ctypes: bool = True
    editable: tuple[str, ...] = ()
    user_base: str = ""

    @property
    def version_text(self) -> str:
        return ".".join(map(str, self.version))


_cache: dict[str, tuple[Stamp, Interpreter]] = {}
_cache_lock = threading.Lock()


def probe(
    executable: str,
    origin: str,
    *,
    environ: Mapping[str, str] | None = None,
    project: str | None = None,
    trusted: bool = False,
) -> Interpreter:
    """Run `executable` in a box and describe it; until it or its folders change the answer is remembered.

    `project` is whose settings may allow rung 0; `trusted` says that the caller runs the project's code outside the
    sandbox anyway, so that rung 0 will do. Raises `UserError`: no-interpreter, python-too-old, not-cpython,
    weak-sandbox, no-sandbox.
    """
    with _cache_lock:
        known = _cache.get(executable)
    if known is not None and known[0] == stamp_of(executable, known[1].sys_path):
        return replace(known[1], origin=origin) if known[1].origin != origin else known[1]
    text = recall(executable)
    if text is None:
        text = _ask(executable, origin, os.environ if environ is None else environ, project, trusted)
        interpreter = _read(executable, origin, text)
        remember(executable, interpreter.sys_path, text)
    else:
        interpreter = _read(executable, origin, text)
    with _cache_lock:
        _cache[executable] = (stamp_of(executable, interpreter.sys_path), interpreter)
    return interpreter


def _ask(executable: str, origin: str, environ: Mapping[str, str], project: str | None, trusted: bool) -> str:
    """What the interpreter says of itself, as JSON text."""
    from aqe.agents.gate.asking import ask_here, ask_in_box, runs_aqe

    if not os.access(executable, os.X_OK):
        there = os.path.exists(executable)
        raise unusable(executable, origin, f"cannot be started: {'not executable' if there else 'no such file'}")
    try:
        if runs_aqe(executable) or not hasattr(os, "fork"):
            status, printed, said = ask_here(executable, environ, PROBE, PROBE_WALL_S)
        else:
            status, printed, said = ask_in_box(executable, environ, PROBE, PROBE_WALL_S, project, trusted)
    except subprocess.TimeoutExpired:
        raise unusable(executable, origin, f"gave no answer in {PROBE_WALL_S:.0f} s") from None
    except OSError as error:
        raise unusable(executable, origin, f"cannot be started: {error.strerror or error}") from None
    if status != 0 or MARK not in printed:
        lines = said.strip().splitlines()
        how = lines[-1] if lines else f"exit status {status}"
        if len(how) > SHOWN:
            how = f"{how[:SHOWN]}..."
        raise unusable(executable, origin, f"does not run as a Python: {how}")
    return printed.rpartition(MARK)[2]


def _read(executable: str, origin: str, text: str) -> Interpreter:
    try:
        facts = json.loads(text)
        version = tuple(int(part) for part in facts["version"])
        implementation = str(facts["implementation"])
    except (ValueError, KeyError, TypeError, RecursionError):
        raise unusable(executable, origin, "gave an answer that is not readable") from None
    if implementation != "cpython":
        raise UserError(
            f"{executable} ({origin}) is {implementation}, and aqe measures only on CPython.",
            code="not-cpython",
            fix="Name a CPython 3.9 or newer with --python.",
        )
    if version[:2] < OLDEST:
        raise UserError(
            f"{executable} ({origin}) is Python {'.'.join(map(str, version))}, older than 3.9.",
            code="python-too-old",
            fix="Name a CPython 3.9 or newer with --python.",
        )
    try:
        has = dict(facts["has"])
        return Interpreter(
            executable=_path(facts["executable"]) or executable,
            version=(version[0], version[1], version[2]),
            prefix=_path(facts["prefix"]),
            base_prefix=_path(facts["base_prefix"]),
            sys_path=tuple(map(_path, facts["path"])),
            has_pytest=bool(has.get("pytest")),
            has_coverage=bool(has.get("coverage")),
            origin=origin,
            has_ctypes=bool(has.get("ctypes")),
            editable=tuple(map(_path, facts["editable"])),
            user_base=_path(facts["user_base"]),
        )
    except (KeyError, TypeError, ValueError, IndexError):
        raise unusable(executable, origin, "gave an answer that is not readable") from None


def _path(value: object) -> str:
    if not isinstance(value, str) or "\0" in value:
        raise ValueError(f"{value!r} is no path")
    return value


def unusable(executable: str, origin: str, why: str) -> UserError:
    """The error for a program that was named as the project's Python and is none."""
    return UserError(
        f"The interpreter {executable} ({origin}) {why}.",
        code="no-interpreter",
        fix="Name a working CPython 3.9 or newer with --python.",
    )
