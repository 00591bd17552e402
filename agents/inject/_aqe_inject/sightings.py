"""What one run of a case showed, in a form that the same run in another process is compared with.

Left out is what a reader would not call behaviour: addresses, the folder of the project, the names of inner functions
and lambdas, the text of exceptions. Private attributes count as long as both sides have the same ones.
"""

from __future__ import annotations

import hashlib
import io
import re
import sys
import types
from typing import Any, Dict, List, Optional, Sequence, Set, Tuple

from .closures import calls_of, is_closure
from .contracts import bind_arguments
from .hints import ANY, accepts, keeps_to
from .literals import freeze, mask, qualified, source_of
from .namespace import Namespace
from .observe import Observer, Run, Watch, frames_of, message_of
from .probes import Probes, StepLimit
from .raising import is_own, raise_lines
from .reading import Parameter, Target, module_source
from .recipes import Case

Data = Dict[str, Any]
LONGEST_SHOWN = 160
LONGEST_PART = 60
MOST_OUTPUT = 20_000
_ILLEGAL = re.compile(
    r"missing \d+ required|takes .* positional arguments?|takes no arguments|unexpected keyword argument"
    r"|multiple values for|positional-only arguments? passed|takes no keyword arguments"
)
_UNPLANNED = (
    TypeError, AttributeError, NameError, LookupError, ZeroDivisionError, RecursionError, OverflowError, StopIteration,
    SystemError, MemoryError,
)  # fmt: skip


class Output(io.TextIOBase):
    """A standard output that keeps the first part of what is printed."""

    def __init__(self) -> None:
        self.parts: List[str] = []
        self.size = 0

    def write(self, text: str) -> int:
        if self.size < MOST_OUTPUT:
            self.parts.append(str(text))
            self.size += len(text)
        return len(text)

    def writable(self) -> bool:
        """Whether it takes text."""
        return True

    def take(self) -> str:
        """What was printed since the last time."""
        text, self.parts, self.size = "".join(self.parts), [], 0
        return text


