"""The rules for secrets: patterns that are tried only where one of their anchors stands, so that time stays bounded.

An anchor is a lower-case literal with which a match begins (or that lies a known number of characters behind its
begin). All anchors are found in one pass; every repetition of a pattern has an upper bound; so the
work is at most a constant for each character of the text.
"""

from __future__ import annotations

import math
import re
import tomllib
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property, lru_cache
from pathlib import Path
from typing import Any

from aqe.engine.privacy.names import is_public_name
from aqe.engine.privacy.values import is_secret, looks_mixed

DATA = Path(__file__).with_name("data")
GENERIC = "generic-api-key"
LONG_REFUSED = 64
"""Characters without a blank from which on a value that is no password is not looked at again for one within it."""
_KEY_END = r"""[ \t\w.-]{0,20}+[\s'"\\\])]{0,4}+"""
_ANNOTATED = r"""(?::[ ]?[A-Za-z][\w.]{0,20}+(?:\[[\w., ]{0,30}+\])?(?:[ ]?\|[ ]?None)?[ ]?="""
_PREFIX = r"""(?:[rRbBuUfF]{1,2}(?=["']))?"""
_NO_CONTACT = r"""(?<![\w.$-]...)""" + "".join(
    rf"(?<!(?<![A-Za-z])(?i:{words})[ ]...)"
    for words in (
        "adc|gnd|led|pwm|see",
        "gpio",
        "bobby|dowel",
        "clevis|cotter|ground|header|output|safety|socket",
        "arduino|bowling|rolling",
        "connector|interrupt",
    )
)
"""Behind `pin`: no name goes on, and no word before it tells a contact of a circuit or a piece of metal."""
_WHOSE = r"""(?i:the|a|my|your|our|his|her|their|this|that)[ ]"""
_MARKS = r"""["'\x60*]{0,3}"""
PARTS = {
    "<pin_by_itself>": _NO_CONTACT,
    "<pin_of_something>": r"""(?:PIN|[Pp]in)"""
    + _NO_CONTACT
    + r"""s?(?:[ ](?i:codes?|numbers?))?[ ](?:(?i:of|for)[ ]|(?i:to)[ ](?="""
    + _WHOSE
    + r"""))(?:"""
    + _WHOSE
    + r""")?(?:(?!(?i:on|in|of|at|to|for|and|or|with|from|by|sd|sound|graphics|video|network|memory|expansion)[ ])"""
    + r"""[A-Za-z]{2,16}+[ ]){0,2}"""
    + r"""(?i:card|sim|atm|account|phone|door|bank|login|alarm|voicemail|safe)s?(?i:[ ]cards?)?"""
    + r"""(?:[ ](?:is|was|ist|are|were)(?:[ ]|[ ]?:)|[ ]?[:=])[ \t]{0,3}"""
    + _MARKS,
    "<next_pin>": _MARKS + r"""(?:,|,?[ ](?:and|or|&))[ ]""" + _MARKS,
    "<no_quantity>": r"""(?!"""
    + _MARKS
    + r"""[ -]?(?:(?:bit|byte|digit|character|char|ohm|volt|gram|point)s?|(?:minute|second)s"""
    + r"""|[kM]?V|mV|mA|mW|[mµun]?s|[kMG]?Hz|[kMG]i?B|baud|bps|mm|cm|px|Ω|°C)\b)""",
    "<assigned>": _KEY_END
    + _ANNOTATED
    + r"""|=>|=|>|:{1,3}=|\|\||:|\?=|,)\s{0,3}+"""
    + _PREFIX
    + r"""[\x60'"\s=\\]{0,6}+""",
    "<assigned_quoted>": _KEY_END + _ANNOTATED + r"""|=>|:=|=|:)\s{0,3}+""" + _PREFIX + r"""\\?["']""",
    "<closed>": r"""(?=[\x60'"\s;,)\]}<>&|\\]|\Z)""",
}
"""What the short forms in the patterns stand for: key and value of an assignment, and what may follow a value."""
_IDENTIFIER = re.compile(r"(?:[A-Z][a-z]++|[a-z]{2,}+|[A-Z]{2,}+|\d{1,5}+|[xvp](?=\d)|[._-])++")
"""Words and numbers as programmers join them: win32api.RegEnumKey, Ed25519PrivateKey."""
_SEALED = re.compile(r"Ag[A-D][A-Za-z0-9+/]{50,}={0,2}")
"""What only a cluster's own key opens (SealedSecret)."""
_NAME = re.compile(r"[\w.-]{1,100}")
_SIGN_NEAR = r"""(?=[ \t\w.-]{0,100}+[\s'"\\\])=:>,|?\x60])"""
"""What must follow where a rule knows a value by its name; no rule of the data admits as many characters before it."""
_PIECES = re.compile(r"\\.|\[\^?\]?(?:[^\]\\]|\\.)*\]|[^\\\[]", re.DOTALL)
"""An escape, a class or a single character of a pattern."""
_KEYWORD = re.compile(r"[A-Za-z_]\w{0,60}=(?:[\d_.]{1,20}|True|False|None)")
_BEHIND_A_TEXT = re.compile(r"[\"'][ \t]{0,9},\s{0,9}\Z")
"""What stands before the next argument of `CharField("token", max_length=128)`."""
_PLACEHOLDER = re.compile(
    r"(?i)(?:pass(?:word|wd|phrase)?|pwd|secret|token|key|changeme|change_?it|example|placeholder|dummy|your|user(?:name)?"
    r"|admin|root|guest|postgres|mysql|test(?:ing)?|foo|bar|baz|qwerty|letmein|hunter2|redacted|x{3,}|\.{2,}|\d{1,6})"
    r"(?:[_\-\d!]{0,4})"
)


