"""English words that nearly every text has and that say nothing of what it is about.

In a question half of the words are such ("what did she do with it"), and in short texts as turns of a conversation they
are rare enough to weigh: without them more of the evidence is found, and no less code (docs/retrieval.md). "Will" and
"may" are not among them, because they are a name and a month too.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from aqe.engine.memory.terms.text import subtokens

_WORDS = """
a an the this that these they them their then there than such so too very just and or but if not no
i me my you your he him his she her we our it its what which when where who whom why how
am is are was were be been being do does did have has had can could would should
as at by for from in into of on to with s t
"""

STOP_WORDS = frozenset(subtokens(_WORDS))
"""Their stems."""


_RUN = re.compile(r"\w+")
_OF_A_NAME = re.compile(r"[^\W_]_[^\W_]|[a-zß-öø-ÿ][A-ZÀ-ÖØ-Þ]")


def without_stop_words(terms: Sequence[str], query: str = "") -> list[int]:
    """Which of the terms (their places) are no stop words, or part of a name in the query (`to_dict`, `assertIn`); all
    of them where none is left.

    >>> without_stop_words(["what", "did", "mira", "say"]), without_stop_words(["to", "be"])
    ([2, 3], [0, 1])
    >>> without_stop_words(["what", "doe", "to", "dict", "do"], "What does to_dict do?")
    [2, 3]
    """
    left_out = STOP_WORDS
    if _OF_A_NAME.search(query):
        left_out = STOP_WORDS.difference(*[subtokens(run) for run in _RUN.findall(query) if _OF_A_NAME.search(run)])
    places = [at for at, term in enumerate(terms) if term not in left_out]
    return places or [*range(len(terms))]
