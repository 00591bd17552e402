"""Finds secrets and personal data in a text and puts readable placeholders in their place."""

from __future__ import annotations

import re
from bisect import bisect_left, bisect_right
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache

from aqe.engine.privacy.arguments import find_in_argument_lists
from aqe.engine.privacy.assignments import find_assigned
from aqe.engine.privacy.blocks import find_curl_credentials, find_kubernetes_values, find_private_keys
from aqe.engine.privacy.escapes import MOST_DEPTH, Inner, inner_of, past_escapes
from aqe.engine.privacy.fields import find_in_fields
from aqe.engine.privacy.national_ids import find_national_ids
from aqe.engine.privacy.options import find_long_options, find_short_options
from aqe.engine.privacy.personal import find_personal_data
from aqe.engine.privacy.rules import GENERIC, load_rules, lower_ascii

PERSONAL = frozenset(("credit-card", "email", "iban", "ip-address", "national-id", "phone", "us-ssn"))
OTHER_CLASSES = frozenset(
    (
        "command-password",
        "curl-auth-header",
        "curl-auth-user",
        "kubernetes-secret-yaml",
        "never-send",
        "password-assignment",
        "password-field",
        "password-hash",
        "private-key",
        "session-cookie",
        GENERIC,
    )
)
"""The classes that finders of their own give, beside those of the rules."""
LONGEST_PLACEHOLDER = 80
MOST_LOOKS = 3
"""So often a redacted text is looked at again, since what is left may be read in another way without its neighbour."""
SHORTEST_KNOWN = 6
"""Shorter values, and words of less than twelve letters, are taken out only where a rule sees them."""
_WORD = re.compile(r"[^\W\d_]{1,11}|\d{1,8}")
_PLACEHOLDER_BEGIN = "[redacted:"
_PLACEHOLDER = re.compile(r"\[redacted:([a-z0-9-]{2,60}+)\]")
_NUMBERED = re.compile(r"-(?:[2-9]|[1-9]\d{1,6})\Z")
_BEFORE_NUMBER = re.compile(r"(?:[\"']\s{0,9}:|(?P<item>[\[,]))\s{0,80}\Z|(?:\A|\n)[ \t]{0,40}+[\w.]{1,80}[ ]=[ ]\Z")
_BEHIND_NUMBER = re.compile(r"\s{0,80}(?:[,\]}]|\Z)|[ \t]{0,9}[\r\n#;]")
_WEAK = ("bearer-token", "password-assignment", "sk-api-key", GENERIC)
"""Rules that know a value by little: where another rule finds the same value, its name is the better one."""


@dataclass(frozen=True)
class Span:
    """A piece of text that must not leave: characters `start` to `end` (exclusive) and its class."""

    start: int
    end: int
    kind: str


@dataclass(frozen=True)
class Redacted:
    """A text with its placeholders; `spans` are those of the text before."""

    text: str
    spans: tuple[Span, ...]

    @property
    def counts(self) -> dict[str, int]:
        """How many spans of which class."""
        return dict(sorted(Counter(span.kind for span in self.spans).items()))


@dataclass
class Placeholders:
    """The placeholders of one request: the same value has the same one wherever it stands.

    A value that a rule knew in one place is known in every place of the request, also where no rule would see it.
    """

    _given: dict[tuple[str, str], str] = field(default_factory=dict)
    _used: Counter[str] = field(default_factory=Counter)
    _own: set[str] = field(default_factory=set)
    _foreign: set[str] = field(default_factory=set)
    _kinds: dict[str, str] = field(default_factory=dict)
    _regex: re.Pattern[str] | None = None

    def of(self, kind: str, value: str) -> str:
        """The placeholder of a value, as in `[redacted:email]` for the first and `[redacted:email-2]` for the next."""
        if (kind, value) not in self._given:
            name = ""
            while not name or name in self._foreign:
                self._used[kind] += 1
                number = self._used[kind]
                name = f"[redacted:{kind}]" if number == 1 else f"[redacted:{kind}-{number}]"
            self._given[kind, value] = name
            self._own.add(name)
        return self._given[kind, value]

    def meet(self, text: str) -> None:
        """Know what stands in `text` already and looks like a placeholder: no value of this request is given it."""
        if _PLACEHOLDER_BEGIN in text:
            self._foreign.update(text[begin:end] for begin, end in _placeholders_in(text))
            self._foreign -= self._own

    def learn(self, text: str, spans: Iterable[Span]) -> None:
        """Know the values of `spans` from now on."""
        for span in spans:
            value = text[span.start : span.end]
            if len(value) >= SHORTEST_KNOWN and value not in self._kinds and _WORD.fullmatch(value) is None:
                self._kinds[value] = span.kind
                self._regex = None

    def again(self, text: str) -> Iterator[tuple[int, int, str]]:
        """Where a known value stands in `text`: begin, end and class."""
        if not self._kinds:
            return
        if self._regex is None:
            values = sorted(self._kinds, key=lambda value: (-len(value), value))
            self._regex = re.compile("|".join(map(re.escape, values)))
        for found in self._regex.finditer(text):
            yield *found.span(), self._kinds[found[0]]


