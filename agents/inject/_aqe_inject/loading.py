"""Import modules under instrumentation, in place: same name, same package, siblings untouched."""

from __future__ import annotations

import importlib
import importlib.util
import os
import sys
from importlib.machinery import ModuleSpec, SourceFileLoader
from types import CodeType, ModuleType
from typing import Any, Dict, Iterable, Mapping, Optional, Sequence, Tuple

from .instrument import Metaprogram, instrument
from .probes import Probes

Loaded = Tuple[ModuleType, Metaprogram, Probes]
_PREPARED: Dict[str, Metaprogram] = {}
_COMPILED: Dict[str, CodeType] = {}
_GET_CODE = SourceFileLoader.get_code


class NoSource(ImportError):
    """The module exists but has no Python source that could be instrumented."""


def load(module_name: str, *, mutants: bool = True, forced_mutant: Optional[int] = None) -> Loaded:
    """Import `module_name` under instrumentation and return it with its metaprogram and probes.

    A copy that was imported before is dropped together with its whole package, so that siblings see the new one.
    Raises what the import raises, SyntaxError for a broken source and `NoSource` where there is none.
    """
    forced = {} if forced_mutant is None else {module_name: forced_mutant}
    return load_all([module_name], mutants=mutants, forced=forced)[module_name]


def load_all(
    names: Iterable[str], *, mutants: bool = True, forced: Optional[Mapping[str, int]] = None
) -> Dict[str, Loaded]:
    """`load` for several modules at once, whichever of them imports which."""
    wanted = list(names)
    forget(wanted)
    hook = _Hook(wanted, mutants, forced or {})
    sys.meta_path.insert(0, hook)
    try:
        for name in wanted:
            importlib.import_module(name)
    finally:
        sys.meta_path.remove(hook)
    for name in wanted:
        if name not in hook.loaded:
            raise NoSource("%s has no Python source that can be measured" % name, name=name)
    return hook.loaded


def prepare(names: Iterable[str]) -> None:
    """Compile imported modules once for all mutants that a later `load_all` of this process or a fork forces."""
    for name in names:
        spec = getattr(sys.modules.get(name), "__spec__", None)
        get_source = getattr(getattr(spec, "loader", None), "get_source", None)
        source = get_source(name) if get_source is not None else None
        if source is not None and spec is not None and spec.origin:
            _PREPARED[name] = instrument(source, spec.origin, at_import=True)


def forget(names: Sequence[str]) -> None:
    """Drop modules that were imported, with their whole packages, so that the next import runs them again."""
    tops = {name.partition(".")[0] for name in names if name in sys.modules}
    for name in [name for name in sys.modules if name.partition(".")[0] in tops]:
        del sys.modules[name]


def keep_compiled(paths: Iterable[str]) -> None:
    """Compile source files once; imports of them in this process and its forks then compile nothing."""
    for path in paths:
        if not path.endswith(".py"):
            continue
        try:
            with open(path, "rb") as stream:
                _COMPILED[os.path.realpath(path)] = compile(stream.read(), path, "exec", dont_inherit=True)
        except (OSError, SyntaxError, ValueError):
            continue
    kind: Any = SourceFileLoader
    kind.get_code = _kept_code


def _kept_code(loader: Any, fullname: str) -> Any:
    known = _COMPILED.get(os.path.realpath(loader.path)) if _COMPILED else None
    return known if known is not None else _GET_CODE(loader, fullname)


class _Hook:
    """Finds the wanted modules through the finders that follow and puts the instrumenting loader before theirs."""

    def __init__(self, names: Sequence[str], mutants: bool, forced: Mapping[str, int]) -> None:
        self.names = frozenset(names)
        self.mutants = mutants
        self.forced = forced
        self.loaded: Dict[str, Loaded] = {}

    def find_spec(self, fullname: str, path: Any = None, target: Any = None) -> Optional[ModuleSpec]:
        if fullname not in self.names:
            return None
        for finder in sys.meta_path:
            if finder is self or not hasattr(finder, "find_spec"):
                continue
            spec: Any = finder.find_spec(fullname, path, target)
            if spec is not None:
                if spec.loader is not None and hasattr(spec.loader, "get_source") and spec.has_location:
                    spec.loader = _Loader(spec.loader, self)
                found: ModuleSpec = spec
                return found
        return None


class _Loader:
    """The original loader, but for running the module."""

    def __init__(self, original: Any, hook: _Hook) -> None:
        self._original = original
        self._hook = hook

    def __getattr__(self, name: str) -> Any:
        return getattr(self._original, name)

    def create_module(self, spec: ModuleSpec) -> Any:
        return self._original.create_module(spec)

    def exec_module(self, module: ModuleType) -> None:
        spec = module.__spec__
        name = module.__name__
        source = self._original.get_source(name)
        if source is None or spec is None or not spec.origin:
            self._original.exec_module(module)
            return
        hook = self._hook
        forced = hook.forced.get(name)
        prepared = _PREPARED.get(name) if forced is not None else None
        meta = prepared or instrument(source, spec.origin, mutants=hook.mutants, forced_mutant=forced)
        probes = Probes(module, len(meta.arms))
        hook.loaded[name] = (module, meta, probes)
        if prepared is not None and forced is not None:
            probes.switch = forced
            exec(meta.code, module.__dict__)
            return
        probes.noting = hook.mutants
        try:
            exec(meta.code, module.__dict__)
        finally:
            probes.noting = False
        probes.reached_at_import = set(probes.reached)
        probes.reached.clear()
