"""Which functions of the project were entered: a mark at the start of each, set by an import hook.

A mark is one store into shared memory, `marks[i] = 1`, in the code itself: it needs no tracer, so it runs beside
coverage and debuggers, in every thread, and in forked children, whose marks the parent reads. Line numbers stay; only
the code that is run has the marks, no file is written but a cache of it in `.aqe/impact`.
"""

import ast
import contextlib
import hashlib
import importlib
import importlib.machinery
import marshal
import mmap
import os
import re
import sys
from types import CodeType
from typing import Any, Callable, Dict, List, Optional, Set, Tuple

from . import anatomy
from .spooling import make_inside

FORMAT = 2
CAPACITY = 1 << 18
_MARKS = "\0aqe marks"
_KEPT = "\0aqe kept"
_KEEPERS = re.compile(r"cache|memo|once|singleton|lazy", re.IGNORECASE)
_PER_OBJECT = re.compile(r"property", re.IGNORECASE)
_NUMBERS = 0x5A0E91C700000000  # the marks' own numbers in compiled code start here, and are moved when it is loaded
_OUTSIDE = ("site-packages", "dist-packages", "__pycache__", "node_modules")
IMPORT = "<import>"
START = "<start>"


class Marks(mmap.mmap):
    """Shared memory that compiled code may refer to; where such code is pickled, the copy's marks go nowhere."""

    def __reduce__(self) -> Any:
        return bytearray, (CAPACITY,)


