"""What a Python interpreter is and what it can import, learned by running it once with a time limit."""

from __future__ import annotations

import json
import os
import subprocess
import threading
from collections.abc import Mapping
from dataclasses import dataclass

from aqe.engine.errors import UserError

OLDEST = (3, 9)
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


_cache: dict[str, tuple[tuple[object, ...], Interpreter]] = {}
_cache_lock = threading.Lock()


def probe(executable: str, origin: str, *, environ: Mapping[str, str] | None = None) -> Interpreter:
    """Run `executable` and describe it; a later call answers from memory until one of its folders changes.

    Raises `UserError`: no-interpreter, python-too-old, not-cpython.
    """
    with _cache_lock:
        known = _cache.get(executable)
    if known is not None and known[0] == _stamp(known[1]):
        found = known[1]
        return found if found.origin == origin else _renamed(found, origin)
    interpreter = _read(executable, origin, _run(executable, origin, os.environ if environ is None else environ))
    with _cache_lock:
        _cache[executable] = (_stamp(interpreter), interpreter)
    return interpreter


def _renamed(found: Interpreter, origin: str) -> Interpreter:
    from dataclasses import replace

    return replace(found, origin=origin)


def _stamp(interpreter: Interpreter) -> tuple[object, ...]:
    """Changes whenever the interpreter or what is installed in it does."""
    places = (interpreter.executable, os.path.join(interpreter.prefix, "pyvenv.cfg"), *interpreter.sys_path)
    return tuple(_modified(place) for place in places)


def _modified(path: str) -> int:
    try:
        return os.stat(path).st_mtime_ns
    except OSError:
        return -1


def _run(executable: str, origin: str, environ: Mapping[str, str]) -> str:
    keep = ("PATH", "HOME", "LANG", "LC_ALL", "SYSTEMROOT", "TMPDIR", "LD_LIBRARY_PATH", "PYENV_VERSION", "PYENV_ROOT")
    clean = {name: environ[name] for name in keep if name in environ}
    try:
        done = subprocess.run(
            [executable, "-c", PROBE],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=PROBE_WALL_S,
            env=clean,
            cwd=os.path.dirname(executable) or None,
            check=False,
        )
    except subprocess.TimeoutExpired:
        raise _unusable(executable, origin, f"gave no answer in {PROBE_WALL_S:.0f} s") from None
    except OSError as error:
        raise _unusable(executable, origin, f"cannot be started: {error.strerror or error}") from None
    text = done.stdout.decode("utf-8", "replace")
    if done.returncode != 0 or MARK not in text:
        lines = done.stderr.decode("utf-8", "replace").strip().splitlines()
        said = lines[-1] if lines else f"exit status {done.returncode}"
        raise _unusable(executable, origin, f"does not run as a Python: {said}")
    return text.rpartition(MARK)[2]


def _read(executable: str, origin: str, text: str) -> Interpreter:
    try:
        facts = json.loads(text)
        version = tuple(int(part) for part in facts["version"])
    except (ValueError, KeyError, TypeError):
        raise _unusable(executable, origin, "gave an answer that is not readable") from None
    if facts["implementation"] != "cpython":
        raise UserError(
            f"{executable} ({origin}) is {facts['implementation']}, and aqe measures only on CPython.",
            code="not-cpython",
            fix="Name a CPython 3.9 or newer with --python.",
        )
    if version[:2] < OLDEST:
        raise UserError(
            f"{executable} ({origin}) is Python {'.'.join(map(str, version))}, older than 3.9.",
            code="python-too-old",
            fix="Name a CPython 3.9 or newer with --python.",
        )
    has = facts["has"]
    return Interpreter(
        executable=facts["executable"] or executable,
        version=(version[0], version[1], version[2]),
        prefix=facts["prefix"],
        base_prefix=facts["base_prefix"],
        sys_path=tuple(facts["path"]),
        has_pytest=bool(has.get("pytest")),
        has_coverage=bool(has.get("coverage")),
        origin=origin,
        has_ctypes=bool(has.get("ctypes")),
        editable=tuple(facts["editable"]),
        user_base=facts["user_base"],
    )


def _unusable(executable: str, origin: str, why: str) -> UserError:
    return UserError(
        f"The interpreter {executable} ({origin}) {why}.",
        code="no-interpreter",
        fix="Name a working CPython 3.9 or newer with --python.",
    )
