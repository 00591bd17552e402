"""When two texts say the same: near-duplicates, and a text that adds nothing to another.

A text is seen as its content words, stemmed, without articles and forms of "to be", and as the pairs of neighbours
among them. The overlap of two texts is the Jaccard index of both sets together, so that order counts. Two texts whose
numbers, signs or negations differ are never alike, however near they are otherwise: "retries 3 times" and "retries 5
times" contradict each other. What nobody looks at before it is done goes by `wording`, which is stricter. Candidates
among many texts are found by MinHash signatures in bands (Broder, On the resemblance and containment of documents,
1997; banding as in Leskovec, Rajaraman and Ullman, Mining of Massive Datasets, chapter 3).
"""

from __future__ import annotations

import re
import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import pairwise

from aqe.engine.memory.growth.wording import repeats, says_same
from aqe.engine.memory.terms.text import subtokens

LONGEST = 4000
"""Characters of a text that is compared; a longer one is no remark."""

MOST_PROFILES = 256
HASHES = 64
BANDS = 16
_SEED = 0x5EED
_WEIGHTLESS = frozenset(
    subtokens(
        "a an the is are was were be been being it its this that these those there of to and as so do does did has have"
        " had will would shall please also just then remember note noted recall recalled memory fact said says remind"
        " keep mind"
    )
)
_NEGATIONS = frozenset(subtokens("not no never without none nor neither cannot nothing nobody unless except"))
_CONTRACTED = re.compile("n['\u2019]t\\b", re.IGNORECASE)

_SIGNS = re.compile(r"[=<>+*/#|&^~%\\$@]|-(?=[\d\s])")


@dataclass(frozen=True)
class Profile:
    """What likeness sees of a text: its content words, their pairs, and what must be the same in both, in this order:
    numbers, negations and signs."""

    words: frozenset[str]
    pairs: frozenset[tuple[str, str]]
    telling: tuple[str, ...]


def profile(text: str) -> Profile:
    """The profile of a text (some 10 kB for a long one).

    >>> sorted(profile("The cart isn't emptied 2 times").words)
    ['2', 'cart', 'empti', 'not', 'time']
    """
    plain = _CONTRACTED.sub(" not", text)
    stems = [stem for stem in subtokens(plain) if stem not in _WEIGHTLESS]
    telling = [stem for stem in stems if stem.isdigit() or stem in _NEGATIONS]
    return Profile(frozenset(stems), frozenset(pairwise(stems)), (*telling, *_SIGNS.findall(plain)))


recent_profile = lru_cache(maxsize=MOST_PROFILES)(profile)
"""As `profile`; the last ones are at hand."""


def overlap(a: Profile, b: Profile) -> float:
    """The Jaccard index of words and pairs of two texts, from 0 to 1; 0 where their numbers or negations differ."""
    if a.telling != b.telling or not a.words or not b.words:
        return 0.0
    shared = len(a.words & b.words) + len(a.pairs & b.pairs)
    return shared / (len(a.words | b.words) + len(a.pairs | b.pairs))


def adds_nothing(new: str, known: str) -> bool:
    """Whether `new` only says again what `known` says: word for word (`wording.says_same`, or a part of it as
    `wording.repeats` has it), and denied as often.

    One word, and a text without a content word, is too little to tell.

    >>> adds_nothing("prices are rounded half up", "Remember: the prices rounded half up.")
    True
    >>> adds_nothing("prices round half down", "prices round half up")
    False
    >>> adds_nothing("Remember: run tests/unit first", "Run tests/unit first.")
    True
    """
    a, b = recent_profile(new), recent_profile(known)
    if len(a.words) < 2 or not a.words <= b.words or _denied(a) != _denied(b):
        return False
    return says_same(new, known) or repeats(new, known)


def _denied(one: Profile) -> int:
    return sum(word in _NEGATIONS for word in one.telling)


def alike_pairs(profiles: Sequence[Profile]) -> Iterator[tuple[int, int]]:
    """Pairs of places whose texts may overlap, the smaller place first, each once. Texts that overlap by .8 are missed
    with a chance of 2 in 10,000, those below .3 are rarely named."""
    import numpy as np

    random = np.random.default_rng(_SEED)
    factors = random.integers(0, 1 << 64, HASHES, np.uint64) | np.uint64(1)
    offsets = random.integers(0, 1 << 64, HASHES, np.uint64)
    rows = HASHES // BANDS
    buckets: list[dict[bytes, list[int]]] = [{} for _ in range(BANDS)]
    for place, one in enumerate(profiles):
        features = np.fromiter(_features(one), np.uint64, len(one.words) + len(one.pairs))
        if not len(features):
            continue
        least = ((features[:, None] * factors + offsets) >> np.uint64(32)).min(axis=0).astype(np.uint32)
        named: set[int] = set()
        for band in range(BANDS):
            bucket = buckets[band].setdefault(least[band * rows : (band + 1) * rows].tobytes(), [])
            named.update(bucket[-MOST_IN_BUCKET:])
            bucket.append(place)
        yield from ((earlier, place) for earlier in sorted(named))


MOST_IN_BUCKET = 32
"""A text is compared with the newest of those that share a band with it."""


def _features(one: Profile) -> Iterator[int]:
    for word in one.words:
        yield zlib.crc32(word.encode())
    for left, right in one.pairs:
        yield zlib.crc32(f"{left} {right}".encode())
