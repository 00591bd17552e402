"""Whether a value under the name of a secret is one, or a variable, a type, a word of prose, a placeholder."""

from __future__ import annotations

import re
from functools import lru_cache
from typing import Literal

from aqe.engine.privacy.names import Kind, words

Context = Literal["config", "unknown", "code"]
"""Where an unquoted value stands: in a file of settings, in something unknown, in a program (where it is a name)."""
_BASE64 = re.compile(r"(?=[^=]*\d)(?:[A-Za-z0-9+/]{4}){5,60}(?:[A-Za-z0-9+/]{3}=|[A-Za-z0-9+/]{2}==)")
LONGEST_PLACEHOLDER = 80
JUDGED = 512
"""So many judgements are kept: a text that repeats a value is not judged anew each time."""
_REFERENCE = re.compile(
    r"@[\w./~-]{1,100}+(?<=\.txt|\.pem|\.key|json|yaml)\Z|\$(?:\w+(?:\Z|->|::|[\[.:/])|[{(@\[]|\d)|%[A-Za-z_]{1,60}+%|%[\w(.-]{0,60}+[)sdrq]\b|@[A-Za-z_]{1,60}+@?\Z"
    r"|[{<\[(]|#\{|&[A-Za-z_]+\Z|\*[A-Za-z_]*\Z|![A-Za-z]+\Z|\.{0,2}/|~/|[A-Za-z]:\\|[A-Za-z][\w+.-]{0,20}+://"
    r"|\*{3}|\.{3}|-{2}|[|>][+-]?\d?\Z|\\[\[(.bdswDSW]"
    r"|(?:env|file|vault|ssm|secrets?|op|keyring|arn|gcp|aws|azure|resource|classpath|data|kms|sops|cmd)[:/]"
    r"|process\.env|os\.(?:environ|getenv)"
    r"|(?:var|local|data|module|self|this|cls|config|conf|cfg|settings|env|secrets|request|req|args|opts|options|ctx|props"
    r"|params|form|user|system|aws_\w+|random_\w+|azurerm_\w+|google_\w+)\.[A-Za-z_]"
    r"|\^.*\$\Z|Ag[A-D][A-Za-z0-9+/]{50,}={0,2}\Z|ENC[\[(]|\{cipher\}|0x|\w+:[x*!]?:\d|(?:\\[xuU][0-9a-fA-F]{2,8})+\Z"
)
_REFERENCE_WITHIN = re.compile(
    r"\$\{|\$\(|\{\{|\}\}|<%|%\(|\(\?|\\[sdwb][+*)]|\[\^|\]\)|\A[A-Za-z_$][\w.]*(?:->|::)?\w*\(|\w\(\)|://"
)
_PLACEHOLDER = re.compile(
    r"(?i)(?:<.*>?|x{3,}\w*|(?:\*+|\.+|-+|_+|\?+|#+)|(?:to[_-]?)?be[_-]?(?:changed|set|filled|added).*|.*\.{3,}"
    r"|(?:please[_-]?)?(?:change|replace|insert|enter|put|fill|add|update|set|paste|type)"
    r"[ _-]?(?:me|it|this|with|in|here|now|your|a|the|later|pls)?(?:[ _-][a-z _-]*)?[!\d]?"
    r"|(?:your|my|some|any|the|our|a|an)[ _-]?(?:[a-z]{1,20}[ _-]?){0,3}"
    r"(?:pass(?:word|wd|phrase)?|pw|pwd|secret|token|key|here|value|credentials?|string)(?:[_ -]?here)?\d?"
    r"|.*(?:_|-|\b)(?:here|placeholder|example|dummy|redacted|masked|filtered|removed|omitted|not[_-]?set|goes[_-]?here)\b.*"
    r"|.*example(?:key)?|todo|tbd|fixme|n/?a|none|null|nil|true|false|yes|no|on|off|undefined|empty|unset|void|nan|self|this"
    r"|[a-z]{0,2}\d{0,3})"
)
_REPEATED = re.compile(r"(.)\1{5,}|EXAMPLE")
_RUNS = re.compile(r"[^\W\d_]+")
_CAMEL = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[^\W\d_A-Z]+")
_OF_NAMES = words("of_names")
_OF_SCHEMAS = words("of_schemas")
_SENTENCE = words("of_sentences")
_PROSE = words("of_prose") | _SENTENCE
_SHORT = words("short")
_SECRET_STEM = re.compile(r"(?i)pass|secret|token|passwor|credential")
_SPECIAL = re.compile(r"[^\w\s.:,;'\"`()\[\]{}<>/\\=-]")
_CHANGES = re.compile(r"(?<=[^\W\d_])\d|(?<=\d)[^\W\d_]")
_HUMPS = re.compile(r"[A-Z]?[a-z]+|[A-Z]")
_CASE_CHANGES = re.compile(r"(?<=[a-z])[A-Z]")
_HEX = re.compile(r"[0-9a-f]{10,200}|[0-9A-F]{10,200}|[0-9A-Fa-f]{8}(?:-[0-9A-Fa-f]{4}){3}-[0-9A-Fa-f]{12}")
_JOINED = re.compile(r"[a-z]{3,20}(?:_[a-z]{3,20}){1,2}|[a-z]{3,20}\.[a-z]{3,20}")
LEAST_JOINED = 8
_SPACE, _DIGIT, _PLAIN = re.compile(r"\s"), re.compile(r"\d"), re.compile(r"(?:[^\W\d]|[-.!?])+")
_NO_SHORT = re.compile(r"[\s${}<>%\[\]()/\\:|~*`'\"=,;]|^\W|(.)\1\1|[.?]{2}")
_CAPITAL = re.compile(r" [A-Z]")
_SIGN = re.compile(r"[!#$%^&*~]")
_PIECES = re.compile(r"[A-Za-z0-9]{8,}")
_ALGORITHM = re.compile(r"(?i)(?:sha|md|utf|ed|rsa|aes|x|p|k|v|secp)\d")
_EXPRESSION_END = frozenset("([{,\\|")


