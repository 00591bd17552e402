"""The store against a dictionary that does the same, with hypothesis choosing the steps."""

from __future__ import annotations

import itertools
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from aqe.engine.errors import UserError
from aqe.engine.memory import Store

WORDS = st.sampled_from(["alpha", "beta_two", "gammaRay", "delta 4", "ünïcode", '"quoted" NEAR -x*'])
TEXTS = st.lists(WORDS, min_size=1, max_size=3).map(" ".join)
IDS = st.sampled_from(["a", "b", "c", "d/e", "ö"])
NAMESPACES = st.sampled_from(["default", "agents/flaky"])
METADATA = st.dictionaries(st.sampled_from(["k", 'odd "key"']), st.integers(0, 3) | st.text(max_size=3) | st.none())
VECTORS = st.none() | st.lists(st.integers(1, 5).map(float), min_size=3, max_size=3)


def code_of(call: Callable[[], object]) -> str:
    """The code of the error that `call` ends with, "" when it ends well."""
    try:
        call()
    except UserError as error:
        return error.code
    return ""


class StoreBesideDictionary(RuleBasedStateMachine):
    """Current memories by (namespace, id): text, metadata, vector, number of revisions."""

    @initialize()
    def begin(self) -> None:
        self.folder = tempfile.TemporaryDirectory()
        self.ticks = itertools.count(1_000_000)
        self.path = Path(self.folder.name) / "aqe.db"
        self.store = Store.open(self.path, now=lambda: next(self.ticks))
        self.model: dict[tuple[str, str], dict[str, Any]] = {}
        self.revisions: dict[tuple[str, str], int] = {}

    def teardown(self) -> None:
        self.store.close()
        self.folder.cleanup()

    @rule(text=TEXTS, id=IDS, namespace=NAMESPACES, metadata=METADATA, vector=VECTORS)
    def add_under_an_id(self, text: str, id: str, namespace: str, metadata: dict[str, Any], vector: Any) -> None:
        key = (namespace, id)
        there = self.model.get(key)
        refused = code_of(lambda: self.store.add(text, namespace=namespace, id=id, metadata=metadata, vector=vector))
        taken = there is not None and there["text"] != text
        assert refused == ("id-taken" if taken else "")
        if taken:
            return
        joined = {**(there["metadata"] if there else {}), **metadata}
        if there is None:
            self._put(key, text, joined, vector if vector is not None else self._twin(text))
        elif joined != there["metadata"] or vector not in (None, there["vector"]):
            self._put(key, text, joined, vector if vector is not None else there["vector"] or self._twin(text))

    @rule(text=TEXTS, namespace=NAMESPACES, metadata=METADATA)
    def add_without_an_id(self, text: str, namespace: str, metadata: dict[str, Any]) -> None:
        id = self.store.add(text, namespace=namespace, metadata=metadata)
        there = self.model.get((namespace, id))
        assert there is None or there["text"] == text
        joined = {**(there["metadata"] if there else {}), **metadata}
        if there is None:
            same = [key for key in self.model if key[0] == namespace and self.model[key]["text"] == text]
            assert all(len(id) <= 3 for _, id in same), "an exact duplicate without an id was not merged"
            self._put((namespace, id), text, joined, self._twin(text))
        elif joined != there["metadata"]:
            self._put((namespace, id), text, joined, there["vector"] or self._twin(text))

    @rule(id=IDS, namespace=NAMESPACES, text=st.none() | TEXTS, metadata=st.none() | METADATA)
    def update(self, id: str, namespace: str, text: str | None, metadata: dict[str, Any] | None) -> None:
        key = (namespace, id)
        there = self.model.get(key)
        refused = code_of(lambda: self.store.update(id, namespace=namespace, text=text, metadata=metadata))
        assert refused == ("unknown-id" if there is None else "")
        if there is None:
            return
        new = there["text"] if text is None else text
        kept = there["vector"] if new == there["text"] else None
        self.model.pop(key)
        vector = kept or self._twin(new)
        self._put(key, new, there["metadata"] if metadata is None else metadata, vector)

    @rule(id=IDS, namespace=NAMESPACES, erase=st.booleans())
    def delete(self, id: str, namespace: str, erase: bool) -> None:
        key = (namespace, id)
        known = key in self.revisions if erase else key in self.model
        refused = code_of(lambda: self.store.delete(id, namespace=namespace, erase=erase))
        assert refused == ("" if known else "unknown-id")
        if not known:
            return
        self.model.pop(key, None)
        if erase:
            del self.revisions[key]

    @rule()
    def open_again(self) -> None:
        self.store.close()
        self.store = Store.open(self.path, now=lambda: next(self.ticks))

    @rule(query=TEXTS, namespace=st.none() | NAMESPACES)
    def search_words(self, query: str, namespace: str | None) -> None:
        found = {
            (hit.memory.namespace, hit.memory.id) for hit in self.store.search(query, k=1000, namespace=namespace).hits
        }
        assert all(namespace in (None, key[0]) for key in found)
        exact = {key for key in self.model if self.model[key]["text"] == query and namespace in (None, key[0])}
        assert exact <= found <= set(self.model)

    @rule(vector=VECTORS.filter(bool))
    def search_vector(self, vector: list[float]) -> None:
        found = {(hit.memory.namespace, hit.memory.id) for hit in self.store.search(vector=vector, k=1000).hits}
        assert found == {key for key in self.model if self.model[key]["vector"]}

    @invariant()
    def holds_the_same(self) -> None:
        if not hasattr(self, "store"):
            return
        held = {(memory.namespace, memory.id): memory for memory in self.store.list(limit=1000)}
        assert set(held) == set(self.model)
        for key, memory in held.items():
            assert (memory.text, memory.metadata) == (self.model[key]["text"], self.model[key]["metadata"])
            assert memory.revision == self.revisions[key]
            vector = self.store.vector(key[1], namespace=key[0])
            assert (list(vector) if vector else None) == self.model[key]["vector"]

    def _put(self, key: tuple[str, str], text: str, metadata: dict[str, Any], vector: list[float] | None) -> None:
        self.model.pop(key, None)  # the order of the dictionary is that of the rows
        self.model[key] = {"text": text, "metadata": metadata, "vector": vector}
        self.revisions[key] = self.revisions.get(key, 0) + 1

    def _twin(self, text: str) -> list[float] | None:
        """The vector of the first memory written of those with this text, which a new one shares."""
        return next((held["vector"] for held in self.model.values() if held["text"] == text and held["vector"]), None)


StoreBesideDictionary.TestCase.settings = settings(
    max_examples=25, stateful_step_count=25, deadline=None, suppress_health_check=list(HealthCheck), database=None
)
TestStoreBesideDictionary = StoreBesideDictionary.TestCase
TestStoreBesideDictionary.__doc__ = (
    "Any sequence of adds, updates, deletes and re-openings leaves what a dictionary would."
)
