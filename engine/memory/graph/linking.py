"""Edges that the files themselves tell: which test names a function, which code uses whose names.

A file's mentions (see `mentions`) are kept with the hash of its content, so a file that did not change is not parsed
again; they are joined with the passages of the project index by name. A resolved name weighs 1; an attribute of
something unknown is linked to the methods of that name, if they are few, each with its share.
"""

from __future__ import annotations

import hashlib
import json
from bisect import bisect_right
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Final

from aqe.engine.errors import UserError
from aqe.engine.index.source import decode_source
from aqe.engine.memory.graph.edges import Edge, Key, Kind, replace_edges
from aqe.engine.memory.graph.mentions import READER, FileMentions, names_in, read_mentions, unpacked
from aqe.engine.progress import CancelToken

if TYPE_CHECKING:
    from aqe.engine.memory.store import Store

ORIGIN: Final = "index"
MOST_GUESSES = 4
"""Methods of one name among which an attribute is shared out; with more it says nothing."""

DEEPEST = 6
"""Re-exports that are followed from one name."""

_UNTOLD = frozenset(("append", "extend", "get", "items", "join", "keys", "pop", "read", "split", "strip", "update",
                     "values", "write", "format", "copy", "close", "sort"))  # fmt: skip


@dataclass
class Place:
    """A file of the index: its passages by first line, and by the name they stand under, the first of each."""

    file: str
    is_test: bool
    lines: list[tuple[int, Key]] = field(default_factory=list)
    names: dict[str, Key] = field(default_factory=dict)
    kinds: dict[Key, str] = field(default_factory=dict)

    def at(self, line: int) -> Key | None:
        """The passage that a line is in."""
        place = bisect_right(self.lines, (line, ("\U0010ffff", ""))) - 1
        return self.lines[place][1] if place >= 0 else None


def link_index(store: Store, root: str, project: Path, *, cancel: CancelToken | None = None) -> tuple[int, int]:
    """Bring the edges between the passages of an index (`root` as its namespaces begin) up to date with its files;
    returns how many came and how many went. Raises `Cancelled`."""
    places = read_places(store, root)
    mentions = _mentions(store, root, project, places, cancel)
    edges = list(edges_of(places, mentions))
    with store.writing() as connection:
        return replace_edges(connection, edges, origin=ORIGIN, scope=root, now=store.now())


def is_linked(store: Store, root: str) -> bool:
    """Whether the files of an index were ever read for edges."""
    with store.reading() as connection:
        return connection.execute("SELECT 1 FROM source_mentions WHERE scope = ?", (root,)).fetchone() is not None


def read_places(store: Store, root: str) -> dict[str, Place]:
    """The source files of an index, by name. What somebody else put beside its passages is passed over."""
    places: dict[str, Place] = {}
    sql = "SELECT namespace, id, file, line, metadata FROM memories WHERE namespace = ? AND valid_to IS NULL"
    with store.reading() as connection:
        for leaf in ("code", "tests"):
            for namespace, id, file, line, metadata in connection.execute(sql, (f"{root}/{leaf}",)):
                told, key = json.loads(metadata), (namespace, id)
                if not _is_passage(told):
                    continue
                place = places.setdefault(file, Place(file, leaf == "tests"))
                place.lines.append((line, key))
                place.kinds[key] = told["kind"]
    for place in places.values():
        place.lines.sort()
    with store.reading() as connection:
        for leaf in ("code", "tests"):
            rows = connection.execute(f"{sql} ORDER BY line", (f"{root}/{leaf}",))
            for namespace, id, file, _, metadata in rows:
                told = json.loads(metadata)
                if file in places and _is_passage(told):
                    places[file].names.setdefault(told["name"], (namespace, id))
    return places


def _is_passage(told: Mapping[str, object]) -> bool:
    return isinstance(told.get("kind"), str) and isinstance(told.get("name"), str)


def edges_of(places: Mapping[str, Place], mentions: Mapping[str, FileMentions]) -> Iterator[Edge]:
    """The edges between the passages of some files, each once with its highest weight."""
    names = _Names(places, mentions)
    weights: dict[tuple[Kind, Key, Key], float] = {}
    for file, told in mentions.items():
        place = places[file]
        for line, target in told.mentions:
            start = place.at(line)
            if start is None:
                continue
            for end_file, end, weight in names.resolve(file, target):
                if end != start:
                    edge = (_kind(place, start, places[end_file]), start, end)
                    weights[edge] = max(weight, weights.get(edge, 0.0))
    for (kind, start, end), weight in weights.items():
        yield Edge(kind, (start, end), weight, ORIGIN)


def _kind(place: Place, start: Key, other: Place) -> Kind:
    if place.is_test and not other.is_test and place.kinds[start] == "function":
        return "covers"
    return "calls" if place is other else "imports"


def _mentions(
    store: Store, root: str, project: Path, places: Mapping[str, Place], cancel: CancelToken | None
) -> dict[str, FileMentions]:
    """What each file mentions: as it was kept, or read anew where its content is another; what is gone is dropped."""
    sql = "SELECT file, content_hash, reader, mentions FROM source_mentions WHERE scope = ?"
    with store.reading() as connection:
        known = {file: (bytes(digest), reader, text) for file, digest, reader, text in connection.execute(sql, (root,))}
        hashes = dict(connection.execute("SELECT file, content_hash FROM indexed_files WHERE root = ?", (root,)))
    found: dict[str, FileMentions] = {}
    fresh: list[tuple[str, str, bytes, int, str]] = []
    for file in places:
        if cancel is not None:
            cancel.check()
        digest = bytes(hashes.get(file, b""))
        kept = known.get(file)
        if kept is not None and kept[:2] == (digest, READER):
            found[file] = unpacked(kept[2])
            continue
        source = _source(project / file, digest)
        if source is not None:
            found[file] = read_mentions(file, source)
            fresh.append((root, file, digest, READER, found[file].packed()))
    with store.writing() as connection:
        connection.executemany("INSERT OR REPLACE INTO source_mentions VALUES (?, ?, ?, ?, ?)", fresh)
        gone = [(root, file) for file in known if file not in places]
        connection.executemany("DELETE FROM source_mentions WHERE scope = ? AND file = ?", gone)
    return found


