"""What kind of thing a question asks for, and whether a text offers one: an error, a command, a time, a number.

The kinds are those of questions about software, each told by words of the question and by what an answer of it holds
(answer typing as in Li and Roth, "Learning Question Classifiers", 2002, by hand and with few kinds).
"""

from __future__ import annotations

import re
from collections.abc import Sequence

_YES_NO = "can|could|is|are|does|do|did|will|would|may|must|should|has|have|was|were|am|isn't|doesn't"
_WAY = (
    r"\bhow (?:do|can|could|should|would) (?:i|we|you|one)\b|\bhow to\b|\bwhat (?:do|should|can|must|would) (?:i|we) "
    r"(?:call|use|pass|set|write|import|subclass|override|type|run)\b"
)
_NAMED = (
    "function|method|class|option|parameter|argument|flag|keyword|decorator|attribute|property|setting|variable|call|"
    "switch|command|fixture|hook|module|helper|validator|field|type|name|subcommand|extra|marker"
)
_NUMBER = (
    r"(?<![\w.\-/])-?\d[\d_.,]*(?!\w*[a-zA-Z_]{4})|\b(?:one|two|three|four|five|six|seven|eight|nine|ten|"
    r"twelve|(?:twen|thir|for|fif|six|seven|eigh|nine)ty|dozen|"
    r"half|once|twice|hundred|thousand|million|unlimited|infinite(?:ly)?|no limit|zero|none|any number|arbitrary|"
    r"single|both)\b"
)
_REASON = (
    r"\b(?:because|since|so that|so as|in order|otherwise|therefore|thus|hence|due to|reasons?|avoid\w*|prevent\w*|"
    r"ensur\w+|(?:which|this) means|would (?:be|have|mean|break|otherwise)|caus\w+|compatib\w+|historical\w*|"
    r"consisten\w+|security|to (?:make|keep|allow|be able|support|work|help|reduce|simplify|protect)|"
    r"as (?:it|they|the|this)|faster|rationale)\b"
)
_TIME = (
    r"\b(?:(?i:mon|tues|wednes|thurs|fri|satur|sun)days?|daily|weekly|monthly|hourly|nightly|yearly)\b|"
    r"\b\d+\.\d+|\b(?:19|20)\d\d\b|\b(?:when|once|after|before|until|while|whenever|every time|as soon as|if|during|"
    r"later|next|only|immediately|lazily|at the (?:end|start)|on (?:exit|import|access|first))\b"
)
_IDENTIFIER = (
    r"`[^`]+`|\w+\(|\b[a-z]+_\w+|\b[A-Z][a-z]+[A-Z]\w*|--\w[\w-]*|\b[A-Z]{2,}_\w+|\b(?:def|class) \w|\w\.\w+\b|@\w+"
)
_ERROR = (
    r"\w*(?:Error|Exception|Warning)\b|\b[Rr]ais(?:e|es|ed|ing)\b|\w+Interrupt\b|:exc:|"
    r"\berrors?\b|\bexceptions?\b|\bfail"
)
_STATED = (
    r"\b(?:not|nothing|never|no|only|always|none|any|with(?:out)?|unless|above|below|"
    r"(?:more|less) than|at (?:least|most)|may|must|can|cannot|can't|doesn't|don't|won't|isn't|is|"
    r"are|will|should|supports?|supported|allow(?:s|ed)?|possible|also|either|both|even|instead|raises?|returns?|"
    r"ignored|if|optional|required)\b"
)
_FORMS = tuple(
    (re.compile(asked), re.compile(offered))
    for asked, offered in (
        (r"\bwhy\b|\breasons?\b|\bhow come\b", _REASON),
        (
            r"\bhow (?:many|much|long|large|big|small|old|far|deep|high|fast|often|soon|wide)\b|"
            r"\b(?:maximum|minimum|max|min|largest|smallest|longest|shortest|lowest|highest|limit|percent\w*|number of|"
            r"size|length|depth|timeout|interval)\b",
            _NUMBER,
        ),
        (
            r"\bhow (?:long|soon|often)\b|\b(?:second|minute|hour|day)s?\b",
            r"second|minute|hour|day|week|month|year|_s\b|_S\b|morning|night",
        ),
        (
            r"\bversions?\b|\b(?:which|what) release\b|\bsince when\b|\bwhich python\b",
            r"\b[vV]?\d+\.\d+|\bPython \d|\b\d+\.x\b|>= ?\d",
        ),
        (
            r"\bwhen (?:will|was|were|did)\b|\bhow soon\b|\bwhat (?:date|day|time|year)\b|\bby when\b",
            _TIME,
        ),
        (r"\b(?:exceptions?|errors?|raise[sd]?|throws?|thrown)\b", _ERROR),
        (
            r"\b(?:files?|folders?|director(?:y|ies)|paths?|where)\b",
            r"/|\.\w{2,4}\b|\bfiles?\b|\bfolders?\b|\bdirector|\bpath",
        ),
        (rf"\bcalled\b|\b(?:which|what) (?:\w+ )?(?:{_NAMED})s?\b|{_WAY}", _IDENTIFIER),
        (
            r"\bdefaults?\b|\bby itself\b|\bif (?:i|we) (?:give|say|set|name|pass|leave)\b|\bunless\b|"
            r"\bout of the box\b",
            r"\bdefaults?\b|=|\bif (?:not|none|omitted)\b|\bunless\b|\botherwise\b|\bNone\b|\bwithout\b",
        ),
        (
            r"\b(?:sub)?commands?\b|\bcommand.line\b|\bshell\b|\bterminal\b",
            r"`|--?\w|::|^\s*\$|\bpython -m\b|\bpip install\b|\bcommand",
        ),
        (rf"(?:^|[.,:;] )(?:{_YES_NO})\b", _STATED),
    )
)


def forms_of(question: str) -> tuple[re.Pattern[str], ...]:
    """What tells a text that offers what the question asks for, one pattern for each kind that it asks for.

    >>> version, asked = forms_of("Is there a version for Windows?")
    >>> [version.search(text) is not None for text in ("From 2.1 on.", "Windows is not supported.")]
    [True, False]
    """
    lowered = question.lower()
    return tuple(offered for asked, offered in _FORMS if asked.search(lowered))


def share_offered(forms: Sequence[re.Pattern[str]], text: str) -> float:
    """The share of what is asked for that a text offers; 0 where nothing of a known kind is."""
    return sum(form.search(text) is not None for form in forms) / len(forms) if forms else 0.0
