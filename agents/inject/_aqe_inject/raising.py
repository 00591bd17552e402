"""Which exceptions a subject raises by a statement of its own, and which come out of the interpreter or a library."""

from __future__ import annotations

import ast
from typing import Dict, Set

from .observe import frames_of, message_of
from .usage import raised_names


def raise_lines(source: str) -> Dict[int, Set[str]]:
    """Lines on which a raise statement stands, with the names that it raises; a bare one raises nothing of its own."""
    found: Dict[int, Set[str]] = {}
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Raise):
            for line in range(node.lineno, (node.end_lineno or node.lineno) + 1):
                found.setdefault(line, set()).update(raised_names(node))
    return found


def is_own(error: BaseException, file: str, raising: Dict[int, Set[str]]) -> bool:
    """Whether a raise statement of the file made the exception: its innermost frame stands on one."""
    frames = frames_of(error)
    if not frames or frames[-1][0] != file:
        return False
    names = raising.get(frames[-1][1], set())
    return bool(names & {one.__name__ for one in type(error).__mro__})


def is_own_message(error: BaseException, file: str, raising: Dict[int, Set[str]]) -> bool:
    """Whether the text is the subject's too: it repeats no message of an exception that came from elsewhere."""
    seen, other = {id(error)}, error.__cause__ or error.__context__
    while other is not None and id(other) not in seen:
        text = message_of(other).strip()
        if text and text in message_of(error) and not is_own(other, file, raising):
            return False
        seen.add(id(other))
        other = other.__cause__ or other.__context__
    return is_own(error, file, raising)
