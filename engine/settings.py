"""Settings: flags > AQE_* variables > [tool.aqe] in pyproject.toml > the user's file > defaults.

A key has a dotted name (`sandbox.memory_mb`), the same in both files (as tables) and, upper case with
underscores, in the environment (`AQE_SANDBOX_MEMORY_MB`). Every value knows where it came from.
"""

from __future__ import annotations

import difflib
import json
import logging
import os
from collections.abc import Iterator, Mapping, Sequence
from contextvars import ContextVar
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, BeforeValidator, Field, ValidationError
from pydantic.fields import FieldInfo
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource, SettingsConfigDict

from aqe.engine.addresses import checked_address
from aqe.engine.allowed import ANY_TEXT, allowed_values
from aqe.engine.budget import parse_budget
from aqe.engine.errors import AqeError, UserError
from aqe.engine.layers import PREFIX, Layer, variable
from aqe.engine.memory.care.settings import CareSettings
from aqe.engine.memory.settings import MemorySettings
from aqe.engine.project import pyproject_table, toml_table
from aqe.engine.table import Table
from aqe.engine.tightening import tightened, why_ignored

APART = frozenset({"AQE_DB_KEY", "AQE_ENGINE_TOKEN", "AQE_NATIVE", "AQE_PROJECT", "AQE_SIMD"})
"""Variables of the build, secrets and the choice of project: no settings, so no file can hold them."""


def _budget(value: Any) -> float:
    try:
        return parse_budget(value)
    except (AqeError, TypeError):
        raise ValueError("a time above zero like 20, 20s or 2m") from None


Budget = Annotated[float, BeforeValidator(_budget)]


def _names(value: Any) -> Any:
    return [name.strip() for name in value.split(",") if name.strip()] if isinstance(value, str) else value


Names = Annotated[tuple[Annotated[str, Field(min_length=1)], ...], BeforeValidator(_names)]


class SandboxSettings(Table):
    """`[tool.aqe.sandbox]`: what the box around unknown code allows."""

    allow_weak: bool = Field(default=False, description="run unknown code even where this system gives no isolation")
    memory_mb: int = Field(default=1024, ge=64, le=1_048_576, description="memory of a box, in MB")
    processes: int = Field(default=48, ge=2, le=65_536, description="processes and threads in a box")
    scratch_mb: int = Field(default=64, ge=1, le=1_048_576, description="size of a box's scratch folder, in MB")


class LocalSettings(Table):
    """`[tool.aqe.local]`: models on this machine."""

    enabled: bool = Field(default=True, description="false: no model on this machine is asked, from the next call on")


class CloudSettings(Table):
    """`[tool.aqe.cloud]`: models elsewhere."""

    enabled: bool = Field(default=True, description="false: no model elsewhere is asked, from the next call on")


class RouterSettings(Table):
    """`[tool.aqe.router]`: which model a request goes to."""

    strategy: Literal["balanced", "cost", "latency", "quality", "privacy"] = Field(
        default="balanced", description="what counts most where a request does not say"
    )
    force: Literal["none", "local", "cloud"] = Field(
        default="none", description="local or cloud: every request goes there, whatever it asks for"
    )
    local_tasks: Names = Field(default=(), description="tasks that stay on this machine, a list or `a,b`")
    cloud_tasks: Names = Field(default=(), description="tasks that go to a cloud model, a list or `a,b`")
    rounds: int = Field(
        default=3,
        ge=1,
        le=10,
        description="how often all models are tried before a request fails; from 2 on a provider that nobody stands in"
        " for gets two rounds more, within 8 s, where it may soon be back",
    )


