"""What the definitions of a Python file mention, by its syntax tree alone: nothing is imported or run.

A mention is a line and a target. A target is a dotted name that begins with a module (`shop.cart.Cart.add`), or an
attribute of something whose class is not known (`.add`), or a name that one of the modules may have whose names are
taken whole (`*.Cart`), or a parameter that may name a fixture (`@basket`). What a variable holds is followed through
`x = Class(...)` and `with Class(...) as x` within a definition, no further.
"""

from __future__ import annotations

import ast
import json
import warnings
from collections.abc import Iterator
from dataclasses import dataclass, field

from aqe.engine.index.files import kind_of

READER = 2
"""The version of how files are read; another one has every file read again."""

MOST_MENTIONS = 20_000
_Function = ast.FunctionDef | ast.AsyncFunctionDef
_ROOTS = ("src", "lib", "python")


@dataclass
class FileMentions:
    """A file as a module: its dotted name, what its imported names stand for, the modules whose names it takes whole,
    and its mentions."""

    module: str
    imports: dict[str, str] = field(default_factory=dict)
    stars: list[str] = field(default_factory=list)
    mentions: list[tuple[int, str]] = field(default_factory=list)

    def packed(self) -> str:
        """As JSON."""
        return json.dumps([self.module, self.imports, self.stars, self.mentions], ensure_ascii=False)


def unpacked(text: str) -> FileMentions:
    """What `FileMentions.packed` gave."""
    module, imports, stars, mentions = json.loads(text)
    return FileMentions(module, imports, stars, [(int(line), str(target)) for line, target in mentions])


def module_of(file: str) -> str:
    """The dotted name that a file is imported by, as far as its path tells.

    >>> module_of("src/shop/cart.py"), module_of("shop/__init__.py"), module_of("tests/test_cart.py")
    ('shop.cart', 'shop', 'tests.test_cart')
    """
    parts = file.rpartition(".")[0].split("/")
    while len(parts) > 1 and parts[0] in _ROOTS:
        parts = parts[1:]
    return ".".join(parts[:-1] if parts[-1] == "__init__" and len(parts) > 1 else parts)


def read_mentions(file: str, source: str) -> FileMentions:
    """What a file mentions; nothing where it is no Python that can be parsed."""
    found = FileMentions(module_of(file))
    if kind_of(file) != "source":
        return found
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            tree = ast.parse(source)
        reader = _Reader(found, file, {node.name for node in tree.body if isinstance(node, _Function | ast.ClassDef)})
        reader.visit(tree)
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return FileMentions(module_of(file))
    found.mentions = sorted(set(found.mentions))[:MOST_MENTIONS]
    return found


