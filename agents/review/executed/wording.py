"""A difference in the words of a reader: "returned (1, 2)", "raises ValueError: ...", "left [1] in items"."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from aqe.agents.review.executed.comparison import Kind

Words = Mapping[str, Any]


def put_in_words(kind: Kind, before: Words, after: Words, seen: Mapping[str, Any]) -> tuple[str, str]:
    """Both sides of a difference of one kind; `seen` is what the head showed."""
    if kind == "output":
        return f"printed {before.get('printed', '')!r}", f"prints {after.get('printed', '')!r}"
    if kind == "arguments":
        return _left(before, after)
    old = str(before.get("outcome") or "came back")
    new = str(after.get("outcome") or _ended(seen))
    if old.startswith("raises "):
        old = f"raised {old[len('raises ') :]}"
    if new.startswith("returned "):
        new = f"returns {new[len('returned ') :]}"
    if old.removeprefix("returned ") == new.removeprefix("returns "):
        details = str(before.get("detail", "")), str(after.get("detail", ""))
        if details[0] != details[1]:
            return f"returned {details[0]}", f"returns {details[1]}"
        new += " with other content"
    return old, new


def _ended(seen: Mapping[str, Any]) -> str:
    return {"endless": "does not end", "died": "ends the process"}.get(str(seen["kind"]), "does not come back")


def _left(before: Words, after: Words) -> tuple[str, str]:
    """The first argument or object that the call leaves in another state."""
    new = after.get("after", {})
    for name, (text, digests) in sorted(before.get("after", {}).items()):
        if name in new and new[name][1] != digests:
            what = _variable(name)
            other = new[name][0]
            if other == text:
                return f"left {what} in one state", "leaves it in another"
            return f"left {text} in {what}", f"leaves {other}"
    return "left its arguments in one state", "leaves them in another"


def _variable(name: str) -> str:
    """`a0` is the first argument, `k_x` the keyword x, all else a variable of the call's own lines."""
    if name.startswith("a") and name[1:].isdigit():
        place = int(name[1:])
        words = ("first", "second", "third")
        return f"its {words[place] if place < len(words) else f'{place + 1}th'} argument"
    return name.removeprefix("k_")
