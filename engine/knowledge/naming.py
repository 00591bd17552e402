"""Which entry of the knowledge tells what something is, asked by its name: "What is MC/DC?", "mutation testing".

Such a question has one word that tells, or two, and many entries have those; the one that is about the thing bears its
name as a title or id and begins its text with it. An entry of the project's own bears its title, however its text
begins; `the`, `our` and the like before a name are no part of it, in a question as in such a title.
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
_WHOSE = re.compile(r"^(?:an?|the|this|that|our|my|your|its)\s+")
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
    own = own_entry(store, question, namespaces)
    if own is not None:
        return own[0]
    asked = _asked(question)
    entries = _entries(store, namespaces, own=False) if asked else []
    for name in asked:
        for id, namespace, text in entries:
            if name in _names(id, text):
                return Passage(id, text, None, None, 1.0, namespace)
    return None


def own_entry(
    store: Store, question: str, namespaces: Sequence[str] = NAMESPACES, *, in_words: bool = False
) -> tuple[Passage, frozenset[str]] | None:
    """As `named_entry`, of the entries that the project added, with the stems of the name; with `in_words` None for a
    question that is the name alone."""
    name = _name_in(question)
    asked = {*_asked(question), *_titles(name)} - {()}
    if not asked or (in_words and name == _plain(question)):
        return None
    for id, namespace, text in _entries(store, namespaces, own=True):
        if same := asked & (_titles(text.partition("\n")[0].lower()) | _names(id, text)):
            return Passage(id, text, None, None, 1.0, namespace), frozenset(min((len(one), one) for one in same)[1])
    return None


def names_all(stems: frozenset[str], text: str) -> bool:
    """Whether a text has each stem of a name."""
    return stems <= set(_stems(text))


def _entries(store: Store, namespaces: Sequence[str], *, own: bool) -> list[tuple[str, str, str]]:
    """Id, namespace and text of each entry that the project added (`own`), or of each that is shipped."""
    marks = ", ".join("?" * len(namespaces))
    sql = (
        f"SELECT id, namespace, text FROM memories WHERE namespace IN ({marks}) AND valid_to IS NULL"
        f""" AND (instr(metadata, '"starter":') = 0) = ? ORDER BY row"""
    )
    with store.reading() as connection:
        return [(str(id), str(at), str(text)) for id, at, text in connection.execute(sql, (*namespaces, int(own)))]


def _titles(name: str) -> set[tuple[str, ...]]:
    """The keys of a name with and without the word before it that says whose it is."""
    return {_key(name), _key(_WHOSE.sub("", name).strip(_QUOTES))} - {()}


def _plain(question: str) -> str:
    """A question in small letters without what is said before and after it; "" where it is too long."""
    text = " ".join(question.lower().split()).strip(" ?.!")
    while (bare := _BEFORE.sub("", text)) != text:
        text = bare
    return text if len(text) <= LONGEST else ""


def _name_in(question: str) -> str:
    """What a question may ask about."""
    text = _plain(question)
    match = next((found for found in (pattern.fullmatch(text) for pattern in _ASKED) if found), None)
    return "" if match is None else match["name"].strip(_QUOTES)


def _asked(question: str) -> list[tuple[str, ...]]:
    """The names that a question may ask about, as sorted stems; none where it asks for something else."""
    name = _name_in(question)
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
