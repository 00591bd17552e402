"""Runs a case and looks at it: what came back or was raised, what the arguments and the receiver hold afterwards."""

from __future__ import annotations

import contextlib
import dataclasses
import gc
import inspect
import io
import operator
import os
import signal
import sys
import time
import types
from typing import Any, Dict, Iterator, List, Optional, Tuple

from .descriptors import Borrowed
from .literals import freeze, mask
from .loops import Slept
from .namespace import Namespace
from .probes import Probes, StepLimit
from .recipes import Case, Late

STEPS = 20_000
"""Loop turns and function entries that one case may use before it counts as endless."""

PATIENCE_S = 0.35
"""Wall time of one tick of the watch; a case that sees two ticks is given up."""


_monotonic = time.monotonic


class Expired(BaseException):
    """Raised inside a case that runs too long."""


@dataclasses.dataclass
class Run:
    """What one run of a case showed. `print_` is what two runs are compared by."""

    kind: str
    value: Any
    local: Dict[str, Any]
    failed_step: int
    picture: Any = None

    @property
    def is_usable(self) -> bool:
        """Whether a test could be made of it."""
        return self.kind in ("returns", "raises")


class Watch:
    """One ticking timer for all cases: nothing to arm for a case; a second tick inside the same case raises."""

    def __init__(self) -> None:
        self.number = 0
        self.is_running = False
        self._seen = -1

    def _tick(self, _signal: int, _frame: Any) -> None:
        if not self.is_running:
            return
        if self._seen == self.number:
            raise Expired()
        self._seen = self.number

    def rearm(self) -> None:
        """Start the timer anew in a fork, which does not inherit it."""
        signal.setitimer(signal.ITIMER_REAL, PATIENCE_S, PATIENCE_S)

    @contextlib.contextmanager
    def ticking(self) -> Iterator[Watch]:
        """Let the timer run; needs the main thread."""
        before = signal.signal(signal.SIGALRM, self._tick)
        signal.setitimer(signal.ITIMER_REAL, PATIENCE_S, PATIENCE_S)
        try:
            yield self
        finally:
            signal.setitimer(signal.ITIMER_REAL, 0)
            signal.signal(signal.SIGALRM, before)


class Observer:
    """Runs cases against one loaded module."""

    def __init__(self, names: Namespace, probes: Probes, watch: Watch) -> None:
        self.names = names
        self.probes = probes
        self.watch = watch
        self.executions = 0
        self.guard = StateGuard(names.module)
        self.limit = STEPS

    def run(self, case: Case, step_limit: Optional[int] = None) -> Run:
        """Run the case from fresh arguments; state of the module is put back afterwards."""
        self.executions += 1
        self.probes.clear()
        self.probes.start(step_limit or self.limit)
        watch = self.watch
        watch.number += 1
        watch.is_running = True
        try:
            run = self._steps(case)
        except Slept:
            run = Run("sleeps", None, {}, len(case.steps) - 1)
        except Borrowed:
            run = Run("borrows", None, {}, len(case.steps) - 1)
        except (StepLimit, Expired):
            run = Run("endless", None, {}, len(case.steps) - 1)
        finally:
            watch.is_running = False
        if run.is_usable:
            try:
                run.picture = self._picture(case, run)
            except (Exception, StepLimit):
                run.kind = "odd"
        self.guard.restore()
        self.names.environment.restore()
        return run

    def _steps(self, case: Case) -> Run:
        local: Dict[str, Any] = {}
        scope = self.names.globals
        value: Any = None
        last = len(case.steps) - 1
        for place, step in enumerate(case.steps):
            try:
                for i, recipe in enumerate(step.args):
                    local["a%d" % i] = (
                        recipe.build(scope) if type(recipe) is not Late else eval(recipe.code, scope, local)
                    )
                for name, recipe in step.kwargs:
                    local["k_" + name] = (
                        recipe.build(scope) if type(recipe) is not Late else eval(recipe.code, scope, local)
                    )
            except (StepLimit, Expired, Slept, Borrowed):
                raise
            except BaseException as error:
                return Run("unbuilt", error, local, place)
            code = step.code()
            try:
                if step.is_statement:
                    exec(code, scope, local)
                    value = None
                else:
                    value = eval(code, scope, local)
            except (StepLimit, Expired, Slept, Borrowed):
                raise
            except BaseException as error:
                return Run("raises", error, local, place) if place == last else Run("unbuilt", error, local, place)
            if step.bind is not None:
                local[step.bind] = value
        return Run("returns", value, local, last)

    def _picture(self, case: Case, run: Run) -> Any:
        """Outcome, arguments after the call and the receiver's state, comparable by `==`."""
        after = tuple(
            (name, freeze(held))
            for name, held in sorted(run.local.items())
            if type(held) not in _CONSTANT and name != "result"
        )
        if run.kind == "raises":
            return (
                "raises",
                type(run.value).__module__,
                type(run.value).__qualname__,
                mask(message_of(run.value)),
                after,
            )
        return ("returns", freeze(run.value, 6), after)


_CONSTANT = (int, str, float, bool, type(None), bytes)


