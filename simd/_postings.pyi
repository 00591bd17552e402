"""The C side of `Postings`; arrays are contiguous, what is answered are int64 ids and float64 scores."""

from collections.abc import Callable
from typing import final

import numpy as np
from numpy.typing import NDArray

def fuse(
    text: dict[int, float],
    near: dict[int, float],
    share: float | dict[int, float],
    prior: dict[int, float] | None,
    k: int,
    /,
) -> list[tuple[int, float, float | None, float | None, float, float, float, float]]: ...
def join(
    text_ids: NDArray[np.int64],
    text_scores: NDArray[np.float64],
    cosines: NDArray[np.float32],
    near_ids: NDArray[np.int64],
    near_scores: NDArray[np.float32],
    words: NDArray[np.float64],
    share: float | tuple[float, float, NDArray[np.bool_]],
    k: int,
    /,
) -> list[tuple[int, float, float | None, float | None]]: ...
def rank_lists(
    lists: tuple[str, ...], lengths: NDArray[np.int32], documents: float, mean: float, k1: float, b: float, /
) -> tuple[bytearray, bytearray, bytearray]: ...
def best_listed(
    rows: NDArray[np.int64],
    scores: NDArray[np.float64],
    groups: NDArray[np.int32] | None,
    among: NDArray[np.bool_] | None,
    k: int,
    /,
) -> tuple[bytearray, bytearray]: ...

@final
class Index:
    def __new__(cls, k1: float, b: float, seed: int, /) -> Index: ...
    def add(self, ids: NDArray[np.int64], groups: NDArray[np.int32], documents: tuple[bytes, ...], /) -> None: ...
    def extend(self, term: bytes, ids: NDArray[np.int64], frequencies: NDArray[np.int32], /) -> None: ...
    def delete(self, ids: NDArray[np.int64], /) -> int: ...
    def search(
        self, terms: tuple[bytes, ...], k: int, groups: NDArray[np.bool_] | None, allow: NDArray[np.int64] | None, /
    ) -> tuple[bytearray, bytearray]: ...
    def scores(self, terms: tuple[bytes, ...], ids: NDArray[np.int64], /) -> bytearray: ...
    def counts(self, terms: tuple[bytes, ...], groups: NDArray[np.bool_] | None, most: int, /) -> list[int]: ...
    def size(self, groups: NDArray[np.bool_], /) -> int: ...
    def documents(self) -> int: ...
    def has(self, id: int, /) -> bool: ...
    def figures(self) -> dict[str, int]: ...
    def hold(self, patience_s: float, /) -> bool: ...
    def let_go(self) -> None: ...
    def begin_anew(self, is_held: bool, /) -> None: ...

@final
class Hybrid:
    def __new__(
        cls,
        index: Index,
        near: object,  # Snapshot.near() of rows that are compared by cosine
        count: int,  # of vectors
        groups: NDArray[np.bool_] | None,
        ids: NDArray[np.int64],  # in order, of all vectors
        rows: NDArray[np.int64],
        /,
    ) -> Hybrid: ...
    def search(
        self,
        query: NDArray[np.float32],
        terms: tuple[bytes, ...],
        wide: int,
        candidates: int,
        k: int,
        share: float | tuple[float, float, NDArray[np.bool_]],  # and that of ids that are marked
        floor: float,
        rescore: Callable[[bytes], NDArray[np.float32]] | None,  # the cosines of ids
        /,
    ) -> list[tuple[int, float, float | None, float | None]]: ...

@final
class Lexicon:
    def __new__(cls, stop_words: tuple[bytes, ...], /) -> Lexicon: ...
    def __len__(self) -> int: ...
    def learn(self, word: bytes, terms: tuple[bytes, ...], /) -> None: ...
    def choose(
        self,
        index: Index,
        text: str,
        groups: NDArray[np.bool_] | None,
        few: int,
        fewest: int,
        most: int,
        budget: int,
        /,
    ) -> bytes | tuple[tuple[bytes, ...], tuple[bytes, ...]] | None: ...