@dataclass(frozen=True)
class Rule:
    """One kind of secret; the patterns are compiled when an anchor of the rule is first found."""

    id: str
    anchors: tuple[str, ...] = ()
    pattern: str = ""
    back: tuple[int, ...] = (0,)
    group: int = 0
    entropy: float = 0.0
    path: str = ""
    shape: str = ""
    allow: tuple[str, ...] = ()
    allow_match: tuple[str, ...] = ()
    allow_line: tuple[str, ...] = ()
    stopwords: frozenset[str] = field(default=frozenset(), repr=False)

    @cached_property
    def regex(self) -> re.Pattern[str]:
        """The compiled pattern."""
        return compile_pattern(self.pattern)

    @cached_property
    def path_regex(self) -> re.Pattern[str] | None:
        """Which files the rule is for; None: all."""
        return re.compile(self.path) if self.path else None

    @cached_property
    def is_assigned(self) -> bool:
        """Whether every value is known by the name that it is assigned to, none by its own look."""
        return all("<assigned>" in way for way in alternatives(self.pattern))

    def applies(self, path: str | None) -> bool:
        """Whether the rule is for text of the file `path`."""
        return self.path_regex is None or (path is not None and self.path_regex.search(path) is not None)

    def value_at(self, text: str, place: int) -> tuple[int, int, bool] | None:
        """Begin and end of what the pattern takes for the value where it begins at `place`, and whether it is one."""
        found = self.regex.match(text, place)
        if found is None:
            return None
        group = self.group or next((number for number, part in enumerate(found.groups(), 1) if part), 0)
        start, end = found.span(group)
        if end - start > 2 and text[start] in "\"'" and text[end - 1] == text[start]:
            start, end = start + 1, end - 1
        return start, end, self._is_secret(text, found.start(), start, end)

    def _is_secret(self, text: str, begin: int, start: int, end: int) -> bool:
        value = text[start:end]
        if self.entropy and (len(set(value)) <= 2**self.entropy or entropy(value) <= self.entropy):
            return False
        if self.is_assigned and not any(char.isdigit() for char in value):
            return False
        if self.id == GENERIC and (
            _IDENTIFIER.fullmatch(value)
            or _SEALED.fullmatch(value)
            or is_public_name(_name_around(text, begin))
            or _is_part_of_id(text, begin)
            or value.endswith("...")
        ):
            return False
        if self.id == GENERIC and _KEYWORD.fullmatch(value) and _BEHIND_A_TEXT.search(text, max(0, start - 20), start):
            return False
        if self.shape and not SHAPES[self.shape](value):
            return False
        if any(regex.search(value) for regex in _compiled(self.allow)) or _is_allowed(value):
            return False
        if self.stopwords and _holds_one_of(value.lower(), self.stopwords):
            return False
        if self.allow_match and any(
            regex.search(text[_name_begin(text, begin) : end]) for regex in _compiled(self.allow_match)
        ):
            return False
        return not (
            self.allow_line and any(regex.search(_line(text, begin, end)) for regex in _compiled(self.allow_line))
        )