class BreakerSettings(Table):
    """`[tool.aqe.breaker]`: when a failing model is left alone."""

    failure_percent: int = Field(default=50, ge=1, le=100, description="share of failed calls that opens the breaker")
    slow_percent: int = Field(default=80, ge=1, le=100, description="share of slow calls that opens it")
    slow_s: Budget = Field(default=20.0, description="a call that takes longer is slow")
    window_s: Budget = Field(default=60.0, description="the calls of this long are looked at")
    min_calls: int = Field(default=5, ge=1, le=10_000, description="with fewer calls in the window it stays closed")
    open_s: Budget = Field(default=15.0, description="how long it stays open at first; doubles up to 16 times that")


class ProviderSettings(Table):
    """`[tool.aqe.providers.NAME]`: one server of models."""

    kind: Literal["openai-compatible"] = Field(description="what the server speaks")
    base_url: Annotated[
        str, Field(min_length=1, pattern=r"^https?://[^/\s@\\?#]+(/\S*)?$"), AfterValidator(checked_address)
    ] = Field(
        description="where it listens: http:// or https://, a host, and where it has one a port from 1 to 65535; local"
        " when that is this machine's loopback"
    )
    models: Names = Field(min_length=1, description="the models to use, best first")
    api_key_env: str | None = Field(default=None, min_length=1, description="the variable that holds its key")
    quality: float | None = Field(default=None, ge=0, le=1, description="how good its models are, from 0 to 1")
    input_usd: float | None = Field(default=None, ge=0, description="US dollars for a million tokens in")
    output_usd: float | None = Field(default=None, ge=0, description="US dollars for a million tokens out")
    priority: int = Field(default=0, ge=-100, le=100, description="a higher one is asked before all lower ones")
    max_concurrency: int = Field(default=4, ge=1, le=1000, description="calls at a time")
    timeout_s: Budget = Field(default=30.0, description="the longest that one call may take")


class RequestSettings(Table):
    """`[tool.aqe.requests]`: what is kept of answered requests."""

    kept: int = Field(default=10_000, ge=100, le=10_000_000, description="answers kept; the oldest go beyond it")


class SessionSettings(Table):
    """`[tool.aqe.sessions]`: conversations."""

    expire_days: int = Field(
        default=30,
        ge=0,
        le=36_500,
        description="an unused session ends after this time, and goes after it again; 0: never",
    )
    size_kb: int = Field(
        default=1024, ge=1, le=1_048_576, description="the most that a session's turns may hold, in kB"
    )
    token_budget: int = Field(
        default=4000,
        ge=64,
        le=10_000_000,
        description="tokens of a session that a model is given; older turns are summarised",
    )


class LearningSettings(Table):
    """`[tool.aqe.learning]`: what feedback does."""

    enabled: bool = Field(default=True, description="false: feedback is kept, and moves no ranking, from the next call")
    min_marks: int = Field(
        default=15, ge=1, le=10_000, description="answers that must have been marked before feedback moves a ranking"
    )


class PrivacySettings(Table):
    """`[tool.aqe.privacy]`: what may leave this machine, and how."""

    mode: Literal["strict", "balanced", "off"] = Field(
        default="balanced",
        description="strict: nothing leaves; balanced: redacted and after your consent; off: as it is. All is audited",
    )
    mcp_content: Literal["auto", "full", "redacted", "references"] = Field(
        default="auto",
        description="what an MCP client is given; auto: full with mode off, else redacted; references: no text at all",
    )
    never_send: Names = Field(
        default=(),
        description="globs of files whose text goes to no model elsewhere and no MCP client, a list or `a,b`",
    )


class KnowledgeSettings(Table):
    """`[tool.aqe.knowledge]`: what aqe knows about testing."""

    enabled: bool = Field(default=True, description="false: answers rest on the project alone, from the next call on")


class HttpSettings(Table):
    """`[tool.aqe.http]`: the server's HTTP face."""

    port: int = Field(default=8765, ge=0, le=65_535, description="port of `aqe serve --http`; 0 takes a free one")