def scan(text: str, path: str | None = None) -> tuple[Span, ...]:
    """The spans of `text`, in order and apart from each other; `path` is the file that it comes from, if known."""
    rules = load_rules()
    kind_of_file = rules.of_whole_file(path)
    if kind_of_file is not None and text:
        return (Span(0, len(text), kind_of_file),)
    found = list(_found(text, path))
    inner = inner_of(text)
    outer: list[Inner] = []
    while inner is not None and len(outer) < MOST_DEPTH:
        outer.append(inner)
        for start, end, kind in _found(inner.text, None):
            for text_before in reversed(outer):
                start, end = text_before.span(start, end)
            found.append((start, end, kind))
        inner = inner_of(inner.text)
    return tuple(
        _outside_placeholders(text, _apart((*past_escapes(text, start, end), kind) for start, end, kind in found))
    )


def _found(text: str, path: str | None) -> Iterator[tuple[int, int, str]]:
    lowered = lower_ascii(text)
    yield from load_rules().candidates(text, lowered, path)
    yield from find_assigned(text, lowered, path)
    yield from find_long_options(text, lowered)
    yield from find_short_options(text, lowered)
    yield from find_in_argument_lists(text)
    yield from find_in_fields(text, lowered, path)
    yield from find_private_keys(text, lowered)
    yield from find_curl_credentials(text, lowered)
    yield from find_kubernetes_values(text, lowered)
    yield from find_personal_data(text)
    yield from find_national_ids(text, lowered)


def redact(text: str, path: str | None = None, *, placeholders: Placeholders | None = None) -> Redacted:
    """`text` with a placeholder for each span; give the same `placeholders` to all texts of one request.

    What comes out is left as it is when it is redacted again.
    """
    names = Placeholders() if placeholders is None else placeholders
    names.meet(text)
    return put_placeholders(text, _settled(text, path, names), names)


def redact_all(
    texts: Iterable[str], *, placeholders: Placeholders | None = None, named: Mapping[str, str] | None = None
) -> list[Redacted]:
    """The texts of one request: what a rule knows in any of them is taken out of all.

    `named` gives the class of the texts that are secret as a whole, since they stand under the name of a secret.
    """
    names = Placeholders() if placeholders is None else placeholders
    listed, whole = list(texts), named or {}
    for text in listed:
        names.meet(text)
    found: dict[str, tuple[Span, ...]] = {}
    for text in listed:
        if text in whole and text not in found:
            found[text] = (Span(0, len(text), whole[text]),)
            names.learn(text, found[text])
    for text in listed:
        if text not in found:
            found[text] = _settled(text, None, names)
    done = {text: put_placeholders(text, spans, names) for text, spans in found.items()}
    return [done[text] for text in listed]


def put_placeholders(text: str, spans: Iterable[Span], names: Placeholders) -> Redacted:
    """`text` with the placeholders of its own spans and of every value that `names` knows."""
    joined = _with_known(text, spans, names)
    parts, place = [], 0
    for span in joined:
        name = names.of(span.kind, text[span.start : span.end])
        parts += [text[place : span.start], f'"{name}"' if _is_bare_number(text, span) else name]
        place = span.end
    return Redacted("".join([*parts, text[place:]]), joined)


