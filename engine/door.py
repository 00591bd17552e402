"""What is handed in at the front door, taken as what it means or refused in one sentence before anything begins.

A text or a path alone stands for a list of it alone, where the answer is the same either way; where one is answered for
each, a text in place of a list is refused, since its letters are no texts.
"""

from __future__ import annotations

import math
import os
from collections.abc import AsyncIterable, Iterable, Mapping, Set
from pathlib import Path
from typing import Any

from aqe.engine.answer import QueryConfig
from aqe.engine.errors import UserError
from aqe.engine.memory.entry import Provenance, check_id, check_provenance, check_text, metadata_json
from aqe.engine.progress import CancelToken

LONGEST_PATH = 4096
MOST_TOGETHER = 256
MOST_LISTED = 1_000_000
LONGEST_WAIT_MS = 3_600_000.0


def given_texts(texts: Any) -> list[str]:
    """One text, or several in order, as a list of texts that say something. Raises `UserError` (bad-text,
    text-too-long, bad-argument)."""
    if isinstance(texts, str):
        return [check_text(texts)]
    found = _listed(texts, "texts", "one text or a list of texts", code="bad-text")
    for place, text in enumerate(found):
        try:
            check_text(text)
        except UserError as error:
            raise UserError(f"Of text {place}: {error.message}", code=error.code, fix=error.fix) from None
    return found


def given_paths(paths: Any) -> list[Path]:
    """One path or several. Raises `UserError` (bad-argument)."""
    if isinstance(paths, str | os.PathLike):
        return [given_path(paths)]
    return [given_path(path) for path in _listed(paths, "paths", "one path or a list of paths")]


def given_path(path: Any) -> Path:
    """A path that the system can be asked for. Raises `UserError` (bad-argument)."""
    if not isinstance(path, str | os.PathLike):
        raise _bad(f"{path!r:.40} is no path", "a text or a Path")
    name = os.fspath(path)
    if not isinstance(name, str) or not name or "\0" in name:
        raise _bad(f"{name!r:.40} is no path", "a text or a Path, without NUL bytes")
    try:
        size = len(os.fsencode(name))
    except UnicodeEncodeError:
        raise _bad(f"{name!r:.40} is no path", "valid Unicode") from None
    if size > LONGEST_PATH:
        raise _bad(f"The path has {size} bytes", f"at most {LONGEST_PATH}")
    return Path(path)


def given_prompts(prompts: Any) -> Any:
    """Many questions, from an async source too. Raises `UserError` (bad-argument)."""
    if isinstance(prompts, AsyncIterable):
        return prompts
    return _listed(prompts, "prompts", "a list of questions; `query` answers one")


def given_window_s(parallel: Any, window_ms: float) -> float:
    """How long a question may wait for others, in seconds, where both numbers are ones. Raises `UserError`
    (bad-limit)."""
    if isinstance(parallel, bool) or not isinstance(parallel, int) or not 1 <= parallel <= MOST_TOGETHER:
        raise UserError(
            f"{parallel!r:.40} is no number of questions.", code="bad-limit", fix=f"Give 1 to {MOST_TOGETHER}."
        )
    is_number = isinstance(window_ms, int | float) and not isinstance(window_ms, bool)
    if not is_number or not 0 <= window_ms <= LONGEST_WAIT_MS or math.isnan(window_ms):
        raise UserError(
            f"{window_ms!r:.40} is no time to wait.",
            code="bad-limit",
            fix=f"Give 0 to {LONGEST_WAIT_MS:.0f} milliseconds.",
        )
    return window_ms / 1000


def given_config(config: Any) -> QueryConfig:
    """How a query is answered, as the settings have it where nothing is said. Raises `UserError` (bad-argument)."""
    if config is None:
        return QueryConfig()
    if not isinstance(config, QueryConfig):
        raise _bad(f"config is {type(config).__name__}, not a QueryConfig", "QueryConfig(...)")
    return config


def given_flag(name: str, value: Any) -> bool:
    """True or false, and nothing that only counts as one: the text "no" would count as true. Raises `UserError`
    (bad-argument)."""
    if not isinstance(value, bool):
        raise _bad(f"`{name}` is {type(value).__name__}, which says neither yes nor no", "True or False")
    return value