class Settings(BaseSettings):
    """All settings, frozen; `load_settings` makes them."""

    model_config = SettingsConfigDict(frozen=True, extra="forbid")

    python: str | None = Field(default=None, min_length=1, description="the interpreter that runs the project's code")
    store: Literal["shared", "local"] = Field(
        default="shared", description="whether a git worktree shares the main worktree's memory"
    )
    budget: Budget = Field(default=20.0, description="wall time of `aqe generate`")
    embedder: Annotated[str, Field(pattern=r"^(static|sentence-transformers:\S.*)$")] = Field(
        default="static", description="what embeds texts: static, or sentence-transformers:FOLDER (an extra)"
    )
    engine_server: Annotated[str, Field(pattern=r"^https?://\S+$"), AfterValidator(checked_address)] | None = Field(
        default=None, description="address of the aqe server whose memory agents use, in place of the project's own"
    )
    durability: Literal["normal", "full"] = Field(
        default="normal", description="full: memory survives a power loss too, at a slower write"
    )
    sandbox: SandboxSettings = Field(default_factory=lambda: SandboxSettings())
    http: HttpSettings = Field(default_factory=lambda: HttpSettings())
    local: LocalSettings = Field(default_factory=lambda: LocalSettings())
    cloud: CloudSettings = Field(default_factory=lambda: CloudSettings())
    router: RouterSettings = Field(default_factory=lambda: RouterSettings())
    breaker: BreakerSettings = Field(default_factory=lambda: BreakerSettings())
    requests: RequestSettings = Field(default_factory=lambda: RequestSettings())
    sessions: SessionSettings = Field(default_factory=lambda: SessionSettings())
    learning: LearningSettings = Field(default_factory=lambda: LearningSettings())
    knowledge: KnowledgeSettings = Field(default_factory=lambda: KnowledgeSettings())
    memory: MemorySettings = Field(default_factory=lambda: MemorySettings())
    care: CareSettings = Field(default_factory=lambda: CareSettings())
    privacy: PrivacySettings = Field(default_factory=lambda: PrivacySettings())
    providers: Mapping[str, ProviderSettings] = Field(
        default={}, description="servers of models, one table each; the variable holds a JSON object"
    )


TABLES: Mapping[str, type[BaseModel]] = {"providers": ProviderSettings}
"""Keys whose value is one table for each name that the user chose, with the model of such a table. Tables of one name
are never joined over two places: a project cannot send a key of the user's elsewhere by changing the address alone."""


@dataclass(frozen=True)
class SettingValue:
    """One setting: dotted `key`, `value`, where it came from, what it is for, and what was ignored and why (or "")."""

    key: str
    value: Any
    origin: str
    description: str
    ignored: str = ""


@cache
def declared_keys(table: type[BaseModel] = Settings, prefix: str = "") -> Mapping[str, FieldInfo]:
    """Each dotted key with its field."""
    keys: dict[str, FieldInfo] = {}
    for name, field in table.model_fields.items():
        kind = field.annotation
        if isinstance(kind, type) and issubclass(kind, BaseModel):
            keys |= declared_keys(kind, f"{prefix}{name}.")
        else:
            keys[prefix + name] = field
    return keys


def user_file() -> Path:
    """The user's own settings file, by the platform's custom."""
    import platformdirs

    return platformdirs.user_config_path("aqe", appauthor=False) / "config.toml"


def load_settings(
    project: Path, flags: Mapping[str, Any] | None = None, environ: Mapping[str, str] | None = None
) -> Settings:
    """The settings in force in `project`; `flags` maps dotted keys to what the command line gave (None: not given).

    Raises `UserError` (unknown-setting, bad-setting) that names the file, the key and the value.
    """
    layers = _layers(project, flags, environ)
    settings = _combine(layers)
    for key in layers[2].ignored:
        if why := why_ignored(layers, key, declared_keys()):
            _warn_once(f"{key} = {why}.")
    return settings


