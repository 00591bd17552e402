"""The record of a Python process that a recorded test started: a file of its own in the spool.

`_AQE_MAP_CHILD` names project, spool and run, `_AQE_MAP_SCOPE` who started it. The marks lie in a file, so that those
of a process that is killed are kept. A pytest worker of xdist starts the same way and takes the record over (`adopt`).
"""

import atexit
import json
import os
import sys
from typing import Any, Callable, Dict, Optional, Set, Tuple

from .doings import CHILD, SCOPE, Doings
from .entries import Record, install

_HOLDER = "_aqe_map_record"


class Lines:
    """Appends JSON lines to a file, each by one write; `trouble` says what stopped it."""

    def __init__(self, path: str) -> None:
        self.path = path
        self.trouble = ""
        self._handle: Optional[int] = None
        self._pid = os.getpid()

    def __call__(self, line: Dict[str, Any]) -> None:
        data = json.dumps(line, separators=(",", ":")).encode("ascii") + b"\n"
        try:
            if self._handle is None:
                flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND | getattr(os, "O_BINARY", 0)
                self._handle = os.open(self.path, flags, 0o666)
            os.write(self._handle, data)
        except OSError as error:
            self.trouble = "cannot write %s (%s)" % (self.path, error.strerror or error)

    def forget(self) -> None:
        """Take the file away again."""
        if self._handle is not None:
            os.close(self._handle)
            self._handle = None
        _unlink(self.path)


class Child:
    """A child's record with its files."""

    def __init__(self, project: str, spool: str, run: str) -> None:
        name = os.path.join(spool, "%s.%d" % (run, os.getpid()))
        self.lines = Lines(name + ".map")
        self.record = Record(project, self.lines, place=name + ".marks")
        self._opened = self.record.open()
        self._pid = os.getpid()
        self.lines({"k": "child", "scope": os.environ.get(SCOPE, ""), "pid": self._pid})

    def end(self) -> None:
        """Write what was marked; the marks' file is needed no more."""
        if os.getpid() != self._pid or self.record.place is None:
            return
        self.record.harvest()
        self.lines({"k": "child-hits", "scope": os.environ.get(SCOPE, ""), "hits": sorted(self._opened)})
        _unlink(self.record.place)

    def let_go(self, write: Callable[[Dict[str, Any]], None]) -> Tuple[Record, Set[int]]:
        """Hand the record and its open set to a pytest worker, which writes a file of its own."""
        atexit.unregister(self.end)
        self.lines.forget()
        if self.record.place is not None:
            _unlink(self.record.place)
        self.record.redirect(write)
        return self.record, self._opened


def begin() -> None:
    """Start this process's record, as its environment says."""
    told = json.loads(os.environ[CHILD])
    child = Child(told["project"], told["spool"], told["run"])
    setattr(sys, _HOLDER, child)
    atexit.register(child.end)
    install(child.record)
    Doings(child.record).install()


def adopt(write: Callable[[Dict[str, Any]], None]) -> Optional[Tuple[Record, Set[int]]]:
    """The record that this process has from its start, if it has one; from now on it writes by `write`."""
    child = getattr(sys, _HOLDER, None)
    if child is None:
        return None
    setattr(sys, _HOLDER, None)
    found: Tuple[Record, Set[int]] = child.let_go(write)
    return found


def _unlink(path: str) -> None:
    try:
        os.unlink(path)
    except OSError:
        pass
