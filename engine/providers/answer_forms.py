"""What kind of thing a question asks for, and whether a text offers one: an error, a command, a time, a number.

The kinds are those of questions about software, each told by words of the question and by what an answer of it holds
(answer typing as in Li and Roth, "Learning Question Classifiers", 2002, by hand and with few kinds).
"""

from __future__ import annotations

import re
from collections.abc import Sequence

_ASK = "can|could|is|are|does|do|did|will|would|may|must|should|has|have"
_FORMS = tuple(
    (re.compile(asked), re.compile(offered))
    for asked, offered in (
        (r"\b(?:exceptions?|errors?|raise[sd]?)\b", r"Error|Exception|[Rr]aise"),
        (r"\bcommands?\b|\bhow (?:do|can|could|should) (?:i|we|you|one)\b", r"`|--|::|^\s*\$"),
        (r"\bdefaults?\b|\bby itself\b|\bif (?:i|we) (?:give|say|set|name)\b", r"=|default"),
        (r"\b(?:files?|folders?|director(?:y|ies)|paths?|where)\b", r"/|\.\w{2,4}\b|\bfile|\bfolder"),
        (
            r"\bhow (?:long|soon|often)\b|\bwhen\b|\b(?:second|minute|hour|day)s?\b",
            r"second|minute|hour|day|week|month|year|_s\b|_S\b|morning|night",
        ),
        (
            r"\bhow (?:many|much)\b|\b(?:maximum|minimum|lowest|highest|limit|least|most|rate|number|percent)\b",
            r"\d|\b(?:one|two|three|four|five|six|seven|eight|nine|ten|half)\b",
        ),
        (r"\bwhy\b", r"\b(?:because|so that|since|otherwise|therefore)\b"),
        (r"\bversions?\b", r"\d+\.\d"),
        (
            rf"(?:^|[.,:;] )(?:{_ASK})\b",
            r"\b(?:not|never|no|only|always|none|any|without|unless|may|must|can)\b",
        ),
    )
)


def forms_of(question: str) -> tuple[re.Pattern[str], ...]:
    """What tells a text that offers what the question asks for, one pattern for each kind that it asks for.

    >>> [form.pattern for form in forms_of("Which version raises it, and why?")]
    ['Error|Exception|[Rr]aise', '\\\\b(?:because|so that|since|otherwise|therefore)\\\\b', '\\\\d+\\\\.\\\\d']
    """
    lowered = question.lower()
    return tuple(offered for asked, offered in _FORMS if asked.search(lowered))


def share_offered(forms: Sequence[re.Pattern[str]], text: str) -> float:
    """The share of what is asked for that a text offers; 0 where nothing of a known kind is."""
    return sum(form.search(text) is not None for form in forms) / len(forms) if forms else 0.0
