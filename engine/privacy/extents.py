"""How far a value reaches: between quotation marks, to a blank, to the end of its line, over the lines of a block.

Each function looks at a bounded piece of the text, whatever stands there.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

LONGEST = 500
"""Characters of the longest value that is looked at."""
LONGEST_WORDS = 120
MOST_LINES = 20
_BLANK = re.compile(r"[ \t]{0,40}+")
_OPEN = re.compile(r"([rRbBuUfFlL$]{0,2}+)(\\{0,3}\"\"\"|'''|\\{1,3}[\"']|[\"'`]|&quot;)")
_BARE = re.compile(r"(?:[^\s\"'`<\\]|\\(?:[ ](?=[\w!#$%^&*-]))?){1,500}+")
_NEXT_FIELD = re.compile(
    r"[}\])](?=,)|&&|[;,&](?=[ \t\r\n]|\Z|[A-Za-z][\w. -]{0,40}=|$)|\\{1,2}[nrt](?=\Z|\\|[A-Za-z]\w{0,40}[=:])"
)
_WORDS = re.compile(r"[^\s\"'`<>={}()\[\]#;$|]{1,60}+(?:[ ]{1,2}[^\s\"'`<>={}()\[\]#;$|]{1,60}+){1,11}+")
_LINE_END = re.compile(r"[ \t]{0,40}+(?:[#;][^\n]{0,300})?(?:\r?\n|\Z)")
_BLOCK = re.compile(r"[|>][-+0-9]{0,2}[ \t]{0,9}(?:#[^\n]{0,200})?\r?\n")
_MORE_LINES = re.compile(r"(?:[^\"'\n\\]{0,200}+\n[ \t]{1,80}+(?!-[ ])){1,4}+[^\"'\n\\:]{0,200}+")
_NODES = re.compile(r"(?:[&!][\w!/:.-]{0,60}+[ \t]{1,9}+){1,2}+(?=[^\s&!])")
_ONE_TEXT = re.compile(r"[(\[][ ]?(?:\"[^\"\\\n]{0,200}+\"|'[^'\\\n]{0,200}+')(?![ \t]{0,9}(?:,|[\r\n]))")
_NEXT_LINE = re.compile(r"(?:[ \t]{0,20}+\r?\n){1,3}+(?=[ \t])")


def past_blanks(text: str, place: int) -> int:
    """The first place from `place` on that is no blank."""
    found = _BLANK.match(text, place)
    return place if found is None else found.end()


def line_begin(text: str, place: int, *, reach: int) -> int:
    """Where the line of `place` begins, at most `reach` characters before."""
    least = max(0, place - reach)
    return max(least, text.rfind("\n", least, place) + 1)


def next_line(text: str, place: int) -> int | None:
    """The first character of the next line that is not empty, where nothing stands between; it must be indented."""
    found = _NEXT_LINE.match(text, place)
    return None if found is None else past_blanks(text, found.end())


def ends_line(text: str, place: int) -> bool:
    """Whether nothing but a comment follows in the line."""
    return _LINE_END.match(text, place) is not None


def quoted_value(text: str, place: int) -> tuple[int, int] | None:
    """Begin and end of what stands between quotation marks at `place`, blanks before them passed over."""
    opened = _OPEN.match(text, past_blanks(text, place))
    if opened is None:
        return None
    start, mark = opened.end(), opened[2]
    stop = start
    limit = min(len(text), start + LONGEST)
    while True:
        stop = text.find(mark, stop, limit)
        if stop < 0 or (len(mark) < 3 and text.find("\n", start, stop) >= 0):
            return None
        if len(mark) == 1 and mark != "`" and _is_escaped(text, start, stop):
            stop += 1
            continue
        if mark == "'" and stop > start and text[stop + 1 : stop + 2] == mark:
            stop += 2  # a quotation mark of YAML and SQL
            continue
        if mark[0] == "\\" and mark.count('"') == 1 and _ends_outer(text, start, stop, len(mark) - 1):
            return None
        return (start, stop) if stop > start else None


def quoted_lines(text: str, place: int) -> tuple[int, int] | None:
    """Begin and end of a text of YAML whose quotation marks stand in different lines, all but the first indented."""
    mark = text[place : place + 1]
    if mark not in ("'", '"'):
        return None
    found = _MORE_LINES.match(text, place + 1)
    if found is None or text[found.end() : found.end() + 1] != mark or not ends_line(text, found.end() + 1):
        return None
    return found.span()


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


def words_of_line(text: str, place: int) -> tuple[int, int] | None:
    """Begin and end of several words that fill the line from `place` on, but for a comment."""
    found = _WORDS.match(text, place, place + LONGEST_WORDS)
    return found.span() if found is not None and ends_line(text, found.end()) else None


def block_lines(text: str, name: int, place: int) -> Iterator[tuple[int, int]]:
    """Begin and end of each line of a block scalar of YAML that is announced at `place`, below the name at `name`."""
    indent = name - (max(text.rfind("\n", max(0, name - 200), name), name - 200) + 1)
    header = _BLOCK.match(text, place)
    line = -1 if header is None else header.end() - 1
    for _ in range(MOST_LINES):
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
        yield start, stop
        line = text.find("\n", stop, stop + 20)


def _is_escaped(text: str, start: int, stop: int) -> bool:
    slashes = 0
    while stop - slashes > start and text[stop - slashes - 1] == "\\":
        slashes += 1
    return slashes % 2 == 1


def _ends_outer(text: str, start: int, stop: int, slashes: int) -> bool:
    """Whether a text in which quotation marks have so many backslashes ends in between: at one that has fewer."""
    return any(len(found[0]) <= slashes for found in re.finditer(r"\\*\"", text[start:stop]))


def _is_trailing(text: str, start: int, stop: int) -> bool:
    char = text[stop - 1]
    if char in ".,;:\\":
        return True
    if char in ")]}":
        return text.count(char, start, stop) > text.count("([{"[")]}".index(char)], start, stop)
    return False


def runs_on(following: str) -> bool:
    """Whether the value may lie further on than the lines that `following` shows: in a block, a list, a long text."""
    following = following.lstrip(" \t")
    nodes = _NODES.match(following)
    following = following if nodes is None else following[nodes.end() :]
    begin = following[:1]
    if begin in ("\r", "\n"):
        line, ended, _ = following.strip().partition("\n")
        return not ended or line.lstrip()[:1] in ("|", ">", "[", "(", "{", "!", "&", "'", '"', "`")
    if begin in ("(", "[") and _ONE_TEXT.match(following) is not None:
        return False
    if begin in ("", "|", ">", "[", "(", "{", "!", "&"):
        return True
    return begin in ("'", '"', "`") and begin not in following.partition("\n")[0].lstrip(" \t")[1:]