def _source(path: Path, digest: bytes) -> str | None:
    """The text that was indexed; None where the file is another by now, which the next run will see."""
    try:
        data = path.read_bytes()
        return decode_source(data) if hashlib.sha256(data).digest() == digest else None
    except (OSError, UserError):
        return None


class _Names:
    """Which passage a target means."""

    def __init__(self, places: Mapping[str, Place], mentions: Mapping[str, FileMentions]) -> None:
        self._places = places
        self._mentions = mentions
        self._modules: dict[str, str] = {}
        for file in sorted(mentions, key=lambda name: (-name.count("/"), name), reverse=True):
            for module in _suffixes(mentions[file].module):
                self._modules.setdefault(module, file)
        for file, told in mentions.items():
            self._modules[told.module] = file
        self._methods: dict[str, list[tuple[str, Key]]] = defaultdict(list)
        for file, place in places.items():
            for name, key in place.names.items():
                if "." in name and not place.is_test:
                    self._methods[name.rpartition(".")[2]].append((file, key))
        self._near = {file: self._imported(told) for file, told in mentions.items()}

    def resolve(self, file: str, target: str) -> Iterable[tuple[str, Key, float]]:
        """The passages that a target means in a file: each with its file and a weight."""
        if target.startswith("@"):
            return self._fixture(file, target[1:])
        if target.startswith("."):
            return self._guessed(file, target[1:])
        found = self._starred(file, target[2:]) if target.startswith("*.") else self._defined(target, DEEPEST)
        if found is None:
            return ()
        end_file, name, rest = found
        place = self._places[end_file]
        if rest and end_file == file:  # an attribute of its own, or of what it makes
            return self._guessed(file, rest.rpartition(".")[2])
        ends = [place.names[one] for one in ((name,) if rest else (name, f"{name}.__init__")) if one in place.names]
        known = [(end_file, end, 1.0) for end in ends]
        return [*known, *self._guessed(file, rest.rpartition(".")[2])] if rest else known

    def _defined(self, target: str, deepest: int) -> tuple[str, str, str] | None:
        """The file and name of what a dotted target means, and what is left of it that is not defined there."""
        for module, inside in names_in(target):
            file = self._modules.get(module)
            if file is None:
                continue
            place, told = self._places[file], self._mentions[file]
            parts = inside.split(".") if inside else []
            for at in range(len(parts), 0, -1):
                if ".".join(parts[:at]) in place.names:
                    return file, ".".join(parts[:at]), ".".join(parts[at:])
            if parts and deepest:
                passed = [told.imports[parts[0]]] if parts[0] in told.imports else told.stars
                for base in passed:
                    rest = parts[1:] if parts[0] in told.imports else parts
                    further = ".".join([base, *rest])
                    found = self._defined(further, deepest - 1) if further != target else None
                    if found is not None:
                        return found
            return (file, "", "") if not inside else None
        return None

    def _starred(self, file: str, name: str) -> tuple[str, str, str] | None:
        """What a name means of those that a file takes whole from other modules."""
        for base in self._mentions[file].stars:
            found = self._defined(f"{base}.{name}", DEEPEST)
            if found is not None and found[1]:
                return found
        return None

    def _fixture(self, file: str, name: str) -> Iterable[tuple[str, Key, float]]:
        """A fixture of that name in the file itself or a conftest.py above it."""
        if not self._places[file].is_test:
            return
        folder = file.rpartition("/")[0]
        candidates = [file, *(f"{above}conftest.py" for above in _above(folder))]
        for candidate in candidates:
            place = self._places.get(candidate)
            if place is not None and name in place.names:
                yield candidate, place.names[name], 1.0
                return

    def _guessed(self, file: str, attribute: str) -> Iterable[tuple[str, Key, float]]:
        """The methods of a name: those of files that this one imports where there are any, else of all."""
        if attribute in _UNTOLD or (attribute.startswith("__") and attribute.endswith("__")):
            return []
        everywhere = self._methods.get(attribute, [])
        near = [one for one in everywhere if one[0] in self._near[file]]
        found = near or everywhere
        return [(end, key, 1.0 / len(found)) for end, key in found] if len(found) <= MOST_GUESSES else []

    def _imported(self, told: FileMentions) -> frozenset[str]:
        """The files that a file imports names of, and those that these names come from."""
        found = set()
        for target in [*told.imports.values(), *told.stars]:
            for module, _ in names_in(target):
                if module in self._modules:
                    found.add(self._modules[module])
                    break
            defined = self._defined(target, DEEPEST)
            if defined is not None:
                found.add(defined[0])
        return frozenset(found)


def _suffixes(module: str) -> Iterator[str]:
    """The names that a module may be imported by when a folder above it is on the path."""
    parts = module.split(".")
    for at in range(1, len(parts)):
        yield ".".join(parts[at:])


def _above(folder: str) -> Iterator[str]:
    """A folder and those above it, each with its slash, the root as nothing."""
    while folder:
        yield f"{folder}/"
        folder = folder.rpartition("/")[0]
    yield ""