class Record:
    """The marks of one process and who owns them: each open set gets all that is marked while it is open.

    Numbers below CAPACITY are functions, those from there on are named parts (an import, a file that was read), and
    negative ones are the scopes that child processes name. `write` takes one line of the record.
    """

    def __init__(self, project: str, write: Callable[[Dict[str, Any]], None], place: Optional[str] = None) -> None:
        self.project = os.path.realpath(project)
        self._root = self.project + os.sep
        self._prefix = os.path.realpath(sys.prefix) + os.sep
        self._write = write
        self.place = place
        self.marks = _shared(place)
        self.files: Dict[str, int] = {}
        self.table: List[Dict[str, Any]] = []
        self.open_sets: List[Set[int]] = []
        self._used = 0
        self._parts: Dict[Tuple[str, str, str], int] = {}
        self._pid = os.getpid()
        home = os.path.join(self.project, ".aqe")
        sealed = os.environ.get("AQE_DB_KEY") or os.path.exists(os.path.join(home, "key-id"))
        self._cache = "" if sealed else os.path.join(home, "impact")

    # sets

    def open(self) -> Set[int]:
        """Start a set."""
        self.harvest()
        fresh: Set[int] = set()
        self.open_sets.append(fresh)
        return fresh

    def close(self, opened: Set[int]) -> Set[int]:
        """End a set that `open` gave."""
        self.harvest()
        self.open_sets = [one for one in self.open_sets if one is not opened]
        return opened

    def harvest(self) -> None:
        """Hand what was marked since the last time to every open set; a forked child leaves it to its parent."""
        if os.getpid() != self._pid:
            return
        marks, found = self.marks, []
        place = marks.find(b"\1", 0, self._used)
        while place >= 0:
            marks[place] = 0
            found.append(place)
            place = marks.find(b"\1", place + 1, self._used)
        for one in self.open_sets:
            one.update(found)

    def add(self, number: int) -> None:
        """Put a number into every open set."""
        for one in self.open_sets:
            one.add(number)

    def part(self, path: str, name: str, digest: str = "") -> int:
        """The number of a named part of a file."""
        key = (path, name, digest)
        if key not in self._parts:
            self._parts[key] = CAPACITY + len(self._parts)
            self.tell({"k": "part", "number": self._parts[key], "file": path, "name": name, "digest": digest})
        return self._parts[key]

    # what is told

    def tell(self, line: Dict[str, Any]) -> None:
        """Write a line of the table, and keep it for a writer that comes later."""
        self.table.append(line)
        self._write(line)

    def redirect(self, write: Callable[[Dict[str, Any]], None]) -> None:
        """From now on write elsewhere, from the table's start."""
        self._write = write
        for line in self.table:
            write(line)

    # files

    def inside(self, path: str) -> Optional[str]:
        """The posix path relative to the project; None for what is not the project's own."""
        real = os.path.realpath(path)
        if not real.startswith(self._root):
            return None
        relative = real[len(self._root) :].replace(os.sep, "/")
        parts = relative.split("/")
        if any(part in _OUTSIDE or part in (".aqe", ".git", ".tox", ".nox") for part in parts):
            return None
        return None if self._prefix != self._root and real.startswith(self._prefix) else relative

    def code_of(self, relative: str, path: str, data: bytes) -> CodeType:
        """The file's code with marks; raises SyntaxError or ValueError as compiling does."""
        content = hashlib.sha256(data).hexdigest()
        compiled, functions, module, heads = self._compiled(path, data, content)
        if os.getpid() != self._pid or self._used + len(functions) > CAPACITY:
            self.tell({"k": "coarse", "file": relative})
            return compile(data, path, "exec", dont_inherit=True)
        if relative not in self.files:
            self.files[relative] = self._used
            self._used += len(functions)
            line = {"k": "file", "file": relative, "content": content, "first": self.files[relative]}
            line.update(functions=functions, module=module, heads=heads)
            self.tell(line)
        return _bound(compiled, self.marks, _Kept(self, relative), self.files[relative])

    def _compiled(self, path: str, data: bytes, content: str) -> Tuple[CodeType, List[Any], str, Any]:
        """Code, functions with digests, the module's digest and the heads'; from the cache where it has them."""
        name = self._cached(path, content)
        if name:
            try:
                with open(name, "rb") as file:
                    found = marshal.loads(file.read())
                if isinstance(found, tuple) and len(found) == 4 and isinstance(found[0], CodeType):
                    return found
            except (OSError, ValueError, EOFError, TypeError):
                pass
        tree = ast.parse(data, path)
        parts = anatomy.Anatomy(tree)
        functions = []
        for node, qualname in list(anatomy.functions_of(tree)):
            functions.append((qualname, parts.functions[qualname][0]))
            _mark(node, len(functions) - 1)
        made = (compile(tree, path, "exec", dont_inherit=True), functions, parts.module, parts.heads)
        if name:
            self._keep(name, marshal.dumps(made))
        return made

    def _cached(self, path: str, content: str) -> str:
        """The file of the cache for a source file of this content; none where the database is encrypted, for the code
        would lie in clear beside it."""
        if not self._cache:
            return ""
        tag = "%s %d %s %s" % (content, anatomy.FORMAT, sys.implementation.cache_tag, path)
        tag += " %d %d" % (sys.flags.optimize, sys.hexversion)
        return os.path.join(self._cache, hashlib.sha256(tag.encode("utf-8", "backslashreplace")).hexdigest()[:32])

    def _keep(self, name: str, data: bytes) -> None:
        """Put compiled code into the cache, where that can be written."""
        try:
            make_inside(self.project, "impact")
            spare = "%s.%d" % (name, os.getpid())
            with open(spare, "wb") as file:
                file.write(data)
            os.replace(spare, name)
        except OSError:
            pass


class _Kept:
    """What a function executes whose result is kept: the first caller alone would seem to depend on it.

    So all that is executed meanwhile counts as executed by importing the file, like any other state of a module.
    """

    def __init__(self, record: Record, file: str) -> None:
        self._record = record
        self._file = file
        self._told: Set[int] = set()
        self._open: List[Set[int]] = []

    def __reduce__(self) -> Any:
        return _nothing_kept, ()

    def __enter__(self) -> None:
        self._open.append(self._record.open())

    def __exit__(self, *error: Any) -> None:
        hits = self._record.close(self._open.pop()) if self._open else set()
        if not hits <= self._told:
            self._told |= hits
            self._record.tell({"k": "import", "file": self._file, "hits": sorted(hits)})


def _nothing_kept() -> Any:
    """In place of what a pickled function would have kept."""
    return contextlib.nullcontext()


