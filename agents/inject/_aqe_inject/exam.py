"""What a rendered test will assert, as data: made from a run, tried on the subject, then on its mutants."""

from __future__ import annotations

import dataclasses
import re
from typing import Any, Callable, Dict, List, Optional, Sequence, Set, Tuple

from .literals import freeze, has_float, plain, qualified, source_of
from .namespace import Namespace
from .observe import Observer, Run, is_iterator, message_of
from .raising import is_own, is_own_message, raise_lines
from .reading import OPERATORS, Target, module_source
from .recipes import Case, Items, Late, Make, Pairs, Recipe, Step

RESULT = "result"
LONGEST_MESSAGE = 72
MOST_CHECKS = 5


@dataclasses.dataclass
class Check:
    """State after the call: an expression, its source value and the comparable form of it."""

    expr: str
    source: str
    frozen: Any
    is_unchanged: bool = False


@dataclasses.dataclass
class Exam:
    """A case with its assertions."""

    case: Case
    kind: str
    source: Optional[str] = None
    frozen: Any = None
    type: str = ""
    approx: bool = False
    exception: str = ""
    exception_module: str = "builtins"
    message: str = ""
    documented: bool = False
    is_plain: bool = False
    checks: List[Check] = dataclasses.field(default_factory=list)

    @property
    def says_something(self) -> bool:
        """Whether a test of it would assert more than that nothing was raised."""
        return self.kind == "raises" or self.source is not None or bool(self.checks) or bool(self.type)

    def cost(self) -> int:
        """How much there is to read in it."""
        return self.case.cost() + len(self.source or "") + sum(len(one.expr) + len(one.source) for one in self.checks)


