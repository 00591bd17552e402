"""Conditions that a docstring puts on arguments: no promise about a result, and nothing is owed where one is broken."""

from __future__ import annotations

import functools
import operator
import re
from typing import Any, Callable, Dict, List, Optional, Sequence, Tuple

Condition = Tuple[str, str, str]
"""A parameter, a relation of `_RELATIONS` and the limit: a number or the name of another parameter."""

_LIMIT = r"`{0,2}(?:-?\d+(?:\.\d+)?|[A-Za-z_]\w*)`{0,2}"
_WORDS = (
    (">=", r"at least|no less than|not (?:less than|smaller than|below|under)|a minimum of|>=|≥"),
    (
        "<=",
        r"at most|no (?:more|greater) than|not (?:(?:more|greater|larger) than|above|over)|up to|a maximum of|<=|≤",
    ),
    (">", r"greater than|more than|above|over|larger than|>(?!=)"),
    ("<", r"less than|fewer than|below|under|smaller than|<(?!=)"),
)
_ONE = "(?:%s|%s)" % (
    "|".join(r"(?:%s)\s*%s" % (words, _LIMIT) for _, words in _WORDS),
    r"(?:between|from|in the range|within)\s+%s\s+(?:and|to)\s+%s|strictly positive|positive"
    r"|(?:never|not|non-?)\s*negative|(?:not|non-?)\s*zero|(?:not|non-?)\s*empty" % (_LIMIT, _LIMIT),
)
_BOUNDS = r"%s(?:\s*(?:,|and|, and|but|, but)\s+%s)*" % (_ONE, _ONE)
_JOINED = r"%s(?:,?\s+(?:and|but)\s+%s)*" % (_ONE, _ONE)
_NOUN = r"(?:an?\s+)?(?:(?:number|value|integer|int|float)\s+)?"
_DUTY = r"(?:must|should|has to|have to|needs? to|(?:is|are) (?:expected|assumed|required) to|shall)"
_OF_RESULT = re.compile(r"\b(?:result\w*|return\w*|output|answer|computed|clamped|given back)\s+$", re.I)
_IF = re.compile(
    r"\b(?:if|when|whenever|whether|unless|once|until|while|because|as|raises?|true|false|how)\b[^.;:]*$", re.I
)
_PLAIN = re.compile(
    r"(?:^|[.,;:(]\s*|\b(?:the|an?|each|every|all|where|with|for|and|or|that|which|given|assuming)\s+)$", re.I
)
_SIZE = re.compile(r"\b(?:have|has|contain|contains|hold|elements?|items?|entries|entry|characters?|long)\b")
_SECTIONS = re.compile(r"\n\s*(?:Raises|Returns?|Yields?|Examples?)\s*:?\s*\n|\n\s*:(?:raises?|returns?|rtype)\b|>>>")

_RELATIONS: Dict[str, Callable[[Any, Any], bool]] = {
    ">=": operator.ge,
    "<=": operator.le,
    ">": operator.gt,
    "<": operator.lt,
    "!=": operator.ne,
}


def without_conditions(text: str, names: Sequence[str]) -> str:
    """A text in one line without the clauses whose subject is a parameter: what is left may speak of the result."""
    left, end = [], 0
    for start, stop, _ in _clauses(text, tuple(names)):
        left.append(text[end:start])
        end = stop
    return "".join((*left, text[end:]))


def keeps_conditions(text: str, bound: Dict[str, Any]) -> bool:
    """Whether arguments keep to what a docstring asks of them; what cannot be compared keeps to it."""
    return all(_holds(condition, bound) for condition in _conditions(text, tuple(bound)))


@functools.lru_cache(maxsize=4096)
def _conditions(text: str, names: Tuple[str, ...]) -> List[Condition]:
    plain = " ".join(_SECTIONS.split(text)[0].split())
    return [condition for _, _, conditions in _clauses(plain, names) for condition in conditions]


