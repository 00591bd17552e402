"""Python statements printed so that `black` has nothing left to change.

The rules are black's stable style (The Black Code Style, "How Black wraps lines"): one line where it fits, else the
last bracket's content on a line of its own (calls), else one item a line with a trailing comma.
"""

from __future__ import annotations

import ast
import io
import re
import shutil
import subprocess
import tokenize
from collections.abc import Sequence
from pathlib import Path

WIDTH = 88
_SINGLE = re.compile(r"^([bBuU]{0,2})'((?:[^'\\]|\\.)*)'$", re.DOTALL)


def parse(source: str) -> ast.expr:
    """The expression tree of `source`."""
    return ast.parse(source.strip(), mode="eval").body


def inline(node: ast.expr) -> str:
    """One line of source for `node`, strings in double quotes unless they hold one."""
    return requote(ast.unparse(node))


def requote(source: str) -> str:
    """`source` with 'single' quotes turned to double where that needs no escape."""
    if "'" not in source:
        return source
    pieces: list[str] = []
    end = 0
    for token in tokenize.generate_tokens(io.StringIO(source).readline):
        if token.type != tokenize.STRING:
            continue
        match = _SINGLE.match(token.string)
        if match and '"' not in match[2]:
            pieces += [source[end : token.start[1]], match[1], '"', match[2].replace("\\'", "'"), '"']
            end = token.end[1]
    return "".join(pieces) + source[end:]


def statement(prefix: str, node: ast.expr, suffix: str = "", *, indent: int = 4, width: int = WIDTH) -> list[str]:
    """The lines of `prefix` + expression + `suffix`, broken at brackets where one line is too long."""
    pad = " " * indent
    whole = f"{pad}{prefix}{inline(node)}{suffix}"
    if len(whole) <= width:
        return [whole]
    opening, items, closing = _brackets(node)
    if not items:
        return [whole]
    if isinstance(node, ast.Call):
        body = f"{pad}    {', '.join(_item_text(item) for item in items)}"
        if len(body) <= width:
            return [f"{pad}{prefix}{opening}", body, f"{pad}{closing}{suffix}"]
    lines = [f"{pad}{prefix}{opening}"]
    for item in items:
        lead, value = item
        lines += statement(lead, value, ",", indent=indent + 4, width=width)
    return [*lines, f"{pad}{closing}{suffix}"]


def fits(prefix: str, node: ast.expr, suffix: str = "", *, indent: int = 4, width: int = WIDTH) -> bool:
    """Whether the statement is one line of at most `width` characters."""
    return indent + len(prefix) + len(inline(node)) + len(suffix) <= width


def _item_text(item: tuple[str, ast.expr]) -> str:
    return item[0] + inline(item[1])


def _brackets(node: ast.expr) -> tuple[str, list[tuple[str, ast.expr]], str]:
    """Opening text, items (lead text and value) and closing bracket of what can be broken; no items otherwise."""
    if isinstance(node, ast.Call):
        items = [("", arg) for arg in node.args]
        items += [(f"{keyword.arg}=" if keyword.arg else "**", keyword.value) for keyword in node.keywords]
        return f"{inline(node.func)}(", items, ")"
    if isinstance(node, ast.List):
        return "[", [("", item) for item in node.elts], "]"
    if isinstance(node, ast.Tuple) and len(node.elts) > 1:
        return "(", [("", item) for item in node.elts], ")"
    if isinstance(node, ast.Set):
        return "{", [("", item) for item in node.elts], "}"
    if isinstance(node, ast.Dict):
        pairs = zip(node.keys, node.values, strict=True)
        return "{", [(f"{inline(key)}: " if key else "**", value) for key, value in pairs], "}"
    return "", [], ""


def find_ruff(folders: Sequence[Path]) -> str | None:
    """The `ruff` of the project's environment (`folders` hold executables), else of PATH, else None."""
    for folder in folders:
        for name in ("ruff", "ruff.exe"):
            if (folder / name).is_file():
                return str(folder / name)
    return shutil.which("ruff")


def format_with_ruff(text: str, path: Path, project: Path, ruff: str | None) -> str:
    """`text` as the project's own `ruff format` would have it, or unchanged where ruff is missing or refuses."""
    if ruff is None:
        return text
    command = [ruff, "format", "--no-cache", "--stdin-filename", str(path), "-"]
    try:
        done = subprocess.run(
            command, input=text, capture_output=True, text=True, encoding="utf-8", cwd=project, timeout=10, check=False
        )
    except (OSError, subprocess.SubprocessError):
        return text
    return done.stdout if done.returncode == 0 and done.stdout.strip() else text