class Witness(Observer):
    """Runs cases and says what each showed. `places` are folders whose names do not count as behaviour."""

    def __init__(
        self, names: Namespace, probes: Probes, watch: Watch, targets: Sequence[Target], places: Sequence[str]
    ) -> None:
        super().__init__(names, probes, watch)
        self.output = Output()
        self.called: List[Any] = []
        self.by_name: Dict[str, Target] = {}
        for target in targets:
            self.by_name.setdefault(target.qualname, target)
        self.places = sorted((place for place in places if len(place) > 1), key=len, reverse=True)
        self.file = str(getattr(names.module, "__file__", "") or "")
        self.raising = raise_lines(module_source(names.module))

    def witness(self, case: Case) -> Tuple[Run, str]:
        """One run with what it printed."""
        before, sys.stdout = sys.stdout, self.output
        self.output.take()
        try:
            run = self.run(case)
        finally:
            sys.stdout = before
        return run, self._clean(mask(self.output.take()))

    def sight(self, case: Case) -> Data:
        """What a run showed, as digests with a few words."""
        run, printed = self.witness(case)
        steps = self.probes.steps
        if run.kind == "raises" and self._is_illegal(run.value):
            return {"kind": "illegal", "steps": steps}
        if not run.is_usable:
            return {"kind": run.kind, "steps": steps}
        value, after = run.picture
        target = self.by_name.get(case.target)
        seen: Data = {"kind": run.kind, "steps": steps, "value": _digests(value), "after": _digests(after)}
        seen["printed"] = _digest(printed) if printed else ""
        seen["fair"] = _is_fair(target, case, run)
        if run.kind == "raises":
            seen["type"] = qualified(type(run.value))
            seen["own"] = is_own(run.value, self.file, self.raising)
            seen["crash"] = self._is_crash(target, run.value, bool(seen["own"]))
        else:
            seen["type"] = qualified(type(run.value))
            seen["fits"] = _fits(target, run.value)
        return seen

    def words(self, case: Case) -> Data:
        """The same run in words: what it returned or raised, each argument afterwards, what it printed."""
        run, printed = self.witness(case)
        detail = ""
        if run.kind == "raises":
            text = _short(self._clean(mask(message_of(run.value))))
            outcome = "raises %s%s" % (type(run.value).__name__, ": " + text if text else "")
        elif run.kind == "returns":
            outcome = "returned %s" % self._shown(run.value, self.names)
            detail = _short(self._clean(mask(self._calls() or _attributes(run.value))))
        else:
            outcome = {"endless": "does not end"}.get(run.kind, "cannot be run")
        after = {
            name: [self._shown(held, self.names), _digests(self.clean(freeze(held)))]
            for name, held in sorted(run.local.items())
        }
        return {"outcome": outcome, "detail": detail, "after": after, "printed": printed[:LONGEST_SHOWN]}

    def _steps(self, case: Case) -> Run:
        run = super()._steps(case)
        self.called = calls_of(run.value) if run.kind == "returns" and is_closure(run.value) else []
        return run

    def _picture(self, case: Case, run: Run) -> Any:
        after = tuple((name, self.clean(freeze(held))) for name, held in sorted(run.local.items()))
        if run.kind == "raises":
            return qualified(type(run.value)), after
        return self.clean((freeze(run.value, 6), tuple(self.called)) if self.called else freeze(run.value, 6)), after

    def clean(self, frozen: Any) -> Any:
        """A frozen value without the names of inner functions and of this machine's folders."""
        kind = type(frozen)
        if kind is str:
            return self._clean(frozen) if "/" in frozen or "\\" in frozen else frozen
        if kind is tuple:
            if len(frozen) == 2 and frozen[0] == "callable" and "<" in str(frozen[1]):
                return ("callable", "")
            return tuple([self.clean(part) for part in frozen])
        return frozen

    def _clean(self, text: str) -> str:
        for place in self.places:
            text = text.replace(place, "{here}")
        return text

    def _calls(self) -> str:
        """The calls of a returned function: what it was given, and what that gave as far as it can be said."""
        return ", ".join("f%s is %s" % (text, _said(frozen)) for text, frozen in self.called)

    def _is_illegal(self, error: BaseException) -> bool:
        """Whether the call does not fit the signature: no line of the subject ran."""
        if not isinstance(error, TypeError) or not _ILLEGAL.search(message_of(error)):
            return False
        frames = frames_of(error)
        return bool(frames) and frames[-1][0] == "<case>"

    def _is_crash(self, target: Optional[Target], error: BaseException, is_own_raise: bool) -> bool:
        """Whether nobody planned the exception: no raise statement of the module, no word of it in the docstring."""
        if is_own_raise or not isinstance(error, _UNPLANNED):
            return False
        stated = set(target.doc.raises) if target is not None else set()
        return not stated & {one.__name__ for one in type(error).__mro__}

    def _shown(self, value: Any, names: Namespace) -> str:
        try:
            source = source_of(value, names)
            return _short(self._clean(mask(source if source is not None else _described(value))))
        except (Exception, StepLimit):
            return "a %s" % type(value).__name__


def _said(frozen: Any) -> str:
    """A frozen outcome in few words: the plain parts of it, or the exception."""
    if isinstance(frozen, tuple) and len(frozen) == 2 and frozen[0] == "raises":
        return "an exception, %s" % frozen[1]
    value = frozen[0] if isinstance(frozen, tuple) else frozen
    while isinstance(value, tuple) and len(value) == 2 and value[0] in ("int", "bool", "NoneType", "str", "bytes"):
        value = value[1]
    return repr(value)[:60]


def _described(value: Any) -> str:
    """An object in the words of its own repr, or with its attributes where it has none."""
    if getattr(type(value), "__repr__", None) is not getattr(object, "__repr__", None):
        return repr(value)
    return _attributes(value)