@functools.lru_cache(maxsize=4096)
def _clauses(text: str, names: Tuple[str, ...]) -> List[Tuple[int, int, List[Condition]]]:
    """Start, end and conditions of each clause about a parameter; a clause after "if" asks for nothing."""
    called = {name[:-1]: name for name in names if len(name) > 3 and name.endswith("s")}
    called.update((name, name) for name in names)
    if not called:
        return []
    subject = r"(?<![\w.])`{0,2}(?P<name>%s)`{0,2}(?:\s*\([^)]*\))?" % "|".join(
        re.escape(word) for word in sorted(called, key=lambda word: (-len(word), word))
    )
    pattern = re.compile(
        r"%s(?::?\s+(?:(?P<duty>%s)\s+(?P<what>[^.;]*(?:\.\d[^.;]*)*)|(?:is|are)\s+(?:always\s+)?%s(?P<is>%s))"
        r"|(?P<sign>\s*(?:[<>]=?|≥|≤)\s*%s)|\s+(?P<bare>%s))" % (subject, _DUTY, _NOUN, _BOUNDS, _LIMIT, _JOINED)
    )
    found = []
    for one in pattern.finditer(text):
        before = text[: one.start()]
        said = one.group("duty") and one.group("what")
        if _OF_RESULT.search(before) or (not said and not _is_subject(before, one)):
            continue
        asks = said or one.group("is") or one.group("sign") or one.group("bare")
        is_open = _IF.search(before) or re.match(r"\s*,?\s*(?:or|unless|if|when)\b", text[one.end() :])
        conditions = [] if is_open else _read(called[one.group("name")], asks)
        found.append((one.start(), one.end(), conditions))
    return found


def _is_subject(before: str, one: "re.Match[str]") -> bool:
    """Whether the parameter itself is spoken of: "`n` is at least 1", "with n at least 1", not "the final n is"."""
    if one.group("bare"):
        return re.search(r"\b(?:with|for|given|where|assuming)\s+(?:an?\s+|the\s+)?$", before, re.I) is not None
    return bool(_PLAIN.search(before) or _IF.search(before) or one.group(0).startswith("`"))


def _read(name: str, asks: str) -> List[Condition]:
    """The relations of a clause; one with another meaning gives none."""
    found: List[Condition] = []
    asks = re.sub(r"\b(not|never) be\b", r"\1", asks)
    if re.search(r"\b(?:or|unless|if|when|either)\b", asks):
        return found
    if _SIZE.search(asks):
        return [(name, "filled", "")] if re.search(r"\bat least (?:one|1|two|2)\b", asks) else found
    for low, high in re.findall(
        r"\b(?:between|from|in the range|within)\s+(%s)\s+(?:and|to)\s+(%s)" % (_LIMIT, _LIMIT), asks
    ):
        found += [(name, ">=", low.strip("`")), (name, "<=", high.strip("`"))]
    for sign, words in _WORDS:
        for limit in re.findall(r"(?<!not )(?<!no )(?<![\w<>])(?:%s)\s*(%s)" % (words, _LIMIT), asks):
            found.append((name, sign, limit.strip("`")))
    if re.search(r"\b(?:not|never|non)[\s-]*negative|\bnonnegative", asks):
        found.append((name, ">=", "0"))
    elif re.search(r"(?<!not )(?<!not be )\bpositive", asks):
        found.append((name, ">", "0"))
    if re.search(r"\b(?:not|never|non)[\s-]*zero|\bnonzero", asks):
        found.append((name, "!=", "0"))
    if re.search(r"\b(?:not|never|non)[\s-]*empty|\bnonempty", asks):
        found.append((name, "filled", ""))
    return found


def _holds(condition: Condition, bound: Dict[str, Any]) -> bool:
    name, sign, limit = condition
    value = bound[name]
    if sign == "filled":
        return not isinstance(value, (str, bytes, list, tuple, dict, set, frozenset)) or bool(value)
    other = _number(limit, bound)
    if other is None:
        return True
    values = value if type(value) in (list, tuple) else [value]
    return all(_RELATIONS[sign](one, other) for one in values if type(one) in (int, float))


def _number(limit: str, bound: Dict[str, Any]) -> Optional[Any]:
    words = {"zero": 0, "one": 1, "two": 2}
    if limit in bound or limit in words:
        value = bound.get(limit, words.get(limit))
        return value if type(value) in (int, float) else None
    return float(limit) if re.match(r"-?\d", limit) else None
