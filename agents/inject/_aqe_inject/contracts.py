"""Promises of hints and docstrings that a run can contradict."""

from __future__ import annotations

import ast
import dataclasses
import inspect
import math
import re
from decimal import Decimal
from fractions import Fraction
from typing import Any, Dict, List, Optional, Sequence, Tuple

from .docstrings import promises
from .hints import Shape, accepts, describe, keeps_to
from .preconditions import keeps_conditions, without_conditions
from .reading import Parameter, Target
from .recipes import Case, Recipe

Bound = Dict[str, Any]


@dataclasses.dataclass(frozen=True)
class Broken:
    """A promise and what came instead."""

    kind: str
    why: str
    expected: str
    actual: str


def bind_arguments(target: Target, case: Case, local: Dict[str, Any]) -> Optional[Bound]:
    """Parameter names to the values that the last call was given, defaults included; None when they do not fit."""
    bound: Bound = {}
    free = [
        p
        for p in target.parameters
        if p.kind in (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)
    ]
    spread = any(p.kind is inspect.Parameter.VAR_POSITIONAL for p in target.parameters)
    last = case.last
    if len(last.args) > len(free) and not spread:
        return None
    for place, parameter in enumerate(free[: len(last.args)]):
        bound[parameter.name] = local.get("a%d" % place)
    for name, _ in last.kwargs:
        bound[name] = local.get("k_" + name)
    for parameter in target.parameters:
        if parameter.has_default:
            bound.setdefault(parameter.name, parameter.default)
    return bound


def well_typed(target: Target, bound: Bound, seeds: Dict[str, List[Recipe]]) -> int:
    """0: some argument breaks its hint or a condition of the docstring, or is only guessed; 1: all keep to them; 2: the
    hints say everything. An argument for which the docstring announces an exception keeps to its conditions."""
    if not keeps_conditions(target.doc.text, bound) and _missing_error(target, bound) is None:
        return 0
    level = 2
    for parameter in target.parameters:
        if parameter.name not in bound:
            if parameter.kind in (inspect.Parameter.VAR_KEYWORD, inspect.Parameter.VAR_POSITIONAL):
                level = min(level, 1)
                continue
            return 0
        value = bound[parameter.name]
        if parameter.has_default and value is parameter.default:
            continue
        if value != value:
            return 0
        if parameter.is_stated:
            if not keeps_to(parameter.shapes[0], value) or (
                type(value) is bool and parameter.shapes[0].kind in ("int", "float")
            ):
                return 0
            level = min(level, 2 if says_everything(parameter.shapes[0]) else 1)
        elif not _seen_in_examples(parameter, value, seeds):
            return 0
        else:
            level = 1
    return level


def _seen_in_examples(parameter: Parameter, value: Any, seeds: Dict[str, List[Recipe]]) -> bool:
    kinds = {type(getattr(recipe, "value", None)) for recipe in seeds.get(parameter.name, ())} - {type(None)}
    if parameter.has_default and parameter.default is not None:
        kinds.add(type(parameter.default))
    return type(value) in kinds and type(value) in (str, int, float)


def says_everything(shape: Shape, depth: int = 4) -> bool:
    """Whether a hint leaves nothing open: no Any, no bare list, no callable."""
    if depth <= 0 or shape.kind in ("any", "callable", "type", "iterator", "textio", "bytesio", "awaitable"):
        return False
    if shape.kind in ("list", "dict", "set", "frozenset", "tuples", "deque") and not shape.inner:
        return False
    if shape.kind == "class":
        return not getattr(shape.value, "_is_protocol", False) and not inspect.isabstract(shape.value)
    return all(says_everything(part, depth - 1) for part in shape.inner)


def is_unknown_word(parameter: Parameter, value: Any, text: str, seeds: Dict[str, List[Recipe]]) -> bool:
    """Whether an option that stands for a word is given one that neither its default nor a text or call mentions."""
    if not (parameter.has_default and isinstance(parameter.default, str)) or not isinstance(value, str):
        return False
    if value == parameter.default or any(getattr(one, "value", None) == value for one in seeds.get(parameter.name, ())):
        return False
    return len(value) < 3 or re.search(r"(?<!\w)%s(?!\w)" % re.escape(value), text) is None


_EMPTY = re.compile(r"[^.;,:()]*?\b(?:for|of|on|when given|if given)\s+(?:an?|the)\s+empty\s+\w+", re.I)