@dataclass(frozen=True)
class RuleSet:
    """All rules with the index from anchor to rules."""

    rules: tuple[Rule, ...]
    by_anchor: Mapping[str, tuple[int, ...]]
    generated_paths: tuple[str, ...]

    @cached_property
    def anchor_regex(self) -> re.Pattern[str]:
        """Finds each place where some anchor stands; one step a character and no way back."""
        return re.compile(_tree_of(self.by_anchor, {word: self._beside(word) for word in self.by_anchor}))

    def _beside(self, anchor: str) -> str:
        """What must stand beside an anchor so that one of its rules can match, where that is quick to see."""
        rules = [self.rules[number] for number in self.by_anchor[anchor]]
        if all(rule.is_assigned for rule in rules):
            return _SIGN_NEAR
        if all(rule.pattern.startswith((r"\b", r"(?i)\b")) and rule.back == (0,) for rule in rules):
            return rf"(?<![A-Za-z0-9_].{{{len(anchor)}}})" if re.match(r"\w", anchor) else ""
        return ""

    @cached_property
    def at(self) -> Mapping[str, tuple[tuple[str, tuple[tuple[int, Rule], ...]], ...]]:
        """The anchors by their first four characters (shorter ones whole), each with its rules by number."""
        found: dict[str, list[tuple[str, tuple[tuple[int, Rule], ...]]]] = {}
        for anchor, numbers in self.by_anchor.items():
            entry = (anchor, tuple((number, self.rules[number]) for number in numbers))
            found.setdefault(anchor[:4], []).append(entry)
        return {start: tuple(entries) for start, entries in found.items()}

    def candidates(self, text: str, lowered: str, path: str | None) -> Iterator[tuple[int, int, str]]:
        """Begin, end and rule of each secret, in no order; they may overlap."""
        generated = path is not None and any(regex.search(path) for regex in _compiled(self.generated_paths))
        done: dict[int, int] = {}
        at = self.at
        lengths = sorted({len(begin) for begin in at if len(begin) < 4})
        for found in self.anchor_regex.finditer(lowered):
            place = found.start()
            near = at.get(lowered[place : place + 4], ())
            for length in lengths:
                near += at.get(lowered[place : place + length], ())
            for anchor, numbered in near:
                if not lowered.startswith(anchor, place):
                    continue
                for number, rule in numbered:
                    if (generated and rule.id == GENERIC) or (rule.path and not rule.applies(path)):
                        continue
                    for back in rule.back:
                        begin = place - back
                        if begin < done.get(number, 0) or (value := rule.value_at(text, begin)) is None:
                            continue
                        start, end, is_secret = value
                        if is_secret:
                            yield start, end, rule.id
                        if is_secret or (rule.shape == "placed-mixed" and end - start >= LONG_REFUSED):
                            done[number] = end

    def of_whole_file(self, path: str | None) -> str | None:
        """The rule for which the file `path` is a secret as a whole, None where there is none."""
        if path is None:
            return None
        return next((rule.id for rule in self.rules if not rule.pattern and rule.applies(path)), None)


