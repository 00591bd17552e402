"""Commands that are written as lists of arguments: `["mysql", "-pX"]`, `CMD ["app", "--password", "x"]`, lists of YAML.

Each list with an option in it is put together to the command line that it stands for; what is found there is told by
its place in the list. A list is read once, at most `MOST_ITEMS` of its items at a time.
"""

from __future__ import annotations

import re
from bisect import bisect_right
from collections.abc import Iterable, Iterator, Sequence

from aqe.engine.privacy.blocks import find_curl_credentials
from aqe.engine.privacy.options import find_long_options, find_short_options
from aqe.engine.privacy.rules import lower_ascii

MOST_ITEMS = 60
REACH = 600
"""How far before its first option a list may begin, in characters."""
_BEFORE_OPTION = ("'-", '"-', "[-", ", --")
_OPTION = re.compile(r"[\"'\[]?(?:, )?-{1,2}[A-Za-z]")
_ITEM = re.compile(
    r"\s{0,80}+(?:[rbuRBU]{0,2}(?P<mark>[\"'])(?P<quoted>(?:[^\"'\\\n]|(?!(?P=mark))[\"']|\\.){0,400}?)(?P=mark)"
    r"|(?P<plain>[^\s,\[\](){}\"'#][^,\[\](){}\"'\n#]{0,200}+))\s{0,80}+(?P<comma>,?)"
)
_CALLED = re.compile(r"([\w.]{1,60})\Z")
_COMMAND_BEFORE = re.compile(r"[\"']([\w./][\w./-]{0,60})[\"'],\s{0,20}&?\Z")
_RUNS = re.compile(
    r"(?i)(?:.*\.)?(?:run|check_call|check_output|popen|command|spawn|exec\w*|start|sh|cmd|subprocess_exec)"
)
_OPTION_IN_LINES = re.compile(r"\n(?P<lead>[ \t]{0,60}+)-[ ]{1,4}[\"']?-{1,2}[A-Za-z]")
_LINE_ITEM = re.compile(
    r"(?P<lead>[ \t]{0,60}+)-[ ]{1,4}"
    r"(?:(?P<mark>[\"'])(?P<quoted>[^\"'\n]{1,400}+)(?P=mark)|(?P<plain>[^\n\"'#]{1,200}+))"
    r"[ \t\r]{0,9}(?:#[^\n]{0,200})?(?:\n|\Z)"
)

Item = tuple[int, int]


def find_in_argument_lists(text: str) -> Iterator[tuple[int, int, str]]:
    """Begin, end and class of each secret that an argument of a list is or holds, in no order."""
    places = sorted(place for literal in _BEFORE_OPTION for place in _places(text, literal))
    for items, sure in _lists(text, places):
        yield from _in_list(text, items, sure=sure)
    if "- -" in text or any(text.startswith("- ", place - 2) for place in places):
        for items in _lists_of_lines(text):
            yield from _in_list(text, items, sure=True)


def find_in_arguments(arguments: Sequence[str], *, sure: bool = True) -> Iterator[tuple[int, int, int, str]]:
    """The secrets in the arguments of one command: number of the argument, begin and end within it, class.

    `sure`: they are a command's for certain, so that a plain word behind `--password` is one.
    """
    line, starts = "", []
    for argument in arguments:
        mark = '"' if " " in argument else ""
        starts.append(len(line) + len(mark))
        line += f"{mark}{argument}{mark} "
    lowered = lower_ascii(line)
    found = [*find_long_options(line, lowered, sure=sure), *find_short_options(line, lowered)]
    if "curl" in lowered:
        found += find_curl_credentials(line, lowered)
    for begin, stop, kind in found:
        number = bisect_right(starts, begin) - 1
        yield number, begin - starts[number], stop - starts[number], kind


def _places(text: str, literal: str) -> Iterator[int]:
    """Where an option begins behind the literal."""
    place = text.find(literal)
    while place >= 0:
        if _OPTION.match(text, place) is not None:
            yield place
        place = text.find(literal, place + 1)


def _lists(text: str, places: Iterable[int]) -> Iterator[tuple[list[Item], bool]]:
    """The items of each list in brackets, and whether it is a command for certain, no call that declares options."""
    done = 0
    for place in places:
        if place < done:
            continue
        least = max(done, place - REACH)
        bracket = max(text.rfind(sign, least, place + 1) for sign in "[({")
        if bracket < 0:
            continue
        called = _CALLED.search(text, max(0, bracket - 60), bracket) if text[bracket] == "(" else None
        items, done = _items(text, bracket + 1)
        if done <= place:
            items, done = _items(text, place)
        done = max(done, place + 1)
        command = _COMMAND_BEFORE.search(text, max(0, bracket - 90), bracket)
        if command is not None:
            items.insert(0, command.span(1))
        if len(items) > 1:
            yield items, called is None or _RUNS.fullmatch(called[1]) is not None


def _items(text: str, place: int) -> tuple[list[Item], int]:
    items: list[Item] = []
    for _ in range(MOST_ITEMS):
        found = _ITEM.match(text, place)
        if found is None:
            break
        items.append(found.span("quoted" if found["mark"] else "plain"))
        place = found.end()
        if not found["comma"]:
            break
    return items, place


def _lists_of_lines(text: str) -> Iterator[list[Item]]:
    """The items of lists of YAML, one a line."""
    done = 0
    for found in _OPTION_IN_LINES.finditer("\n" + text):
        place = found.start()
        if place < done:
            continue
        lead = found["lead"]
        begin = _first_line(text, place, lead, done)
        items, done = _line_items(text, begin, lead)
        done = max(done, place + 1)
        if len(items) > 1:
            yield items


def _first_line(text: str, place: int, lead: str, least: int) -> int:
    """Where the list begins that has an item in the line at `place`, at most ten lines before."""
    for _ in range(10):
        begin = max(least, place - 300)
        before = text.rfind("\n", begin, max(0, place - 1)) + 1 or begin
        if before >= place or (before == begin and begin > least) or not text.startswith(f"{lead}- ", before):
            break
        place = before
    return place


def _line_items(text: str, place: int, lead: str) -> tuple[list[Item], int]:
    items: list[Item] = []
    for _ in range(MOST_ITEMS):
        found = _LINE_ITEM.match(text, place)
        if found is None or found["lead"] != lead:
            break
        start, end = found.span("quoted" if found["mark"] else "plain")
        items.append((start, start + len(text[start:end].rstrip())))
        place = found.end()
    return items, place


def _in_list(text: str, items: list[Item], *, sure: bool) -> Iterator[tuple[int, int, str]]:
    for number, begin, stop, kind in find_in_arguments([text[start:end] for start, end in items], sure=sure):
        start = items[number][0]
        yield start + begin, start + stop, kind
