"""What kind of thing a question asks for, and whether a text offers one: an error, a command, a time, a number.

The kinds are those of questions about software, each told by words of the question and by what an answer of it holds
(answer typing as in Li and Roth, "Learning Question Classifiers", 2002, by hand and with few kinds).
"""

from __future__ import annotations

import re
from collections.abc import Collection, Sequence
from functools import lru_cache

from aqe.engine.providers.bags import words_of

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

_NEEDS = {
    "reason": (
        r"\bwhy\b|\breasons?\b|\bhow come\b|\bwhat led\b",
        r"\b(?:[Bb]ecause|since|so that|so|otherwise|therefore|thus|hence|due to|reasons?|avoid\w*|prevent\w*|"
        r"without|lead(?:s|ing)? to|(?:which|this) means|in order to|as (?:it|they|this|there|that)|caus\w+|would|"
        r"cannot|can't)\b",
    ),
    "person": (
        r"(?:^|[.,:;?] |\bfrom )who\b|\bwhose (?:idea|work)\b",
        r"\b[Bb]y\b|\b[Aa]uthors?\b|\b[Tt]hank|\b[Tt]hx\b|\b[Mm]aintain|@\w|\b[Cc]redits?\b|\b[Cc]ontribut|"
        r"[Cc]opyright|[A-Z][a-z]+ [A-Z][a-z]+",
    ),
    "number": (
        r"\bhow (?:many|much|long|large|big|small|old|far|deep|high|fast|often|soon|wide)\b|"
        r"\b(?:maximum|minimum|max|min|largest|smallest|longest|limit|percent\w*|number of|timeout|interval)\b",
        r"(?<![\w.\-/])\d[\d_.,]*(?!\w*[a-zA-Z_]{4})|"
        r"\b(?:two|three|four|five|six|seven|eight|nine|ten|twelve|twenty|thirty|dozen|half|twice|hundred|thousand|"
        r"million|unlimited|infinite\w*|no limit|zero|any number|arbitrar\w+|single)\b",
    ),
    "plan": (
        r"\bwhen (?:exactly )?(?:will|is the next)\b|\buntil when\b|\bby when\b|\bplanned\b|"
        r"\bwill\b[^.?]*\bbe (?:added|supported|removed|dropped|released|taken)|\bwhen does\b.* (?:end|stop|expire)",
        r"\b(?:[Ww]ill|plan\w*|future|next (?:major|minor|release|version)|upcoming|soon|[Dd]eprecat\w+|roadmap|"
        r"no longer|end of life|EOL)\b|"
        r"\b(?:\d+|one|two|three|six|twelve|thirty) (?:working |business )?"
        r"(?:second|minute|hour|day|week|month|year)s?\b|\b\d{1,2}:\d\d\b",
    ),
    "measure": (
        r"\bhow (?:fast|slow)\b|\b(?:faster|fastest|slower|slow|speed|overhead|benchmark\w*|per second)\b|\btake to\b|"
        r"\bhow much (?:memory|time)\b|\bhow long does (?:it|\w+ing)\b|\bmemory (?:does|do|is)\b|\bruns? out\b",
        r"\b(?:fast\w*|speed\w*|slow\w*|seconds?|overhead|perform\w*|benchmark\w*|percent|quick\w*|efficien\w+|cost\w*|"
        r"expensive)\b|%|\d ?(?:[MKG]i?B|[mnu]?s)\b|O\(|\dx\b",
    ),
}
_NEEDED = {name: (re.compile(asked), re.compile(offered)) for name, (asked, offered) in _NEEDS.items()}
_IN_ANY = ("reason", "person")
_DIGITS = re.compile(r"\d+(?:\.\d+)*")
_COUNTED = re.compile(r"\bhow (?:many|much) (\w+(?: \w+)?)")
_COUNT = re.compile(
    r"\d+|\b(?:one|two|three|four|five|six|seven|eight|nine|ten|twelve|twenty|thirty|dozen|half|once|twice|hundred|"
    r"thousand|million|unlimited|infinite\w*|no limit|zero|any number|arbitrar\w+|single)\b"
)
BESIDE = 40
"""A number is beside the word for what it counts where so many characters or fewer lie between them."""

NEEDS = (*_NEEDS, "count")
"""What `needs_missing` tells of."""


def needs_missing(question: str, best: str, quotes: str) -> dict[str, float]:
    """By name, 1 for each thing that the question cannot be answered without and that is not offered, else 0.

    A reason and a person may stand in any of the `quotes`, and so may a number beside the word for what is counted; a
    number, which is none of the question's own, what is to come, and how fast or how large something was measured to be
    have to stand in the `best` unit.

    >>> [name for name, missing in needs_missing("How many of 8 seats?", "Of 8 seats.", "").items() if missing]
    ['number', 'count']
    """
    lowered = question.lower()
    own = set(_DIGITS.findall(lowered))
    missing = {"count": _is_uncounted(lowered, quotes)}
    for name, (asked, offered) in _NEEDED.items():
        text = quotes if name in _IN_ANY else best
        missing[name] = asked.search(lowered) is not None and not _offers(offered, text, own)
    return {name: float(missing[name]) for name in NEEDS}


def _is_uncounted(question: str, quotes: str) -> bool:
    """Whether it is asked how many there are of something, and none of the quotes has a number beside its name."""
    asked = _COUNTED.search(question)
    if asked is None:
        return False
    counted = words_of(asked.group(1))
    numbers = _COUNT.finditer(quotes)
    return not any(words_of(quotes[max(0, one.start() - BESIDE) : one.end() + BESIDE]) & counted for one in numbers)


def _offers(offered: re.Pattern[str], text: str, own: Collection[str]) -> bool:
    return any(one.group().strip("_.,") not in own for one in offered.finditer(text))


@lru_cache(maxsize=128)
def forms_of(question: str) -> tuple[re.Pattern[str], ...]:
    """What tells a text that offers what the question asks for, one pattern for each kind that it asks for.

    >>> version, asked = forms_of("Is there a version for Windows?")
    >>> [version.search(text) is not None for text in ("From 2.1 on.", "Windows is not supported.")]
    [True, False]
    """
    lowered = question.lower()
    return tuple(offered for asked, offered in _FORMS if asked.search(lowered))


_PARTICULAR = re.compile(
    r"(?:which|who|whose|where)\b|when (?:was|were|is|are|did|will|does)\b|"
    r"(?:\w+ )?how (?:many|much|long|large|big|old|far|high|fast|often)\b|"
    r"what(?: \w+)? (?:is|are|was|were|does|do|did|has|have) (?:the|our|its|this|that|my|your)\b"
)


def is_particular(question: str) -> bool:
    """Whether it asks for one fact, as who, where or how many, and for those of something that is at hand.

    >>> [is_particular(one) for one in ("How many tests are there?", "What is the port?", "What is a mock?")]
    [True, True, False]
    """
    return _PARTICULAR.match(question.strip().lower()) is not None


def share_offered(forms: Sequence[re.Pattern[str]], text: str) -> float:
    """The share of what is asked for that a text offers; 0 where nothing of a known kind is."""
    return sum(form.search(text) is not None for form in forms) / len(forms) if forms else 0.0