def _tree_of(words: Iterable[str], behind: Mapping[str, str] | None = None) -> str:
    """A pattern that stands where some word begins, its letters told apart one by one; `behind` some of them something
    else must follow."""
    firsts: dict[str, dict[str, Any]] = {}
    for word in words:
        node = firsts
        for char in word:
            node = node.setdefault(char, {})
        node[""] = {"behind": (behind or {}).get(word, "")}
    return "|".join(f"{re.escape(char)}(?={_alternatives(below)})" for char, below in sorted(firsts.items()))


def _alternatives(node: Mapping[str, Any]) -> str:
    """The pattern of what may follow in a tree of words, up to the shortest word on each way."""
    if "" in node and not node[""]["behind"]:
        return ""
    ways = [re.escape(char) + _alternatives(below) for char, below in sorted(node.items()) if char]
    if "" in node:
        ways.append(node[""]["behind"])
    return ways[0] if len(ways) == 1 else f"(?:{'|'.join(ways)})"


def compile_pattern(pattern: str) -> re.Pattern[str]:
    """A pattern of the data files, its short forms written out; classes are ASCII as in the source of the rules."""
    for name, part in PARTS.items():
        pattern = pattern.replace(name, part)
    return re.compile(pattern, re.ASCII)


def alternatives(pattern: str) -> list[str]:
    """The ways that the bars outside all groups of a pattern leave open.

    >>> alternatives(r"a(?:b|c)|[|]|\\|")
    ['a(?:b|c)', '[|]', '\\\\|']
    """
    ways, depth = [""], 0
    for part in _PIECES.findall(pattern):
        depth += (part == "(") - (part == ")")
        if part == "|" and depth == 0:
            ways.append("")
        else:
            ways[-1] += part
    return ways


@lru_cache(maxsize=1)
def load_rules() -> RuleSet:
    """The rules of the data files, read once."""
    derived = _read("redaction_rules.toml")
    rules = tuple(_rule(entry) for source in (derived, _read("own_rules.toml")) for entry in source["rules"])
    by_anchor: dict[str, list[int]] = {}
    for number, rule in enumerate(rules):
        for anchor in rule.anchors:
            by_anchor.setdefault(anchor, []).append(number)
    return RuleSet(
        rules, {anchor: tuple(them) for anchor, them in by_anchor.items()}, tuple(derived["generated_paths"])
    )


def entropy(text: str) -> float:
    """Shannon entropy in bits a character.

    >>> entropy("aabb")
    1.0
    """
    total = len(text)
    return -sum(count / total * math.log2(count / total) for count in Counter(text).values()) if total else 0.0


def lower_ascii(text: str) -> str:
    """`text` in lower case with every offset kept (full lower-casing makes some characters longer)."""
    lowered = text.lower()
    return lowered if len(lowered) == len(text) else text.translate(_ASCII_LOWER)


_ASCII_LOWER = {upper: upper + 32 for upper in range(ord("A"), ord("Z") + 1)}


def _read(name: str) -> dict[str, Any]:
    return tomllib.loads((DATA / name).read_text(encoding="utf-8"))


def _rule(entry: Mapping[str, Any]) -> Rule:
    known: dict[str, Any] = {name: tuple(value) if isinstance(value, list) else value for name, value in entry.items()}
    known["stopwords"] = frozenset(known.get("stopwords", ()))
    return Rule(**known)


@lru_cache(maxsize=256)
def _compiled(patterns: tuple[str, ...]) -> tuple[re.Pattern[str], ...]:
    return tuple(re.compile(pattern) for pattern in patterns)


@lru_cache(maxsize=1)
def _allowed() -> tuple[tuple[str, ...], frozenset[str]]:
    derived = _read("redaction_rules.toml")
    return tuple(derived["allowed"]), frozenset(derived["stopwords"])


def _is_allowed(value: str) -> bool:
    """Whether the value is a variable's name, a template's slot or a path: no secret, whatever the rule."""
    patterns, words = _allowed()
    return _any_of(patterns).search(value) is not None or _holds_one_of(value.lower(), words)


@lru_cache(maxsize=4)
def _any_of(patterns: tuple[str, ...]) -> re.Pattern[str]:
    """One pattern for all; the flags at the head of one stay its own."""
    return re.compile("|".join(re.sub(r"^\(\?i\)(.*)", r"(?i:\1)", f"{one}") for one in patterns))