@lru_cache(maxsize=JUDGED)
def is_secret(
    value: str, kind: Kind, *, quoted: bool, context: Context = "unknown", sure: bool = False, settings: bool = False
) -> bool:
    """Whether `value` under a name of that kind is secret.

    `quoted`: it stands between quotation marks or is a whole text by itself. `sure`: the place admits nothing but a
    value (an option of a command, a variable of the environment), so that plain words count too. `settings`: the file's
    name says that it holds settings, where `two_words` are no variable.
    """
    if len(value) == 3 and kind == "password" and context == "config" and (not quoted or settings or sure):
        return _is_short_password(value)
    if not 4 <= len(value) <= 4000 or is_no_value(value):
        return False
    if not quoted and context == "code":
        return False
    if "\\ " in value and not quoted:
        value = value.replace("\\ ", "-")  # blanks as a shell escapes them
    if _SPACE.search(value):
        return quoted and kind != "token" and _is_passphrase(value)
    if kind == "token":
        return looks_random(value, enough=1 if sure else 3)
    if _is_plain(value):
        if kind == "password" and (quoted or settings) and _is_joined_secret(value, sure=sure, settings=settings):
            return True
        return _is_plain_secret(value, kind, quoted=quoted, context=context, sure=sure)
    if kind == "password" and not quoted and (sure or context == "config") and len(value) == 4 and value.isdigit():
        return True
    if kind == "secret" and not sure:
        return len(value) >= 8 and looks_mixed(value)
    return (sure or quoted or context == "config" or len(value) >= 6) and looks_mixed(value)


def is_pass_phrase(value: str, *, settings: bool) -> bool:
    """Whether several words without quotation marks behind a password's name are it, not a remark about it.

    `settings`: the file's name says that it holds settings, where two plain words are enough.
    """
    parts = [part.strip(",.!?&+").lower() for part in value.split()]
    plain = sum(map(str.isalpha, parts))
    if is_no_value(value) or any(part in _PROSE for part in parts):
        return False
    if settings and 2 <= len(parts) <= 3 and plain == len(parts) and value.islower():
        return not any(run in _OF_NAMES or run in _OF_SCHEMAS for run in parts)
    if len(parts) < 3 or plain < 2:
        return False
    if not parts[0].isalpha() and not (_is_word_with_digits(parts[0]) and (settings or _CAPITAL.search(value))):
        return False  # NAME=v4lue command and its arguments
    return (len(parts) > 3 or not parts[-1].isalpha()) and _is_passphrase(value)


def is_given_phrase(value: str) -> bool:
    """Whether two plain words and more between quotation marks are what an option is given, no remark about it."""
    parts = [part.strip(",.!?&+").lower() for part in value.split()]
    if is_no_value(value) or not 2 <= len(parts) <= 12 or not all(map(str.isalnum, parts)):
        return False
    return not any(part in _PROSE or part in _OF_NAMES or part in _OF_SCHEMAS for part in parts)


def is_given_word(value: str) -> bool:
    """Whether a plain word at the end of a command line is what the option before it is given."""
    return value.lower() not in _PROSE and is_secret(value, "password", quoted=False, sure=True)


def holds_prose(text: str) -> bool:
    """Whether a word that only sentences have stands in the text."""
    return any(part in _SENTENCE for part in text.lower().split())


def is_no_value(value: str) -> bool:
    """Whether it stands for a value that is elsewhere (a variable, a file, a call), or for none."""
    if _BASE64.fullmatch(value):
        return False
    if _REFERENCE.match(value) or _REFERENCE_WITHIN.search(value) or value[-1] in _EXPRESSION_END:
        return True
    if _REPEATED.search(value):
        return True
    return len(value) <= LONGEST_PLACEHOLDER and _PLACEHOLDER.fullmatch(value) is not None