def promise_for_nothing(target: Target, bound: Bound, has_receiver: bool) -> str:
    """What a docstring says of an empty argument or object ("0 for an empty list"), where the call has one."""
    sized = (str, bytes, list, tuple, dict, set, frozenset)
    if not any(isinstance(value, sized) and not value for value in bound.values()) and (bound or not has_receiver):
        return ""
    found = _EMPTY.search(body_text(target.doc.text))
    said = found.group(0).strip() if found is not None else ""
    return said if len(said) <= 80 else ""


# ---------------------------------------------------------------- checks of a returned value


def broken_promise(target: Target, bound: Bound, value: Any, level: int) -> Optional[Broken]:
    """The first promise that a returned value breaks, given arguments that keep to theirs."""
    if value is NotImplemented or level == 0:
        return None
    missing = _missing_error(target, bound)
    if missing is not None:
        return dataclasses.replace(missing, actual=_short(value))
    if target.returns_stated and target.flavour != "setter" and not target.is_statement and _checkable(target.returns):
        if not accepts(target.returns, value):
            kind = describe(target.returns)
            return Broken(
                "hint-broken", "the hint promises %s" % kind, kind, "%s (%s)" % (_short(value), type(value).__name__)
            )
    return _broken_sentence(target, bound, value)


def _checkable(shape: Shape) -> bool:
    if shape.kind == "iterator":
        return False
    return (
        shape.kind != "class"
        or not isinstance(shape.value, type)
        or shape.value.__module__ not in ("typing", "collections.abc")
    )


def _short(value: Any) -> str:
    if type(value) in (int, float, bool, str, bytes, type(None), list, tuple, dict, set):
        try:
            text = repr(value)
        except Exception:  # an int with thousands of digits, an element whose own repr fails
            return "a value that cannot be shown"
        return text if len(text) <= 80 else text[:77] + "..."
    return "a %s" % type(value).__name__


_LIMIT = re.compile(
    r"`{0,2}(\w+)`{0,2}\s+(?:is|are|lies)?\s*((?:not positive|negative|zero|empty|(?:below"
    r"|less than|under|smaller than|<|above|greater than|more than|over|larger than|>|<="
    r"|>=)\s*(?:zero|one|-?\d+(?:\.\d+)?))(?:\s+or\s+(?:below|less than|above|greater than"
    r"|more than|over)\s*-?\d+(?:\.\d+)?)?)"
)
_PART = re.compile(
    r"(not positive|negative|zero|empty|(?:below|less than|under|smaller than|<=|>=|<|above|greater than|more than|over"
    r"|larger than|>)\s*(?:zero|one|-?\d+(?:\.\d+)?))"
)


def _missing_error(target: Target, bound: Bound) -> Optional[Broken]:
    """A documented exception whose condition the arguments meet, though nothing was raised."""
    for name, why in target.doc.raises.items():
        for subject, condition in _LIMIT.findall(why):
            value = _subject(subject, bound)
            if value is _NOTHING:
                continue
            for part in _PART.findall(condition):
                if _meets(value, part):
                    text = "the docstring promises %s when %s is %s" % (name, subject, part)
                    return Broken("docstring-broken", text, name, "")
    return None


_NOTHING = object()


def _subject(word: str, bound: Bound) -> Any:
    """The argument that a word of a docstring means: its name, or the end of its name."""
    if word in bound:
        return bound[word]
    ends = [name for name in bound if name.split("_")[0] == word or name.split("_")[-1] == word]
    return bound[ends[0]] if len(ends) == 1 and len(word) > 3 else _NOTHING


def _meets(value: Any, condition: str) -> bool:
    if condition == "empty":
        return isinstance(value, (str, list, tuple, dict, set)) and not value
    if not isinstance(value, (int, float)) or isinstance(value, bool):
        return False
    if condition in ("negative", "not positive", "zero"):
        return value < 0 if condition == "negative" else value <= 0 if condition == "not positive" else value == 0
    word, _, number = condition.rpartition(" ")
    if not word:
        split = re.match(r"([<>]=?)(.*)", condition)
        if split is None:
            return False
        word, number = split.groups()
    limit = {"zero": 0.0, "one": 1.0}.get(number)
    limit = float(number) if limit is None else limit
    if word.strip() in ("below", "less than", "under", "smaller than", "<"):
        return value < limit
    if word.strip() in ("<=", ">="):
        return value <= limit if word.strip() == "<=" else value >= limit
    return value > limit


_UNIT = r"\s+(-?\d+(?:\.\d+)?)\s*(?=[.,;:)]|$|cents\b|percent\b|%|seconds\b|s\b|euro)"
_AT_MOST = re.compile(r"(?:\bat most|\bnever (?:more than|above|over)|\bno more than|\bcapped at|\bmaximum of)" + _UNIT)
_AT_LEAST = re.compile(r"(?:\bat least|\bnever (?:less than|below|under)|\bno less than|\bminimum of)" + _UNIT)