class _Reader(ast.NodeVisitor):
    """Notes each mention at the first line of the definition that it stands in."""

    def __init__(self, found: FileMentions, file: str, own: set[str]) -> None:
        self._found = found
        self._package = found.module if file.endswith("/__init__.py") else found.module.rpartition(".")[0]
        self._own = own
        self._class = ""
        self._line = 0
        self._is_inside = False
        self._holds: dict[str, str] = {}

    def visit_Import(self, node: ast.Import) -> None:
        """`import a.b` binds a; `import a.b as c` binds c to a.b."""
        for alias in node.names:
            bound = alias.name if alias.asname else alias.name.partition(".")[0]
            self._found.imports[alias.asname or bound] = bound
            self._note(node.lineno, alias.name)

    def visit_ImportFrom(self, node: ast.ImportFrom) -> None:
        """`from .a import b` binds b to package.a.b."""
        base = self._base(node)
        for alias in node.names:
            if alias.name == "*":
                self._found.stars.append(base)
                self._note(node.lineno, base)
                continue
            target = f"{base}.{alias.name}" if base else alias.name
            self._found.imports[alias.asname or alias.name] = target
            self._note(node.lineno, target)

    def visit_ClassDef(self, node: ast.ClassDef) -> None:
        """A class's own lines belong to it, those of its methods to them."""
        before = self._class, self._line
        self._class = f"{self._class}.{node.name}" if self._class else node.name
        if not self._is_inside:
            self._line = node.lineno
        self.generic_visit(node)
        self._class, self._line = before

    def visit_FunctionDef(self, node: ast.FunctionDef) -> None:
        """What a function mentions stands at its first line; what one inside it mentions too."""
        self._function(node)

    def visit_AsyncFunctionDef(self, node: ast.AsyncFunctionDef) -> None:
        """As a plain function."""
        self._function(node)

    def visit_Assign(self, node: ast.Assign) -> None:
        """`x = Class(...)` says what x holds."""
        self.generic_visit(node)
        for target in node.targets:
            self._hold(target, node.value)

    def visit_AnnAssign(self, node: ast.AnnAssign) -> None:
        """So does `x: T = Class(...)`."""
        self.generic_visit(node)
        if node.value is not None:
            self._hold(node.target, node.value)

    def visit_With(self, node: ast.With) -> None:
        """`with Class(...) as x` holds one, as far as a reader can tell."""
        for item in node.items:
            if item.optional_vars is not None:
                self._hold(item.optional_vars, item.context_expr)
        self.generic_visit(node)

    def visit_Attribute(self, node: ast.Attribute) -> None:
        """A chain of attributes from a known name is one target; from anything else its last attribute is."""
        dotted = self._dotted(node)
        if dotted is not None:
            self._note(node.lineno, dotted)
            return
        self._note(node.lineno, f".{node.attr}")
        self.visit(node.value)

    def visit_Name(self, node: ast.Name) -> None:
        """A name that was imported, or that the module defines."""
        dotted = self._dotted(node)
        if dotted is not None and isinstance(node.ctx, ast.Load):
            self._note(node.lineno, dotted)

    def _function(self, node: _Function) -> None:
        before = self._line, self._is_inside, dict(self._holds)
        if not self._is_inside:
            self._line, self._is_inside = node.lineno, True
        for parameter in (*node.args.posonlyargs, *node.args.args, *node.args.kwonlyargs):
            if parameter.arg not in ("self", "cls"):
                self._note(node.lineno, f"@{parameter.arg}")
        self.generic_visit(node)
        self._line, self._is_inside, self._holds = before

    def _base(self, node: ast.ImportFrom) -> str:
        if not node.level:
            return node.module or ""
        parts = self._package.split(".") if self._package else []
        parts = parts[: len(parts) - (node.level - 1)]
        return ".".join([*parts, *([node.module] if node.module else [])])

    def _dotted(self, node: ast.expr) -> str | None:
        """The dotted name that an expression is, from a module on; None where that is not known."""
        if isinstance(node, ast.Attribute):
            inner = self._dotted(node.value)
            return None if inner is None else f"{inner}.{node.attr}"
        if isinstance(node, ast.Call):
            inner = self._dotted(node.func)
            return inner if inner is not None and inner.rpartition(".")[2][:1].isupper() else None
        if not isinstance(node, ast.Name):
            return None
        if node.id in ("self", "cls") and self._class:
            return f"{self._found.module}.{self._class}"
        if node.id in self._holds:
            return self._holds[node.id]
        if node.id in self._found.imports:
            return self._found.imports[node.id]
        if node.id in self._own:
            return f"{self._found.module}.{node.id}"
        return f"*.{node.id}" if self._found.stars else None

    def _hold(self, target: ast.expr, value: ast.expr) -> None:
        if isinstance(target, ast.Name):
            self._holds.pop(target.id, None)
            dotted = self._dotted(value) if isinstance(value, ast.Call) else None
            if dotted is not None and self._line:
                self._holds[target.id] = dotted

    def _note(self, line: int, target: str) -> None:
        self._found.mentions.append((self._line or line, target))


def names_in(target: str) -> Iterator[tuple[str, str]]:
    """The ways to part a dotted target into a module and what is in it, the longest module first.

    >>> list(names_in("shop.cart.Cart"))
    [('shop.cart.Cart', ''), ('shop.cart', 'Cart'), ('shop', 'cart.Cart')]
    """
    parts = target.split(".")
    for at in range(len(parts), 0, -1):
        yield ".".join(parts[:at]), ".".join(parts[at:])
