"""A few words that say what a case is about."""

from __future__ import annotations

import re
from typing import Any, Iterator, List, Optional, Tuple

from .exam import Exam
from .reading import Target
from .recipes import Atom, Items, Late, Make, Pairs, Recipe, Step


def label_of(exam: Exam, target: Target) -> str:
    """What sets the case apart: the exception, an edge value, an option; empty when nothing does."""
    words: List[str] = []
    for name, recipe in _arguments(exam.case.last, target):
        word = _word(recipe, name)
        if word and word not in words:
            words.append(word)
    if exam.kind == "raises":
        cause = words[0] if words else ""
        return ("%s raises %s" % (cause, exam.exception)).strip()
    given = [step.args[0].source for step in exam.case.steps[:-1] if step.callee == "monkeypatch.setenv"]
    words.extend("with %s set" % name.strip("\"'").lower() for name in given)
    setup = [step for step in exam.case.steps[:-1] if step.bind is None]
    if not words and setup:
        words.append("after %s" % _last_word(setup[-1].callee))
    return " and ".join(words[:2])


def _last_word(callee: str) -> str:
    return callee.rpartition(".")[2].strip("_").replace("_", " ")


def _arguments(step: Step, target: Target) -> Iterator[Tuple[str, Recipe]]:
    for place, recipe in enumerate(step.args):
        yield (target.parameters[place].name if place < len(target.parameters) else "", recipe)
    yield from step.kwargs


def _word(recipe: Recipe, name: str) -> Optional[str]:
    shown = name.strip("_").replace("_", " ")
    if isinstance(recipe, Atom):
        return _atom_word(recipe.value, shown)
    if isinstance(recipe, Items):
        kind = recipe.kind.__name__
        if not recipe.items:
            return "empty %s" % kind
        return "single element" if len(recipe.items) == 1 else _repeats(recipe)
    if isinstance(recipe, Pairs):
        return "empty dict" if not recipe.pairs else None
    if isinstance(recipe, (Make, Late)):
        return None
    return None


def _repeats(recipe: Items) -> Optional[str]:
    sources = [one.source for one in recipe.items]
    return "repeated elements" if len(set(sources)) < len(sources) else None


def _atom_word(value: Any, shown: str) -> Optional[str]:
    if value is None:
        return "no %s" % shown if shown else "none"
    if isinstance(value, bool):
        return "%s %s" % ("with" if value else "not", shown) if shown else None
    if isinstance(value, (int, float)):
        return _number_word(value, shown)
    if isinstance(value, bytes):
        return "empty bytes" if not value else "bytes"
    return _text_word(value, shown) if isinstance(value, str) else None


def _number_word(value: Any, shown: str) -> Optional[str]:
    if value != value:
        return "not a number"
    if value in (float("inf"), float("-inf")):
        return "infinite %s" % (shown or "number")
    if value == 0:
        return "zero %s" % shown if shown else "zero"
    if value < 0:
        return "negative %s" % (shown if len(shown) > 1 else "number")
    if abs(value) >= 10**6:
        return "large %s" % (shown if len(shown) > 1 else "number")
    return None


def _text_word(value: str, shown: str) -> Optional[str]:
    if not value:
        return "empty %s" % (shown if len(shown) > 2 else "string")
    if not value.strip():
        return "only spaces"
    if not value.isascii():
        return "accented text" if re.search(r"[^\W\d_]", value) else "unicode"
    if value != value.strip():
        return "surrounding spaces"
    if re.match(r"^-?\d+(\.\d+)?$", value):
        return "digits"
    return None
