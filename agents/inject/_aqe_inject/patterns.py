"""Text that a regular expression matches, made from its parsed form: inputs that pass the subject's own gates."""

from __future__ import annotations

import functools
import importlib
import random
import re
import string
import sys
from typing import Any, List, Optional, Set, Tuple

_NEW = sys.version_info >= (3, 11)
_codes: Any = importlib.import_module("re._constants" if _NEW else "sre_constants")
_reader: Any = importlib.import_module("re._parser" if _NEW else "sre_parse")

_PRINTABLE = string.ascii_letters + string.digits + " -_.,"
_CLASSES = {
    _codes.CATEGORY_DIGIT: "0123456789",
    _codes.CATEGORY_SPACE: " ",
    _codes.CATEGORY_WORD: "abcxyzAZ019_",
    _codes.CATEGORY_NOT_DIGIT: "ab-x",
    _codes.CATEGORY_NOT_SPACE: "abc1",
    _codes.CATEGORY_NOT_WORD: "- .",
}


def matching_text(pattern: Any, rng: random.Random, flags: int = 0) -> Optional[str]:
    """One string that the pattern matches (tried, not hoped); None when none was found in a few tries."""
    try:
        expression, parsed = _parsed(pattern, flags)
        if parsed is None:
            return None
    except Exception:
        return None
    for _ in range(4):
        made = "".join(_Writer(rng).write(parsed))
        if len(made) <= 120 and expression.search(made):
            return made
    return None


@functools.lru_cache(maxsize=1024)
def _parsed(pattern: Any, flags: int) -> Tuple[Any, Any]:
    """The compiled and the parsed form; no parsed form for patterns of bytes."""
    source = pattern if isinstance(pattern, str) else pattern.pattern
    if not isinstance(source, str):
        return pattern, None
    expression = re.compile(source, flags) if isinstance(pattern, str) else pattern
    return expression, _reader.parse(source, expression.flags)


class _Writer:
    """Walks a parsed expression and writes one matching text."""

    def __init__(self, rng: random.Random) -> None:
        self.rng = rng
        self.groups: Any = {}

    def write(self, parsed: Any) -> List[str]:
        out: List[str] = []
        for operator, argument in parsed:
            out.extend(self._one(operator, argument))
        return out

    def _one(self, operator: Any, argument: Any) -> List[str]:
        if operator is _codes.LITERAL:
            return [chr(argument)]
        if operator is _codes.NOT_LITERAL:
            return [self._other_than({chr(argument)})]
        if operator is _codes.ANY:
            return [self.rng.choice(_PRINTABLE)]
        if operator is _codes.IN:
            return [self._one_of(argument)]
        if operator is _codes.BRANCH:
            return self.write(self.rng.choice(argument[1]))
        if operator is _codes.SUBPATTERN:
            made = self.write(argument[-1])
            if argument[0] is not None:
                self.groups[argument[0]] = made
            return made
        if operator is _codes.GROUPREF:
            return list(self.groups.get(argument, []))
        if operator is _codes.GROUPREF_EXISTS:
            branch = argument[1] if argument[0] in self.groups else argument[2]
            return self.write(branch) if branch else []
        if str(operator) in ("MAX_REPEAT", "MIN_REPEAT", "POSSESSIVE_REPEAT"):
            return self._repeat(*argument)
        if str(operator) == "ATOMIC_GROUP":
            return self.write(argument)
        return []

    def _repeat(self, low: int, high: Any, body: Any) -> List[str]:
        most = min(int(high), low + self.rng.choice((0, 1, 1, 2, 3)))
        out: List[str] = []
        for _ in range(self.rng.randint(low, max(low, most))):
            out.extend(self.write(body))
        return out

    def _one_of(self, choices: Any) -> str:
        if choices and choices[0][0] is _codes.NEGATE:
            taken: Set[str] = set()
            for operator, argument in choices[1:]:
                taken.update(self._members(operator, argument))
            return self._other_than(taken)
        members = self._members(*self.rng.choice(choices))
        return self.rng.choice(members) if members else ""

    def _members(self, operator: Any, argument: Any) -> str:
        if operator is _codes.LITERAL:
            return chr(argument)
        if operator is _codes.RANGE:
            low, high = argument
            return "".join(chr(code) for code in range(low, min(high, low + 127) + 1))
        if operator is _codes.CATEGORY:
            return _CLASSES.get(argument, "a")
        return ""

    def _other_than(self, taken: Any) -> str:
        left = [ch for ch in _PRINTABLE + "!/" if ch not in taken]
        return self.rng.choice(left) if left else "~"
