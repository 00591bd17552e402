"""How much of a search by words and meaning each side has, by namespace."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

VECTOR_SHARE = 0.75
"""Where nothing says what the memories are; measured on code and its docstrings: docs/retrieval.md."""


@dataclass(frozen=True)
class Shares:
    """The share of meaning (the vector) in the score, from 0 (words alone) to 1 (meaning alone): `vector` everywhere
    (None: nobody set it, so a search goes by what the memories are), but in the namespaces of `named`, where a name
    with a slash at its end is all below it; the longest name that fits holds."""

    vector: float | None = None
    named: Mapping[str, float] = field(default_factory=dict)

    def of(self, namespace: str, usual: float = VECTOR_SHARE) -> float:
        """The share in a namespace; `usual` where nobody set one that holds there.

        >>> shares = Shares(0.75, {"index/": 0.5, "index/main/tests": 0.2})
        >>> shares.of("index/main/code"), shares.of("index/main/tests"), shares.of("default")
        (0.5, 0.2, 0.75)
        """
        if namespace in self.named:
            return self.named[namespace]
        trees = [name for name in self.named if name.endswith("/") and namespace.startswith(name)]
        if trees:
            return self.named[max(trees, key=len)]
        return usual if self.vector is None else self.vector

    def is_named(self, namespaces: Sequence[str] | None) -> bool:
        """Whether each of these namespaces (None: any) has a share of its own."""
        return bool(namespaces) and all(self.of(name, -1.0) >= 0 for name in namespaces or ())

    def common(self, namespaces: Sequence[str] | None) -> float | None:
        """The one share of all these namespaces (None: of any), or None where they differ."""
        if not self.named:
            return self.of("")
        found = {self.of(name) for name in namespaces or ()}
        return found.pop() if len(found) == 1 else None
