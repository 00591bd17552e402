"""Reads a subject: what can be called, with what shapes of arguments, and what its text says about the results."""

from __future__ import annotations

import ast
import dataclasses
import enum
import functools
import inspect
import re
import tokenize
import types
from typing import Any, Dict, Iterator, List, Optional, Sequence, Set, Tuple

from .docstrings import Docstring, quoted_pieces, read_docstring
from .hints import ANY, Shape, resolve, shape_of, shape_of_words
from .recipes import COLLECT, collecting
from .usage import Usage, called_names, constants_in, environment_names, guess_by_name, raised_names

OPERATORS: Dict[str, str] = {
    "__len__": "len({r})", "__iter__": "list({r})", "__aiter__": collecting("{r}"),
    "__next__": "next({r})", "__getitem__": "{r}[{0}]",
    "__contains__": "{0} in {r}",
    "__eq__": "{r} == {0}", "__ne__": "{r} != {0}", "__lt__": "{r} < {0}", "__le__": "{r} <= {0}",
    "__gt__": "{r} > {0}",
    "__ge__": "{r} >= {0}", "__hash__": "hash({r}) == hash({0})", "__add__": "{r} + {0}", "__radd__": "{0} + {r}",
    "__sub__": "{r} - {0}", "__rsub__": "{0} - {r}", "__mul__": "{r} * {0}", "__rmul__": "{0} * {r}",
    "__truediv__": "{r} / {0}",
    "__rtruediv__": "{0} / {r}", "__floordiv__": "{r} // {0}", "__mod__": "{r} % {0}", "__pow__": "{r} ** {0}",
    "__and__": "{r} & {0}",
    "__or__": "{r} | {0}", "__xor__": "{r} ^ {0}", "__lshift__": "{r} << {0}", "__rshift__": "{r} >> {0}",
    "__neg__": "-{r}",
    "__pos__": "+{r}", "__invert__": "~{r}", "__abs__": "abs({r})", "__bool__": "bool({r})", "__int__": "int({r})",
    "__float__": "float({r})", "__str__": "str({r})", "__repr__": "repr({r})", "__bytes__": "bytes({r})",
    "__call__": "{r}({args})",
    "__reversed__": "list(reversed({r}))", "__format__": "format({r}, {0})", "__round__": "round({r})",
    "__getattr__": "getattr({r}, {0})",
    "__setitem__": "{r}[{0}] = {1}", "__delitem__": "del {r}[{0}]",
 "__divmod__": "divmod({r}, {0})",
    "__index__": "operator.index({r})",
}  # fmt: skip
_STATEMENTS = {"__setitem__", "__delitem__"}
MOST_PATTERNS = 150
"""Regular expressions kept for one target."""

MOST_ENTRIES = 120
"""Entries of tables kept for one target."""

_NO_TARGETS = {"__init_subclass__", "__class_getitem__", "__subclasshook__", "__del__", "__set_name__",
    "__getattribute__", "__sizeof__",
               "__prepare__", "__instancecheck__", "__post_init__", "__annotate__", "__annotate_func__", "__anext__",
               "__aenter__", "__aexit__", "__dir__", "__reduce__", "__reduce_ex__", "__await__", "__setattr__",
               "__delattr__"}  # fmt: skip
_SAME_CLASS = {"__eq__", "__ne__", "__lt__", "__le__", "__gt__", "__ge__", "__hash__", "__add__", "__sub__",
    "__radd__", "__iadd__",
               "__and__", "__or__", "__xor__", "__isub__", "__ior__", "__iand__", "__rsub__", "__ixor__"}  # fmt: skip


@dataclasses.dataclass(frozen=True)
class Parameter:
    """One parameter: its shapes from best to worst, and whether the best was stated (hint, docstring) or guessed."""

    name: str
    kind: Any
    shapes: Tuple[Shape, ...]
    is_stated: bool
    has_default: bool
    default: Any = None


@dataclasses.dataclass
class Target:
    """Something to call: a function, a method, a property, a class."""

    qualname: str
    name: str
    flavour: str
    owner: Optional[type]
    function: Any
    parameters: List[Parameter]
    doc: Docstring
    returns: Shape = ANY
    returns_stated: bool = False
    raises: Set[str] = dataclasses.field(default_factory=set)
    constants: List[Any] = dataclasses.field(default_factory=list)
    patterns: List[Any] = dataclasses.field(default_factory=list)
    entries: List[Any] = dataclasses.field(default_factory=list)
    uses: Set[str] = dataclasses.field(default_factory=set)
    variables: List[str] = dataclasses.field(default_factory=list)
    line: int = 0
    end_line: int = 0
    why_not: str = ""
    form: str = "{f}({args})"
    is_statement: bool = False
    awaits: bool = False
    in_classes: List[type] = dataclasses.field(default_factory=list)

    @property
    def is_private(self) -> bool:
        """Whether a leading underscore asks callers to stay away."""
        return any(part.startswith("_") and not part.endswith("__") for part in self.qualname.split("."))

    @property
    def kind(self) -> str:
        """The word of the report: function, method, property, class or async."""
        if self.awaits or self.form.startswith(COLLECT):
            return "async"
        return {"function": "function", "init": "class", "property": "property"}.get(self.flavour, "method")


