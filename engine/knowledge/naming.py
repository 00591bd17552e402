"""Which entry of the knowledge tells what something is, asked by its name: "What is MC/DC?", "mutation testing".

Such a question has one word that tells, or two, and many entries have those; the one that is about the thing bears its
name as a title or id and begins its text with it.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from functools import lru_cache

from aqe.engine.knowledge.starter import NAMESPACES
from aqe.engine.memory.store import Store
from aqe.engine.memory.terms.text import subtokens
from aqe.engine.providers.extractive import Passage

LONGEST = 100
"""Characters of a question that asks what something is."""

_ASKED = (
    re.compile(r"(?:what|who)(?:\s+(?:is|are)|['’]s)\s+(?:meant\s+by\s+|the\s+meaning\s+of\s+)?(?P<name>.+)"),
    re.compile(r"what\s+(?:does|do)\s+(?P<name>.+?)\s+(?:mean|stand\s+for)"),
    re.compile(r"(?:define|explain|describe)\s+(?:to\s+me\s+)?(?:what\s+)?(?P<name>.+?)(?:\s+(?:is|are|means?))?"),
    re.compile(r"(?P<name>.+)"),
)
_BEFORE = re.compile(r"^(?:please|and|so|then|(?:can|could)\s+you|tell\s+me)\s+")
_SPECIFIC = re.compile(r"^(?:the|this|that|our|my|your|its)\s")
_ARTICLE = re.compile(r"^(?:an?|the)\s+")
_QUOTES = "\"'`*“”‘’"
_JOINTS = re.compile(r"[:,;]|\s(?:and|or)\s")
_SENTENCE = re.compile(r"(?<=\.)\s")
_BRITISH = re.compile(r"is(?=(?:e[drs]?|ing|ations?)\b)")
_FIELD = frozenset(subtokens("pytest python testing"))
_SMALL = frozenset(subtokens("a an the of in and or for under by"))


def named_entry(store: Store, question: str, namespaces: Sequence[str] = NAMESPACES) -> Passage | None:
    """The entry that a question asks for by name and for no more than what that is, or None.

    >>> sorted(_names("mc-dc", "MC/DC, modified condition/decision coverage\\nMC/DC asks for each condition a pair."))
    [('dc', 'mc')]
    """
    asked = _asked(question)
    if not asked:
        return None
    marks = ", ".join("?" * len(namespaces))
    sql = f"SELECT id, namespace, text FROM memories WHERE namespace IN ({marks}) AND valid_to IS NULL ORDER BY row"
    with store.reading() as connection:
        entries = list(connection.execute(sql, tuple(namespaces)))
    for name in asked:
        for id, namespace, text in entries:
            if name in _names(id, text):
                return Passage(id, text, None, None, 1.0, namespace)
    return None


def _asked(question: str) -> list[tuple[str, ...]]:
    """The names that a question may ask about, as sorted stems; none where it asks for something else."""
    text = " ".join(question.lower().split()).strip(" ?.!")
    while (bare := _BEFORE.sub("", text)) != text:
        text = bare
    if not text or len(text) > LONGEST:
        return []
    match = next(found for found in (pattern.fullmatch(text) for pattern in _ASKED) if found)
    name = match["name"].strip(_QUOTES)
    is_specific = _SPECIFIC.match(name) is not None
    key = _key(_ARTICLE.sub("", name).strip(_QUOTES))
    if is_specific and len(key) < 2:  # "the marker" is one of the project's
        return []
    bare_key = tuple(term for term in key if term not in _FIELD)
    return [one for one in dict.fromkeys((key, bare_key)) if one]


@lru_cache(maxsize=1024)
def _names(id: str, text: str) -> frozenset[tuple[str, ...]]:
    """What an entry is called, in sorted stems: of its title, the parts of that, and its id what stands in the first
    sentence of its text, which begins with a word of them."""
    title, _, body = text.partition("\n")
    called = {_key(one) for one in (id, title, *_JOINTS.split(title))} - {()}
    first = _stems(_SENTENCE.split(body, maxsplit=1)[0])
    if not first or first[0] not in {stem for name in called for stem in name}:
        return frozenset()
    return frozenset(name for name in called if set(name) <= set(first))


def _key(name: str) -> tuple[str, ...]:
    return tuple(sorted({*_stems(name)}))


def _stems(text: str) -> list[str]:
    return [stem for stem in subtokens(_BRITISH.sub("iz", text)) if stem not in _SMALL]
