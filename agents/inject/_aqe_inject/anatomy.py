"""What a source file is made of, as digests: each function's own code, and what runs when the module is imported.

Formatting and comments do not count; docstrings do. A digest is the same on every Python (3.9 and later) that can read
the source: the tree is written out without what only some versions have.
"""

import ast
import hashlib
from typing import Any, Dict, Iterator, List, Tuple

FORMAT = 1
_FUNCTIONS = (ast.FunctionDef, ast.AsyncFunctionDef)
_SKIPPED = frozenset({"ctx", "type_comment", "kind", "type_ignores"})


class Anatomy:
    """`functions`: by qualified name the digest of head and body (without the bodies of functions within), first and
    last line, decorators included. `module`: digest of all else that an import runs: statements, classes, decorators,
    heads of methods. `heads`: by name the digest of the heads of plain top-level functions, which `module` leaves out.
    """

    def __init__(self, tree: ast.Module) -> None:
        self.functions: Dict[str, Tuple[str, int, int]] = {}
        self.heads: Dict[str, str] = {}
        for node, name in functions_of(tree):
            found = (_digest(node), first_line(node), node.end_lineno or node.lineno)
            if name in self.functions:  # a property's setter, an overload: one name, all of them
                before = self.functions[name]
                found = (_hash(before[0] + found[0]), min(before[1], found[1]), max(before[2], found[2]))
            self.functions[name] = found
        rest: List[str] = []
        for statement in tree.body:
            if isinstance(statement, _FUNCTIONS) and not statement.decorator_list and not _is_dunder(statement.name):
                head: List[str] = []
                _write(statement, head, cut=True)
                before_head = self.heads.get(statement.name, "")
                self.heads[statement.name] = _hash(before_head + " ".join(head))
            else:
                _write(statement, rest, cut=True)
        self.module = _hash(" ".join(rest))


def dissect(source: Any) -> Anatomy:
    """The anatomy of source text (str or bytes); raises SyntaxError or ValueError where it is no Python."""
    return Anatomy(ast.parse(source))


def functions_of(tree: ast.AST, prefix: str = "") -> Iterator[Tuple[Any, str]]:
    """Each function of a tree with its qualified name, outer ones first."""
    for node in ast.iter_child_nodes(tree):
        if isinstance(node, _FUNCTIONS):
            yield node, prefix + node.name
            for found in functions_of(node, prefix + node.name + ".<locals>."):
                yield found
        elif isinstance(node, ast.ClassDef):
            for found in functions_of(node, prefix + node.name + "."):
                yield found
        elif not isinstance(node, ast.expr):
            for found in functions_of(node, prefix):
                yield found


def first_line(node: Any) -> int:
    """The line of the first decorator, or of the definition."""
    lines: List[int] = [node.lineno, *(decorator.lineno for decorator in node.decorator_list)]
    return min(lines)


def has_docstring(node: Any) -> bool:
    """Whether the body starts with a docstring."""
    first = node.body[0] if node.body else None
    return isinstance(first, ast.Expr) and isinstance(first.value, ast.Constant) and isinstance(first.value.value, str)


def _is_dunder(name: str) -> bool:
    return name.startswith("__") and name.endswith("__")


def _digest(node: Any) -> str:
    out: List[str] = []
    _write(node, out, cut=False)
    return _hash(" ".join(out))


def _hash(text: str) -> str:
    return hashlib.sha256(text.encode("utf-8", "backslashreplace")).hexdigest()[:16]


def _write(node: Any, out: List[str], cut: bool) -> None:
    """Append the tree's words; functions below the top (with `cut` the top too) appear by their heads alone.

    A decorator may read the docstring at import, so a decorated head has it.
    """
    out.append(node.__class__.__name__)
    cut_here = cut and isinstance(node, _FUNCTIONS)
    for field in node._fields:
        if field in _SKIPPED:
            continue
        value = getattr(node, field, None)
        if cut_here and field == "body":
            value = node.body[:1] if node.decorator_list and has_docstring(node) else None
        if isinstance(node, ast.JoinedStr) and field == "values":  # 3.12 has empty texts there
            value = [one for one in node.values if not (isinstance(one, ast.Constant) and one.value == "")]
        if value is None or (isinstance(value, list) and not value):
            continue
        out.append(field)
        if isinstance(value, list):
            for item in value:
                _write_value(item, out)
            out.append("]")
        else:
            _write_value(value, out)


def _write_value(value: Any, out: List[str]) -> None:
    if isinstance(value, ast.AST):
        _write(value, out, cut=True)
    elif isinstance(value, int) and not isinstance(value, bool):
        out.append(hex(value))  # numbers of any length
    else:
        out.append(repr(value))