def read_module(module: types.ModuleType, source: Optional[str] = None) -> List[Target]:
    """All targets of a module in the order of its text; imported things are left alone."""
    tree = ast.parse(source if source is not None else module_source(module))
    book = _Book(module, tree)
    targets: List[Target] = []
    for name, value in sorted(vars(module).items()):
        home = getattr(value, "__module__", None)
        if home != module.__name__ or name.startswith("__"):
            continue
        if isinstance(value, type):
            if value.__qualname__ == name:
                targets.extend(_class_targets(value, book))
        elif callable(value) and book.nodes.get(name) is not None:
            targets.append(_function_target(name, value, book))
    for target in targets:
        _add_context(target, book)
    return sorted(targets, key=lambda target: (target.line, target.qualname))


def module_source(module: types.ModuleType) -> str:
    """The text of a module's file, decoded as Python does."""
    path = getattr(module, "__file__", None)
    if not path or not str(path).endswith(".py"):
        return ""
    with tokenize.open(str(path)) as stream:
        return stream.read()


class _Book:
    """The module's text by name: definition nodes, table assignments, what each definition uses."""

    def __init__(self, module: types.ModuleType, tree: ast.Module) -> None:
        self.module = module
        self.scope = dict(vars(module))
        self.nodes: Dict[str, ast.AST] = {}
        self.tables: Dict[str, ast.AST] = {}
        self._note(tree, "")

    def _note(self, body: Any, prefix: str) -> None:
        for node in ast.iter_child_nodes(body):
            if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)):
                self.nodes[prefix + node.name] = node
                if isinstance(node, ast.ClassDef):
                    self._note(node, prefix + node.name + ".")
            elif isinstance(node, (ast.Assign, ast.AnnAssign)):
                for one in node.targets if isinstance(node, ast.Assign) else [node.target]:
                    if isinstance(one, ast.Name) and node.value is not None:
                        self.tables[one.id] = node.value
            elif isinstance(node, (ast.If, ast.Try, ast.With)):
                self._note(node, prefix)

    def reachable(self, node: ast.AST, rounds: int = 2) -> Iterator[Tuple[str, ast.AST]]:
        """Definitions and tables that a definition leads to by name, nearest first."""
        seen: Set[str] = set()
        edge: List[ast.AST] = [node]
        by_last = {name.split(".")[-1]: one for name, one in self.nodes.items()}
        for _ in range(rounds):
            names = sorted({name for one in edge for name in called_names(one)} - seen)
            seen.update(names)
            edge = []
            for name in names:
                found = self.tables.get(name) or by_last.get(name)
                if found is not None and found is not node and not isinstance(found, ast.ClassDef):
                    edge.append(found)
                    yield name, found


def _function_target(name: str, value: Any, book: _Book) -> Target:
    plain = inspect.unwrap(value)
    target = Target(name, name, "function", None, value, [], read_docstring(getattr(plain, "__doc__", None)))
    _describe_call(target, value, book, skip_first=False)
    return target


def _class_targets(kind: type, book: _Book) -> List[Target]:
    if issubclass(kind, enum.Enum):
        return _members(kind, book)
    made = []
    node = book.nodes.get(kind.__qualname__)
    if not getattr(kind, "_is_protocol", False) and not issubclass(kind, BaseException):
        init = Target(kind.__qualname__, kind.__name__, "init", kind, kind, [], read_docstring(_class_doc(kind)))
        init.in_classes = concrete_classes(kind, book.scope)
        if inspect.isabstract(kind):
            init.why_not = "abstract class"
        _describe_call(init, kind, book, skip_first=False)
        if node is not None:
            made.append(init)
    elif issubclass(kind, BaseException) and "__init__" in vars(kind):
        init = Target(kind.__qualname__, kind.__name__, "init", kind, kind, [], read_docstring(_class_doc(kind)))
        _describe_call(init, kind, book, skip_first=False)
        made.append(init)
    return made + _members(kind, book)


def _class_doc(kind: type) -> str:
    texts = (vars(kind).get("__doc__"), getattr(vars(kind).get("__init__"), "__doc__", None))
    return "\n\n".join(text if isinstance(text, str) else "" for text in texts)


