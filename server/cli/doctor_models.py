"""What `aqe doctor` finds out about the configured models, the embedder and what searches need; nothing goes beyond
this machine."""

from __future__ import annotations

import http.client
import os
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.util import find_spec
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

if TYPE_CHECKING:
    from aqe.engine.settings import ProviderSettings, Settings

ANSWER_S = 2.0
"""How long a server on this machine may take to say anything."""


@dataclass(frozen=True)
class Checked:
    """A provider or the embedder: whether it can work as far as this machine tells, what was found, and what to do."""

    name: str
    ok: bool
    state: str
    fix: str


def check_providers(settings: Settings, environ: Mapping[str, str] | None = None) -> list[Checked]:
    """Each configured provider: its extra, the variable of its key, and on loopback whether its server answers."""
    given = os.environ if environ is None else environ
    return [_provider(name, table, given) for name, table in sorted(settings.providers.items())]


def check_embedder(settings: Settings) -> Checked:
    """The embedder, opened as a first question would open it."""
    from aqe.engine.errors import AqeError

    try:
        from aqe.engine.embedding import open_embedder

        open_embedder(settings)
    except AqeError as error:
        return Checked(settings.embedder, False, error.message, error.fix)
    except Exception as error:  # such as no kernels to run on, which have a line of their own
        return Checked(settings.embedder, False, f"it cannot be opened: {error}", "")
    return Checked(settings.embedder, True, "ready", "")


def refused_by_searches(settings: Settings) -> str:
    """Why every search of the memory would refuse the settings, in sentences; "" where none does."""
    from aqe.engine.errors import AqeError
    from aqe.engine.memory.meaning.hnsw import library
    from aqe.engine.memory.search.rank import parse_rank

    memory, said = settings.memory, list[str]()
    try:
        if memory.rank.strip() != "similarity":
            parse_rank(memory.rank, candidates=memory.rank_candidates, half_life_days=memory.half_life_days)
    except AqeError as error:
        said.append(str(error))
    try:
        if memory.index == "hnsw":
            library()
    except AqeError as error:
        said.append(str(error))
    return " ".join(said)


def _provider(name: str, table: ProviderSettings, environ: Mapping[str, str]) -> Checked:
    from aqe.engine.extras import missing_extra
    from aqe.engine.providers.configured import is_loopback, origin_of

    if not _is_installed("openai"):
        error = missing_extra("It", extra="openai")
        return Checked(name, False, error.message, error.fix)
    variable = table.api_key_env
    if variable is not None and not environ.get(variable):
        return Checked(name, False, f"the variable {variable} with its key is not set", f"Set {variable}.")
    if not is_loopback(table.base_url):
        return Checked(name, True, f"{origin_of(table.base_url)} is not this machine and was not asked", "")
    wrong = _silence(table.base_url)
    if wrong:
        fix = "Start its server, or correct base_url."
        return Checked(name, False, f"no answer at {origin_of(table.base_url)}: {wrong}", fix)
    return Checked(name, True, f"answers at {origin_of(table.base_url)}", "")


def _is_installed(module: str) -> bool:
    try:
        return find_spec(module) is not None
    except ValueError:  # it is known not to be
        return False


def _silence(url: str) -> str:
    """Why a server on this machine does not answer; "" where it does, whatever it says. No key is sent."""
    parts = urlsplit(url)
    made = http.client.HTTPSConnection if parts.scheme == "https" else http.client.HTTPConnection
    connection = made(parts.hostname or "", parts.port, timeout=ANSWER_S)
    try:
        connection.connect()
        connection.request("GET", parts.path.rstrip("/") + "/models")
        connection.getresponse()
    except TimeoutError:
        return f"nothing within {ANSWER_S:g} s"
    except (OSError, http.client.HTTPException) as error:
        return (error.strerror if isinstance(error, OSError) else None) or type(error).__name__
    finally:
        connection.close()
    return ""