class Examiner:
    """Makes exams and holds them."""

    def __init__(self, observer: Observer, names: Namespace, targets: Sequence[Target]) -> None:
        self.observer = observer
        self.names = names
        self.readers: Dict[type, List[str]] = {}
        self._raising_lines: Optional[Dict[int, Set[str]]] = None
        self.doubts: Callable[[Case, Target, Run], bool] = lambda case, target, run: False
        for target in targets:
            if target.owner is not None and not target.is_private and not target.why_not:
                if target.flavour == "property":
                    self.readers.setdefault(target.owner, []).append("{}.%s" % target.name)
                elif target.name in ("__len__", "__iter__", "__str__", "__bool__"):
                    self.readers.setdefault(target.owner, []).append(_READS[target.name])
                elif (
                    target.flavour == "method"
                    and not target.parameters
                    and target.form == "{f}({args})"
                    and not target.name.startswith("_")
                ):
                    self.readers.setdefault(target.owner, []).append("{}.%s()" % target.name)

    def examine(self, case: Case, target: Target) -> Optional[Exam]:
        """The exam of a case; None when it is not stable or nothing about it can be written down."""
        run = self.observer.run(case)
        if not run.is_usable or self.observer.run(case).picture != run.picture or self.doubts(case, target, run):
            return None
        case, run = self._bind_changed(case, run)
        if run.kind == "raises":
            exam = self._raising(case, run, target)
        else:
            exam = self._returning(case, run)
        if exam is None or not exam.says_something or not self.passes(exam):
            return None
        if target.is_private and exam.kind == "returns" and exam.source in (None, "None") and not exam.checks:
            return None
        return exam

    def _raising(self, case: Case, run: Run, target: Target) -> Optional[Exam]:
        kind = type(run.value)
        name = self.names.name_of(kind)
        if name is None:
            return None
        mro = {one.__name__ for one in kind.__mro__}
        if not documented_raise(run.value, target):
            return None
        file, lines = getattr(self.names.module, "__file__", "") or "", self._raise_lines()
        named = target.raises if is_own(run.value, file, lines) else set()
        documented = bool(mro & (named | set(target.doc.raises)) - {"Exception", "BaseException", "object"})
        message = message_of(run.value) if is_own_message(run.value, file, lines) else ""
        shown = documented and message.strip() and message.isprintable() and len(message) <= LONGEST_MESSAGE
        if shown and (source_of(message, self.names) is None or message != message_of(self.observer.run(case).value)):
            shown = False
        exam = Exam(case, "raises", exception=name, exception_module=kind.__module__, documented=documented)
        exam.message = message if shown else ""
        exam.frozen = qualified(kind)
        exam.checks = self._state_checks(case, run) if case.last.receiver and self._changed(case, run) else []
        return exam

    def _raise_lines(self) -> Dict[int, Set[str]]:
        if self._raising_lines is None:
            self._raising_lines = raise_lines(module_source(self.names.module))
        return self._raising_lines

    def _returning(self, case: Case, run: Run) -> Optional[Exam]:
        value = run.value
        exam = Exam(case, "returns", type=qualified(type(value)))
        if is_iterator(value):
            return None
        if type(value).__name__.startswith("_") or source_of(value, self.names) is None:
            value = plain(value)
            exam.is_plain = value is not run.value
        exam.source = source_of(value, self.names)
        exam.frozen = freeze(value, 6)
        exam.approx = has_float(value)
        if exam.source is None and not case.last.is_statement:
            if case.last.bind is None:
                case = case.with_last(dataclasses.replace(case.last, bind=RESULT))
                exam.case = dataclasses.replace(case, origin=exam.case.origin, expected=exam.case.expected)
                run = self.observer.run(exam.case)
            exam.checks = self._object_checks(case.last.bind or RESULT, run)
        if exam.source is None and self.names.name_of(type(value)) is None:
            exam.type = ""
        exam.checks = (exam.checks + self._state_checks(case, run))[:MOST_CHECKS]
        return exam

    # ------------------------------------------------------------ checks

    def _object_checks(self, name: str, run: Run) -> List[Check]:
        """What can be read off an object: public attributes, properties, length, elements, short answers of methods."""
        value = run.local.get(name)
        reads = ["%s.%s" % (name, attribute) for attribute in _public_state(value)]
        reads += [read.replace("{}", name) for kind in type(value).__mro__ for read in self.readers.get(kind, [])]
        if isinstance(value, (list, tuple)) and len(value) and type(value) in (list, tuple):
            reads = ["len(%s)" % name] + ["%s[%d].%s" % (name, 0, attribute) for attribute in _public_state(value[0])]
        return self._checked(reads, run)

    def _state_checks(self, case: Case, run: Run) -> List[Check]:
        """State of the receiver and of named arguments after the call, where the call or the lines before it set it."""
        found: List[Check] = []
        for step in case.steps[:-1]:
            if step.bind is None or step.bind not in run.local:
                continue
            value = run.local[step.bind]
            if step.receiver is None and not step.form.startswith("{f}"):
                source = source_of(value, self.names)
                if source is not None and type(value) in (list, dict, set):
                    ok, before = self._read(step.expression(), {})
                    same = ok and freeze(before, 6) == freeze(value, 6)
                    found.append(Check(step.bind, source, freeze(value, 6), same))
            elif step.bind == case.last.receiver and (
                case.last.is_statement or run.value is None or self._changed(case, run)
            ):
                found.extend(self._object_checks(step.bind, run))
        return found

    def _changed(self, case: Case, run: Run) -> bool:
        receiver = case.last.receiver
        if receiver is None or len(case.steps) < 2:
            return False
        before = self.observer.run(dataclasses.replace(case, steps=case.steps[:-1]))
        return before.kind != "returns" or freeze(before.local.get(receiver)) != freeze(run.local.get(receiver))

    def _checked(self, reads: Sequence[str], run: Run) -> List[Check]:
        found: List[Check] = []
        seen: Set[Any] = set()
        for read in dict.fromkeys(reads):
            ok, value = self._read(read, run.local)
            again, second = self._read(read, run.local) if ok else (False, None)
            if not again or freeze(value, 6) != freeze(second, 6) or is_iterator(value):
                continue
            source = source_of(value, self.names)
            if source is None or len(source) > 120 or (read.endswith("()") and freeze(value, 6) in seen):
                continue
            seen.add(freeze(value, 6))
            found.append(Check(read, source, freeze(value, 6)))
            if len(found) >= MOST_CHECKS:
                break
        return found

    def _read(self, read: str, local: Dict[str, Any]) -> Tuple[bool, Any]:
        self.observer.probes.start()
        try:
            return True, self.names.evaluate(read, local)
        except Exception:
            return False, None
        except BaseException:
            return False, None

    def _bind_changed(self, case: Case, run: Run) -> Tuple[Case, Run]:
        """Give a name to each argument that the call changed, so that a test can look at it afterwards."""
        steps: List[Step] = []
        args = list(case.last.args)
        for place, recipe in enumerate(args):
            if not isinstance(recipe, (Items, Pairs, Make)) or (isinstance(recipe, Make) and recipe.callee == "iter"):
                continue
            held = run.local.get("a%d" % place)
            try:
                fresh = recipe.build(self.names.globals)
            except BaseException:
                continue
            if freeze(fresh) != freeze(held) and not is_iterator(held):
                name = _argument_name(recipe, place, self.names)
                if isinstance(recipe, Make):
                    steps.append(Step(recipe.callee, "{f}({args})", name, None, recipe.args, recipe.kwargs))
                else:
                    steps.append(Step("", recipe.source, name))
                args[place] = Late(name)
        if not steps:
            return case, run
        last = dataclasses.replace(case.last, args=tuple(args))
        bound = dataclasses.replace(case, steps=(*steps, *case.steps[:-1], last))
        again = self.observer.run(bound)
        return (bound, again) if again.kind == run.kind else (case, run)

    # ------------------------------------------------------------ judging

    def passes(self, exam: Exam, step_limit: Optional[int] = None) -> bool:
        """Whether the test would pass on the subject as it stands now (a mutant may be on)."""
        run = self.observer.run(exam.case, step_limit)
        if run.kind != exam.kind:
            return False
        if exam.kind == "raises":
            if exam.frozen != qualified(type(run.value)) and exam.frozen not in [
                qualified(k) for k in type(run.value).__mro__
            ]:
                return False
            if exam.message and exam.message not in message_of(run.value):
                return False
        elif exam.source is not None:
            if freeze(plain(run.value) if exam.is_plain else run.value, 6) != exam.frozen:
                return False
        elif exam.type and not exam.checks and exam.type not in [qualified(k) for k in type(run.value).__mro__]:
            return False
        for check in exam.checks:
            ok, value = self._read(check.expr, run.local)
            if not ok or freeze(value, 6) != check.frozen:
                return False
        return True


