"""How many places of the project call each function, read from the source without running it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from aqe.agents.coverage.structure import Call, Structure

Key = tuple[str, str]
MOST_NAMESAKES = 3
OF_BUILTINS = frozenset(name for kind in (str, bytes, list, dict, set, int, float) for name in dir(kind))
OWN = ("self", "cls")
MOST_HOPS = 5


@dataclass(frozen=True)
class Source:
    """One file of the project that was read: its path, its dotted module name, its structure."""

    path: str
    module: str
    structure: Structure


def count_callers(sources: Mapping[str, Source]) -> dict[Key, int]:
    """Call sites of each function as (path, qualified name).

    A plain name and a module's attribute are followed through the imports. What the owner of a method is cannot be
    read: `x.close()` counts for the methods of that name where the project has at most three of them, else only for
    those in the same file; a name that built-in types have too (`x.index()`) counts only on `self` and `cls` and in the
    same file. A call of a class counts for its `__init__`.
    """
    homes = _Homes(sources)
    counted: Counter[Key] = Counter()
    for source in sources.values():
        for call in source.structure.calls:
            counted.update(set(homes.called(source, call)))
    return dict(counted)


class _Homes:
    def __init__(self, sources: Mapping[str, Source]) -> None:
        self.sources = sources
        self.paths = {source.module: path for path, source in sources.items()}
        self.names = {path: {one.name for one in source.structure.functions} for path, source in sources.items()}
        self.methods: dict[str, list[Key]] = {}
        for path, names in self.names.items():
            for name in names:
                if "." in name:
                    self.methods.setdefault(name.rpartition(".")[2], []).append((path, name))

    def called(self, source: Source, call: Call) -> Iterator[Key]:
        """The functions that a call may mean."""
        if not call.owner:
            yield from self._by_name(source, call.name)
            return
        imported = self._module_of(source, call.owner)
        if imported is not None:
            yield from self._in_module(imported, call.name)
            return
        namesakes = self.methods.get(call.name, [])
        here = [key for key in namesakes if key[0] == source.path]
        if call.name in OF_BUILTINS:
            yield from here if call.owner in OWN else ()
        else:
            yield from namesakes if len(namesakes) <= MOST_NAMESAKES else here

    def _by_name(self, source: Source, name: str) -> Iterator[Key]:
        if name in self.names[source.path]:
            yield self._own(source.path, name)
        elif name in source.structure.imports:
            module, level, original = source.structure.imports[name]
            yield from self._in_module(_absolute(source, module, level), original)

    def _in_module(self, module: str, name: str, hops: int = 0) -> Iterator[Key]:
        """The function of that name in a module, followed through what the module hands on."""
        path = self.paths.get(module)
        if path is None or hops > MOST_HOPS:
            return
        if name in self.names[path]:
            yield self._own(path, name)
            return
        source = self.sources[path]
        if name in source.structure.imports:
            inner, level, original = source.structure.imports[name]
            yield from self._in_module(_absolute(source, inner, level), original, hops + 1)

    def _own(self, path: str, name: str) -> Key:
        """The function, or what a call of the class runs."""
        start = f"{name}.__init__"
        return path, start if start in self.names[path] else name

    def _module_of(self, source: Source, owner: str) -> str | None:
        """The project's module that a dotted owner names in a file, or None."""
        imports = source.structure.imports
        if owner in imports:
            module, level, original = imports[owner]
            whole = _absolute(source, module, level)
            whole = f"{whole}.{original}".strip(".") if original else whole
            return whole if whole in self.paths else None
        first, _, rest = owner.partition(".")
        if rest and first in imports and not imports[first][2]:
            whole = f"{imports[first][0]}.{rest}"
            return whole if whole in self.paths else None
        return None


def _absolute(source: Source, module: str, level: int) -> str:
    """The absolute name of what `from <level dots><module> import` reads in a file."""
    if not level:
        return module
    parts = source.module.split(".")
    is_package = source.path.endswith("__init__.py")
    kept = parts[: len(parts) - level + is_package]
    return ".".join([*kept, *([module] if module else [])])
