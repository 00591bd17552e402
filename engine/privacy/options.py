"""Passwords and tokens that a command line gives to its options: `--password x`, `mysql -px`, `redis-cli -a x`.

Which commands take a password behind which letter stands in a table; a letter counts only behind its command.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from aqe.engine.privacy.assignments import CLASS_OF
from aqe.engine.privacy.extents import bare_value, ends_line, line_begin, quoted_value
from aqe.engine.privacy.names import kind_of_name
from aqe.engine.privacy.values import holds_prose, is_given_phrase, is_given_word, is_secret, looks_mixed

COMMAND = "command-password"
REACH = 300
"""How far before an option its command may begin, in characters of the same line."""
_LONGEST_COMMAND = 120
MOST_COMMANDS = 100
_FLAG = re.compile(r"-[a-z][\w.-]{0,40}+(?:[ \t]{1,9}|[ \t]<<<[ \t])(?=[^\s-])")
_FLAG_NAME = re.compile(r"pass|pwd|token|secret|key|cred|auth")
_FLAG_BEHIND = re.compile(r"[\"']?[ ]-{1,2}[a-z]")
_COMMAND_LINE = re.compile(
    r"[ \t]{0,40}+(?:[$>%][ ]|RUN |CMD |- )?(?:sudo )?"
    r"(?!(?:use|run|pass|give|see|try|add|set|call|note|via|by|or|and|with|without|when|if|for|to|as|like|say|prefer|avoid"
    r"|drop|put)[ ])"
    r"[a-z.][\w./-]{1,60}+(?:[ \t]{1,4}+[^\s,;()`]{1,80}+){0,12}+[ \t]{0,4}\Z"
)
"""What stands on a command line before an option; a sentence about one begins with another word."""
_TAKE_A_WORD = ("requirepass", "masterauth", "storepass", "keypass")
_SHORT = re.compile(r" -(?:[pawubnk]|x?p(?=\S)|nb|bn)[ \t]{0,9}(?=[^\s-])")
_COMMANDS = {
    "p": re.compile(
        r"\bsshpass\b|\b(?:docker|podman|nerdctl|oc|az|skopeo|buildah|cf|ibmcloud|heroku)\b.{0,80} login\b"
        r"|\bregistry login\b"
        r"|\b(?:mongo(?:sh|dump|restore|export|import)?|cqlsh|influx|psexec|rdesktop|ftp|lftp|nmap-ncat|arangosh)\b"
    ),
    "a": re.compile(r"\bredis-cli\b|(?:^|[ $|;&])(?:https?|xh)\b"),
    "w": re.compile(r"\bldap(?:search|add|modify|delete|passwd|whoami|compare)\b"),
    "u": re.compile(r"\b(?:smbclient|rpcclient|smbmap|crackmapexec)\b"),
    "b": re.compile(r"\bhtpasswd\b|\bgh secret set\b"),
    "P": re.compile(r"\b(?:sqlcmd|bcp|isql|tsql|unzip|zip|zipcloak)\b"),
    "N": re.compile(r"\bssh-keygen\b"),
    "k": re.compile(r"\bopenssl enc\b"),
    "attached": re.compile(
        r"\b(?:mysql(?:dump|admin|import|check|show|pump)?|mariadb(?:-\w{1,20})?|sshpass|7za?|rar|unrar)\b"
    ),
}
_REDIS = re.compile(r"\bredis-cli\b")
_HTPASSWD = re.compile(r"\bhtpasswd\b")
_FILE_AND_USER = re.compile(r"\S{1,200}[ \t]\S{1,80}[ \t]")


class _Before:
    """Which commands stand before a place in its line; each piece of the text is read once for a command."""

    def __init__(self, lowered: str) -> None:
        self._lowered = lowered
        self._read: dict[re.Pattern[str], int] = {}
        self._found: dict[re.Pattern[str], list[tuple[int, int]]] = {}

    def has(self, command: re.Pattern[str], begin: int, place: int) -> bool:
        """Whether the command stands between `begin` and `place`; places are asked for in their order."""
        read, found = self._read.get(command, 0), self._found.setdefault(command, [])
        if place > read:
            ahead = place + REACH
            start = max(begin, read - _LONGEST_COMMAND)
            start = max(start, found[-1][1]) if found else start
            found += [one.span() for one in command.finditer(self._lowered, start, ahead)]
            self._read[command] = ahead
        return any(one >= begin and end <= place for one, end in reversed(found[-MOST_COMMANDS:]))


def find_long_options(text: str, lowered: str, *, sure: bool = False) -> Iterator[tuple[int, int, str]]:
    """`--password VALUE`, `-storepass VALUE`, `--with-token <<< VALUE`; `sure`: a plain word is a value too."""
    for found in _FLAG.finditer(lowered):
        if (
            _FLAG_NAME.search(lowered, found.start(), found.end()) is None
            or lowered[found.start() - 1 : found.start()].isalnum()
        ):
            continue
        name = text[found.start() : found.end()].rstrip(" \t<")
        kind = kind_of_name(name.removeprefix("--with"))
        if kind is None:
            continue
        quoted = quoted_value(text, found.end())
        span = quoted or bare_value(text, found.end())
        if span is None:
            continue
        value = text[slice(*span)]
        known = sure or name.lstrip("-") in _TAKE_A_WORD or _FLAG_BEHIND.match(text, span[1]) is not None
        is_password = kind == "password" and (known or looks_mixed(value))
        is_quoted = quoted is not None and (is_password or looks_mixed(value))
        if is_secret(value, kind, quoted=is_quoted, sure=sure or is_password) or (
            kind == "password" and _is_given(text, found.start(), span, is_quoted=quoted is not None)
        ):
            yield *span, CLASS_OF[kind]


def _is_given(text: str, place: int, span: tuple[int, int], *, is_quoted: bool) -> bool:
    """Whether plain words behind a password's option are one: between quotation marks, or one at a command's end."""
    value = text[slice(*span)]
    if is_quoted and " " in value:
        return is_given_phrase(value)
    if not ends_line(text, span[1] + is_quoted) or not is_given_word(value):
        return False
    before = text[line_begin(text, place, reach=REACH) : place].removesuffix("-")
    return _COMMAND_LINE.fullmatch(before) is not None and not holds_prose(before)


def find_short_options(text: str, lowered: str) -> Iterator[tuple[int, int, str]]:
    """What `-p`, `-a`, `-w`, `-P`, `-U` and `-b` give to the commands that take a password there."""
    before = _Before(lowered)
    for found in _SHORT.finditer(lowered):
        option = found[0].strip()[1:]
        begin, place = line_begin(lowered, found.start(), reach=REACH), found.start()
        attached = not found[0].endswith((" ", "\t"))
        upper = text[place + 2 : place + 3].isupper()
        if attached:
            key = "attached"
        elif option in ("b", "nb", "bn"):
            key = "b"
        else:
            key = option.upper() if upper and option in ("p", "n") else option
        command = _COMMANDS.get(key)
        if command is None or (attached and upper) or not before.has(command, begin, place):
            continue
        start = found.end()
        if key == "b" and before.has(_HTPASSWD, begin, place):
            user = _FILE_AND_USER.match(text, start)
            if user is None:
                continue
            start = user.end()
        span = quoted_value(text, start) or bare_value(text, start)
        if span is None:
            continue
        start, end = span
        mark = {"a": ":", "u": "%"}.get(key, "")
        if mark == "%" or (mark == ":" and not before.has(_REDIS, begin, place)):
            cut = text.find(mark, start, end)
            if cut < 0:
                continue
            start = cut + 1
        if is_secret(text[start:end], "password", quoted=False, sure=True):
            yield start, end, COMMAND
