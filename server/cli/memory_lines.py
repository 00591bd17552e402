"""What `aqe memory add` and `aqe memory search` take from their options and from the lines of --jsonl."""

from __future__ import annotations

import json as jsonlib
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

from aqe.engine.errors import UserError

if TYPE_CHECKING:
    from aqe.engine.embedding import Embedder
    from aqe.engine.memory import SearchAnswer, Store
    from aqe.engine.memory.store import Prior


SEARCH_KEYS = ("id", "query", "vector", "k", "namespace", "filter", "embedder_id")
"""What a search reads of a line."""


def read_pairs(metadata: Iterable[str] | None) -> dict[str, Any]:
    """The KEY=VALUE of --metadata; a value that is JSON is taken as such. Raises `UserError` (bad-metadata)."""
    found = {}
    for pair in metadata or ():
        key, equals, value = pair.partition("=")
        if not equals or not key:
            raise UserError(f"--metadata {pair!r} is no KEY=VALUE.", code="bad-metadata", fix="Write KEY=VALUE.")
        try:
            found[key] = jsonlib.loads(value)
        except (ValueError, RecursionError):
            found[key] = value
    return found


def refuse_beside_lines(**given: object) -> None:
    """With --jsonl the lines say what only a line can say. Raises `UserError` (bad-argument)."""
    for name, value in given.items():
        if value is not None:
            raise UserError(f"{name} does not go with --jsonl.", code="bad-argument", fix="Put it into the lines.")


def check_defaults(defaults: Mapping[str, Any]) -> None:
    """Refuse wrong options before anything is opened or read. Raises `UserError` (bad-ttl, bad-namespace)."""
    from aqe.engine.memory.entry import check_new_namespace
    from aqe.engine.memory.growth.expiry import read_ttl

    check_new_namespace(defaults["namespace"])
    if defaults.get("ttl") is not None:
        read_ttl(defaults["ttl"])


def check_search(k: int, namespace: str | None, filter: Mapping[str, Any]) -> None:
    """Refuse wrong options before a line is read. Raises `UserError` (bad-limit, bad-namespace, bad-filter)."""
    from aqe.engine.memory.entry import check_limit
    from aqe.engine.memory.search.searching import MOST_HITS, wanted_in

    check_limit(k, MOST_HITS)
    wanted_in(namespace, filter)


def with_defaults(line: Mapping[str, Any], defaults: Mapping[str, Any]) -> dict[str, Any]:
    """A line with what it leaves out; its own metadata goes before that of the options, key by key.

    >>> with_defaults({"text": "a", "metadata": {"n": 1}}, {"run": "r", "metadata": {"n": 2, "by": "me"}})
    {'run': 'r', 'metadata': {'n': 1, 'by': 'me'}, 'text': 'a'}
    """
    own = {name: value for name, value in line.items() if value is not None}
    if isinstance(own.get("metadata"), dict):
        own["metadata"] = {**(defaults.get("metadata") or {}), **own["metadata"]}
    given = {name: value for name, value in defaults.items() if name != "line" or "file" not in own}
    return {**given, **own}


def found_for(
    store: Store,
    embedder: Embedder,
    line: Mapping[str, Any],
    *,
    prior: Prior | None,
    explain: bool,
) -> SearchAnswer:
    """The answer to one line; a vector whose maker it does not name is of the space of such vectors. Raises
    `UserError` (bad-query, and those of a search)."""
    from aqe.engine.memory.entry import GIVEN
    from aqe.engine.retrieval import find

    query, vector, named = line.get("query"), line.get("vector"), line.get("embedder_id")
    if query is None and vector is None:
        raise UserError(
            "The line has neither the key 'query' nor 'vector'.", code="bad-query", fix='Write {"query": "..."}.'
        )
    return find(
        store,
        embedder,
        checked_query(query, vector),
        vector=vector,
        k=line["k"],
        namespace=line.get("namespace"),
        filter=line.get("filter"),
        embedder_id=GIVEN if named is None and vector is not None else named,
        prior=prior,
        explain=explain,
    )


def checked_query(query: Any, vector: object = None) -> Any:
    """A query that says something. Raises `UserError` (bad-query, bad-text, text-too-long)."""
    from aqe.engine.door import given_search

    given_search("" if query is None else query, vector, None)
    return query
