"""Values that stand under the name of a secret, quoted or not, in files of settings, programs, logs and prose.

A place is tried where one of a few short words stands that the names of secrets are made of and something follows that
gives a value: `=`, `:`, `=>`, `>` of an XML element, a `value` beside a `name`, a blank. The name then says what the
value may be (`names`), its extent how far it goes (`extents`), its form and surroundings whether it is one (`values`,
`surroundings`). Each pattern has upper bounds, so the time grows with the length of the text.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from aqe.engine.privacy import calls
from aqe.engine.privacy.extents import (
    bare_value,
    block_lines,
    ends_line,
    line_begin,
    next_line,
    past_blanks,
    quoted_lines,
    quoted_value,
    runs_on,
    words_of_line,
)
from aqe.engine.privacy.names import Kind, kind_of_name
from aqe.engine.privacy.surroundings import BLOCK, Surroundings
from aqe.engine.privacy.values import Context, is_pass_phrase, is_scrambled, is_secret, looks_mixed

CLASS_OF: dict[Kind, str] = {
    "password": "password-assignment",
    "secret": "generic-api-key",
    "token": "generic-api-key",
}
LONGEST_NAME = 60
MOST_LISTED = 20
SHORT = 5
"""`X_PASSWORD=word and more`: a word of so many letters is one of prose, a longer one a value before a command."""
BEFORE, AFTER, MOST_JUDGED = 200, 500, 64
"""What repeats itself with so many characters around it in the same part of a text is judged once; so many are kept."""
_COMMA = re.compile(r"[ \t]{0,9},\s{0,40}+")
_STEMS = ("pass", "pw", "psw", "secret", "token", "key", "auth", "cred", "psk")
_GIVES = (
    r"(?=[\w.-]{0,40}+(?![\w.-]))(?:\w|[.-](?=\w)){0,40}+(?:"
    r"(?P<assign>(?:\\?[\"'`]|&quot;)?\]?\)?[*_]{0,2}[ \t]{0,40}+(?::=|=>|\?=|=|:)(?![=:]))"
    r"|(?P<compared>[ \t]{0,4}[!=]==?[ \t]{0,4}(?=[\"']))"
    r"|(?P<beside>[\"']?,?\s{1,60}+[\"']?value[\"']?[ \t]{0,9}[=:])"
    r"|(?P<element>(?:[\"' \t][^<>\n]{0,80})?>(?=[^<\s])|</key>\s{0,40}<string>)"
    r"|(?P<argument>\\?[\"'][ \t]{0,9},|\((?=[rbuf]?[\"']))"
    r"|(?P<otherwise>(?:[\"'][\])]{1,2}|[\])])?[ \t]{1,4}(?:\|\||\?[?:]|or)[ \t]{1,4}(?=[\"']))"
    r"|(?P<block>\"[ \t]{0,9}\{)"
    r"|(?P<blank>[ \t]{1,20}+(?:(?:is|was|ist|lautet)[ \t:]{1,4}+)?"
    r"(?=[\"'`]|[^\s\"'`=:|&<>()]{4,200}+;?[ \t]{0,9}(?:[\r\n]|\Z)))"
    r"|(?P<is>[ \t]{1,4}(?:for[ \t](?:user[ \t])?[\w@.'-]{1,40}+(?::|[ \t]is)[ \t]|(?:is|was|ist|lautet)[ \t:]{1,4}+))"
    r")"
)
_PATTERNS = tuple((stem, re.compile(re.escape(stem) + _GIVES)) for stem in _STEMS)
_OF_NAMES = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_.$@-"
_TWO_WORDS = re.compile(r"(?i)\b(?:api|access|secret|private|signing|auth)[ ]\Z")
_ANNOTATED = re.compile(
    r"[ ]?&?(?:'static )?[A-Za-z][\w.]{0,40}+(?:\[(?:[^\[\]\n]|\[[^\[\]\n]{0,60}+\]){0,120}+\])?(?:[ ]?\|[ ]?None)?"
    r"[ ]?=(?!=)[ \t]{0,20}+"
    r"(?=[rbuRBUfF]{0,2}[\"'`]|[ \t]|[\w.]{0,40}(?:[Ff]ield|Option|Argument|Secret\w{0,6}|String)\()"
)
_NODE = re.compile(r"(?:&[\w-]{1,60}+[ \t]{1,9}+|![\w!/:.-]{0,60}+[ \t]{1,9}+){1,2}+")
"""An anchor or tag of YAML before its value."""
_ALIAS = re.compile(r"\*[\w-]{1,60}+[ \t]{0,9}(?:[,}\]#\r\n]|\Z)")
_REFERENCE_TAG = re.compile(
    r"(?i)!(?:ref|sub|get\w+|join|select|split|if|findinmap|importvalue|cidr|secret|env\w*|include\w*|reference|file|var"
    r"|input|param\w*|sops|ssm|keyring)\b"
)
_LONG = re.compile(r"[^\s\"'`<]{200,500}+")
"""What no name within is looked at any more: a text without blanks would else be read again for each of them."""
_DEFAULT = re.compile(r"[^{}]{0,300}?\bdefault[ \t]{0,20}=[ \t]{0,20}(?=\")")
_IN_URL = re.compile(r"://[^\s/?#\"'<>]{0,90}\Z")
_VERB = re.compile(r"(?:[Pp]ass(?![a-z])|PASS(?![A-Za-z]))")
_COMMENT_LINE = re.compile(r"[ \t]{0,40}+(?:#|//|\*|--|;|rem\b)", re.IGNORECASE)
_LINE_OF_SETTING = re.compile(r"[ \t]{0,80}+(?:export |set |ENV |ARG |- )?[\"']?\Z")
_FULL_LINE = re.compile(r"(?:export |set |ENV |ARG |- )?[A-Za-z][\w./:-]{0,80}")
_ENV_NAME = re.compile(r"[A-Z][A-Z0-9_]{1,60}")
_HEADER = re.compile(r"[Xx]-[\w-]{1,60}")
_GIVEN = re.compile(
    r"(?:-(?:-(?:set(?:-string)?|env|extra-vars|from-literal|build-arg|var)|[eD])[ =]?[\"']?"
    r"(?:\w[\w.-]{0,60}=\S{0,80}[ ]){0,4}"
    r"|(?:config:set|secrets? set|kv put|export|env)(?:[ ]\S{1,80}){0,6}[ ][\"']?)\Z"
)
"""What stands on a command line before NAME=value."""
_OTHER_FIELDS = re.compile(
    r"(?i)\b(?:server|data source|host|uid|user(?:[ ]?id|name)?|login|database|initial catalog|driver|dsn|endpoint)"
    r"[ ]?=|jdbc:|://"
)
_LOGIN_WORDS = re.compile(r"login|user|machine|default")
_LOGIN_BEFORE = re.compile(
    r"(?:\A|\s)(?:(?:login|user)[ \t]+\S{1,80}[ \t\r\n]+(?:account[ \t]+\S{1,80}[ \t\r\n]+)?"
    r"|machine[ \t]+\S{1,80}[ \t\r\n]+|default[ \t]+)\Z"
)
_DIRECTIVE = re.compile(
    r"[ \t]{0,40}+(?:(?:ENV|SetEnv|setenv|setx(?: /m)?|set(?: -\w{1,3})?|fastcgi_param|uwsgi_param|export|env)"
    r"[ \t]{1,9})?",
    re.IGNORECASE,
)
_FORMATTED = re.compile(r"[rR]?[fF][rR]?\\?[\"']{1,3}\Z")
_VARIABLE = re.compile(r"\bvariable[ \t]{1,8}\"\Z")
_DEFAULT_OF_VARIABLE = re.compile(r"\$\{\w{1,60}:?[-=]([^\s${}\"']{1,200})\}")
_DYNAMIC = re.compile(r"[ \t]{0,4}(?:%(?=[ \t(])|\+(?![=+])|\.format\(|\.join\(|\[)")


def find_assigned(text: str, lowered: str, path: str | None) -> Iterator[tuple[int, int, str]]:
    """Begin, end and class of each value that its name makes a secret, in no order; they may overlap."""
    around = Surroundings(text, path)
    for stem, pattern in _PATTERNS:
        if stem not in lowered:
            continue
        passed = 0
        judged: dict[tuple[int, int, int, str], list[tuple[int, int, str]]] = {}
        for found in pattern.finditer(lowered):
            if found.start() < passed:
                continue
            place, after = found.start(), found.end()
            reach = min(place, BEFORE)
            near = (place // BLOCK, reach, after - place, text[place - reach : after + AFTER])
            spans = judged.get(near)
            if spans is None:
                if len(judged) == MOST_JUDGED:
                    judged.clear()
                spans = list(_judged(text, found, around))
                if not runs_on(near[-1][reach + after - place :]):
                    judged[near] = spans
            for start, stop, kind in spans:
                yield place + start, place + stop, kind
            long = _LONG.match(text, after)
            passed = after if long is None else long.end()


def _judged(text: str, found: re.Match[str], around: Surroundings) -> Iterator[tuple[int, int, str]]:
    """What the name at a place gives, told from there: the same where the text repeats itself."""
    place = found.start()
    begin = _name_begin(text, place)
    end = found.start(found.lastgroup or 0)
    kind = kind_of_name(text[begin:end])
    if kind is not None:
        for start, stop in _values(text, begin, end, found, kind, around):
            yield start - place, stop - place, CLASS_OF[kind]


def find_named(name: str, value: str) -> str | None:
    """The class of a value that an object holds under `name`; None where it is no secret."""
    kind = kind_of_name(name)
    if kind is None or not is_secret(value, kind, quoted=True, context="config"):
        return None
    return CLASS_OF[kind]


def _name_begin(text: str, place: int) -> int:
    before = text[max(0, place - LONGEST_NAME) : place]
    begin = place - len(before) + len(before.rstrip(_OF_NAMES))
    if begin < place or not before.endswith(" "):
        return begin
    two = _TWO_WORDS.search(text, max(0, place - 10), place)
    return place if two is None else two.start()


def _values(
    text: str, begin: int, end: int, found: re.Match[str], kind: Kind, around: Surroundings
) -> Iterator[tuple[int, int]]:
    way, after = found.lastgroup, found.end()
    name, opened = text[begin:end], text[begin - 1 : begin]
    if opened == ":" and (
        (text[begin - 2 : begin] == "::" and text[end] in "\"':")
        or (text[end] == ":" and text.rfind("arn:", max(0, begin - 80), begin) >= 0)
    ):
        return  # a part of "AWS::IAM::AccessKey", of arn:aws:secretsmanager:eu-west-1:123:secret:name
    if opened == " " and text[end] in "\"'" and _VERB.fullmatch(name):
        return
    if way in ("argument", "blank", "is") and _VERB.match(name):
        return
    if way == "assign":
        yield from _assigned(text, begin, end, after, kind, around)
    elif way == "beside":
        span = quoted_value(text, after) or bare_value(text, past_blanks(text, after))
        sure = _ENV_NAME.fullmatch(name) is not None
        yield from _if_secret(text, span, kind, sure=sure, settings=around.is_settings_file)
    elif way == "element":
        stop = text.find("<", after, after + 500)
        is_element = opened in ("<", ":", "'", '"', ">")
        if stop > after and is_element and is_secret(text[after:stop], kind, quoted=True, context="config"):
            yield after, stop
    elif way == "argument":
        yield from _in_call(text, begin, end, after, kind)
    elif way == "compared":
        span = quoted_value(text, after)
        if span is not None and calls.is_argument(text[slice(*span)], kind):
            yield span
    elif way == "otherwise":
        span = quoted_value(text, after)
        if span is not None and looks_mixed(text[slice(*span)]):
            yield from _if_secret(text, span, kind)
    elif way == "block":
        default = _DEFAULT.match(text, after)
        if default is not None and _VARIABLE.search(text, max(0, begin - 20), begin):
            yield from _if_secret(text, quoted_value(text, default.end()), kind)
    else:
        yield from _after_blank(text, begin, end, after, kind, way == "is", around)


def _in_call(text: str, begin: int, end: int, after: int, kind: Kind) -> Iterator[tuple[int, int]]:
    """`setPassword("x")`, `define("DB_PASSWORD", "x")`, `add_argument("--password", default="x")`."""
    name = text[begin:end]
    if text[end] == "(":
        span = quoted_value(text, after) if kind != "token" or calls.is_setter(name) else None
    elif text[begin - 1 : begin] in ("'", '"'):
        default = calls.default_behind(text, after)
        if default is not None:
            yield from _if_secret(text, default, kind)
            return
        span = quoted_value(text, after)
        if span is not None and calls.sets_a_name(text, begin):
            yield from _if_secret(text, span, kind, sure=_ENV_NAME.fullmatch(name) is not None)
            return
    else:
        span = None
    if span is not None and calls.is_argument(text[slice(*span)], kind):
        yield span


def _assigned(
    text: str, begin: int, end: int, after: int, kind: Kind, around: Surroundings
) -> Iterator[tuple[int, int]]:
    place = _value_place(text, begin, after)
    if place is None:
        return
    quoted = quoted_value(text, place) or calls.wrapped_value(text, place)
    if quoted is not None:
        yield from _quoted(text, begin, end, place == after, quoted, kind, around)
    elif text[place : place + 1] in ("[", "("):
        yield from _listed(text, place + 1, kind)
    elif text[after - 1] == ":" and text[place : place + 1] in ("|", ">", "'", '"', "\r", "\n"):
        yield from _over_lines(text, begin, end, place, kind, around)
    else:
        yield from _bare(text, begin, end, after, place, kind, around)


def _value_place(text: str, begin: int, after: int) -> int | None:
    """Where a value begins behind its sign: past a type, an anchor or tag of YAML, bold type; None for a reference."""
    place = past_blanks(text, after)
    if text[after - 1] != ":":
        return place
    typed = _ANNOTATED.match(text, after)
    if typed is not None:
        return past_blanks(text, typed.end())
    if text[place : place + 1] in ("&", "!"):
        node = _NODE.match(text, place)
        if node is None or _REFERENCE_TAG.search(text, *node.span()) is not None:
            return place if node is None else None
        return node.end()
    if _ALIAS.match(text, place) is not None:
        return None
    while text[place : place + 1] == "*":
        place += 1
    place = past_blanks(text, place)
    if text[begin - 2 : begin] == "${" and text[place : place + 1] in ("-", "="):
        place += 1  # the default of a shell's variable
    return place


def _quoted(
    text: str, begin: int, end: int, tight: bool, span: tuple[int, int], kind: Kind, around: Surroundings
) -> Iterator[tuple[int, int]]:
    fallback = _DEFAULT_OF_VARIABLE.fullmatch(text, *span)
    if fallback is not None:
        span = fallback.span(1)
    elif "{" in text[slice(*span)] and _FORMATTED.search(text, max(0, span[0] - 6), span[0]) is not None:
        return
    sure = tight and _ENV_NAME.fullmatch(text, begin, end) is not None
    kind = "secret" if kind == "token" and text[begin:end].lower() == "secret" else kind
    yield from _if_secret(text, span, kind, sure=sure, settings=around.is_settings_file)


def _over_lines(
    text: str, begin: int, end: int, place: int, kind: Kind, around: Surroundings
) -> Iterator[tuple[int, int]]:
    """Values that begin in the next line or reach over several: a block of YAML, a text, a plain word, JSON."""
    sign = text[place]
    if sign in "|>":
        lines = list(block_lines(text, begin, place))
        if lines and not text.startswith("$ANSIBLE_VAULT", lines[0][0]):
            for span in lines:
                yield from _if_secret(text, span, kind)
    elif sign in "'\"":
        lines_between = quoted_lines(text, place)
        if lines_between is not None and _begins_line(text, begin) and looks_mixed(text[slice(*lines_between)]):
            yield lines_between
    elif text[end] in "\"'":
        below = next_line(text, place)
        yield from _if_secret(text, None if below is None else quoted_value(text, below), kind)
    elif _begins_line(text, begin) and around.at(begin) != "code":
        yield from _below(text, begin, place, kind, around)


def _below(text: str, begin: int, place: int, kind: Kind, around: Surroundings) -> Iterator[tuple[int, int]]:
    """A plain value in the line below its name, farther in."""
    below = next_line(text, place)
    if below is None or below - line_begin(text, below, reach=200) <= begin - line_begin(text, begin, reach=200):
        return
    quoted = quoted_value(text, below)
    span = quoted or bare_value(text, below)
    if span is None or not ends_line(text, span[1] + (quoted is not None)):
        return
    if quoted is None and around.at(begin) != "config" and not looks_mixed(text[slice(*span)]):
        return
    if is_secret(text[slice(*span)], kind, quoted=quoted is not None, context=around.at(begin)):
        yield span


def _bare(
    text: str, begin: int, end: int, after: int, place: int, kind: Kind, around: Surroundings
) -> Iterator[tuple[int, int]]:
    span = bare_value(text, place)
    if span is None or _IN_URL.search(text, max(0, begin - 100), begin):
        return
    value = text[slice(*span)]
    default = _DEFAULT_OF_VARIABLE.fullmatch(value)
    settings = around.is_settings_file
    if default is not None:
        yield from _if_secret(text, (span[0] + default.start(1), span[0] + default.end(1)), kind, settings=settings)
        return
    if _VERB.fullmatch(text, begin, end) and "_" in value:
        return  # PASS: test_that
    context = _context(text, begin, end, after, place, span, around)
    if kind == "password":
        words = _words(text, begin, place, span, context, around)
        if words is not None:
            yield words
            return
    is_tight = place == after or text[after - 1] == ":"
    is_env = _ENV_NAME.fullmatch(text, begin, end) is not None
    given = place == after and text[after - 1] == "=" and _is_given(text, begin, span, kind)
    sure = given or (context == "config" and is_tight and is_env) or _HEADER.fullmatch(text, begin, end) is not None
    ends = given or _ends(text, span, value) or (sure and is_env and kind == "password" and len(value) > SHORT)
    if ends and is_secret(value, kind, quoted=False, context=context, sure=sure, settings=settings):
        yield span


def _is_given(text: str, begin: int, span: tuple[int, int], kind: Kind) -> bool:
    """Whether `name=value` is an option, or what one gives, of a command line, or a field of a connection string."""
    if text.startswith("--", begin):
        return True
    before = text[line_begin(text, begin, reach=200) : begin]
    if before[-1:] in ('"', "'") and text[span[1] : span[1] + 1] == before[-1]:
        return kind == "password"  # {"Env": ["DB_PASSWORD=value"]}
    if before[-1:] in (";", "&", "?"):
        return text[span[1] : span[1] + 1] in ("", ";", "&", '"', "'", "\n", "\r", "<") and bool(
            _OTHER_FIELDS.search(before)
        )
    return _GIVEN.search(before) is not None


def _words(
    text: str, begin: int, place: int, first: tuple[int, int], context: Context, around: Surroundings
) -> tuple[int, int] | None:
    """Several words without quotation marks, where a line of settings is nothing but a name and them."""
    if text[first[1] : first[1] + 1] != " " and text[first[1] : first[1] + 2] not in (", ", "! ", ". ", "? "):
        return None
    if context == "code" or around.is_translation or not _begins_line(text, begin):
        return None
    span = words_of_line(text, place)
    if span is None or (context != "config" and not _is_only_line(text, begin, span[1])):
        return None
    return span if is_pass_phrase(text[slice(*span)], settings=around.is_settings_file) else None


def _begins_line(text: str, begin: int) -> bool:
    """Whether nothing but what settings have there stands before the name in its line."""
    return _LINE_OF_SETTING.match(text[line_begin(text, begin, reach=100) : begin]) is not None


def _is_only_line(text: str, begin: int, stop: int) -> bool:
    end = text.find("\n", stop, stop + 200)
    return line_begin(text, begin, reach=200) == 0 and len(text) - (min(stop + 200, len(text)) if end < 0 else end) < 3


def _listed(text: str, place: int, kind: Kind) -> Iterator[tuple[int, int]]:
    """The texts of a list or tuple, as far as they stand one after the other."""
    for _ in range(MOST_LISTED):
        span = quoted_value(text, place)
        if span is None:
            return
        if calls.is_argument(text[slice(*span)], kind):
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
    before = text[line_begin(text, begin, reach=200) : begin]
    known = around.at(begin)
    tight = place == after and text[after - 1] == "="
    is_env = _ENV_NAME.fullmatch(text, begin, end) is not None
    ends = ends_line(text, span[1])
    if tight and ends and (is_env or _FULL_LINE.fullmatch(before + text[begin:end])):
        return "config"
    if tight and is_env and (not before.strip() or before.endswith(("export ", "ENV ", "ARG ", "set ", "- "))):
        return "config"
    if known == "unknown" and ends and not before.strip() and _is_only_line(text, begin, span[1]):
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
    if _has_letters_and_digits(value):
        return True
    after = text[span[1] : span[1] + 3]
    return after[:1] in ("", "\n", "\r", ";", "&", ")", "}", ",", '"', "'", "<") or after.lstrip(" \t")[:1] in (
        "",
        "#",
        "\n",
        "\r",
        "-",
        "/",
        "\\",
    )


def _after_blank(
    text: str, begin: int, end: int, after: int, kind: Kind, is_prose: bool, around: Surroundings
) -> Iterator[tuple[int, int]]:
    """`requirepass VALUE`, `ENV PASSWORD VALUE`, `PASSWORD 'value'`, `password VALUE` of netrc, "password is VALUE"."""
    quoted = quoted_value(text, after)
    name = text[begin:end]
    if quoted is not None:
        value = text[slice(*quoted)]
        if (is_secret(value, kind, quoted=True) and looks_mixed(value)) or is_scrambled(value):
            yield quoted
        return
    span = bare_value(text, after)
    if span is None:
        return
    value = text[slice(*span)]
    before = text[line_begin(text, begin, reach=80) : begin]
    if kind == "password" and _is_login(text, begin):
        if is_secret(value, kind, quoted=False, sure=True):
            yield span
    elif is_prose or text[end:after].strip():
        if is_scrambled(value) or (looks_mixed(value) and _is_varied(value) and is_secret(value, kind, quoted=False)):
            yield span
    elif _DIRECTIVE.fullmatch(before) and (
        before.strip() or around.at(begin) != "code" or (_is_varied(value) and not value.isidentifier())
    ):
        alone = not before.strip() and name in ("password", "token", "secret", "pass", "passwd", "auth")
        plain_ok = name in ("requirepass", "masterauth", "bindpw", "rootpw") or bool(before.strip())
        if (plain_ok or looks_mixed(value)) and not (alone and value.isalnum()):
            yield from _if_secret(text, span, kind, sure=plain_ok, quoted=False)


def _is_login(text: str, begin: int) -> bool:
    """Whether the words of a netrc file stand before the name."""
    near = text[max(0, begin - 200) : begin]
    return _LOGIN_WORDS.search(near) is not None and _LOGIN_BEFORE.search(near) is not None


def _is_varied(value: str) -> bool:
    return any(char in "!#&*^~" for char in value) or _has_letters_and_digits(value)


def _has_letters_and_digits(value: str) -> bool:
    return any(map(str.isalpha, value)) and any(map(str.isdigit, value))


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
    value = text[slice(*span)]
    if not is_secret(value, kind, quoted=quoted, context="config", sure=sure, settings=settings):
        return
    if quoted and _DYNAMIC.match(text, span[1] + 1):
        return
    yield span
