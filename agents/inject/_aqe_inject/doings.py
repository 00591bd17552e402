"""What a test does beside entering functions, heard by an audit hook: files it reads, folders it lists, processes.

A hook cannot be taken away again, so it is installed once and does nothing while no set is open. A Python process that
a test starts records itself (`children`), if it gets our variables; of what starts without them nothing can be seen,
and the test is marked as opaque.
"""

import hashlib
import os
import re
import sys
from typing import Any, Dict, Iterable, Optional, Set

from .entries import Record

DATA, LISTING, OPAQUE = "<data>", "<listing>", "<opaque>"
CHILD, SCOPE = "_AQE_MAP_CHILD", "_AQE_MAP_SCOPE"
STARTUP = os.path.join(os.path.dirname(os.path.abspath(__file__)), "startup")
_DIGESTED_BYTES = 4_000_000
_PASSED_BY = ("/.pytest_cache/", "/.hypothesis/", "/.mypy_cache/", "/.ruff_cache/", "/.coverage")
_LOOKERS = ("<frozen importlib", "<frozen zipimport", "/_pytest/", "/coverage/", "/_aqe_inject/")
_BETWEEN = frozenset("pathlib.py os.py _local.py _abc.py io.py codecs.py glob.py tokenize.py linecache.py".split())
_HARMLESS = frozenset(
    "git ldconfig gcc cc clang ld uname lsb_release which true false echo cat ls sleep hostname objdump file".split()
)
_ALONE = re.compile(r"^-[a-zA-Z]*[EIS]")


class Doings:
    """Turns audit events into parts of the record."""

    def __init__(self, record: Record) -> None:
        self._record = record
        self._known: Dict[str, Optional[int]] = {}
        self._written: Set[str] = set()
        self._busy = False
        self._handlers = {
            "open": self._opened,
            "sqlite3.connect": self._opened,
            "os.listdir": self._listed,
            "os.scandir": self._listed,
            "subprocess.Popen": self._popen,
            "os.posix_spawn": self._spawned,
            "os.exec": self._spawned,
            "os.system": self._shell,
        }

    def install(self) -> None:
        """Listen from now on."""
        handlers, record = self._handlers, self._record

        def hook(event: str, args: Any) -> None:
            if event in handlers and record.open_sets and not self._busy:
                self._busy = True
                try:
                    handlers[event](args)
                except Exception:  # what is odd in a path must not end the test that used it
                    pass
                finally:
                    self._busy = False

        sys.addaudithook(hook)

    def _opened(self, args: Any) -> None:
        path = args[0]
        mode = args[1] if len(args) > 1 else None
        if isinstance(path, int):
            return
        if (isinstance(mode, str) and mode[:1] in "wxa") or (mode is None and len(args) > 2 and args[2] & os.O_WRONLY):
            self._written.add(os.path.abspath(os.fsdecode(path)))  # what a test writes itself is no data of it
        elif os.path.abspath(os.fsdecode(path)) not in self._written:
            self._note(path, DATA)

    def _listed(self, args: Any) -> None:
        if not isinstance(args[0], int):
            self._note("." if args[0] is None else args[0], LISTING)

    def _note(self, path: Any, name: str) -> None:
        whole = os.path.join(os.getcwd(), os.fsdecode(path))
        key = name + whole
        if self._known.get(key, 0) is None or _asked_by_machinery():
            return
        if key not in self._known:
            self._known[key] = self._number(os.path.normpath(whole), name)
        number = self._known[key]
        if number is not None:
            self._record.add(number)

    def _number(self, path: str, name: str) -> Optional[int]:
        relative = self._record.inside(path)
        slashed = "/%s" % relative
        if relative is None or relative.endswith(".pyc") or any(part in slashed for part in _PASSED_BY):
            return None
        return self._record.part(relative, name, content_digest(path, name))

    # processes

    def _popen(self, args: Any) -> None:
        self._started(args[0], args[1], args[3])

    def _spawned(self, args: Any) -> None:
        self._started(args[0], args[1], args[2])

    def _shell(self, args: Any) -> None:
        self._started("sh", [args[0]], None)

    def _started(self, executable: Any, args: Any, env: Any) -> None:
        words = [args] if isinstance(args, (str, bytes)) else list(args or [])
        words = [os.fsdecode(word) for word in words]
        program = os.path.basename(os.fsdecode(executable or (words[0] if words else "")))
        alone = _starts_alone(words)
        if _passes_on(env) and not alone:
            if program.startswith("python"):
                self._record.tell({"k": "start", "scope": os.environ.get(SCOPE, "")})
        elif alone or program not in _HARMLESS:
            self._record.add(self._record.part("", OPAQUE, program))


def _asked_by_machinery() -> bool:
    """Whether imports, pytest or coverage asked for the file, rather than the code under test."""
    frame: Any = sys._getframe(1)
    while frame is not None and (
        frame.f_code.co_filename == __file__ or os.path.basename(frame.f_code.co_filename) in _BETWEEN
    ):
        frame = frame.f_back
    where = frame.f_code.co_filename.replace(os.sep, "/") if frame is not None else ""
    return any(part in where for part in _LOOKERS)


def content_digest(path: str, name: str) -> str:
    """A digest of a file's bytes, or of the names in a folder; "missing" where there is none."""
    try:
        if name == LISTING:
            names = sorted(one for one in os.listdir(path) if one[:1] != "." and one != "__pycache__")
            data = "\0".join(names).encode("utf-8", "surrogateescape")
        elif os.path.getsize(path) > _DIGESTED_BYTES:
            return "%d bytes" % os.path.getsize(path)
        else:
            with open(path, "rb") as file:
                data = file.read()
    except OSError:
        return "missing"
    return hashlib.sha256(data).hexdigest()[:16]


def _passes_on(env: Any) -> bool:
    """Whether a process with this environment finds the way to record itself."""
    env = os.environ if env is None else env
    try:
        plain = {os.fsdecode(name): os.fsdecode(env[name]) for name in env}
    except (TypeError, AttributeError):
        plain = dict(_pairs(env))
    return CHILD in plain and STARTUP in plain.get("PYTHONPATH", "").split(os.pathsep)


def _pairs(env: Iterable[Any]) -> Iterable[Any]:
    for pair in env:
        name, _, value = os.fsdecode(pair).partition("=")
        yield name, value


def _starts_alone(words: Any) -> bool:
    """Whether Python is asked to ignore its environment (-E, -I) or its site (-S)."""
    for word in words[1:]:
        if not word.startswith("-") or word in ("-c", "-m"):
            break
        if _ALONE.match(word):
            return bool(os.path.basename(words[0]).startswith("python"))
    return len(words) < 4 and bool(re.search(r"python\S*\s+-[a-zA-Z]*[EIS]\b", " ".join(words)))