def body_text(doc: str) -> str:
    """A docstring without its sections on arguments and exceptions, and without its examples."""
    plain = re.split(
        r"\n\s*(?:Raises|Args|Arguments|Parameters|Examples?|Yields)\s*:?\s*\n|\n\s*:(?:param|raises?|type)\b", doc
    )[0]
    returns = re.search(r"\n\s*Returns\s*:?\s*\n(.*?)(?:\n\s*\n|$)", doc, re.S)
    return " ".join((plain + " " + (returns.group(1) if returns else "")).split(">>>")[0].split())


def _broken_sentence(target: Target, bound: Bound, value: Any) -> Optional[Broken]:
    text = without_conditions(body_text(target.doc.text), list(bound))
    if not text:
        return None
    if type(value) is str:
        return _broken_length(text, bound, value)
    if isinstance(value, (int, float)) and not isinstance(value, bool):
        found = _broken_number(target, text, value)
        if found is not None:
            return found
    found = _broken_sum(text, bound, value)
    if found is not None:
        return found
    for word, _ in promises(dataclasses.replace(target.doc, text=text)):
        broken = _breaks(word, text, value)
        if broken:
            return Broken("docstring-broken", "the docstring promises %s" % broken, broken, _short(value))
    return None


_LENGTH = re.compile(
    r"(?P<before>[^.;:]*?)\b(?:to|(?:result|output|returned \w+)\s+(?:is|has|of))\s+"
    r"(?P<word>at most|at least|no more than)\s+"
    r"`{0,2}(?P<limit>\d+|[A-Za-z_]\w*)`{0,2}\s+(?:characters|chars|letters)\b(?P<after>[^.;]*)"
)
_PIECES = re.compile(
    r"\b(?:lines?|words?|rows?|columns?|chunks?|pieces|parts|each|every|per|split\w*|wrap\w*|plus|count\w*|excluding"
    r"|except|apart|before|followed|append\w*|add\w*|not|may|might|if|when|unless|where|from|about|usually|tr(?:y|ies))\b",
    re.I,
)


def _broken_length(text: str, bound: Bound, value: str) -> Optional[Broken]:
    """A text that is longer or shorter than "to at most 10 characters" says; pieces of a text are another matter."""
    for found in _LENGTH.finditer(text):
        limit = bound.get(found.group("limit"))
        limit = int(found.group("limit")) if found.group("limit").isdigit() else limit
        if _PIECES.search(found.group("before") + found.group("after")) or type(limit) is not int or limit < 0:
            continue
        is_low = found.group("word") == "at least"
        if len(value) < limit if is_low else len(value) > limit:
            promised = "%s %d characters" % ("at least" if is_low else "at most", limit)
            actual = "%d characters: %s" % (len(value), _short(value))
            return Broken("docstring-broken", "the docstring promises %s" % promised, promised, actual)
    return None


_SUM = re.compile(
    r"(?P<before>[^.;:]*?)\b(?:(?:always|exactly|together|still|they|which|that)\s+)*"
    r"(?:(?:add|adds|adding|sum|sums|summing)\s+(?:up\s+)?(?:exactly\s+)?(?:again\s+)?to|total|whose\s+sum\s+(?:is|equals)"
    r"|sum\s+of\s+(?:the\s+|all\s+)?\w+\s+(?:is|equals)(?:\s+always)?(?:\s+equal\s+to)?)\s+(?:exactly\s+)?"
    r"(?:(?:the|its|their)\s+)?(?:(?:original|given|whole|full)\s+)?`{0,2}(?P<what>[A-Za-z_]\w*|-?\d+(?:\.\d+)?)`{0,2}"
)
_UNSURE = re.compile(
    r"\b(?:not|never|no|may|might|need|must|should|if|when|unless|where|assum\w*|expect\w*|require\w*|raise\w*|at)\b",
    re.I,
)
_COUNTS = {"one": 1.0, "zero": 0.0, "hundred": 100.0}