def looks_mixed(value: str) -> bool:
    """With a digit or a sign beside letters, and not made of the words of names alone."""
    runs = _words(value)
    digits = len(_DIGIT.findall(value))
    if not runs:
        return digits >= 5 and value.removeprefix("-").isdigit()
    if all(run in _OF_NAMES or run in _OF_SCHEMAS for run in runs):
        return digits > 1 and len(runs) == 1 and runs[0] in _OF_NAMES
    return digits > 0 or _SPECIAL.search(value) is not None or (value.endswith("=") and len(value) % 4 == 0)


def is_scrambled(value: str) -> bool:
    """Capitals and small letters in no order of words: eight letters and more, in short pieces."""
    if not (8 <= len(value) <= 200 and value.isalpha() and value.isascii()):
        return False
    return len(_CASE_CHANGES.findall(value)) >= 2 and len(_HUMPS.findall(value)) * 2.5 > len(value)


def looks_random(value: str, *, enough: int = 3) -> bool:
    """Letters and digits in turns, as no word and no name with a number has them; `enough` turns for a short value."""
    changes = len(_CHANGES.findall(value))
    if len(set(value)) < 5 or len(value) < (6 if changes >= 3 else 8):
        return False
    if _HEX.fullmatch(value):
        return True
    runs = _words(value)
    if all(run in _OF_NAMES or run in _OF_SCHEMAS for run in runs):
        return False
    if changes >= enough or (changes >= 2 and len(value) >= 16):
        return True
    if changes and (_SIGN.search(value) or any(map(_is_dense, _PIECES.findall(value)))):
        return True
    return len(value) >= 12 and len(_CASE_CHANGES.findall(value)) >= 4 and " " not in value


def _is_dense(piece: str) -> bool:
    """Eight characters and more, digits before letters among them, and not the name of an algorithm."""
    digits = len(_DIGIT.findall(piece))
    return 4 <= digits < len(piece) and re.search(r"\d[A-Za-z]", piece) is not None and _ALGORITHM.match(piece) is None


def _is_plain(value: str) -> bool:
    """Letters, and what joins words."""
    return _PLAIN.fullmatch(value) is not None


def _is_plain_secret(value: str, kind: Kind, *, quoted: bool, context: Context, sure: bool) -> bool:
    runs = _words(value)
    if context == "config" and kind == "password":
        least = 5
    else:
        least = 6 if kind == "password" else 8 if sure else 12
    if quoted and not sure and kind == "secret":
        return False
    if not (sure or quoted or context == "config") or len(value) < least:
        return False
    if value.isupper() or any(run in _OF_SCHEMAS for run in runs):
        return False
    if sure and not quoted and len(value) >= 16 and value.count("-") >= 3:
        return True
    if "_" in value or _SECRET_STEM.search(value) or any(run in _OF_NAMES and len(run) > 2 for run in runs):
        return False
    return quoted is False or "." not in value


def _is_joined_secret(value: str, *, sure: bool, settings: bool) -> bool:
    """Two or three words of lower case that `_` or, in a file of settings, `.` joins, none a word of names; what a
    variable of the environment holds there may have one."""
    if _JOINED.fullmatch(value) is None or len(value) < LEAST_JOINED or ("." in value and not settings):
        return False
    runs = _words(value)
    if any(run in _OF_SCHEMAS or run in _SENTENCE for run in runs):
        return False
    if sure and settings:
        return not all(run in _OF_NAMES for run in runs)
    return _SECRET_STEM.search(value) is None and not any(run in _OF_NAMES for run in runs)


def _is_passphrase(value: str) -> bool:
    """Words that make no sentence: four and more, or fewer with a digit among them."""
    parts = value.split()
    if any(part.lower().strip(".,:;!?") in _SENTENCE for part in parts):
        return False
    if any(run in _OF_NAMES or run in _OF_SCHEMAS for run in _words(value) if len(run) > 2):
        return False
    if len(parts) <= 3:
        return any(map(str.isdigit, value)) and any(map(str.isalpha, value))
    parts = [part for part in (part.strip(",.!?&+") for part in parts) if part]
    return len(parts) <= 12 and all(map(str.isalnum, parts)) and sum(map(str.isalpha, parts)) >= 3


def _is_word_with_digits(part: str) -> bool:
    return part.isalnum() and part[0].isalpha() and _DIGIT.search(part) is not None and _ALGORITHM.match(part) is None


def _is_short_password(value: str) -> bool:
    """Three characters that are no type, switch or number."""
    return not (value.isdigit() or value.lower() in _SHORT or _NO_SHORT.search(value))


def _words(value: str) -> list[str]:
    return [word.lower() for run in _RUNS.findall(value) for word in (_CAMEL.findall(run) or [run])]