class _Loader(importlib.machinery.SourceFileLoader):
    """Loads a file of the project with marks, and notes what its import executes and imports."""

    def __init__(self, name: str, path: str, relative: str, record: Record) -> None:
        super().__init__(name, path)
        self._relative = relative
        self._record = record

    def get_code(self, fullname: str) -> Any:
        path = self.get_filename(fullname)
        try:
            return self._record.code_of(self._relative, path, self.get_data(path))
        except (SyntaxError, ValueError, RecursionError):
            return super().get_code(fullname)

    def exec_module(self, module: Any) -> None:
        record = self._record
        record.add(record.part(self._relative, IMPORT))
        opened = record.open()
        try:
            super().exec_module(module)
        finally:
            hits = record.close(opened)
            if hits:
                record.tell({"k": "import", "file": self._relative, "hits": sorted(hits)})


class Finder:
    """Lets the other finders find, and loads the project's plain source files with marks."""

    def __init__(self, record: Record) -> None:
        self.record = record

    def find_spec(self, name: str, path: Any = None, target: Any = None) -> Any:
        for finder in list(sys.meta_path):
            find = getattr(finder, "find_spec", None)
            if isinstance(finder, Finder) or find is None:
                continue
            spec = find(name, path, target)
            if spec is None:
                continue
            if type(spec.loader) is importlib.machinery.SourceFileLoader and spec.origin:
                relative = self.record.inside(spec.origin)
                if relative is not None:
                    spec.loader = _Loader(spec.loader.name, spec.loader.path, relative, self.record)
            return spec
        return None


def install(record: Record) -> None:
    """From now on load the project's modules with marks, and note imports that are made by name."""
    finders: List[Any] = sys.meta_path
    finders.insert(0, Finder(record))
    plain = importlib.import_module

    def import_module(name: str, package: Optional[str] = None) -> Any:
        module = plain(name, package)
        where = getattr(module, "__file__", None)
        if record.open_sets and isinstance(where, str):
            relative = record.inside(where)
            if relative is not None:
                record.add(record.part(relative, IMPORT))
        return module

    importlib.import_module = import_module


def _shared(place: Optional[str]) -> Marks:
    """Memory that forked children share; with `place` in a file, so that it outlives a process that is killed."""
    if place is None:
        return Marks(-1, CAPACITY)
    with open(place, "w+b") as file:
        file.truncate(CAPACITY)
        return Marks(file.fileno(), CAPACITY)


def _mark(node: Any, number: int) -> None:
    """Put the mark at the start of a function's body, on the line of its first statement."""
    at = 1 if anatomy.has_docstring(node) else 0
    near = node.body[min(at, len(node.body) - 1)]
    marks = ast.Subscript(ast.Constant(_MARKS), ast.Constant(_NUMBERS + number), ast.Store())
    statement = ast.Assign([marks], ast.Constant(1))
    for one in ast.walk(statement):
        ast.copy_location(one, near)
    statement.lineno = near.lineno
    if _keeps(node):
        rest = node.body[at:]
        keeping = ast.With([ast.withitem(ast.Constant(_KEPT), None)], [statement, *rest])
        ast.copy_location(keeping, near)
        ast.copy_location(keeping.items[0].context_expr, near)
        node.body[at:] = [keeping]
    else:
        node.body.insert(at, statement)


def _keeps(node: Any) -> bool:
    """Whether a function looks as if its result outlives the test: a decorator that caches, a global that it sets."""
    if any(isinstance(one, ast.Global) for one in node.body):
        return True
    words = [ast.dump(one) for one in node.decorator_list]
    return any(_KEEPERS.search(word) and not _PER_OBJECT.search(word) for word in words)


def _bound(code: CodeType, marks: Marks, kept: _Kept, first: int) -> CodeType:
    """The code with this process's marks and numbers in place of what the compiled file has."""
    constants: List[Any] = []
    for constant in code.co_consts:
        if isinstance(constant, CodeType):
            constants.append(_bound(constant, marks, kept, first))
        elif type(constant) is str and constant == _MARKS:
            constants.append(marks)
        elif type(constant) is str and constant == _KEPT:
            constants.append(kept)
        elif type(constant) is int and _NUMBERS <= constant < _NUMBERS + CAPACITY:
            constants.append(first + constant - _NUMBERS)
        else:
            constants.append(constant)
    return code.replace(co_consts=tuple(constants))
