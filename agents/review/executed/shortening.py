"""Long values in messages, cut so that their type, both ends and what differs stay readable."""

from __future__ import annotations

import ast

LONGEST = 80
_GAP = " ... "
_WORDS = ("returned ", "returns ", "raised ", "raises ", "printed ", "prints ", "leaves ", "left ")


def shortened(text: str, most: int = LONGEST) -> str:
    """A text of at most `most` characters: the beginning, which shows the type, and the end.

    >>> shortened("[" + "0, " * 99 + "0]", 20)
    '[0, 0, 0, ... 0, 0]'
    """
    if len(text) <= most:
        return text
    end = (most - len(_GAP)) // 3
    return f"{text[: most - len(_GAP) - end].rstrip()}{_GAP}{text[-end:].lstrip()}"


def shortened_pair(old: str, new: str, most: int = LONGEST) -> tuple[str, str]:
    """Both values shortened; where the difference would be cut away, what stands around it is shown."""
    short = shortened(old, most), shortened(new, most)
    if old == new or short[0] != short[1]:
        return short
    place = next((at for at, pair in enumerate(zip(old, new, strict=False)) if pair[0] != pair[1]), 0)
    return _around(old, place, most), _around(new, place, most)


def _around(text: str, place: int, most: int) -> str:
    """The beginning of a text, then what stands at a place."""
    begin = most // 4
    room = most - begin - 2 * len(_GAP)
    low = max(begin, place - room // 3)
    rest = text[low : low + room]
    return f"{text[:begin]}{_GAP if low > begin else ''}{rest}{_GAP if low + room < len(text) else ''}"


def shortened_outcomes(before: str, after: str, most: int = LONGEST) -> tuple[str, str]:
    """Both outcomes ("returned [1, 2]", "raises ValueError: ...") with their values shortened."""
    old, new = _parted(before), _parted(after)
    values = shortened_pair(old[1], new[1], most)
    return old[0] + values[0], new[0] + values[1]


def _parted(outcome: str) -> tuple[str, str]:
    for word in _WORDS:
        if outcome.startswith(word):
            return word, outcome[len(word) :]
    return "", outcome


def shortened_call(call: str, most: int = LONGEST) -> str:
    """A call, with lines before it if any, in which every long argument is shortened.

    >>> shortened_call("f([" + "1, " * 99 + "1], key='a')", 20)
    "f([1, 1, 1, ... 1, 1], key='a')"
    """
    try:
        tree = ast.parse(call)
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return shortened(call, 2 * most)
    text = call.encode("utf-8", "surrogatepass")
    places = []
    waiting: list[ast.AST] = [tree]
    while waiting:
        for child in ast.iter_child_nodes(waiting.pop()):
            if isinstance(child, ast.expr) and not isinstance(child, (ast.Call, ast.Attribute, ast.Name)):
                places.append((child.col_offset, child.end_col_offset or child.col_offset))
            else:
                waiting.append(child)
    if "\n" in call:
        return shortened(call, 2 * most)
    for first, last in sorted(places, reverse=True):
        value = text[first:last].decode("utf-8", "surrogatepass")
        text = text[:first] + shortened(value, most).encode("utf-8", "surrogatepass") + text[last:]
    return text.decode("utf-8", "surrogatepass")
