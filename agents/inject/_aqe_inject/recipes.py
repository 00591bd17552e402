"""Arguments and calls as recipes: built afresh for every run, never shared, each with the source that a test shows."""

from __future__ import annotations

import dataclasses
import functools
import re
from typing import Any, Dict, List, Optional, Sequence, Tuple

from .literals import _write_text, write_float
from .namespace import BOUNDED_LIST, COLLECTED, compiled

FEW = 5
"""Items of an endless sequence that a test looks at."""

MOST_BITS = 10000
"""Python writes and reads no int of more than 4,300 digits unless it is told to."""

COLLECT = "asyncio.run(%s(" % COLLECTED
FIRST_FEW = {
    "list({f}({args}))": "list(islice({f}({args}), %d))" % FEW,
    COLLECT + "{f}({args})))": COLLECT + "{f}({args}), %d))" % FEW,
}
"""The forms of what may go on for ever, each with the form that takes its first items."""


def collecting(form: str) -> str:
    """The form that loops over what `form` gives, with `async for`."""
    return "%s%s))" % (COLLECT, form)


_ODD = re.compile(r"[^\x00-\x7e]|\\")
_PRIVATE = re.compile(r"(?<![\w\"'])_[a-zA-Z]")


class Recipe:
    """How to make one argument, again and again."""

    __slots__ = ("_source",)
    _source: str

    def build(self, scope: Dict[str, Any]) -> Any:
        """A fresh value; `scope` holds the names that source may use."""
        raise LookupError("a bare recipe has no value")

    def write(self) -> str:
        """Source, made once and kept."""
        raise LookupError("a bare recipe has no source")

    @property
    def source(self) -> str:
        """The expression in a test file."""
        try:
            return self._source
        except AttributeError:
            self._source = self.write()
            return self._source


class Atom(Recipe):
    """None, a truth value, a number, text or bytes."""

    __slots__ = ("value",)

    def __init__(self, value: Any) -> None:
        self.value = value

    def build(self, scope: Dict[str, Any]) -> Any:
        return self.value

    def write(self) -> str:
        if isinstance(self.value, (str, bytes)):
            return _write_text(self.value) if not _is_place(self.value) else repr(self.value)
        return write_float(self.value) if isinstance(self.value, float) else repr(self.value)


def _is_place(text: Any) -> bool:
    return isinstance(text, str) and ("/" in text or "0x" in text or "\\" in text)


class Items(Recipe):
    """A list, tuple, set or frozenset of recipes."""

    __slots__ = ("items", "kind")

    def __init__(self, kind: type, items: Sequence[Recipe]) -> None:
        self.kind = kind
        self.items = tuple(items)

    def build(self, scope: Dict[str, Any]) -> Any:
        made = [item.build(scope) for item in self.items]
        return made if self.kind is list else self.kind(made)

    def write(self) -> str:
        body = ", ".join(item.source for item in self.items)
        if self.kind is list:
            return "[%s]" % body
        if self.kind is tuple:
            return "(%s,)" % body if len(self.items) == 1 else "(%s)" % body
        if self.kind is set:
            return "{%s}" % body if self.items else "set()"
        return "frozenset({%s})" % body if self.items else "frozenset()"


class Pairs(Recipe):
    """A dictionary of recipes."""

    __slots__ = ("pairs",)

    def __init__(self, pairs: Sequence[Tuple[Recipe, Recipe]]) -> None:
        self.pairs = tuple(pairs)

    def build(self, scope: Dict[str, Any]) -> Any:
        return {key.build(scope): value.build(scope) for key, value in self.pairs}

    def write(self) -> str:
        return "{%s}" % ", ".join("%s: %s" % (key.source, value.source) for key, value in self.pairs)


class Text(Recipe):
    """Source taken as it stands: a lambda, an enum member, `Decimal("1.5")`."""

    __slots__ = ("code", "text")

    def __init__(self, text: str) -> None:
        self.text = text
        self.code = compiled(text, "eval")

    def build(self, scope: Dict[str, Any]) -> Any:
        return eval(self.code, scope)

    def write(self) -> str:
        return self.text


class Late(Text):
    """Source that may name variables of earlier lines."""

    __slots__ = ()


class Make(Recipe):
    """A call that makes the argument: a class, a factory, another function of the subject."""

    __slots__ = ("args", "callee", "kwargs")

    def __init__(self, callee: str, args: Sequence[Recipe], kwargs: Sequence[Tuple[str, Recipe]] = ()) -> None:
        self.callee = callee
        self.args = tuple(args)
        self.kwargs = tuple(kwargs)

    def build(self, scope: Dict[str, Any]) -> Any:
        args = [item.build(scope) for item in self.args]
        kwargs = {name: item.build(scope) for name, item in self.kwargs}
        return eval(compiled(self.callee, "eval"), scope)(*args, **kwargs)

    def write(self) -> str:
        return "%s(%s)" % (self.callee, write_arguments(self.args, self.kwargs))