def origins(
    project: Path, flags: Mapping[str, Any] | None = None, environ: Mapping[str, str] | None = None
) -> list[SettingValue]:
    """Each setting with its value and where it comes from, by key."""
    layers = _layers(project, flags, environ)
    settings = _combine(layers)
    found = []
    for key, about in declared_keys().items():
        value: Any = settings
        for part in key.split("."):
            value = getattr(value, part)
        origin = _origin(layers, key) or "default"
        found.append(
            SettingValue(key, value, origin, about.description or "", why_ignored(layers, key, declared_keys()))
        )
    return sorted(found, key=lambda setting: setting.key)


def unknown_setting(key: str, where: str) -> UserError:
    """The error for a key that nothing reads, with the nearest one that exists."""
    near = difflib.get_close_matches(key, declared_keys(), n=1, cutoff=0.5)
    fix = f"Did you mean {near[0]!r}?" if near else "`aqe config` lists the settings."
    return UserError(f"{where} has no setting named {key!r}.", code="unknown-setting", fix=fix)


def _origin(layers: Sequence[Layer], key: str) -> str:
    return next((layer.origin_of(key) for layer in layers if key in layer.values), "")


def _layers(project: Path, flags: Mapping[str, Any] | None, environ: Mapping[str, str] | None) -> tuple[Layer, ...]:
    own, user = project / "pyproject.toml", user_file()
    of_user = _file(str(user), toml_table(user))
    return (
        Layer("flag", {key: value for key, value in (flags or {}).items() if value is not None}),
        _environment(os.environ if environ is None else environ),
        tightened(_file(str(own), pyproject_table(project), "[tool.aqe] in "), of_user, declared_keys()),
        of_user,
    )


def _environment(environ: Mapping[str, str]) -> Layer:
    known = {variable(key): key for key in declared_keys()}
    values = {}
    for name, text in environ.items():
        if not name.startswith(PREFIX) or name in APART:
            continue
        if name in known:
            values[known[name]] = _table_from(text) if known[name] in (*TABLES, "memory.shares") else text
        else:
            _warn_unknown(name, known)
    return Layer("environment", values)


def _table_from(text: str) -> Any:
    """The JSON object of a variable that stands for tables; what is none is left for the check to refuse."""
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return text


_log = logging.getLogger(__name__)
_warned: set[str] = set()


def _warn_once(message: str) -> None:
    if message not in _warned:
        _warned.add(message)
        _log.warning("%s", message)


def _warn_unknown(name: str, known: Mapping[str, str]) -> None:
    near = difflib.get_close_matches(name, [*known, *APART], n=1, cutoff=0.75)
    advice = f"; did you mean {near[0]}?" if near else "."
    _warn_once(f"The variable {name} is no setting of aqe and has no effect{advice}")


def _file(name: str, table: Mapping[str, Any], before: str = "") -> Layer:
    values = dict(_flat(table))
    for key in values:
        if key not in declared_keys():
            raise unknown_setting(key, f"{before}{name!r}")
    return Layer(name, values)


