"""A vocabulary on one path: texts as rows of a table, and as the vectors that those rows make."""

from __future__ import annotations

from functools import partial

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence
    from typing import Any

    from typing_extensions import Buffer

    Make = Callable[[tuple[bytes, ...], int, int], Any]
    Bag = Callable[[Any, bytes, float], tuple[list[int], list[float]]]
    Embed = Callable[[Any, tuple[bytes, ...], Buffer, Buffer, float, Buffer], None]
    Hold = Callable[[Any, Buffer, Buffer, float], Any]
    Vector = Callable[[Any, bytes], bytearray]

LONGEST = 64
_MOST_ROWS = 2**31 - 1
_SEED_BITS = 2**64 - 1


class Vocabulary:
    """Stems with their rows (0, 1, 2...), and behind them `buckets` rows for the 4-grams of all others.

    Made by `simd.vocabulary`; never changes, so threads share it. Raises ValueError for a stem that stands twice, is
    empty or longer than `LONGEST` bytes, and for buckets below 0; TypeError for a stem that is not bytes.
    """

    __slots__ = ("_bag", "_embed", "_handle", "_hold", "_vector", "buckets", "words")

    def __init__(self, words: Iterable[bytes], buckets: int, functions: tuple[Make, Bag, Embed, Hold, Vector]) -> None:
        listed = tuple(words)
        if any(type(word) is not bytes for word in listed):
            raise TypeError("a word of the vocabulary must be bytes")
        if len(set(listed)) != len(listed):
            raise ValueError("a word stands twice in the vocabulary")
        if any(not 0 < len(word) <= LONGEST for word in listed):
            raise ValueError(f"a word of the vocabulary must have 1 to {LONGEST} bytes")
        if not 0 <= buckets <= _MOST_ROWS - len(listed):
            raise ValueError(f"buckets must be at least 0 and all rows fewer than 2**31, got {buckets}")
        self.words, self.buckets = len(listed), buckets
        make, self._bag, self._embed, self._hold, self._vector = functions
        self._handle = make(listed, buckets, hash(b"aqe.simd.vocabulary") & _SEED_BITS)  # differs in each process

    def bag(self, data: bytes, *, k: float) -> tuple[list[int], list[float]]:
        """The rows that a text stands for and the weight of each: its vector is their weighted sum.

        A stem that occurs tf times weighs tf * (k + 1) / (tf + k); one that is no word stands for the mean of the rows
        of its 4-grams. Rows come in the order in which their stems first occur; grams may name one row twice.
        """
        _check_saturation(k)
        return self._bag(self._handle, data, k)

    def embed(self, texts: Sequence[bytes], rows: Buffer, scales: Buffer, *, k: float, out: Buffer) -> None:
        """Write the unit vector of each text into `out`, zeros for a text of which no row is known.

        `rows` is int8 (words + buckets, dimension), `scales` float32 (words + buckets): what a row's items are times.
        `out` is float32 (texts, dimension). The GIL is released on the C paths. Raises TypeError or ValueError for what
        does not fit.
        """
        _check_saturation(k)
        self._embed(self._handle, tuple(texts), rows, scales, k, out)

    def embedding(self, rows: Buffer, scales: Buffer, *, k: float) -> Callable[[bytes], bytearray]:
        """Return what gives the unit vector of one text as float32 bytes, as `embed` writes it.

        `rows` and `scales` are held from now on, so that a short text costs little beside its own words.
        """
        _check_saturation(k)
        return partial(self._vector, self._hold(self._handle, rows, scales, k))


def _check_saturation(k: float) -> None:
    if not 0 <= k < 1e9:
        raise ValueError(f"k must be at least 0 and below 1e9, got {k}")