def _attributes(value: Any) -> str:
    """An object's type with its attributes; of plain data only the type."""
    held = getattr(value, "__dict__", None)
    held = held if type(held) is dict else {}
    inside = ", ".join("%s=%s" % (name, _repr(one)) for name, one in sorted(held.items()))
    return "%s(%s)" % (type(value).__name__, inside) if held else type(value).__name__


def _repr(value: Any) -> str:
    try:
        text = repr(value)
        return text if len(text) <= LONGEST_PART else text[: LONGEST_PART - 3] + "..."
    except (Exception, StepLimit):
        return "a %s" % type(value).__name__


def _short(text: str) -> str:
    text = " ".join(text.split()) if "\n" in text else text
    if len(text) <= LONGEST_SHOWN:
        return text
    end = LONGEST_SHOWN // 4  # the end tells as well: a closing bracket, the last items
    return text[: LONGEST_SHOWN - end - 5] + " ... " + text[-end:]


# ---------------------------------------------------------------- digests


def _digest(thing: Any) -> str:
    return hashlib.blake2b(repr(thing).encode("utf-8", "backslashreplace"), digest_size=8).hexdigest()


def _digests(frozen: Any) -> List[str]:
    """Three digests: of everything, of the public part, of the names of private attributes."""
    private: Set[str] = set()
    public = _public(frozen, private)
    whole = _digest(frozen)
    return [whole, _digest(public) if private else whole, _digest(sorted(private)) if private else ""]


def _public(frozen: Any, private: Set[str]) -> Any:
    if type(frozen) is not tuple:
        return frozen
    if len(frozen) == 4 and frozen[0] == "object" and type(frozen[3]) is tuple:
        kept = []
        for pair in frozen[3]:
            if type(pair) is tuple and len(pair) == 2 and type(pair[0]) is str and pair[0].startswith("_"):
                private.add("%s.%s" % (frozen[1], pair[0]))
            else:
                kept.append(_public(pair, private))
        return (frozen[0], frozen[1], _public(frozen[2], private), tuple(kept))
    return tuple([_public(part, private) for part in frozen])


# ---------------------------------------------------------------- arguments and hints


def _is_fair(target: Optional[Target], case: Case, run: Run) -> int:
    """2: the project makes this call, or the hints ask for such arguments; 1: they may be meant; 0: some argument is
    not what its parameter takes."""
    if case.origin in ("doctest", "prose", "test"):
        return 2
    bound = bind_arguments(target, case, run.local) if target is not None else None
    if target is None or bound is None:
        return 1
    grades = [_grade(one, bound[one.name]) for one in target.parameters if one.name in bound]
    return min(grades, default=1)


def _grade(one: Parameter, value: Any) -> int:
    if one.has_default and value is one.default:
        return 2
    if value != value if isinstance(value, float) else False:
        return 0
    shapes = [shape for shape in one.shapes if shape != ANY]
    if isinstance(value, bool) and shapes and all(shape.kind in ("int", "float") for shape in shapes):
        return 0
    if one.is_stated:
        return 2 if keeps_to(one.shapes[0], value) else 0
    return 1 if not shapes or any(accepts(shape, value) for shape in shapes) else 0


def _fits(target: Optional[Target], value: Any) -> Optional[bool]:
    """Whether a returned value keeps to the return hint; None without one that can be checked here."""
    if target is None or not target.returns_stated or target.form not in ("{f}({args})", "asyncio.run({f}({args}))"):
        return None
    function: Any = target.function
    while hasattr(function, "__wrapped__"):
        function = function.__wrapped__
    if "return" not in (getattr(function, "__annotations__", None) or {}):
        return None
    if isinstance(value, (types.GeneratorType, types.CoroutineType)):
        return None
    return accepts(target.returns, value)