def _flat(table: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    for name, value in table.items():
        if isinstance(value, Mapping) and f"{prefix}{name}" not in declared_keys():
            yield from _flat(value, f"{prefix}{name}.")
        else:
            yield f"{prefix}{name}", value


class _LayerSource(PydanticBaseSettingsSource):
    """A layer as a source of pydantic-settings."""

    def __init__(self, layer: Layer) -> None:
        super().__init__(Settings)
        self._nested: dict[str, Any] = {}
        for key, value in layer.values.items():
            if key in TABLES:
                continue  # joined by name in `_combine`, not within a name
            *tables, last = key.split(".")
            table = self._nested
            for name in tables:
                table = table.setdefault(name, {})
            table[last] = value

    def get_field_value(self, field: FieldInfo, field_name: str) -> tuple[Any, str, bool]:
        return self._nested.get(field_name), field_name, False

    def __call__(self) -> dict[str, Any]:
        return self._nested


def _combine(layers: Sequence[Layer]) -> Settings:
    tables = {key: joined for key in TABLES if (joined := _joined(layers, key)) is not None}
    held = _SOURCES.set(tuple(_LayerSource(layer) for layer in layers))
    try:
        return _layered()(**tables)
    except ValidationError as exc:
        problem = min(exc.errors(), key=lambda one: one["type"] == "missing")  # a misspelt key explains a missing one
        raise _wrong_value(layers, problem) from exc
    finally:
        _SOURCES.reset(held)


_SOURCES: ContextVar[tuple[_LayerSource, ...]] = ContextVar("_SOURCES", default=())


@cache
def _layered() -> type[Settings]:
    """The settings as read from the layers in `_SOURCES`: a class of pydantic takes milliseconds to make."""

    class Layered(Settings):
        @classmethod
        def settings_customise_sources(
            cls, settings_cls: type[BaseSettings], *args: Any, **kwargs: Any
        ) -> tuple[PydanticBaseSettingsSource, ...]:
            return (kwargs["init_settings"], *_SOURCES.get())

    return Layered


def _joined(layers: Sequence[Layer], key: str) -> Any:
    """The tables of all places, of each name the one of the place that wins; None where no place has any."""
    found: dict[str, Any] = {}
    for layer in reversed(layers):
        value = layer.values.get(key, {})
        if not isinstance(value, Mapping):
            return value  # the check refuses it
        found |= value
    return found or None


def _wrong_value(layers: Sequence[Layer], problem: Any) -> UserError:
    parts = [str(part) for part in problem["loc"] if part != "[key]"]
    if parts[0] in TABLES:
        return _wrong_table(layers, parts, problem)
    key = next(key for end in range(len(parts), 0, -1) if (key := ".".join(parts[:end])) in declared_keys())
    allowed = allowed_values(declared_keys()[key])
    about = f"; it is {declared_keys()[key].description}" if allowed == ANY_TEXT else ""
    return UserError(
        f"The setting {key!r} from {_origin(layers, key)} is {_said(problem['input'])}.",
        code="bad-setting",
        fix=f"Allowed: {allowed}{about}.",
    )


def _said(value: Any) -> str:
    """A refused value as an error repeats it: without the password of an address that has one."""
    from aqe.engine.privacy.structure import redacted

    return repr(redacted(value))


def _wrong_table(layers: Sequence[Layer], parts: Sequence[str], problem: Any) -> UserError:
    """The error for a table that the user named: a key too many, a key too few, or a value that it cannot have."""
    key, fields = ".".join(parts[:3]), TABLES[parts[0]].model_fields
    origin = _table_origin(layers, parts)
    if len(parts) < 3:
        return UserError(
            f"The setting {key!r} from {origin} is {_said(problem['input'])}.",
            code="bad-setting",
            fix="Allowed: a table, or a JSON object in the variable.",
        )
    if problem["type"] == "extra_forbidden":
        near = difflib.get_close_matches(parts[2], fields, n=1, cutoff=0.5)
        fix = f"Did you mean {near[0]!r}?" if near else f"It may have: {', '.join(fields)}."
        return UserError(f"{origin} has no setting named {key!r}.", code="unknown-setting", fix=fix)
    about = fields[parts[2]].description
    if problem["type"] == "missing":
        return UserError(f"The setting {key!r} is missing in {origin}.", code="bad-setting", fix=f"It is {about}.")
    return UserError(
        f"The setting {key!r} from {origin} is {_said(problem['input'])}.",
        code="bad-setting",
        fix=f"Allowed: {allowed_values(fields[parts[2]])}; it is {about}.",
    )


def _table_origin(layers: Sequence[Layer], parts: Sequence[str]) -> str:
    for layer in layers:
        tables = layer.values.get(parts[0])
        if tables is not None and (len(parts) < 2 or not isinstance(tables, Mapping) or parts[1] in tables):
            return layer.origin_of(parts[0])
    return "default"
