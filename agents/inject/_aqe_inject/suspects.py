"""Suspected bugs: failures and broken promises for arguments that keep to theirs, with the shortest reproduction."""

from __future__ import annotations

import ast
import contextlib
import dataclasses
from typing import Any, Dict, Iterator, List, Optional, Sequence, Tuple

from .campaign import Entry, Pace
from .contracts import (
    Broken,
    bind_arguments,
    broken_promise,
    equations,
    is_idempotent_by_name,
    is_unknown_word,
    promise_for_nothing,
    round_trips,
    well_typed,
)
from .exam import UNPLANNED
from .examples import ExampleCase
from .literals import freeze, source_of
from .minimise import shrink
from .namespace import Namespace
from .observe import Observer, Run, frames_of, message_of
from .probes import StepLimit
from .raising import raise_lines
from .reading import Target, module_source
from .recipes import COLLECT, Case, Make, Recipe, Step
from .result import step_data

_QUIET = (AssertionError, UnicodeError, OverflowError, SystemError)
_NEEDS_ALL = (TypeError, AttributeError, NameError)
Key = Tuple[str, str, str, int]


@dataclasses.dataclass
class Suspect:
    """One suspicion and the case that shows it."""

    case: Case
    target: Target
    kind: str
    why: str
    expected: str
    actual: str
    line: int = 0
    exception: str = ""
    message: str = ""
    is_final: bool = False
    others: int = 0