def concrete_classes(kind: type, scope: Dict[str, Any]) -> List[type]:
    """The class itself, or for an abstract one the module's subclasses that can be constructed."""
    if not inspect.isabstract(kind):
        return [kind]
    return [
        one
        for _, one in sorted(scope.items())
        if isinstance(one, type) and issubclass(one, kind) and not inspect.isabstract(one)
    ]


def _members(kind: type, book: _Book) -> List[Target]:
    made = []
    for name, raw in list(vars(kind).items()):
        qualname = "%s.%s" % (kind.__qualname__, name)
        if name in _NO_TARGETS or name in ("__init__", "__new__") or book.nodes.get(qualname) is None:
            continue
        made.extend(_member(kind, name, raw, qualname, book))
    return made


def _member(kind: type, name: str, raw: Any, qualname: str, book: _Book) -> List[Target]:
    doc = read_docstring(getattr(raw, "__doc__", None))
    classes = concrete_classes(kind, book.scope)
    if isinstance(raw, (property, functools.cached_property)):
        getter = raw.fget if isinstance(raw, property) else raw.func
        target = Target(qualname, name, "property", kind, getter, [], doc, form="{r}." + name, in_classes=classes)
        _describe_returns(target, getter, book)
        made = [target]
        if isinstance(raw, property) and raw.fset is not None:
            setter = Target(
                qualname,
                name,
                "setter",
                kind,
                raw.fset,
                [],
                doc,
                form="{r}.%s = {0}" % name,
                is_statement=True,
                in_classes=classes,
            )
            _describe_call(setter, raw.fset, book, skip_first=True)
            made.append(setter)
        return made
    flavour = "static" if isinstance(raw, staticmethod) else "classmethod" if isinstance(raw, classmethod) else "method"
    function = raw.__func__ if isinstance(raw, (staticmethod, classmethod)) else raw
    if not callable(function):
        return []
    form = OPERATORS.get(name, "{f}({args})")
    target = Target(
        qualname,
        name,
        flavour,
        kind,
        function,
        [],
        doc,
        form=form,
        is_statement=name in _STATEMENTS,
        in_classes=classes,
    )
    _describe_call(target, function, book, skip_first=flavour != "static")
    if name == "__hash__":
        target.parameters = [
            Parameter("other", inspect.Parameter.POSITIONAL_ONLY, (Shape("class", value=kind),), False, False)
        ]
    return [target]


# ---------------------------------------------------------------- signatures


def _describe_call(target: Target, function: Any, book: _Book, skip_first: bool) -> None:
    try:
        parameters = list(inspect.signature(function).parameters.values())
    except (TypeError, ValueError):
        target.why_not = "signature cannot be read"
        return
    plain = inspect.unwrap(function) if not isinstance(function, type) else _maker(function)
    node = book.nodes.get(target.qualname if target.flavour != "init" else target.qualname + ".__init__")
    usage = Usage([one.name for one in parameters], book.scope)
    if node is not None:
        usage.visit(node)
    hints = getattr(plain, "__annotations__", None) or {}
    for one in parameters[1 if skip_first else 0 :]:
        target.parameters.append(_parameter(one, hints.get(one.name, one.annotation), usage, target, book))
    _describe_returns(target, plain, book)
    code_of = inspect.unwrap(function) if not isinstance(function, type) else None
    if inspect.iscoroutinefunction(code_of):
        target.awaits, target.form = True, "asyncio.run(%s)" % target.form
    elif inspect.isasyncgenfunction(code_of) and target.name != "__aiter__":
        if function is code_of:
            target.form = collecting(target.form)
        else:
            target.why_not = "a decorator stands around its asynchronous generator"
    elif inspect.isgeneratorfunction(code_of) and target.name != "__iter__" and function is code_of:
        target.form = "list(%s)" % target.form


def _maker(kind: type) -> Any:
    """The function that takes a class's arguments."""
    for name in ("__init__", "__new__"):
        found = getattr(kind, name, None)
        if getattr(found, "__annotations__", None):
            return found
    return kind


def _parameter(one: inspect.Parameter, annotation: Any, usage: Usage, target: Target, book: _Book) -> Parameter:
    hint = resolve(annotation, book.scope, dict(vars(target.owner)) if target.owner else None)
    shapes: List[Shape] = []
    stated = shape_of(hint)
    words = target.doc.types.get(one.name)
    if stated == ANY and words:
        stated = shape_of_words(words, book.scope)
    if stated != ANY:
        shapes.append(stated)
    has_default = one.default is not inspect.Parameter.empty
    if has_default and one.default is not None and stated == ANY:
        shapes.append(shape_of(type(one.default)))
    if stated == ANY or stated.kind in ("list", "dict", "callable"):
        shapes.extend(shape for shape in usage.shape(one.name) if shape.kind != stated.kind)
        if target.owner is not None and target.name in _SAME_CLASS:
            shapes[:0] = [Shape("class", value=target.owner), Shape("int"), Shape("str")]
        named = guess_by_name(one.name)
        if named != ANY and stated == ANY:
            shapes.append(named)
    if has_default and one.default is None and stated == ANY:
        shapes.append(Shape("none"))
    unique = tuple(dict.fromkeys(shape for shape in shapes if shape != ANY)) if _hashable(shapes) else tuple(shapes)
    return Parameter(
        one.name, one.kind, unique or (ANY,), stated != ANY, has_default, one.default if has_default else None
    )


