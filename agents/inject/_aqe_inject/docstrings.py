"""What a docstring promises: types, exceptions, examples and plain sentences that can be checked by running."""

from __future__ import annotations

import dataclasses
import doctest
import re
from typing import Dict, List, Optional, Tuple


@dataclasses.dataclass
class Example:
    """One example: expressions that run first, the call, and the text that it should give (None: only a call)."""

    setup: List[str]
    call: str
    expected: Optional[str]
    exception: Optional[str] = None
    origin: str = "doctest"


@dataclasses.dataclass
class Docstring:
    """The parts of a docstring that can be used."""

    text: str = ""
    types: Dict[str, str] = dataclasses.field(default_factory=dict)
    returns: str = ""
    returns_text: str = ""
    raises: Dict[str, str] = dataclasses.field(default_factory=dict)
    examples: List[Example] = dataclasses.field(default_factory=list)


_SPHINX_TYPE = re.compile(r":type\s+(\w+)\s*:\s*(.+)")
_SPHINX_PARAM = re.compile(r":param\s+(?:([\w\[\], .|]+?)\s+)?(\w+)\s*(?:\(([^)]+)\))?\s*:")
_SPHINX_RAISES = re.compile(r":(?:raises?|except|exception)\s+([\w.]+)\s*:\s*(.*)")
_SPHINX_RTYPE = re.compile(r":rtype\s*:\s*(.+)")
_SPHINX_RETURNS = re.compile(r":returns?\s*(?:\(([^)]+)\))?\s*:\s*(.*)")
_GOOGLE_ITEM = re.compile(r"^\s{2,}\*{0,2}(\w+)\s*\(([^)]+)\)\s*:")
_GOOGLE_RAISE = re.compile(r"^\s{2,}([A-Za-z_][\w.]*)\s*:\s*(.*)")
_NUMPY_ITEM = re.compile(r"^\s*(\w+)\s*:\s*(\S.*)$")
_SECTION = re.compile(
    r"^\s*(Args|Arguments|Parameters|Params|Returns?|Yields?|Raises|Exceptions?|Examples?|Notes?)\s*:?\s*$"
)
_PROSE_RAISES = re.compile(
    r"(?:[Rr]aises?|[Rr]aised?|[Tt]hrows?)\s+(?:an?\s+)?(?::\w+:)?`{0,2}~?([A-Z][\w.]*(?:Error|Exception|Exit|Iteration|Warning|Interrupt)?)`{0,2}"
)
_ARROW = re.compile(
    r"`{0,2}(\w[\w.]*\([^`\n]*?\))`{0,2}\s*(?:->|→|=>|==|returns|gives|yields|is)\s*`{0,2}([^`\n;]+?)`{0,2}\s*(?:[.;,]?\s*$|[.;,]\s)",
    re.M,
)


def read_docstring(text: Optional[str]) -> Docstring:
    """Read Sphinx, Google and NumPy styles at once; what is not there stays empty."""
    doc = Docstring(text or "")
    if not text:
        return doc
    _read_sphinx(text, doc)
    _read_sections(text, doc)
    for found in _PROSE_RAISES.finditer(text):
        line = text[text.rfind("\n", 0, found.start()) + 1 : _end_of_sentence(text, found.end())]
        doc.raises.setdefault(found.group(1).split(".")[-1], " ".join(line.split()))
    doc.examples = doctest_examples(text) + prose_examples(text)
    return doc


def _end_of_sentence(text: str, start: int) -> int:
    stop = re.search(r"\.(?:\s|$)|\n\s*\n", text[start:])
    return start + stop.start() if stop else len(text)


def _read_sphinx(text: str, doc: Docstring) -> None:
    for name, kind in _SPHINX_TYPE.findall(text):
        doc.types[name] = kind.strip()
    for kind, name, bracket in _SPHINX_PARAM.findall(text):
        if kind or bracket:
            doc.types.setdefault(name, (kind or bracket).strip())
    for name, why in _SPHINX_RAISES.findall(text):
        doc.raises[name.split(".")[-1]] = why.strip()
    for kind in _SPHINX_RTYPE.findall(text):
        doc.returns = kind.strip()
    for kind, words in _SPHINX_RETURNS.findall(text):
        doc.returns = doc.returns or kind.strip()
        doc.returns_text = words.strip()


def _read_sections(text: str, doc: Docstring) -> None:
    section = ""
    for line in text.expandtabs().splitlines():
        heading = _SECTION.match(line)
        if heading:
            section = heading.group(1).rstrip("s").lower()
        elif section in ("arg", "argument", "param", "parameter"):
            found = _GOOGLE_ITEM.match(line) or _NUMPY_ITEM.match(line)
            if found and len(found.group(2)) < 60:
                doc.types.setdefault(found.group(1), found.group(2).strip())
        elif section in ("raise", "exception"):
            found = _GOOGLE_RAISE.match(line) or re.match(r"^\s*([A-Z]\w+)\s*()$", line)
            if found and found.group(1)[:1].isupper() | ("." in found.group(1)):
                doc.raises.setdefault(found.group(1).split(".")[-1], found.group(2).strip())
        elif section in ("return", "yield") and line.strip() and not line.strip().startswith("-"):
            head, colon, rest = line.strip().partition(":")
            if not doc.returns and len(head) < 40 and (colon or (section == "return" and " " not in head)):
                doc.returns = head if section == "return" else ""
            doc.returns_text = doc.returns_text or (rest.strip() if colon else line.strip())
            section = ""


# ---------------------------------------------------------------- examples