def write_arguments(args: Sequence[Recipe], kwargs: Sequence[Tuple[str, Recipe]]) -> str:
    """The inside of the parentheses of a call."""
    return ", ".join([item.source for item in args] + ["%s=%s" % (name, item.source) for name, item in kwargs])


@dataclasses.dataclass(frozen=True)
class Step:
    """One line of a case. `form` is a template: `{f}` the callee, `{args}` all arguments, `{0}` one of them."""

    callee: str
    form: str = "{f}({args})"
    bind: Optional[str] = None
    receiver: Optional[str] = None
    args: Tuple[Recipe, ...] = ()
    kwargs: Tuple[Tuple[str, Recipe], ...] = ()
    is_statement: bool = False
    awaits: bool = False

    def expression(self) -> str:
        """The line as a test shows it, without the binding."""
        shown = [item.source for item in self.args]
        filled = self.form.replace("{f}", self.callee).replace("{args}", write_arguments(self.args, self.kwargs))
        for place, text in enumerate(shown):
            filled = filled.replace("{%d}" % place, text)
        return filled

    @property
    def collects(self) -> bool:
        """Whether the line loops with `async for`."""
        return self.form.startswith(COLLECT)

    def code(self) -> Any:
        """The line compiled over `a0, a1, ...`, so that arguments are built apart and can be looked at afterwards."""
        return _step_code(
            self.callee, self.form, len(self.args), tuple(name for name, _ in self.kwargs), self.is_statement
        )


@functools.lru_cache(maxsize=8192)
def _step_code(callee: str, form: str, count: int, names: Tuple[str, ...], is_statement: bool) -> Any:
    places = ["a%d" % i for i in range(count)]
    named = ["%s=k_%s" % (name, name) for name in names]
    if form.startswith("list("):
        form = "%s(%s" % (BOUNDED_LIST, form[len("list(") :])
    filled = form.replace("{f}", callee).replace("{args}", ", ".join(places + named))
    for i, place in enumerate(places):
        filled = filled.replace("{%d}" % i, place)
    return compiled(filled, "exec" if is_statement else "eval")


@dataclasses.dataclass(frozen=True)
class Case:
    """Steps that build a state, the last of which is the call under test."""

    target: str
    steps: Tuple[Step, ...]
    origin: str = "search"
    expected: Optional[str] = None

    @property
    def last(self) -> Step:
        """The call under test."""
        return self.steps[-1]

    def key(self) -> str:
        """The text of the case: equal cases have equal keys."""
        held: Optional[str] = self.__dict__.get("_key")
        if held is None:
            held = self._text()
            object.__setattr__(self, "_key", held)
        return held

    def _text(self) -> str:
        return "\n".join("%s = %s" % (step.bind, step.expression()) for step in self.steps)

    def cost(self) -> int:
        """How much there is to read: characters, with a charge for each line and for characters nobody types."""
        text = self.key()
        odd = len(_ODD.findall(text))
        return len(text) + 12 * len(self.steps) + 2 * odd + 40 * len(_PRIVATE.findall(text))

    def with_last(self, step: Step) -> Case:
        """The same state with another call under test."""
        return dataclasses.replace(self, steps=(*self.steps[:-1], step), origin="search", expected=None)


def atoms_in(recipe: Recipe) -> List[Atom]:
    """All atoms of a recipe, left to right."""
    if isinstance(recipe, Atom):
        return [recipe]
    if isinstance(recipe, Items):
        return [atom for item in recipe.items for atom in atoms_in(item)]
    if isinstance(recipe, Pairs):
        return [atom for key, value in recipe.pairs for part in (key, value) for atom in atoms_in(part)]
    if isinstance(recipe, Make):
        return [atom for item in recipe.args + tuple(v for _, v in recipe.kwargs) for atom in atoms_in(item)]
    return []


def recipe_of(value: Any, depth: int = 6) -> Optional[Recipe]:
    """The recipe of a plain value; None when the value is not made of plain data, or of too many digits to write."""
    kind = type(value)
    if kind is int and value.bit_length() > MOST_BITS:
        return None
    if value is None or kind in (bool, int, float, str, bytes):
        return Atom(value)
    if depth <= 0:
        return None
    if kind in (list, tuple, set, frozenset):
        made = [(recipe_of(item, depth - 1), item) for item in value]
        if any(part is None for part, _ in made):
            return None
        if kind in (set, frozenset):
            made.sort(key=lambda pair: repr(pair[1]))
        return Items(kind, [part for part, _ in made if part is not None])
    if kind is dict:
        pairs = [(recipe_of(key, depth - 1), recipe_of(item, depth - 1)) for key, item in value.items()]
        whole = [(key, item) for key, item in pairs if key is not None and item is not None]
        return Pairs(whole) if len(whole) == len(pairs) else None
    return None