def _hashable(shapes: Sequence[Shape]) -> bool:
    try:
        hash(tuple(shapes))
        return True
    except TypeError:
        return False


def _describe_returns(target: Target, function: Any, book: _Book) -> None:
    hint = resolve(
        (getattr(function, "__annotations__", None) or {}).get("return", inspect.Parameter.empty), book.scope
    )
    target.returns = shape_of(hint)
    if target.returns == ANY and target.doc.returns:
        target.returns = shape_of_words(target.doc.returns, book.scope)
    target.returns_stated = target.returns != ANY and target.flavour != "init"


def _add_context(target: Target, book: _Book) -> None:
    """Lines, constants, patterns and exceptions: of the body first, then of the helpers and tables it leads to."""
    node: Any = book.nodes.get(target.qualname + ".__init__" if target.flavour == "init" else target.qualname)
    node = node if node is not None else book.nodes.get(target.qualname)
    if node is None:
        return
    target.line = min([node.lineno] + [one.lineno for one in getattr(node, "decorator_list", [])])
    target.end_line = node.end_lineno or node.lineno
    target.constants = constants_in(node)
    target.raises = raised_names(node)
    target.uses = called_names(node)
    nodes = [(target.name, node), *book.reachable(node)]
    target.variables = list(dict.fromkeys(name for _, one in nodes for name in environment_names(one)))
    for _, other in nodes[1:]:
        target.raises |= raised_names(other)
        extra = constants_in(other)
        for value in extra if len(extra) < 80 else extra[:40]:
            if len(target.constants) < 150 and not any(type(v) is type(value) and v == value for v in target.constants):
                target.constants.append(value)
    target.constants.extend(v for v in quoted_pieces(target.doc.text) if v not in target.constants)
    target.patterns = _patterns(target, [other for _, other in nodes], book)
    target.entries = _entries([other for _, other in nodes], book)


def _entries(nodes: Sequence[ast.AST], book: _Book) -> List[Any]:
    """Text and numbers in the module's own tables that the nodes name: keys of dictionaries, elements of the others."""
    found: Dict[Any, None] = {}
    for name in sorted({name for node in nodes for name in called_names(node)} & set(book.tables)):
        held = book.scope.get(name)
        if not isinstance(held, (list, tuple, dict, set, frozenset)) or not 1 < len(held) <= 400:
            continue
        ordered = sorted(held, key=repr) if isinstance(held, (set, frozenset)) else list(held)
        for one in ordered:
            for part in one if isinstance(one, tuple) else (one,):
                if type(part) in (str, int) and not _looks_like_pattern(part) and len(found) < MOST_ENTRIES:
                    found[part] = None
    return list(found)


def _looks_like_pattern(part: Any) -> bool:
    """Whether text in a table is a regular expression: it compiles and has signs that plain text has not."""
    if not isinstance(part, str) or not re.search(r"\(\?|[$^]|\[[^\]]+\]|\\[dws]", part):
        return False
    try:
        re.compile(part)
        return True
    except re.error:
        return False


def _patterns(target: Target, nodes: Sequence[ast.AST], book: _Book) -> List[Any]:
    found: List[Any] = []
    names = sorted({name for node in nodes for name in called_names(node)})
    for name in names:
        held = book.scope.get(name)
        if held is None and target.owner is not None:
            held = getattr(target.owner, name, None) if not isinstance(vars(target.owner).get(name), property) else None
        for one in held if isinstance(held, (list, tuple)) else [held]:
            for part in one if isinstance(one, tuple) else (one,):
                if len(found) < MOST_PATTERNS and (isinstance(part, re.Pattern) or _looks_like_pattern(part)):
                    found.append(part)
    for node in nodes:
        for call in ast.walk(node):
            if isinstance(call, ast.Call) and isinstance(call.func, ast.Attribute) and call.args:
                first = call.args[0]
                if (
                    getattr(call.func.value, "id", "") == "re"
                    and isinstance(first, ast.Constant)
                    and isinstance(first.value, str)
                ):
                    found.append(first.value)
    return found
