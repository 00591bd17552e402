"""Values that stand under the name of a secret, quoted or not, in files of settings, programs, logs and prose.

A place is tried where one of a few short words stands that the names of secrets are made of and something follows that
gives a value: `=`, `:`, `=>`, `>` of an XML element, a `value` beside a `name`, a blank. The name then says what the
value may be (`names`), its form and surroundings whether it is one (`values`, `surroundings`). Each pattern has upper
bounds, so the time grows with the length of the text.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from itertools import pairwise

from aqe.engine.privacy.names import Kind, kind_of_name
from aqe.engine.privacy.surroundings import Surroundings
from aqe.engine.privacy.values import Context, is_no_value, is_secret, looks_mixed, looks_random

CLASS_OF: dict[Kind, str] = {
    "password": "password-assignment",
    "secret": "generic-api-key",
    "token": "generic-api-key",
}
LONGEST_NAME = 60
MOST_LISTED = 20
_COMMA = re.compile(r"[ \t]{0,9},\s{0,40}+")
_STEMS = ("pass", "pw", "secret", "token", "key", "auth", "cred", "psk")
_GIVES = (
    r"(?:\w|[.-](?=\w)){0,40}+(?:"
    r"(?P<assign>(?:\\?[\"'`]|&quot;)?\]?\)?[*_]{0,2}[ \t]{0,40}+(?::=|=>|\?=|=|:)(?![=:]))"
    r"|(?P<compared>[ \t]{0,4}[!=]==?[ \t]{0,4}(?=[\"']))"
    r"|(?P<beside>[\"']?,?\s{1,60}+[\"']?value[\"']?[ \t]{0,9}[=:])"
    r"|(?P<element>(?:[\"' \t][^<>\n]{0,80})?>(?=[^<\s])|</key>\s{0,40}<string>)"
    r"|(?P<argument>\\?[\"'][ \t]{0,9},|\((?=[rbuf]?[\"']))"
    r"|(?P<block>\"[ \t]{0,9}\{)"
    r"|(?P<blank>[ \t]{1,20}+(?:(?:is|was|ist|lautet)[ \t:]{1,4}+)?"
    r"(?=[\"'`]|[^\s\"'`=:|&<>()]{4,200}+;?[ \t]{0,9}(?:[\r\n]|\Z)))"
    r"|(?P<is>[ \t]{1,4}(?:for[ \t](?:user[ \t])?[\w@.'-]{1,40}+(?::|[ \t]is)[ \t]|(?:is|was|ist|lautet)[ \t:]{1,4}+))"
    r")"
)
_PATTERNS = tuple(re.compile(re.escape(stem) + _GIVES) for stem in _STEMS)
_NAME_BEFORE = re.compile(r"[A-Za-z0-9_.$@-]{1,60}\Z")
_TWO_WORDS = re.compile(r"(?i)\b(?:api|access|secret|private|signing|auth)[ ]\Z")
_ANNOTATED = re.compile(
    r"[ ]?&?(?:'static )?[A-Za-z][\w.]{0,40}+(?:\[[\w., |]{0,60}+\])?(?:[ ]?\|[ ]?None)?[ ]?=(?!=)[ \t]{0,20}+"
    r"(?=[rbuRBUfF]{0,2}[\"'`]|[ \t])"
)
_BLANK = re.compile(r"[ \t]{0,40}+")
_OPEN = re.compile(r"([rRbBuUfFlL$]{0,2}+)(\\{0,3}\"\"\"|'''|\\{1,3}[\"']|[\"'`]|&quot;)")
_BARE = re.compile(r"[^\s\"'`<]{1,500}+")
_LETTER, _DIGIT = re.compile(r"[^\W\d_]"), re.compile(r"\d")
_LONG = re.compile(r"[^\s\"'`<]{200,500}+")
"""What no name within is looked at any more: a text without blanks would else be read again for each of them."""
_NEXT_FIELD = re.compile(r"[}\])](?=,)|[;,&](?=[ \t\r\n]|\Z|[A-Za-z][\w. -]{0,40}=|$)")
_DEFAULT = re.compile(r"[^{}]{0,300}?\bdefault[ \t]{0,20}=[ \t]{0,20}(?=\")")
_IN_URL = re.compile(r"://[^\s/?#\"'<>]{0,90}\Z")
_SETTER = re.compile(r"(?i)[.$]?(?:set|with|use|add)")
_VERB = re.compile(r"(?:[Pp]ass(?![a-z])|PASS(?![A-Za-z]))")
_COMMENT_LINE = re.compile(r"[ \t]{0,40}+(?:#|//|\*|--|;|rem\b)", re.IGNORECASE)
_FULL_LINE = re.compile(r"(?:export |set |ENV |ARG |- )?[A-Za-z][\w./:-]{0,80}")
_ENV_NAME = re.compile(r"[A-Z][A-Z0-9_]{1,60}")
_HEADER = re.compile(r"[Xx]-[\w-]{1,60}")
_LOGIN_BEFORE = re.compile(
    r"(?:\A|\s)(?:(?:login|user)[ \t]+\S{1,80}[ \t\r\n]+(?:account[ \t]+\S{1,80}[ \t\r\n]+)?"
    r"|machine[ \t]+\S{1,80}[ \t\r\n]+|default[ \t]+)\Z"
)
_DIRECTIVE = re.compile(
    r"[ \t]{0,40}+(?:(?:ENV|SetEnv|setenv|setx|set -x|set|fastcgi_param|uwsgi_param|export|env)[ \t]{1,9})?",
    re.IGNORECASE,
)
_VARIABLE = re.compile(r"\bvariable[ \t]{1,8}\"\Z")
_DEFAULT_OF_VARIABLE = re.compile(r"\$\{\w{1,60}:?[-=]([^\s${}\"']{1,200})\}")
_DYNAMIC = re.compile(r"[ \t]{0,4}(?:%(?=[ \t(])|\+(?![=+])|\.format\(|\.join\(|\[)")


def find_assigned(text: str, lowered: str, path: str | None) -> Iterator[tuple[int, int, str]]:
    """Begin, end and class of each value that its name makes a secret, in no order; they may overlap."""
    around = Surroundings(text, path)
    for pattern in _PATTERNS:
        passed = 0
        for found in pattern.finditer(lowered):
            if found.start() < passed:
                continue
            begin = _name_begin(text, found.start())
            end = _name_end(found)
            kind = kind_of_name(text[begin:end])
            if kind is None:
                continue
            for start, stop in _values(text, begin, end, found, kind, around):
                yield start, stop, CLASS_OF[kind]
            long = _LONG.match(text, found.end())
            passed = found.end() if long is None else long.end()


def find_named(name: str, value: str) -> str | None:
    """The class of a value that an object holds under `name`; None where it is no secret."""
    kind = kind_of_name(name)
    if kind is None or not is_secret(value, kind, quoted=True, context="config"):
        return None
    return CLASS_OF[kind]


def _name_begin(text: str, place: int) -> int:
    before = _NAME_BEFORE.search(text, max(0, place - LONGEST_NAME), place)
    if before is not None:
        return before.start()
    two = _TWO_WORDS.search(text, max(0, place - 10), place)
    return place if two is None else two.start()


def _name_end(found: re.Match[str]) -> int:
    return found.start(found.lastgroup or 0)


def _values(
    text: str, begin: int, end: int, found: re.Match[str], kind: Kind, around: Surroundings
) -> Iterator[tuple[int, int]]:
    way, after = found.lastgroup, found.end()
    name = text[begin:end]
    opened = text[begin - 1 : begin]
    if way == "argument" and text[end] != "(" and opened not in ("'", '"'):
        return
    if way == "argument" and text[end] == "(" and kind == "token" and _SETTER.match(name) is None:
        return
    if opened == ":" and text[end] in "\"':" and not text[begin - 2 : begin - 1].isspace() and begin > 1:
        return  # a part of "AWS::IAM::AccessKey", of arn:aws:secretsmanager:eu-west-1:123:secret:name
    if opened == " " and text[end] in "\"'" and _VERB.fullmatch(name):
        return
    if way in ("argument", "blank", "is") and _VERB.match(name):
        return
    if way == "assign":
        yield from _assigned(text, begin, end, after, kind, around)
    elif way == "beside":
        span = quoted_value(text, after) or bare_value(text, _past_blanks(text, after))
        sure = _ENV_NAME.fullmatch(name) is not None
        yield from _if_secret(text, span, kind, sure=sure, settings=around.is_settings_file)
    elif way == "element":
        stop = text.find("<", after, after + 500)
        is_element = text[begin - 1 : begin] in ("<", ":", "'", '"', ">")
        if stop > after and is_element and is_secret(text[after:stop], kind, quoted=True, context="config"):
            yield after, stop
    elif way in ("argument", "compared"):
        span = quoted_value(text, after)
        if span is not None and _is_argument(text[span[0] : span[1]], kind):
            yield span
    elif way == "block":
        default = _DEFAULT.match(text, after)
        if default is not None and _VARIABLE.search(text, max(0, begin - 20), begin):
            yield from _if_secret(text, quoted_value(text, default.end()), kind)
    else:
        yield from _after_blank(text, begin, end, after, kind, way == "is", around)


def _assigned(
    text: str, begin: int, end: int, after: int, kind: Kind, around: Surroundings
) -> Iterator[tuple[int, int]]:
    place = _past_blanks(text, after)
    if text[after - 1] == ":":
        typed = _ANNOTATED.match(text, after)
        place = place if typed is None else typed.end()
        while text[place : place + 1] == "*":
            place += 1
        place = _past_blanks(text, place)
        if text[begin - 2 : begin] == "${" and text[place : place + 1] in ("-", "="):
            place += 1  # the default of a shell's variable
    quoted = quoted_value(text, place)
    if quoted is not None:
        fallback = _DEFAULT_OF_VARIABLE.fullmatch(text, *quoted)
        if fallback is not None:
            quoted = fallback.span(1)
        elif text[place] in "fF" and "{" in text[quoted[0] : quoted[1]]:
            return
        sure = _ENV_NAME.fullmatch(text, begin, end) is not None and place == after
        kind = "secret" if kind == "token" and text[begin:end].lower() == "secret" else kind
        yield from _if_secret(text, quoted, kind, sure=sure, settings=around.is_settings_file)
        return
    if text[place : place + 1] in ("[", "("):
        yield from _listed(text, place + 1, kind)
        return
    if text[place : place + 1] in ("|", ">") and text[after - 1] == ":":
        yield from _block_lines(text, begin, place, kind)
        return
    span = bare_value(text, place)
    if span is None or _IN_URL.search(text, max(0, begin - 100), begin):
        return
    default = _DEFAULT_OF_VARIABLE.fullmatch(text, *span)
    if default is not None:
        yield from _if_secret(text, default.span(1), kind, settings=around.is_settings_file)
        return
    if _VERB.fullmatch(text, begin, end) and "_" in text[span[0] : span[1]]:
        return  # PASS: test_that
    context = _context(text, begin, end, after, place, span, around)
    is_tight = place == after or text[after - 1] == ":"
    sure = context == "config" and is_tight and _ENV_NAME.fullmatch(text, begin, end) is not None
    sure = sure or _HEADER.fullmatch(text, begin, end) is not None
    value = text[span[0] : span[1]]
    settings = around.is_settings_file
    if is_secret(value, kind, quoted=False, context=context, sure=sure, settings=settings) and _ends(text, span, value):
        yield span


def _listed(text: str, place: int, kind: Kind) -> Iterator[tuple[int, int]]:
    """The texts of a list or tuple, as far as they stand one after the other."""
    for _ in range(MOST_LISTED):
        span = quoted_value(text, place)
        if span is None:
            return
        if _is_argument(text[span[0] : span[1]], kind):
            yield span
        comma = _COMMA.match(text, span[1] + 1)
        if comma is None:
            return
        place = comma.end()


def _context(
    text: str, begin: int, end: int, after: int, place: int, span: tuple[int, int], around: Surroundings
) -> Context:
    """What an unquoted value stands in. A line that is nothing but NAME=value is a setting wherever it stands, a
    comment or the inside of a string is no program."""
    line = max(text.rfind("\n", max(0, begin - 200), begin) + 1, begin - 200, 0)
    before = text[line:begin]
    known = around.at(begin)
    tight = place == after and text[after - 1] == "="
    is_env = _ENV_NAME.fullmatch(text, begin, end) is not None
    ends = text[span[1] : span[1] + 1] in ("", "\n", "\r")
    if tight and ends and (is_env or _FULL_LINE.fullmatch(before + text[begin:end])):
        return "config"
    if tight and is_env and (not before.strip() or before.endswith(("export ", "ENV ", "ARG ", "set ", "- "))):
        return "config"
    if known == "unknown" and ends and not before.strip() and len(text) - span[1] + line < 3:
        return "config"  # the whole text is this one line
    if known != "code":
        return known
    if tight and before.rstrip()[-1:] in (";", "&", "?"):
        return "unknown"
    if _COMMENT_LINE.match(before) or (before.count('"') % 2 or before.count("'") % 2 or before.count("`") % 2):
        return "unknown"
    return "code"


def _ends(text: str, span: tuple[int, int], value: str) -> bool:
    """Whether the line ends after an unquoted value, or goes on in a way that prose does not."""
    if _LETTER.search(value) and _DIGIT.search(value):
        return True
    after = text[span[1] : span[1] + 3]
    return after[:1] in ("", "\n", "\r", ";", "&", ")", "}", ",", '"', "'", "<") or after.lstrip(" \t")[:1] in (
        "",
        "#",
        "\n",
        "\r",
        "-",
        "/",
    )


def _after_blank(
    text: str, begin: int, end: int, after: int, kind: Kind, is_prose: bool, around: Surroundings
) -> Iterator[tuple[int, int]]:
    """`requirepass VALUE`, `ENV PASSWORD VALUE`, `PASSWORD 'value'`, `password VALUE` of netrc, "password is VALUE"."""
    quoted = quoted_value(text, after)
    name = text[begin:end]
    if quoted is not None:
        value = text[quoted[0] : quoted[1]]
        if is_secret(value, kind, quoted=True) and looks_mixed(value):
            yield quoted
        return
    span = bare_value(text, after)
    if span is None:
        return
    value = text[span[0] : span[1]]
    line = max(text.rfind("\n", max(0, begin - 80), begin) + 1, begin - 80, 0)
    before = text[line:begin]
    if kind == "password" and _LOGIN_BEFORE.search(text, max(0, begin - 200), begin):
        if is_secret(value, kind, quoted=False, sure=True):
            yield span
    elif is_prose or text[end:after].strip():
        if looks_mixed(value) and looks_varied(value) and is_secret(value, kind, quoted=False):
            yield span
    elif _DIRECTIVE.fullmatch(before) and (
        before.strip() or around.at(begin) != "code" or (looks_varied(value) and not value.isidentifier())
    ):
        alone = (
            not before.strip() and name.islower() and name in ("password", "token", "secret", "pass", "passwd", "auth")
        )
        plain_ok = name in ("requirepass", "masterauth", "bindpw", "rootpw") or bool(before.strip())
        if (plain_ok or looks_mixed(value)) and not (alone and value.isalnum()):
            yield from _if_secret(text, span, kind, sure=plain_ok, quoted=False)


def looks_varied(value: str) -> bool:
    """With letters and digits."""
    if any(char in "!#&*^~" for char in value):
        return True
    return _LETTER.search(value) is not None and _DIGIT.search(value) is not None


def _is_argument(value: str, kind: Kind) -> bool:
    """Whether a text behind a name in a list of arguments is its value, not the next name."""
    if kind == "token":
        return looks_random(value) and not is_no_value(value)
    turns = sum(one.isdigit() != other.isdigit() for one, other in pairwise(value))
    signs = not value.isalnum() and _DIGIT.search(value) is not None
    return " " not in value and (turns >= 2 or signs) and is_secret(value, kind, quoted=True) and looks_mixed(value)


def _if_secret(
    text: str,
    span: tuple[int, int] | None,
    kind: Kind,
    *,
    sure: bool = False,
    quoted: bool = True,
    settings: bool = False,
) -> Iterator[tuple[int, int]]:
    if span is None:
        return
    value = text[span[0] : span[1]]
    if not is_secret(value, kind, quoted=quoted, context="config", sure=sure, settings=settings):
        return
    if _DYNAMIC.match(text, span[1] + 1) and quoted:
        return
    yield span


def _past_blanks(text: str, place: int) -> int:
    found = _BLANK.match(text, place)
    return place if found is None else found.end()


def quoted_value(text: str, place: int) -> tuple[int, int] | None:
    """Begin and end of what stands between quotation marks at `place`, blanks before them passed over."""
    opened = _OPEN.match(text, _past_blanks(text, place))
    if opened is None:
        return None
    start, mark = opened.end(), opened[2]
    stop = start
    limit = min(len(text), start + 500)
    while True:
        stop = text.find(mark, stop, limit)
        if stop < 0 or (len(mark) < 3 and text.find("\n", start, stop) >= 0):
            return None
        if len(mark) == 1 and mark != "`" and _is_escaped(text, start, stop):
            stop += 1
            continue
        return (start, stop) if stop > start else None


def _is_escaped(text: str, start: int, stop: int) -> bool:
    slashes = 0
    while stop - slashes > start and text[stop - slashes - 1] == "\\":
        slashes += 1
    return slashes % 2 == 1


def bare_value(text: str, place: int) -> tuple[int, int] | None:
    """Begin and end of an unquoted value: up to a blank, a quotation mark or the next field, closing marks cut off."""
    found = _BARE.match(text, place)
    if found is None:
        return None
    stop = found.end()
    field = _NEXT_FIELD.search(text, place, stop)
    if field is not None and field.start() > place:
        stop = field.start()
    while stop > place + 1 and _is_trailing(text, place, stop):
        stop -= 1
    return place, stop


def _is_trailing(text: str, start: int, stop: int) -> bool:
    char = text[stop - 1]
    if char in ".,;:\\":
        return True
    if char in ")]}":
        return text.count(char, start, stop) > text.count("([{"[")]}".index(char)], start, stop)
    return False


def _block_lines(text: str, begin: int, place: int, kind: Kind) -> Iterator[tuple[int, int]]:
    """The lines of a YAML block scalar."""
    indent = begin - (max(text.rfind("\n", max(0, begin - 200), begin), begin - 200) + 1)
    line = text.find("\n", place, place + 8)
    for _ in range(20):
        if line < 0:
            return
        stop = text.find("\n", line + 1, line + 2000)
        stop = min(len(text), line + 2000) if stop < 0 else stop
        start = line + 1
        while start < stop and text[start] in " \t":
            start += 1
        if start - line - 1 <= indent:
            return
        while stop > start and text[stop - 1].isspace():
            stop -= 1
        yield from _if_secret(text, (start, stop), kind)
        line = text.find("\n", stop, stop + 20)