def doctest_examples(text: str) -> List[Example]:
    """The `>>>` examples, each with the lines before it as set-up; statements without a result are set-up only."""
    try:
        parsed = doctest.DocTestParser().get_examples(text)
    except ValueError:
        return []
    found: List[Example] = []
    setup: List[str] = []
    for one in parsed:
        source = one.source.strip()
        if doctest.OPTIONFLAGS_BY_NAME["SKIP"] in one.options:
            continue
        if one.exc_msg is not None:
            found.append(Example(list(setup), source, None, one.exc_msg.split(":")[0].strip().split(".")[-1]))
        elif one.want:
            flexible = any(one.options.values())
            want = one.want.rstrip("\n")
            found.append(Example(list(setup), source, None if flexible or "..." in want else want))
            setup.append(source)
        else:
            setup.append(source)
    return found


def prose_examples(text: str) -> List[Example]:
    """Examples inside sentences: ``slugify("A b")`` -> ``"a-b"``; the result must look like a literal."""
    plain = "\n".join(line for line in text.splitlines() if not line.lstrip().startswith(">>>"))
    found = []
    for call, result in _ARROW.findall(plain):
        result = result.strip().rstrip(".,;")
        if re.match(r"""^(['"\[({]|-?\d|b['"]|True\b|False\b|None\b|[A-Z]\w*\()""", result):
            found.append(Example([], call, result, origin="docstring"))
    return found


_QUOTED = re.compile(r"""``([^`\n]{1,40})``|`([^`\n]{1,40})`|"([^"\n]{1,40})"|(?<!\w)'([^'\n]{1,40})'(?!\w)""")
_FORMAT = re.compile(
    r"(?<![\w%])(?:[PTWZ:+./ -]|YYYY|yyyy|YY|MM|mm|DDD|DD|dd|hh|HH|ss|nn|NN|fff)*"
    r"(?:YYYY|yyyy|MM|DD|dd|hh|HH|mm|ss|nn|NN)(?:[PTWZ:+./-]|YYYY|yyyy|YY|MM|mm|DDD|DD|dd|hh|HH|ss|nn|NN|fff)*(?!\w)"
)
_DIGITS = (("YYYY", "2003"), ("yyyy", "2003"), ("YY", "03"), ("DDD", "046"), ("MM", "02"), ("mm", "04"), ("DD",
    "15"), ("dd", "15"),
           ("hh", "10"), ("HH", "10"), ("ss", "05"), ("nn", "3"), ("NN", "3"), ("fff", "678"))  # fmt: skip


def quoted_pieces(text: str) -> List[str]:
    """Text that a docstring quotes, and the formats that it spells (`YYYY-MM-DD` becomes `2003-02-15`)."""
    found: List[str] = []
    for groups in _QUOTED.findall(text):
        found.extend(piece for piece in groups if piece)
    for shape in _FORMAT.findall(text):
        for letters, digits in _DIGITS:
            shape = shape.replace(letters, digits)
        found.append(shape.strip())
    return list(dict.fromkeys(found))[:40]


# ---------------------------------------------------------------- promises in sentences

_BETWEEN = re.compile(
    r"(?:[Rr]eturn|[Rr]esult|[Cc]lamp|[Aa]lways|[Vv]alue|[Gg]ives?|[Cc]ompute|[Pp]ercentage|[Ss]core)[^.\n]*?\b(?:between|from|in|within|to|range)\s+(-?\d+(?:\.\d+)?)\s+(?:and|to|\.\.)\s+(-?\d+(?:\.\d+)?)"
)
_NEVER = (
    ("not-none", re.compile(r"\bnever (?:returns? )?None\b", re.I)),
    ("not-negative", re.compile(
        r"\b(?:(?:never|not|cannot be|can't be) (?:\w+ ){0,2}(?:negative|below (?:zero|0)"
        r"|less than (?:zero|0))|(?:is|are|always) non-negative)\b",
        re.I,
    )),
    ("sorted", re.compile(
        r"\b(?:in (?:ascending|sorted|increasing|alphabetical) order|sorted (?:list|ascending"
        r"|alphabetically)|returns? (?:\w+ ){0,4}sorted)\b",
        re.I,
    )),
    ("unique", re.compile(
        r"\b(?:without duplicates|no duplicates|duplicates (?:are )?removed|remove(?:s)? duplicates"
        r"|unique \w+|each \w+ once)\b",
        re.I,
    )),
    ("idempotent", re.compile(
        r"\bidempotent\b|\bnormali[sz]ed? (?:text|form) (?:stays|is unchanged)|applying it twice",
        re.I,
    )),
    ("no-mutation", re.compile(
        r"\b(?:does not|doesn't|without|never) (?:\w+ )?(?:mutat\w+|modif\w+|chang\w+)(?: (?:the|its"
        r"|any))? ?(?:input|argument|original|list|items?|given)?",
        re.I,
    )),
    ("lower", re.compile(r"\b(?:lower-?cased?|in lower ?case)\b", re.I)),
)  # fmt: skip


def promises(doc: Docstring) -> List[Tuple[str, Tuple[float, float]]]:
    """Sentences that a run can contradict: (word, bounds); bounds are (0, 0) where they mean nothing."""
    found: List[Tuple[str, Tuple[float, float]]] = []
    plain = " ".join(doc.text.split(">>>")[0].split())
    for low, high in _BETWEEN.findall(plain):
        if float(low) < float(high):
            found.append(("between", (float(low), float(high))))
    for word, pattern in _NEVER:
        if pattern.search(plain):
            found.append((word, (0.0, 0.0)))
    return found