class Suspicions:
    """Looks at what the search runs and keeps the shortest case of each suspicion."""

    def __init__(self, targets: Sequence[Target], observer: Observer, names: Namespace, seeds: Dict[int, Any]) -> None:
        self.targets = list(targets)
        self.observer = observer
        self.names = names
        self.seeds = seeds
        self.found: Dict[Key, Suspect] = {}
        self.file = getattr(names.module, "__file__", "") or ""
        self.raising = raise_lines(module_source(names.module))
        self.by_owner = {t.owner: t for t in targets if t.flavour == "init" and t.owner is not None}
        self.by_name: Dict[str, List[Target]] = {}
        for target in targets:
            self.by_name.setdefault(target.name, []).append(target)
        self.equations = {id(t): equations(t) for t in targets}
        self.pairs = {id(parse): forth for parse, forth in round_trips(targets)}
        self.idempotent = {id(t) for t in targets if is_idempotent_by_name(t)}
        self._hopeless: Dict[Key, int] = {}

    # ------------------------------------------------------------ failures

    def see_failure(self, target: Target, case: Case, run: Run) -> None:
        """A run that raised or did not end."""
        if run.kind == "endless":
            self._endless(target, case)
        elif run.kind == "raises" and isinstance(run.value, UNPLANNED) and not isinstance(run.value, _QUIET):
            suspect = self._failure(target, case, run)
            if suspect is not None:
                self._keep(suspect)

    def _failure(self, target: Target, case: Case, run: Run) -> Optional[Suspect]:
        error = run.value
        frames = frames_of(error)
        own = [place for place, frame in enumerate(frames) if frame[0] == self.file]
        if not own or any(frame[0] == "<case>" for frame in frames[own[-1] :]):
            return None
        line = frames[own[-1]][1]
        name = type(error).__name__
        key = (target.qualname, "undocumented-exception", name, line)
        known = self.found.get(key)
        if known is not None and known.case.cost() <= case.cost():
            return None
        if self._hopeless.get(key, 0) > 200 or line in self.raising or self._is_documented(target, error):
            return None
        if self._level(target, case, run) < (2 if isinstance(error, _NEEDS_ALL) else 1) or self._is_natural(
            target, case, run, line
        ):
            self._hopeless[key] = self._hopeless.get(key, 0) + 1
            return None
        shown = message_of(error)[:160]
        why = "%s that neither a raise statement nor the docstring announces" % name
        bound = bind_arguments(target, case, run.local) or {}
        said = promise_for_nothing(target, bound, case.last.receiver is not None)
        if said:
            why = "%s where the docstring promises %s" % (name, said)
        expected, actual = said or _promised(target), "%s: %s" % (name, shown)
        return Suspect(case, target, "undocumented-exception", why, expected, actual, line, name, shown)

    def _is_documented(self, target: Target, error: BaseException) -> bool:
        names = {one.__name__ for one in type(error).__mro__} - {"Exception", "BaseException", "object"}
        owner = self.by_owner.get(target.owner) if target.owner is not None else None
        stated = set(target.doc.raises) | (set(owner.doc.raises) if owner is not None else set())
        return bool(names & stated)

    def _is_natural(self, target: Target, case: Case, run: Run, line: int) -> bool:
        """What Python itself would answer: a lookup by the very key, an index or divisor that the caller chose."""
        error, text = run.value, target.doc.text.lower()
        if target.is_private or (
            target.name.startswith("__")
            and target.name not in ("__init__", "__str__", "__repr__", "__len__", "__iter__")
        ):
            return True
        if any(
            word in text
            for word in (
                "non-empty",
                "nonempty",
                "not be empty",
                "at least one",
                "must ",
                "assum",
                "requires ",
                "positive",
            )
        ):
            return not isinstance(error, _NEEDS_ALL)
        bound = bind_arguments(target, case, run.local) or {}
        given = [freeze(value) for value in bound.values()]
        words = {value.strip().lower() for value in bound.values() if isinstance(value, str)}
        if any(
            is_unknown_word(one, bound.get(one.name), target.doc.text, self._seeds(target)) for one in target.parameters
        ):
            return True
        asked = {node.id for node in self._keys_at(line)}
        if isinstance(error, KeyError):
            promises_default = any(
                word in text for word in ("without", "missing", "unknown", "default", "none if", "or none")
            )
            key = error.args[0] if error.args else None
            options = [bound.get(one.name) for one in target.parameters if isinstance(one.default, str)]
            if isinstance(key, str) and key.lower() in [one.lower() for one in options if isinstance(one, str)]:
                return True
            if not error.args or promises_default:
                return False
            return freeze(key) in given or (isinstance(key, str) and key.strip().lower() in words)
        if isinstance(error, IndexError):
            return bool(asked & set(bound)) and not target.doc.raises
        if isinstance(error, ZeroDivisionError):
            return bool(asked & set(bound)) and not target.doc.text
        return isinstance(error, RecursionError) and not target.returns_stated

    def _keys_at(self, line: int) -> Iterator[ast.Name]:
        """Names that a line uses as an index or divisor by themselves."""
        for node in _nodes_at(self.names, line):
            part = (
                node.slice if isinstance(node, ast.Subscript) else node.right if isinstance(node, ast.BinOp) else None
            )
            if isinstance(part, ast.Name):
                yield part

    def _endless(self, target: Target, case: Case) -> None:
        key = (target.qualname, "hang", "", target.line)
        if key in self.found or target.is_private or self._hopeless.get(key, 0) > 20:
            return
        self._hopeless[key] = self._hopeless.get(key, 0) + 1
        if self._hopeless[key] < 3 or not self.is_fair(target, case) or self.observer.run(case).kind != "endless":
            return
        if self.observer.run(case, self.observer.limit * 10).kind != "endless":
            return
        why = "does not end within %d loop turns and calls" % (self.observer.limit * 10)
        self._keep(Suspect(case, target, "hang", why, "an answer", "no answer", target.line))

    def is_fair(self, target: Target, case: Case) -> bool:
        """Whether an answer to the call can be asked for: arguments that keep to their hints, no endless sequence."""
        return not target.form.startswith(("list(", COLLECT)) and self._typed_without_run(target, case)

    def _typed_without_run(self, target: Target, case: Case) -> bool:
        local: Dict[str, Any] = {}
        try:
            for place, recipe in enumerate(case.last.args):
                local["a%d" % place] = recipe.build(self.names.globals)
            for name, recipe in case.last.kwargs:
                local["k_" + name] = recipe.build(self.names.globals)
        except BaseException:
            return False
        bound = bind_arguments(target, case, local)
        sized = [v for v in (bound or {}).values() if isinstance(v, int) and abs(v) > 1000]
        return bound is not None and not sized and well_typed(target, bound, self._seeds(target)) == 2

    # ------------------------------------------------------------ promises

    def see(self, entry: Entry, run: Run) -> None:
        """A kept case that returned something."""
        target, case = entry.target, entry.case
        broken = self._broken(target, case, run) if run.kind == "returns" else None
        if broken is not None:
            self._keep(Suspect(case, target, broken.kind, broken.why, broken.expected, broken.actual, target.line))

    def _broken(self, target: Target, case: Case, run: Run) -> Optional[Broken]:
        """The promise that a returned value breaks, given arguments that keep to theirs."""
        if target.is_private or target.name in ("__hash__", "__eq__", "__ne__") or not case.last.callee:
            return None
        level = self._level(target, case, run)
        bound = bind_arguments(target, case, run.local)
        if level == 0 or bound is None:
            return None
        try:
            return broken_promise(target, bound, run.value, level) or self._broken_equation(target, case, bound, run)
        except (Exception, StepLimit):  # the subject's own objects cannot be compared or shown
            return None

    def _broken_equation(self, target: Target, case: Case, bound: Dict[str, Any], run: Run) -> Optional[Broken]:
        if (
            len(case.steps) != 1
            or target.flavour != "function"
            or not (self.equations[id(target)] or id(target) in self.pairs or id(target) in self.idempotent)
        ):
            return None
        for text in self.equations[id(target)]:
            holds, actual = self._holds(text, bound)
            if not holds:
                return Broken("docstring-broken", "the docstring promises %s" % text, text, actual)
        if id(target) in self.idempotent:
            holds, actual = self._holds("%s(value) == value" % target.qualname, {"value": run.value})
            if not holds:
                return Broken(
                    "docstring-broken",
                    "the docstring says that a second time changes nothing",
                    source_of(run.value, self.names) or "",
                    actual,
                )
        forth = self.pairs.get(id(target))
        if forth is not None and not case.last.kwargs and len(case.last.args) == 1:
            text = "%s(%s(value)) == value" % (target.qualname, forth.qualname)
            holds, actual = self._holds(text, {"value": run.value})
            if not holds:
                why = "%s does not read back what %s wrote" % (target.qualname, forth.qualname)
                return Broken("docstring-broken", why, source_of(run.value, self.names) or "the value itself", actual)
        return None

    def _holds(self, text: str, local: Dict[str, Any]) -> Tuple[bool, str]:
        """Whether an equation is true; what its left side gives when it is not. What cannot be judged holds."""
        tree = ast.parse(text, mode="eval").body
        if not isinstance(tree, ast.Compare):
            return True, ""
        self.observer.probes.start()
        try:
            right = self.names.evaluate(ast.unparse(tree.comparators[0]), dict(local))
        except BaseException:
            return True, ""
        try:
            left = self.names.evaluate(ast.unparse(tree.left), dict(local))
        except Exception as error:
            return False, "%s: %s" % (type(error).__name__, message_of(error)[:80])
        except BaseException:
            return True, ""
        try:
            return bool(left == right) or left != left, source_of(left, self.names) or type(left).__name__
        except BaseException:
            return True, ""

    def judge_examples(self, examples: Sequence[ExampleCase]) -> None:
        """Examples whose result is not the one that is written."""
        by_name = {target.qualname: target for target in self.targets}
        for one in examples:
            target = by_name.get(one.case.target)
            if target is None or not one.is_whole or (one.example.expected is None and one.example.exception is None):
                continue
            run = self.observer.run(one.case)
            if not run.is_usable:
                continue
            broken = self._differs(one, run)
            if broken is not None and self.observer.run(one.case).picture == run.picture:
                self._keep(
                    Suspect(
                        one.case,
                        target,
                        broken.kind,
                        broken.why,
                        broken.expected,
                        broken.actual,
                        target.line,
                        is_final=True,
                    )
                )

    def _differs(self, one: ExampleCase, run: Run) -> Optional[Broken]:
        expected, error = one.example.expected, one.example.exception
        word = "doctest" if one.example.origin == "doctest" else "example of the docstring"
        if run.kind == "raises":
            name = type(run.value).__name__
            if isinstance(run.value, NameError) and frames_of(run.value)[-1][0] == "<case>":
                return None
            if error == name or (one.example.origin != "doctest" and isinstance(run.value, (NameError, TypeError))):
                return None
            shown = "%s: %s" % (name, message_of(run.value)[:80])
            return Broken("docstring-broken", "a %s fails" % word, expected or error or "", shown)
        if expected is None:
            return (
                Broken(
                    "docstring-broken",
                    "a %s promises an exception" % word,
                    error or "",
                    (_displayed(run.value) or "")[:80],
                )
                if error
                else None
            )
        seen = _displayed(run.value)
        if (
            seen is None
            or seen.strip() == expected.strip()
            or self._equal(expected, run.value)
            or one.case.last.expression().startswith(("print(", "pprint(", "pprint.pprint("))
            or (one.example.origin != "doctest" and not _is_literal(expected))
        ):
            return None
        return Broken("docstring-broken", "a %s fails" % word, expected, seen)

    def _equal(self, expected: str, value: Any) -> bool:
        try:
            wanted = self.names.evaluate(expected)
        except BaseException:
            return not _is_literal(expected)
        try:
            return bool(wanted == value)
        except BaseException:
            return True

    # ------------------------------------------------------------ arguments

    def _seeds(self, target: Target) -> Dict[str, List[Recipe]]:
        pools = self.seeds.get(id(target))
        found: Dict[str, List[Recipe]] = pools.seeds if pools is not None else {}
        return found

    def _level(self, target: Target, case: Case, run: Run) -> int:
        """How well the arguments of the call and of the lines before it keep to their hints (0, 1, 2)."""
        bound = bind_arguments(target, case, run.local)
        if bound is None:
            return 0
        level = well_typed(target, bound, self._seeds(target))
        for step in case.steps[:-1]:
            if level == 0:
                return 0
            level = min(level, self._step_level(step))
        for recipe in (*case.last.args, *(value for _, value in case.last.kwargs)):
            if level and isinstance(recipe, Make):
                level = min(level, self._make_level(recipe))
        return level

    def _step_level(self, step: Step) -> int:
        return self._call_level(step.callee, step.args, step.kwargs)

    def _make_level(self, recipe: Make) -> int:
        if recipe.callee in ("io.StringIO", "io.BytesIO", "deque", "iter"):
            return 1
        return self._call_level(recipe.callee, recipe.args, recipe.kwargs)

    def _call_level(self, callee: str, args: Sequence[Recipe], kwargs: Sequence[Tuple[str, Recipe]]) -> int:
        name = callee.rpartition(".")[2]
        choices = [t for t in self.by_name.get(name, ()) if t.flavour not in ("property",)]
        if not choices:
            return 0
        target = choices[0]
        local: Dict[str, Any] = {}
        try:
            for place, recipe in enumerate(args):
                local["a%d" % place] = recipe.build(self.names.globals)
            for word, recipe in kwargs:
                local["k_" + word] = recipe.build(self.names.globals)
        except BaseException:
            return 0
        bound = bind_arguments(
            target, Case(target.qualname, (Step(callee, args=tuple(args), kwargs=tuple(kwargs)),)), local
        )
        if bound is None or any(word.startswith("_") for word, _ in kwargs):
            return 0
        level = well_typed(target, bound, self._seeds(target))
        for recipe in (*args, *(value for _, value in kwargs)):
            if level and isinstance(recipe, Make):
                level = min(level, self._make_level(recipe))
        return level

    # ------------------------------------------------------------ keeping

    def _keep(self, suspect: Suspect) -> None:
        key = (suspect.target.qualname, suspect.kind, suspect.exception or suspect.why, suspect.line)
        known = self.found.get(key)
        if known is not None and known.is_final and suspect.is_final and known.case.key() != suspect.case.key():
            known.others += 1
            return
        if known is None or (suspect.case.cost() < known.case.cost() and not known.is_final):
            self.found[key] = suspect

    def shorten(self, pace: Pace) -> None:
        """Shorten the reproductions; a suspicion that does not repeat is dropped."""
        for key, suspect in sorted(self.found.items()):
            if suspect.is_final:
                continue
            if not self._repeats(suspect.case, key):
                del self.found[key]
                continue
            if pace.budget_s is None or pace.done() < 0.97:
                shrink(suspect.case, lambda case, key=key: self._repeats(case, key), tries=40)  # type: ignore[misc]

    def _repeats(self, case: Case, key: Key) -> bool:
        """Whether a case shows the same suspicion; the shortest is kept on the way."""
        known = self.found[key]
        if known.kind == "hang":
            return self.observer.run(case).kind == "endless" and self.is_fair(known.target, case)
        run = self.observer.run(case)
        self.found.pop(key)
        if run.kind == "raises" and known.exception:
            self.see_failure(known.target, case, run)
        elif run.kind == "returns" and not known.exception:
            self.see(Entry(case, known.target, run.picture, 0), run)
        again = self.found.get(key)
        if again is None or again.case.cost() > known.case.cost():
            self.found[key] = known
        return again is not None

    def report(self) -> List[Dict[str, Any]]:
        """The suspicions as plain data, in the order of the text."""
        ordered = sorted(
            self.found.values(), key=lambda one: (one.target.line, one.target.qualname, one.kind, one.line)
        )
        return [self._data(one) for one in ordered]

    def _data(self, one: Suspect) -> Dict[str, Any]:
        sources = [step.expression() for step in one.case.steps if not step.is_statement]
        return {
            "target": one.target.qualname,
            "steps": [step_data(step) for step in one.case.steps],
            "kind": one.kind,
            "exception": one.exception,
            "message": one.message,
            "line": one.line,
            "why": one.why + (" (and %d more of its examples)" % one.others if one.others else ""),
            "expected": one.expected,
            "actual": one.actual,
            "imports": self.names.imports_for(*sources),
        }

    def is_doubtful(self, case: Case, target: Target, run: Run) -> bool:
        """Whether what a run showed must not be asserted as right."""
        key = case.key()
        if any(one.target is target and one.case.key() == key for one in self.found.values()):
            return True
        return run.kind == "returns" and self._broken(target, case, run) is not None


def _displayed(value: Any) -> Optional[str]:
    with contextlib.suppress(BaseException):
        return repr(value)
    return None


def _is_literal(text: str) -> bool:
    with contextlib.suppress(ValueError, SyntaxError, TypeError, MemoryError):
        ast.literal_eval(text)
        return True
    return False


def _promised(target: Target) -> str:
    if target.doc.raises:
        return "an answer, or %s" % " or ".join(sorted(target.doc.raises))
    return "an answer"


def _nodes_at(names: Namespace, line: int) -> List[ast.AST]:
    tree = ast.parse(module_source(names.module))
    return [
        node
        for node in ast.walk(tree)
        if getattr(node, "lineno", 0) <= line <= (getattr(node, "end_lineno", 0) or 0)
        and isinstance(node, (ast.Subscript, ast.BinOp))
    ]
