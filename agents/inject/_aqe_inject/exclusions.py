"""Lines of a source text that do not count: coverage.py's default exclusions, worked out without coverage.py.

The rules are those its documentation states under "Excluding code": a line with the `no cover` pragma, an ellipsis
body and an `if TYPE_CHECKING:` leave the count, and a matching line that opens a suite takes the whole suite with it.
"""

from __future__ import annotations

import ast
import io
import re
import tokenize
from types import CodeType
from typing import Any, Dict, Iterator, List, Set, Tuple

_EXCLUDED = re.compile(
    r"#\s*(pragma|PRAGMA)[:\s]?\s*(no|NO)\s*(cover|COVER)"
    r"|^\s*(((async )?def .*?)?[\])]+(\s*->.*?)?:\s*)?\.\.\.\s*(#|$)"
    r"|^\s*if (typing\.)?TYPE_CHECKING:",
    re.MULTILINE,
)
_SKIP = (tokenize.COMMENT, tokenize.NL, tokenize.INDENT, tokenize.DEDENT, tokenize.ENCODING, tokenize.ENDMARKER)


def first_lines(source: str) -> Dict[int, int]:
    """Map each line of a statement that spans several lines to the statement's first line."""
    starts: Dict[int, int] = {}
    first = 0
    for token in tokenize.generate_tokens(io.StringIO(source).readline):
        if token.type == tokenize.NEWLINE:
            if first and token.start[0] > first:
                for line in range(first, token.start[0] + 1):
                    starts[line] = first
            first = 0
        elif not first and token.type not in _SKIP:
            first = token.start[0]
    return starts


def statement_lines(code: CodeType, starts: Dict[int, int]) -> Set[int]:
    """First lines of the statements that have bytecode, in `code` and all code inside it."""
    lines: Set[int] = set()
    todo: List[CodeType] = [code]
    while todo:
        current = todo.pop()
        lines.update(starts.get(line, line) for line in _code_lines(current) if line)
        todo.extend(value for value in current.co_consts if isinstance(value, CodeType))
    return lines


def _code_lines(code: CodeType) -> Iterator[int]:
    walk = getattr(code, "co_lines", None)
    if walk is None:  # 3.9
        import dis

        yield from (line for _, line in dis.findlinestarts(code))
    else:
        yield from (line for _, _, line in walk() if line is not None)


def excluded_lines(tree: ast.Module, source: str, starts: Dict[int, int]) -> Set[int]:
    """Lines that coverage.py's defaults leave out of the count."""
    marked: Set[int] = set()
    for match in _EXCLUDED.finditer(source):
        first = source.count("\n", 0, match.start()) + 1
        last = first + source.count("\n", match.start(), match.end())
        marked.update(starts.get(line, line) for line in range(first, last + 1))
    if not marked:
        return marked
    excluded = set(marked)
    _exclude_suites(tree, marked, excluded, starts)
    return excluded


def _exclude_suites(tree: ast.Module, marked: Set[int], excluded: Set[int], starts: Dict[int, int]) -> None:
    for node in ast.walk(tree):
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)):
            first = min([node.lineno] + [decorator.lineno for decorator in node.decorator_list])
            if marked.intersection(range(first, node.body[0].lineno)) or starts.get(node.lineno, node.lineno) in marked:
                excluded.update(range(first, (node.end_lineno or node.lineno) + 1))
            continue
        for header, suite in suites(node):
            if starts.get(header, header) in marked:
                excluded.update(range(header, (suite[-1].end_lineno or header) + 1))


def suites(node: Any) -> Iterator[Tuple[int, List[ast.stmt]]]:
    """The (header line, statements) of each clause of a compound statement other than def and class."""
    if isinstance(node, (ast.If, ast.While, ast.For, ast.AsyncFor, ast.With, ast.AsyncWith, ast.ExceptHandler)):
        yield node.lineno, node.body
    orelse = getattr(node, "orelse", None)
    if isinstance(orelse, list) and orelse:
        is_elif = isinstance(node, ast.If) and len(orelse) == 1 and isinstance(orelse[0], ast.If)
        if not is_elif:
            yield orelse[0].lineno - 1, orelse
    if type(node).__name__ in ("Try", "TryStar"):
        yield node.lineno, node.body
        if node.finalbody:
            yield node.finalbody[0].lineno - 1, node.finalbody
    if type(node).__name__ == "match_case":
        yield node.pattern.lineno, node.body