def message_of(error: BaseException) -> str:
    """The text of an exception; empty where the subject's own `__str__` fails."""
    try:
        return str(error)
    except BaseException:
        return ""


class StateGuard:
    """Keeps the module's own state: containers and plain values of its globals and classes, and its caches."""

    def __init__(self, module: types.ModuleType) -> None:
        self.module = module
        self._held: List[Tuple[Any, Any]] = []
        self._caches: List[Any] = []
        self._plain: Dict[str, Any] = {}
        self._classes: List[Tuple[type, List[Tuple[str, Any]]]] = []
        for name, value in list(vars(module).items()):
            if name.startswith(("__", "_aqe_")):
                continue
            self._plain[name] = value
            self._note(value)
            if isinstance(value, type) and value.__module__ == module.__name__:
                self._note_class(value)
        self._ordered = sorted(self._plain)
        self._values = [self._plain[name] for name in self._ordered]

    def _note_class(self, kind: type) -> None:
        held = {}
        for name, value in list(vars(kind).items()):
            if not name.startswith("__"):
                self._note(value)
                if (
                    not callable(value)
                    and not isinstance(value, (property, staticmethod, classmethod))
                    and not hasattr(value, "__set__")
                ):
                    held[name] = value
        if held:
            self._classes.append((kind, list(held.items())))

    def _note(self, value: Any, depth: int = 2) -> None:
        if type(value) in (list, dict, set) and len(value) < 5000:
            self._held.append((value, type(value)(value)))
            if depth and len(value) < 200:
                for inner in list(value.values()) if type(value) is dict else list(value):
                    self._note(inner, depth - 1)
        clear = getattr(value, "cache_clear", None) if callable(value) and not isinstance(value, type) else None
        if clear is not None:
            self._caches.append(clear)
        elif isinstance(value, _OBJECT_HOLDERS) or _is_own_object(value, self.module):
            inner = getattr(value, "__dict__", None)
            if isinstance(inner, dict) and depth:
                self._held.append((inner, dict(inner)))
                for one in list(inner.values()):
                    self._note(one, depth - 1)

    def restore(self) -> None:
        """Put back what a case changed."""
        for live, copy in self._held:
            if len(live) != len(copy) or not _same_content(live, copy):
                _refill(live, copy)
        scope = self.module.__dict__
        if not all(map(operator.is_, map(scope.get, self._ordered), self._values)):
            for name in self._ordered:
                if scope.get(name, _GONE) is not self._plain[name]:
                    scope[name] = self._plain[name]
        for kind, held in self._classes:
            now_held = kind.__dict__
            for name, value in held:
                if now_held.get(name, _GONE) is not value:
                    setattr(kind, name, value)
        for clear in self._caches:
            clear()


_GONE = object()
_OBJECT_HOLDERS = (types.SimpleNamespace,)


def _is_own_object(value: Any, module: types.ModuleType) -> bool:
    return getattr(type(value), "__module__", None) == module.__name__ and not isinstance(value, type)


def _same_content(live: Any, copy: Any) -> bool:
    """Whether a container holds the very same things in the same order; never asks the things themselves."""
    if type(live) is dict:
        return all(map(operator.is_, live, copy)) and all(map(operator.is_, live.values(), copy.values()))
    if type(live) is list:
        return all(map(operator.is_, live, copy))
    return bool(live == copy)


def _refill(live: Any, copy: Any) -> None:
    live.clear()
    if type(live) is list:
        live.extend(copy)
    else:
        live.update(copy)


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """Swallow what the subject prints and keep its hands off the console, the folder and the recursion limit."""
    before = (sys.stdout, sys.stderr, sys.stdin, os.getcwd(), sys.getrecursionlimit())
    sys.stdout, sys.stderr, sys.stdin = _Sink(), _Sink(), io.StringIO("")
    sys.setrecursionlimit(600)
    gc.freeze()
    try:
        yield
    finally:
        sys.stdout, sys.stderr, sys.stdin = before[:3]
        sys.setrecursionlimit(before[4])
        with contextlib.suppress(OSError):
            os.chdir(before[3])


class _Sink(io.TextIOBase):
    """A stream that forgets."""

    def write(self, text: str) -> int:
        return len(text)

    def writable(self) -> bool:
        return True


def now() -> float:
    """Seconds on a clock that never runs back, and that no subject stops."""
    return _monotonic()


def frames_of(error: BaseException) -> List[Tuple[str, int, str]]:
    """File, line and function of each frame of a traceback, outermost first."""
    found = []
    trace = error.__traceback__
    while trace is not None:
        found.append((trace.tb_frame.f_code.co_filename, trace.tb_lineno, trace.tb_frame.f_code.co_name))
        trace = trace.tb_next
    return found


def is_iterator(value: Any) -> bool:
    """Whether a value is used up by looking at it."""
    return inspect.isgenerator(value) or (hasattr(type(value), "__next__") and hasattr(type(value), "__iter__"))


def is_async_iterator(value: Any) -> bool:
    """Whether `async for` is what a value is made for."""
    return hasattr(type(value), "__anext__") and hasattr(type(value), "__aiter__")