def _settled(text: str, path: str | None, names: Placeholders) -> tuple[Span, ...]:
    """The spans of a text without which nothing more is found in it; `names` knows their values from now on."""
    spans = scan(text, path)
    names.learn(text, spans)
    for _ in range(MOST_LOOKS):
        joined = _with_known(text, spans, names)
        more = _left_over(text, joined, path) if joined else ()
        if not more:
            break
        spans = tuple(_apart((span.start, span.end, span.kind) for span in (*joined, *more)))
        names.learn(text, spans)
    return spans


def _left_over(text: str, spans: Sequence[Span], path: str | None) -> list[Span]:
    """What is found in the text when placeholders stand in it, by its place without them."""
    parts, starts, places, length, place = [], [], [], 0, 0
    for span in (*spans, Span(len(text), len(text), "")):
        kept = text[place : span.start]
        mark = f'"[redacted:{span.kind}]"' if _is_bare_number(text, span) else f"[redacted:{span.kind}]"
        starts.append(length)
        places.append(place)
        parts += [kept, mark if span.kind else ""]
        length += len(kept) + len(parts[-1])
        place = span.end
    found = []
    for span in scan("".join(parts), path):
        number = bisect_right(starts, span.start) - 1
        start = places[number] + span.start - starts[number]
        end = min(start + span.end - span.start, places[number] + len(parts[2 * number]))
        if start < end:
            found.append(Span(start, end, span.kind))
    return found


def _with_known(text: str, spans: Iterable[Span], names: Placeholders) -> tuple[Span, ...]:
    again = ((*past_escapes(text, start, end), kind) for start, end, kind in names.again(text))
    return tuple(_outside_placeholders(text, _apart([*((one.start, one.end, one.kind) for one in spans), *again])))


def _is_bare_number(text: str, span: Span) -> bool:
    """Whether a number stands for itself in JSON or a program, where a placeholder needs quotation marks."""
    if not text[span.start : span.end].removeprefix("-").isdigit():
        return False
    before = _BEFORE_NUMBER.search(text, max(0, span.start - 130), span.start)
    behind = _BEHIND_NUMBER.match(text, span.end)
    return before is not None and behind is not None and (before["item"] is None or behind[0].strip()[:1] in ("]", ","))


def _placeholders_in(text: str) -> Iterator[tuple[int, int]]:
    """Begin and end of what has the form of a placeholder of a class that there is."""
    for found in _PLACEHOLDER.finditer(text):
        if found[1] in _classes() or _NUMBERED.sub("", found[1]) in _classes():
            yield found.span()


@lru_cache(maxsize=1)
def _classes() -> frozenset[str]:
    return PERSONAL | OTHER_CLASSES | {rule.id for rule in load_rules().rules}


def _outside_placeholders(text: str, spans: Iterable[Span]) -> Iterator[Span]:
    """The spans without what placeholders of the text take of them."""
    taken = list(_placeholders_in(text)) if _PLACEHOLDER_BEGIN in text else []
    for span in spans:
        place = span.start
        for begin, end in taken[bisect_left(taken, (span.start + 1 - LONGEST_PLACEHOLDER, 0)) :] if taken else ():
            if begin >= span.end:
                break
            if begin > place:
                yield Span(place, begin, span.kind)
            place = max(place, end)
        if place < span.end:
            yield Span(place, span.end, span.kind)


def _apart(found: Iterable[tuple[int, int, str]]) -> Iterator[Span]:
    """Spans that overlap become one, so that no part of either stays; its class is that of the surest rule."""
    joined: Span | None = None
    for start, end, kind in sorted(found):
        if joined is None or start >= joined.end:
            if joined is not None:
                yield joined
            joined = Span(start, end, kind)
        else:
            better = min((joined.kind, kind), key=_doubt)
            joined = Span(joined.start, max(joined.end, end), better)
    if joined is not None:
        yield joined


def _doubt(kind: str) -> int:
    if kind in _WEAK:
        return 3 + _WEAK.index(kind)
    return 2 if kind in PERSONAL else 1