def given_count(name: str, value: Any, *, least: int, most: int = MOST_LISTED) -> int:
    """A whole number within its bounds. Raises `UserError` (bad-limit)."""
    if isinstance(value, bool) or not isinstance(value, int) or not least <= value <= most:
        told = type(value).__name__ if not isinstance(value, int | float) else f"{value!r:.40}"
        raise UserError(
            f"`{name}` is {told}, no such number.", code="bad-limit", fix=f"Give a whole number from {least} to {most}."
        )
    return value


def given_callable(name: str, value: Any) -> Any:
    """What can be called. Raises `UserError` (bad-argument)."""
    if not callable(value):
        raise _bad(f"`{name}` is {type(value).__name__}, which cannot be called", "a function")
    return value


def given_cancel(cancel: Any) -> CancelToken | None:
    """What ends long work, or nothing. Raises `UserError` (bad-argument)."""
    if cancel is not None and not isinstance(cancel, CancelToken):
        raise _bad(f"`cancel` is {type(cancel).__name__}, not a CancelToken", "aqe.engine.CancelToken()")
    return cancel


def given_search(query: Any, vector: Any, embedder_id: Any) -> None:
    """Refuse a search for nothing or for what could be no question, and a space that has no name. Raises `UserError`
    (bad-query, bad-text, text-too-long, bad-id)."""
    if embedder_id is not None:
        check_id(embedder_id)
    if isinstance(query, str) and query.strip():
        check_text(query)
    elif vector is None and isinstance(query, str):
        raise UserError("There is nothing to look for.", code="bad-query", fix="Give some words.")


def given_metadata(metadata: Any) -> Mapping[str, Any]:
    """Keys and values, none where nothing is given. Raises `UserError` (bad-metadata)."""
    if metadata is None:
        return {}
    metadata_json(metadata)
    found: Mapping[str, Any] = metadata
    return found


def given_place(file: Any, line: Any) -> Provenance | None:
    """The file and line that a memory is about, where any is said. Raises `UserError` (bad-provenance)."""
    for name, value, kind in (("file", file, str), ("line", line, int)):
        if value is not None and not isinstance(value, kind):
            raise UserError(
                f"The {name} of the memory is {type(value).__name__}.",
                code="bad-provenance",
                fix="Give a path as a text, and a line number.",
            )
    place = check_provenance(Provenance(file or "", line or 0))
    return place if place.file or place.line else None


def given_settings(settings: Any) -> Any:
    """The settings that are to count, or None for those in force. Raises `UserError` (bad-argument)."""
    from aqe.engine.settings import Settings

    if settings is not None and not isinstance(settings, Settings):
        raise _bad(f"`settings` is {type(settings).__name__}, not Settings", "what load_settings gives, or None")
    return settings


def given_providers(providers: Any) -> Any:
    """The providers in order, or None for those of the settings. Raises `UserError` (bad-argument)."""
    if providers is None:
        return None
    found = _listed(providers, "providers", "a list of providers")
    for one in found:
        lacking = [name for name in ("name", "local", "models", "complete", "stream") if not hasattr(one, name)]
        if lacking:
            raise _bad(f"A provider is {type(one).__name__}, which has no `{lacking[0]}`", "a Provider of aqe.engine")
    return found


def _listed(given: Any, name: str, wanted: str, *, code: str = "bad-argument") -> list[Any]:
    """The items in order: neither the letters of a text, nor the keys of a table, nor a set, which has no order."""
    if isinstance(given, str | bytes | bytearray | Mapping | Set) or not isinstance(given, Iterable):
        raise UserError(f"`{name}` is {type(given).__name__}, not a list.", code=code, fix=f"Give {wanted}.")
    try:
        return list(given)
    except TypeError:
        raise UserError(f"`{name}` has nothing in it.", code=code, fix=f"Give {wanted}.") from None


def _bad(message: str, wanted: str) -> UserError:
    return UserError(f"{message}.", code="bad-argument", fix=f"Give {wanted}.")