def _holds_one_of(value: str, words: frozenset[str]) -> bool:
    return _one_of(words).search(value) is not None


@lru_cache(maxsize=4)
def _one_of(words: frozenset[str]) -> re.Pattern[str]:
    return re.compile(_tree_of(words))


def _name_begin(text: str, place: int) -> int:
    """Where the name begins whose part stands at `place`, at most 50 characters before."""
    least = max(0, place - 50)
    while place > least and (text[place - 1].isalnum() or text[place - 1] in "_.-"):
        place -= 1
    return place


def _name_around(text: str, place: int) -> str:
    """The name a part of which stands at `place`."""
    found = _NAME.match(text, _name_begin(text, place))
    return found[0] if found is not None else ""


def _is_part_of_id(text: str, place: int) -> bool:
    """Whether the name is a part of "AWS::IAM::AccessKey" or of arn:aws:secretsmanager:eu-west-1:123:secret:name."""
    begin = _name_begin(text, place)
    found = _NAME.match(text, begin)
    if found is None or text[begin - 1 : begin] != ":":
        return False
    if text[begin - 2 : begin] == "::":
        return text[found.end() : found.end() + 1] in ("'", '"', ":")
    return text[found.end() : found.end() + 1] == ":" and text.rfind("arn:", max(0, begin - 80), begin) >= 0


def _line(text: str, begin: int, end: int) -> str:
    """The line around a match, at most 200 characters before and after it."""
    first = max(text.rfind("\n", max(0, begin - 200), begin) + 1, begin - 200, 0)
    last = text.find("\n", end, end + 200)
    return text[first : last if last >= 0 else end + 200]


def _looks_like_token(value: str) -> bool:
    """With a digit, and not one word of prose or a placeholder."""
    return any(char.isdigit() for char in value) and _PLACEHOLDER.fullmatch(value) is None


def _looks_like_password(value: str) -> bool:
    """Anything but the words that documentation writes in a password's place."""
    return _PLACEHOLDER.fullmatch(value) is None and not value.startswith(("%", "#", "["))


def _looks_mixed(value: str) -> bool:
    """Characters of three of the four classes (lower, upper, digit, other), one of them a digit or other."""
    classes = (str.islower, str.isupper, str.isdigit, lambda char: not char.isalnum() and char not in "_-.")
    kinds = [any(test(char) for char in value) for test in classes]
    if any(char in value for char in "(){}[]<>$") or value.startswith(("%", "/")):
        return False
    return sum(kinds) >= 3 and _PLACEHOLDER.fullmatch(value) is None


def looks_like_seed(value: str) -> bool:
    """As many words as a wallet's phrase has (BIP 39), none of them one that every sentence has."""
    words = value.lower().replace(",", " ").split()
    return len(words) in (12, 15, 18, 21, 24) and {"the", "and", "for", "are", "not", "was"}.isdisjoint(words)


_YEAR_OR_DATE = re.compile(r"(?:19|20)\d\d(?:(?:0[1-9]|1[0-2])(?:0[1-9]|[12]\d|3[01]))?")


def _is_pin(value: str) -> bool:
    """Digits that neither count up nor repeat one, as in every example, and are no year and no date."""
    return len(set(value)) > 1 and value not in "01234567890" and _YEAR_OR_DATE.fullmatch(value) is None


SHAPES: Mapping[str, Callable[[str], bool]] = {
    "token": _looks_like_token,
    "password": _looks_like_password,
    "mixed": _looks_mixed,
    "seed": looks_like_seed,
    "pin": _is_pin,
    "placed": lambda value: is_secret(value, "password", quoted=False, sure=True),
    "placed-quoted": lambda value: is_secret(value, "password", quoted=True, sure=True),
    "placed-mixed": lambda value: looks_mixed(value) and is_secret(value, "password", quoted=True, sure=True),
}
"""How a value is judged beside its pattern; `placed`: where its place admits nothing but a password."""
