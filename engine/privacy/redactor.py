"""Finds secrets and personal data in a text and puts readable placeholders in their place."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field

from aqe.engine.privacy.arguments import find_in_argument_lists
from aqe.engine.privacy.assignments import find_assigned
from aqe.engine.privacy.blocks import find_curl_credentials, find_kubernetes_values, find_private_keys
from aqe.engine.privacy.fields import find_in_fields
from aqe.engine.privacy.options import find_long_options, find_short_options
from aqe.engine.privacy.personal import find_personal_data
from aqe.engine.privacy.rules import GENERIC, load_rules, lower_ascii

PERSONAL = frozenset(("credit-card", "email", "iban", "ip-address", "phone", "us-ssn"))
SHORTEST_KNOWN = 6
"""Shorter values, and words of less than twelve letters, are taken out only where a rule sees them."""
_WORD = re.compile(r"[^\W\d_]{1,11}|\d{1,8}")
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
    _kinds: dict[str, str] = field(default_factory=dict)
    _regex: re.Pattern[str] | None = None

    def of(self, kind: str, value: str) -> str:
        """The placeholder of a value, as in `[redacted:email]` for the first and `[redacted:email-2]` for the next."""
        if (kind, value) not in self._given:
            self._used[kind] += 1
            number = self._used[kind]
            self._given[kind, value] = f"[redacted:{kind}]" if number == 1 else f"[redacted:{kind}-{number}]"
        return self._given[kind, value]

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
    whole = rules.of_whole_file(path)
    if whole is not None and text:
        return (Span(0, len(text), whole),)
    lowered = lower_ascii(text)
    found = [
        *rules.candidates(text, lowered, path),
        *find_assigned(text, lowered, path),
        *find_long_options(text, lowered),
        *find_short_options(text, lowered),
        *find_in_argument_lists(text),
        *find_in_fields(text, lowered, path),
        *find_private_keys(text, lowered),
        *find_curl_credentials(text, lowered),
        *find_kubernetes_values(text, lowered),
        *find_personal_data(text),
    ]
    return tuple(_apart(found))


def redact(text: str, path: str | None = None, *, placeholders: Placeholders | None = None) -> Redacted:
    """`text` with a placeholder for each span; give the same `placeholders` to all texts of one request."""
    names = Placeholders() if placeholders is None else placeholders
    spans = scan(text, path)
    names.learn(text, spans)
    return put_placeholders(text, spans, names)


def redact_all(
    texts: Iterable[str], *, placeholders: Placeholders | None = None, named: Mapping[str, str] | None = None
) -> list[Redacted]:
    """The texts of one request: what a rule knows in any of them is taken out of all.

    `named` gives the class of the texts that are secret as a whole, since they stand under the name of a secret.
    """
    names = Placeholders() if placeholders is None else placeholders
    listed, whole = list(texts), named or {}
    found = {text: (Span(0, len(text), whole[text]),) if text in whole else scan(text) for text in listed}
    for text, spans in found.items():
        names.learn(text, spans)
    done = {text: put_placeholders(text, spans, names) for text, spans in found.items()}
    return [done[text] for text in listed]


def put_placeholders(text: str, spans: Iterable[Span], names: Placeholders) -> Redacted:
    """`text` with the placeholders of its own spans and of every value that `names` knows."""
    own = [(span.start, span.end, span.kind) for span in spans]
    joined = tuple(_apart([*own, *names.again(text)]))
    parts, place = [], 0
    for span in joined:
        parts += [text[place : span.start], names.of(span.kind, text[span.start : span.end])]
        place = span.end
    return Redacted("".join([*parts, text[place:]]), joined)


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