def _broken_sum(text: str, bound: Bound, value: Any) -> Optional[Broken]:
    """A sequence of numbers that does not add up to what its docstring says: an argument, or a number."""
    parts = list(value.values()) if type(value) is dict else value
    if type(parts) not in (list, tuple) or not parts or not all(map(_is_finite, parts)):
        return None
    for found in _SUM.finditer(text):
        said = found.group("before").split()
        if _UNSURE.search(found.group("before")) or (said and said[-1].strip("`,") in bound):
            continue  # a condition, or a promise about an argument
        word = found.group("what")
        wanted = _COUNTS.get(word.lower(), _subject(word, bound))
        if re.match(r"-?\d", word):
            wanted = float(word)
        if not _is_finite(wanted):
            continue
        try:
            holds = math.isclose(sum(parts), wanted, rel_tol=1e-9, abs_tol=1e-9)
        except (ArithmeticError, TypeError):
            continue  # too large for a float, or kinds of numbers that do not mix
        if not holds:
            shown = "%g" % wanted if type(wanted) is float else str(wanted)
            why = "the docstring promises that the parts add up to %s" % word
            return Broken("docstring-broken", why, "parts that add up to %s" % shown, "%s" % _short(value))
    return None


def _is_finite(value: Any) -> bool:
    """Whether a value is a number that can be added up; a subclass may run code of the subject's own."""
    try:
        return type(value) in (int, float, Decimal, Fraction) and math.isfinite(value)
    except (OverflowError, ValueError):  # too large for a float, a signalling NaN
        return False


def _broken_number(target: Target, text: str, value: Any) -> Optional[Broken]:
    for pattern, is_low, word in ((_AT_MOST, False, "at most"), (_AT_LEAST, True, "at least")):
        for limit in pattern.findall(text):
            if value < float(limit) if is_low else value > float(limit):
                return Broken(
                    "docstring-broken",
                    "the docstring promises %s %s" % (word, limit),
                    "%s %s" % (word, limit),
                    repr(value),
                )
    for word, (low, high) in promises(dataclasses.replace(target.doc, text=text)):
        if word == "between" and not low <= value <= high:
            span = "a value from %g to %g" % (low, high)
            return Broken("docstring-broken", "the docstring promises %s" % span, span, "%g" % value)
    return None


def _breaks(word: str, text: str, value: Any) -> str:
    """The promise in words when the value breaks it, else nothing."""
    if word == "not-none" and value is None:
        return "a value other than None"
    if word == "not-negative" and isinstance(value, (int, float)) and not isinstance(value, bool) and value < 0:
        return "a value that is never negative"
    if word == "sorted" and isinstance(value, (list, tuple)) and "sorted by" not in text and "descending" not in text:
        try:
            return "sorted elements" if list(value) != sorted(value) else ""
        except TypeError:
            return ""
    if word == "unique" and isinstance(value, (list, tuple)):
        seen = [repr(one) for one in value]
        return "elements without duplicates" if len(set(seen)) < len(seen) else ""
    return ""


# ---------------------------------------------------------------- equations and pairs

_CODE = re.compile(r"`{1,2}([^`\n]+?==[^`\n]+?)`{1,2}")


def equations(target: Target) -> List[str]:
    """Equations that a docstring writes as code over its own parameters: `parse(format(x)) == x`."""
    found = []
    names = {parameter.name for parameter in target.parameters}
    for text in _CODE.findall(target.doc.text):
        try:
            tree = ast.parse(text.strip(), mode="eval")
        except SyntaxError:
            continue
        used = {node.id for node in ast.walk(tree) if isinstance(node, ast.Name)}
        if (
            isinstance(tree.body, ast.Compare)
            and used & names
            and any(isinstance(node, ast.Call) for node in ast.walk(tree))
        ):
            found.append(text.strip())
    return found


_PAIRS = (("parse_", "format_"), ("decode", "encode"), ("loads", "dumps"), ("deserialize", "serialize"), ("unpack",
    "pack"),
          ("unescape", "escape"), ("from_", "to_"), ("unquote", "quote"), ("load_", "dump_"), ("read_",
              "write_"))  # fmt: skip


def round_trips(targets: Sequence[Target]) -> List[Tuple[Target, Target]]:
    """Pairs (parse, format) of functions that should undo each other by their names, one required argument each."""
    plain = {
        t.name: t for t in targets if t.flavour == "function" and not t.awaits and not t.is_private and _is_unary(t)
    }
    found = []
    for name, target in sorted(plain.items()):
        for back, forth in _PAIRS:
            if name.startswith(back):
                other = plain.get(forth + name[len(back) :])
                if other is not None:
                    found.append((target, other))
    return found


def _is_unary(target: Target) -> bool:
    return (
        len([p for p in target.parameters if not p.has_default]) == 1
        and bool(target.parameters)
        and not target.parameters[0].has_default
    )


def is_idempotent_by_name(target: Target) -> bool:
    """Whether a docstring says that applying the function twice changes nothing more."""
    return any(word == "idempotent" for word, _ in promises(target.doc)) and _is_unary(target)
