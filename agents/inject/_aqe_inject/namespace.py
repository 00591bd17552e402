"""The names that a test file will see: the subject's own names bare, everything else through an import line."""

from __future__ import annotations

import ast
import collections
import datetime
import decimal
import fractions
import functools
import importlib
import itertools
import os
import pathlib
import uuid
from types import ModuleType
from typing import Any, Dict, List, Optional, Tuple

from .loops import patient_asyncio
from .probes import StepLimit

_FROM = (
    (datetime, ("date", "datetime", "time", "timedelta", "timezone")),
    (decimal, ("Decimal",)),
    (fractions, ("Fraction",)),
    (uuid, ("UUID",)),
    (pathlib, ("Path", "PurePosixPath", "PureWindowsPath", "PurePath")),
    (collections, ("OrderedDict", "deque", "Counter", "defaultdict")),
    (itertools, ("islice",)),
)
_MODULES = ("asyncio", "io", "math", "operator", "re", "types")


BOUNDED_LIST = "_aqe_list"
"""Stands in for `list` around an iterator under test; endless ones end there."""

COLLECTED = "_aqe_collected"
"""Stands in for the loop by which a test collects what an asynchronous generator gives."""

MOST_ITEMS = 5000


def bounded_list(items: Any) -> List[Any]:
    """The list of the items; an iterator that goes on and on counts as a loop that does. Raises StepLimit."""
    if not hasattr(type(items), "__next__"):
        return list(items)
    found = list(itertools.islice(items, MOST_ITEMS))
    if len(found) == MOST_ITEMS:
        raise StepLimit
    return found


async def collected(items: Any, most: Optional[int] = None) -> List[Any]:
    """What an asynchronous generator gives, at most `most` items. Raises StepLimit where it goes on and on."""
    found: List[Any] = []
    try:
        async for item in items:
            found.append(item)
            if len(found) == most:
                break
            if len(found) == MOST_ITEMS:
                raise StepLimit
    finally:
        close = getattr(items, "aclose", None)
        if close is not None:
            await close()
    return found


class Environment:
    """Stands in for pytest's monkeypatch, as far as environment variables go; `restore` undoes what a case set."""

    def __init__(self) -> None:
        self._before: Dict[str, Optional[str]] = {}

    def setenv(self, name: str, value: str) -> None:
        """Set a variable until the end of the case."""
        self._before.setdefault(name, os.environ.get(name))
        os.environ[name] = value

    def restore(self) -> None:
        """Put back what was there before the case."""
        while self._before:
            name, value = self._before.popitem()
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value


class Namespace:
    """What source in a test file evaluates in, and the import line behind each name that is not the subject's."""

    def __init__(self, module: ModuleType) -> None:
        self.module = module
        self.imports: Dict[str, str] = {}
        self.globals: Dict[str, Any] = {"__builtins__": __builtins__, "__name__": "aqe_case"}
        for name in _MODULES:
            self.globals[name] = importlib.import_module(name)
            self.imports[name] = "import " + name
        self.globals["asyncio"] = patient_asyncio()
        self.globals[BOUNDED_LIST] = bounded_list
        self.globals[COLLECTED] = collected
        self.environment = Environment()
        self.globals["monkeypatch"] = self.environment
        for home, names in _FROM:
            for name in names:
                self.globals[name] = getattr(home, name)
                self.imports[name] = "from %s import %s" % (home.__name__, name)
        for name, value in list(vars(module).items()):
            if name.startswith("__"):
                continue
            if name in self.imports:
                if getattr(value, "__module__", None) != module.__name__:
                    continue
                del self.imports[name]
            self.globals[name] = value

    def name_of(self, thing: Any) -> Optional[str]:
        """The expression by which a test file reaches a class or function; None when no plain import reaches it."""
        home = getattr(thing, "__module__", None)
        path = getattr(thing, "__qualname__", None)
        if not isinstance(home, str) or not isinstance(path, str) or "<" in path:
            return None
        if home == "builtins":
            return path if self.globals.get(path) is None else None
        first = path.split(".")[0]
        known = self.globals.get(first)
        if known is None or (home != self.module.__name__ and first not in self.imports):
            if not self._adopt(home, first):
                return None
        return path if reach(self.globals, path) is thing else None

    def _adopt(self, home: str, name: str) -> bool:
        """Make `name` of module `home` visible through an import line of its own."""
        try:
            value = vars(importlib.import_module(home)).get(name)
        except Exception:
            return False
        if value is None or self.globals.get(name, value) is not value:
            return False
        if home == "__main__" or (home.split(".")[-1].startswith("_") and name in vars(self.module)):
            return name in self.globals
        self.globals[name] = value
        self.imports[name] = "from %s import %s" % (home, name)
        return True

    def imports_for(self, *sources: str) -> List[str]:
        """The import lines that the given expressions need, sorted; names of the subject itself are not among them."""
        return sorted({self.imports[name] for name in _names_in("\n".join(sources)) if name in self.imports})

    def evaluate(self, source: str, local: Optional[Dict[str, Any]] = None) -> Any:
        """Evaluate an expression as the test file would."""
        return eval(compiled(source, "eval"), self.globals, local if local is not None else {})


def reach(start: Dict[str, Any], path: str) -> Any:
    """Follow a dotted path from a dictionary of names without running descriptors; None where it ends."""
    parts = path.split(".")
    value = start.get(parts[0])
    for part in parts[1:]:
        try:
            value = getattr(value, part)
        except Exception:
            return None
    return value


@functools.lru_cache(maxsize=20000)
def compiled(source: str, mode: str) -> Any:
    """A code object for source that is evaluated again and again."""
    return compile(source, "<case>", mode)


@functools.lru_cache(maxsize=4096)
def _names_in(source: str) -> Tuple[str, ...]:
    try:
        tree = ast.parse(source)
    except SyntaxError:
        return ()
    return tuple(sorted({node.id for node in ast.walk(tree) if isinstance(node, ast.Name)}))
