"""Passwords in command lines, calls, cookies and files whose fields have places instead of names.

Each finder begins at a literal that is looked for first; what is then matched has upper bounds.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from aqe.engine.privacy.assignments import CLASS_OF, bare_value, quoted_value
from aqe.engine.privacy.names import kind_of_name
from aqe.engine.privacy.values import is_no_value, is_secret, looks_mixed, looks_random

COMMAND, COOKIE, PLACE = "command-password", "session-cookie", "password-field"
REACH = 300
"""How far before an option its command may begin, in characters of the same line."""
_FLAG = re.compile(r"-(?:[a-z][\w.-]{0,40}+)(?:[ \t]{1,9}|[ \t]<<<[ \t])(?=[^\s-])")
_FLAG_NAME = re.compile(r"pass|pwd|token|secret|key|cred|auth")
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
    "b": re.compile(r"\bhtpasswd\b"),
    "P": re.compile(r"\b(?:sqlcmd|bcp|isql|tsql|unzip|zip|zipcloak)\b"),
    "N": re.compile(r"\bssh-keygen\b"),
    "k": re.compile(r"\bopenssl enc\b"),
    "attached": re.compile(
        r"\b(?:mysql(?:dump|admin|import|check|show|pump)?|mariadb(?:-\w{1,20})?|sshpass|7za?|rar|unrar)\b"
    ),
}
_FILE_AND_USER = re.compile(r"\S{1,200}[ \t]\S{1,80}[ \t]")
_STDIN = re.compile(r"\becho[ \t]{1,4}(?:-n[ \t]{1,4})?([\"']?)([^\s\"'$|]{4,200}+)\1[ \t]{0,4}\|[^|\n]{0,120}$")
_USER_AND = re.compile(
    r"\becho[ \t]{1,4}(?:-\w[ \t]{1,4})?[\"']?([\w.-]{1,60}):([^\s\"'$|]{3,200}+)[\"']?[ \t]{0,4}\|[^|\n]{0,60}$"
)
_READERS = ((re.compile("chpasswd"), _USER_AND), (re.compile("-stdin"), _STDIN), (re.compile("sudo -s"), _STDIN))
_WORD_PLACES = (
    re.compile(
        r"rabbitmqctl (?:-\S{1,40} ){0,4}(?:add_user|change_password|authenticate_user) \S{1,80} ([^\s\"'$]{4,200}+)"
    ),
    re.compile(r"/user:\S{1,80}[ \t]([^\s\"'$/*]{4,200}+)"),
    re.compile(r"vault login (?:-\S{1,80} ){0,4}([^\s\"'$=-][^\s\"'$=]{7,200}+)(?=[ \t]{0,9}(?:[\r\n]|\Z))"),
    re.compile(r"identified (?:with [\w'\"]{1,60}+ )?by (?:password )?['\"]([^'\"\n]{4,200}+)['\"]"),
    re.compile(r"xfreerdp [^\n]{0,200}?/p:([^\s\"'$]{4,200}+)"),
    re.compile(r"password [07] ([^\s\"'$]{4,200}+)(?=[ \t]{0,9}(?:[\r\n]|\Z))"),
    re.compile(r"snmp-server community ([^\s\"'$]{4,200}+)"),
    re.compile(r"set password for [^=\n]{1,120}+=[ \t]?(?:password\()?'([^'\n]{4,200}+)'"),
    re.compile(r"securestring[ \t]{1,4}(?:-string[ \t]{1,4})?[\"']([^\"'\n$]{4,200}+)[\"']"),
    re.compile(r"thin:[\w.-]{1,60}/([^\s@/\"'$<{]{4,100}+)@"),
    re.compile(r"sqlplus (?:-\S{1,20} ){0,3}[\w.-]{1,60}/([^\s@/\"'$<{]{4,100}+)@"),
)
_SQL_PASSWORD = re.compile(r"password[ \t]{0,4}=?[ \t]{0,4}n?'([^'\n]{4,200}+)'")
_SQL_USER = re.compile(r"\b(?:create|alter) (?:user|role|login) [^\s;]{1,80} (?:(?:with|login|encrypted) ){0,3}\Z")
_HERE_TEXT = re.compile(r"<<<[ \t]?[\"']?([^\s\"'$]{4,200}+)")
_HERE = re.compile(r"\bsudo\b.{0,40} -\w{0,5}s|--(?:with-token|password-stdin|stdin)|\bpasswd\b")
_TWO_TEXTS = r"[\"']([^\"'\n]{1,100}+)[\"'],[ \t]{0,4}[\"']([^\"'\n]{4,200}+)[\"'][ \t]{0,4}[)\]]"
_CALLS = (
    re.compile(r"auth(?:=|[ ]=[ ])?[ ]?\(" + _TWO_TEXTS),
    re.compile(r"credentials?\(" + _TWO_TEXTS),
    re.compile(r"\.login\(" + _TWO_TEXTS),
    re.compile(r"getconnection\([^\n,]{1,200}+,[ ]" + _TWO_TEXTS),
    re.compile(r"-basic\.[\w.-]{1,60}+ ?= ?\[" + _TWO_TEXTS),
)
_COOKIE_PAIR = re.compile(r"([\w.-]{1,60}+)=([^\s;,\"'<>]{1,4000}+)")
_COOKIE_NAME = re.compile(r"(?i).*(?:sess|sid|auth|token|jwt|remember|login|identity|ticket|csrf|credential).*")
_PGPASS = re.compile(
    r"(?<![^\r\n])[\w.*-]{1,100}:(?:\d{2,5}|\*):[^:\s]{1,60}:[^:\s]{1,60}:([^\s:]{3,200}+)(?=[ \t]{0,9}(?:[\r\n]|\Z))"
)
_POSTGRES_PORT = re.compile(r":(?:543\d|6432):")
_BRACKETED_HOST = re.compile(r"\]:\d")
_SASL = re.compile(r"\]:\d{2,5}[ \t]{1,20}[^\s:]{1,100}:([^\s]{4,200}+)(?=[ \t]{0,9}(?:[\r\n]|\Z))")


def find_in_commands(text: str, lowered: str, path: str | None) -> Iterator[tuple[int, int, str]]:
    """Begin, end and class of each password or token that its place in a command line or call tells, in no order."""
    yield from _long_options(text, lowered)
    yield from _short_options(text, lowered)
    for pattern in _WORD_PLACES:
        for found in pattern.finditer(lowered):
            yield from _plausible(text, *found.span(1), COMMAND)
    for found in _SQL_PASSWORD.finditer(lowered):
        if _SQL_USER.search(lowered, _line_begin(lowered, found.start()), found.start()):
            yield from _plausible(text, *found.span(1), CLASS_OF["password"], quoted=True)
    for found in _HERE_TEXT.finditer(lowered):
        if _HERE.search(lowered, _line_begin(lowered, found.start()), found.start()):
            yield from _plausible(text, *found.span(1), COMMAND)
    yield from _piped(text, lowered)
    for pattern in _CALLS:
        for found in pattern.finditer(lowered):
            if looks_mixed(text[found.start(2) : found.end(2)]):
                yield from _plausible(text, *found.span(2), CLASS_OF["password"], quoted=True)
    yield from _cookies(text, lowered)
    yield from _fields(text, lowered, path)


def _long_options(text: str, lowered: str) -> Iterator[tuple[int, int, str]]:
    """`--password VALUE`, `-storepass VALUE`, `--with-token <<< VALUE`."""
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
        value = text[span[0] : span[1]]
        sure = kind == "password" and looks_mixed(value)
        if is_secret(value, kind, quoted=quoted is not None and looks_mixed(value), sure=sure):
            yield *span, CLASS_OF[kind]


def _short_options(text: str, lowered: str) -> Iterator[tuple[int, int, str]]:
    """What `-p`, `-a`, `-w`, `-P`, `-U` and `-b` give to the commands that take a password there."""
    for found in _SHORT.finditer(lowered):
        option = found[0].strip()[1:]
        before = (_line_begin(lowered, found.start()), found.start())
        attached = not found[0].endswith((" ", "\t"))
        upper = text[found.start() + 2 : found.start() + 3].isupper()
        if attached:
            key = "attached"
        elif option in ("b", "nb", "bn"):
            key = "b"
        else:
            key = option.upper() if upper and option in ("p", "n") else option
        command = _COMMANDS.get(key)
        if command is None or (attached and upper) or command.search(lowered, *before) is None:
            continue
        start = found.end()
        if key == "b":
            place = _FILE_AND_USER.match(text, start)
            if place is None:
                continue
            start = place.end()
        span = quoted_value(text, start) or bare_value(text, start)
        if span is None:
            continue
        start, end = span
        mark = {"a": ":", "u": "%"}.get(key, "")
        if mark == "%" or (mark == ":" and "redis-cli" not in lowered[before[0] : before[1]]):
            cut = text.find(mark, start, end)
            if cut < 0:
                continue
            start = cut + 1
        yield from _plausible(text, start, end, COMMAND)


def _piped(text: str, lowered: str) -> Iterator[tuple[int, int, str]]:
    """`echo VALUE | command --password-stdin`, `echo user:VALUE | chpasswd`."""
    for reader, pattern in _READERS:
        for reading in reader.finditer(lowered):
            place = reading.start()
            found = pattern.search(text, _line_begin(lowered, place), place)
            if found is not None:
                yield from _plausible(text, *found.span(2), COMMAND)


def _cookies(text: str, lowered: str) -> Iterator[tuple[int, int, str]]:
    place = lowered.find("cookie:")
    while place >= 0:
        end = text.find("\n", place, place + 4000)
        end = min(len(text), place + 4000) if end < 0 else end
        for found in _COOKIE_PAIR.finditer(text, place + 7, end):
            if _COOKIE_NAME.fullmatch(found[1]) and looks_random(found[2]) and not is_no_value(found[2]):
                yield *found.span(2), COOKIE
        place = lowered.find("cookie:", end)


def _fields(text: str, lowered: str, path: str | None) -> Iterator[tuple[int, int, str]]:
    """The last field of .pgpass and the second of Postfix's table of passwords."""
    if path is not None and path.lower().endswith((".pgpass", "pgpass.conf")):
        for found in _PGPASS.finditer(text):
            yield from _plausible(text, *found.span(1), PLACE)
    for port in _POSTGRES_PORT.finditer(text):
        line = _PGPASS.match(text, _line_begin(text, port.start()))
        if line is not None:
            yield from _plausible(text, *line.span(1), PLACE)
    for mark in _BRACKETED_HOST.finditer(text):
        host = _SASL.match(text, mark.start())
        if host is not None and text.startswith("[", _line_begin(text, mark.start())):
            yield from _plausible(text, *host.span(1), PLACE)


def _plausible(text: str, start: int, end: int, kind: str, *, quoted: bool = False) -> Iterator[tuple[int, int, str]]:
    if is_secret(text[start:end], "password", quoted=quoted, sure=True):
        yield start, end, kind


def _line_begin(text: str, place: int) -> int:
    least = max(0, place - REACH)
    return max(least, text.rfind("\n", least, place) + 1)