_READS = {"__len__": "len({})", "__iter__": "list({})", "__str__": "str({})", "__bool__": "bool({})"}


def _public_state(value: Any) -> List[str]:
    try:
        held = object.__getattribute__(value, "__dict__")
        names = [name for name in held if isinstance(name, str) and name.isidentifier() and not name.startswith("_")]
    except Exception:
        names = []
    for kind in type(value).__mro__[:-1]:
        slots = kind.__dict__.get("__slots__", ())
        for name in (slots,) if isinstance(slots, str) else tuple(slots):
            if not name.startswith("_") and name not in names:
                names.append(name)
    if isinstance(value, tuple) and hasattr(type(value), "_fields"):
        names.extend(getattr(type(value), "_fields", ()))
    return names


def _argument_name(recipe: Recipe, place: int, names: Namespace) -> str:
    kind: Any = recipe.kind if isinstance(recipe, Items) else dict if isinstance(recipe, Pairs) else None
    word = {list: "items", set: "members", dict: "mapping"}.get(kind, "given") if kind is not None else "given"
    word = word if place == 0 else "%s_%d" % (word, place + 1)
    return word if word not in names.globals else "given_" + word


def is_empty_claim(exam: Exam) -> bool:
    """Whether the exam only says which type came back."""
    return exam.kind == "returns" and exam.source is None and not exam.checks


UNPLANNED = (
    TypeError, AttributeError, IndexError, KeyError, ZeroDivisionError, UnboundLocalError, NameError, RecursionError,
        SystemError,
    UnicodeError, OverflowError, AssertionError,
)  # fmt: skip


_REFUSED = re.compile(r"not supported between instances|unsupported operand type")
"""What Python says where an operator gives NotImplemented."""


def documented_raise(error: BaseException, target: Target) -> bool:
    """Whether an exception is one that the subject means: raised or documented by name, or not of the unplanned kinds.

    A lookup that fails with the very key that was asked for is what Python itself would do.
    """
    if not isinstance(error, UNPLANNED):
        return True
    if isinstance(error, TypeError) and target.name in OPERATORS and _REFUSED.search(message_of(error)):
        return True
    names = {one.__name__ for one in type(error).__mro__} - {"Exception", "BaseException", "object", "LookupError"}
    if names & (target.raises | set(target.doc.raises)):
        return True
    return isinstance(error, (KeyError, IndexError)) and target.name in (
        "__getitem__",
        "__delitem__",
        "pop",
        "popitem",
        "popleft",
        "remove",
    )
