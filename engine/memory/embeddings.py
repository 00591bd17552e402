"""Vectors of texts that were embedded before, kept in the file by the hash of the text.

Only where that is worth it: looking one up takes some 15 us, the built-in table embeds a text in 4, a model of
sentence-transformers in 7,000. So what an embedder takes for a text is measured as it works, and from `COSTLY_US` on
its vectors are kept: a text that comes again, in this process or another one, is not embedded again. They are written
aside, never by a search itself; the oldest go beyond `MOST`. One that is not what its checksum says is made anew.
Erasing a memory erases the vectors of its texts too.
"""

from __future__ import annotations

import hashlib
import time
from collections.abc import Sequence
from functools import cached_property
from typing import TYPE_CHECKING

from aqe.engine.memory.file.sums import sum_of

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from aqe.engine.embedding import Embedder
    from aqe.engine.memory.store import Store

COSTLY_US = 200.0
FEWEST = 2
"""Calls that are measured before an embedder is called costly: the first one may load its model."""

_measured: dict[str, tuple[int, float]] = {}
"""Of each embedder, the calls that were measured and the least that one took for a text, in microseconds."""


def kept_in(store: Store, embedder: Embedder) -> Embedder:
    """`embedder`, looking up in the store what it made before; one that does so already is given back as it is."""
    return embedder if getattr(embedder, "is_kept", False) else KeptEmbedder(embedder, store)


class Before:
    """What stands before an embedder and is one of the same space; what the other keeps in a store, it keeps too."""

    is_kept = True

    def __init__(self, embedder: Embedder) -> None:
        self._embedder = embedder

    @cached_property
    def id(self) -> str:
        """The space of the vectors."""
        return self._embedder.id

    @cached_property
    def dimension(self) -> int:
        """Numbers in a vector."""
        return self._embedder.dimension


class KeptEmbedder(Before):
    """An embedder whose vectors are kept in a store, if it is costly (None: as measured)."""

    def __init__(self, embedder: Embedder, store: Store, *, costly: bool | None = None) -> None:
        super().__init__(embedder)
        self._store = store
        self._costly = costly
        self._is_cheap = costly is False

    def embed(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """One unit row for each text; a text whose vector is kept is not embedded."""
        if self._is_cheap:
            return self._embedder.embed(texts)
        if not self._is_costly():
            return self._made(texts)
        import numpy as np

        digests = [digest_of(text) for text in texts]
        known = self._read(digests)
        missing = {digest: text for digest, text in zip(digests, texts, strict=True) if digest not in known}
        self._store.accesses.tally("embedding hits", len(texts) - len(missing))
        self._store.accesses.tally("embedding misses", len(missing))
        if missing:
            made = self._made(list(missing.values()))
            fresh = dict(zip(missing, made, strict=True))
            self._store.accesses.keep(self.id, {digest: row.tobytes() for digest, row in fresh.items()})
            known |= fresh
        return np.stack([known[digest] for digest in digests]) if texts else self._made(texts)

    def vector_of(self, text: str) -> NDArray[np.float32]:
        """The unit vector of one text; nobody may write into it."""
        one = getattr(self._embedder, "vector_of", None)
        made: NDArray[np.float32] = self.embed([text])[0] if one is None or not self._is_cheap else one(text)
        return made

    def _is_costly(self) -> bool:
        if self._costly is not None:
            return self._costly
        calls, least = _measured.get(self.id, (0, 0.0))
        return calls >= FEWEST and least >= COSTLY_US

    def _made(self, texts: Sequence[str]) -> NDArray[np.float32]:
        start = time.perf_counter()
        made = self._embedder.embed(texts)
        if texts:
            took = 1e6 * (time.perf_counter() - start) / len(texts)
            calls, least = _measured.get(self.id, (0, took))
            calls, least = _measured[self.id] = calls + 1, min(least, took)
            self._is_cheap = self._costly is None and calls >= FEWEST and least < COSTLY_US  # the least stays the least
        return made

    def _read(self, digests: Sequence[bytes]) -> dict[bytes, NDArray[np.float32]]:
        import numpy as np

        sql = "SELECT vector, sum FROM embeddings WHERE embedder_id = ? AND digest = ?"
        found: dict[bytes, NDArray[np.float32]] = {}
        with self._store.reading() as connection:
            for digest in dict.fromkeys(digests):
                packed = self._store.accesses.kept(self.id, digest)
                if packed is None:
                    row = connection.execute(sql, (self.id, digest)).fetchone()
                    packed = None if row is None or row[1] not in (None, sum_of(row[0])) else row[0]
                if isinstance(packed, bytes) and len(packed) == 4 * self.dimension:
                    found[digest] = np.frombuffer(packed, np.float32)
        return found


def digest_of(text: str) -> bytes:
    """The hash by which a text's vector is kept: that of `memories.text_hash`."""
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).digest()
