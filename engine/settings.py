"""Settings: flags > AQE_* variables > [tool.aqe] in pyproject.toml > the user's file > defaults.

A key has a dotted name (`sandbox.memory_mb`), the same in both files (as tables) and, upper case with
underscores, in the environment (`AQE_SANDBOX_MEMORY_MB`). Every value knows where it came from.
"""

from __future__ import annotations

import difflib
import logging
import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError
from pydantic.fields import FieldInfo
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource, SettingsConfigDict

from aqe.engine.budget import parse_budget
from aqe.engine.errors import AqeError, UserError
from aqe.engine.project import pyproject_table, toml_table

PREFIX = "AQE_"
APART = frozenset({"AQE_DB_KEY", "AQE_NATIVE", "AQE_PROJECT", "AQE_SIMD"})
"""Variables of the build, secrets and the choice of project: no settings, so no file can hold them."""


def _budget(value: Any) -> float:
    try:
        return parse_budget(value)
    except (AqeError, TypeError):
        raise ValueError("a time above zero like 20, 20s or 2m") from None


Budget = Annotated[float, BeforeValidator(_budget)]


class _Table(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class SandboxSettings(_Table):
    """`[tool.aqe.sandbox]`: what the box around unknown code allows."""

    allow_weak: bool = Field(default=False, description="run unknown code even where this system gives no isolation")
    memory_mb: int = Field(default=1024, ge=64, le=1_048_576, description="memory of a box, in MB")
    processes: int = Field(default=48, ge=2, le=65_536, description="processes and threads in a box")
    scratch_mb: int = Field(default=64, ge=1, le=1_048_576, description="size of a box's scratch folder, in MB")


class HttpSettings(_Table):
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
    durability: Literal["normal", "full"] = Field(
        default="normal", description="full: memory survives a power loss too, at a slower write"
    )
    sandbox: SandboxSettings = Field(default_factory=lambda: SandboxSettings())
    http: HttpSettings = Field(default_factory=lambda: HttpSettings())


@dataclass(frozen=True)
class SettingValue:
    """One setting: dotted `key`, `value`, where it came from, and what it is for."""

    key: str
    value: Any
    origin: str
    description: str


@dataclass(frozen=True)
class Layer:
    """One place that settings come from: its name and the values by dotted key."""

    origin: str
    values: Mapping[str, Any]

    def origin_of(self, key: str) -> str:
        """The place of one value, in the words the user would use to find it."""
        if self.origin == "environment":
            return variable(key)
        return f"--{key.replace('_', '-')}" if self.origin == "flag" else self.origin


def variable(key: str) -> str:
    """The environment variable of a key.

    >>> variable("sandbox.memory_mb")
    'AQE_SANDBOX_MEMORY_MB'
    """
    return PREFIX + key.replace(".", "_").upper()


def declared_keys(table: type[BaseModel] = Settings, prefix: str = "") -> dict[str, FieldInfo]:
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
    return _combine(_layers(project, flags, environ))


def origins(
    project: Path, flags: Mapping[str, Any] | None = None, environ: Mapping[str, str] | None = None
) -> list[SettingValue]:
    """Each setting with its value and where it comes from, by key."""
    layers = _layers(project, flags, environ)
    settings = _combine(layers)
    found = []
    for key, field in declared_keys().items():
        value: Any = settings
        for part in key.split("."):
            value = getattr(value, part)
        found.append(SettingValue(key, value, _origin(layers, key) or "default", field.description or ""))
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
    return (
        Layer("flag", {key: value for key, value in (flags or {}).items() if value is not None}),
        _environment(os.environ if environ is None else environ),
        _file(str(own), pyproject_table(project), "[tool.aqe] in "),
        _file(str(user), toml_table(user)),
    )


def _environment(environ: Mapping[str, str]) -> Layer:
    known = {variable(key): key for key in declared_keys()}
    values = {}
    for name, text in environ.items():
        if not name.startswith(PREFIX) or name in APART:
            continue
        if name in known:
            values[known[name]] = text
        else:
            _warn_unknown(name, known)
    return Layer("environment", values)


_log = logging.getLogger(__name__)
_warned: set[str] = set()


def _warn_unknown(name: str, known: Mapping[str, str]) -> None:
    if name in _warned:
        return
    _warned.add(name)
    near = difflib.get_close_matches(name, [*known, *APART], n=1, cutoff=0.75)
    advice = f"; did you mean {near[0]}?" if near else "."
    _log.warning("The variable %s is no setting of aqe and has no effect%s", name, advice)


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
    sources = tuple(_LayerSource(layer) for layer in layers)

    class Layered(Settings):
        @classmethod
        def settings_customise_sources(
            cls, settings_cls: type[BaseSettings], *args: Any, **kwargs: Any
        ) -> tuple[PydanticBaseSettingsSource, ...]:
            return sources

    try:
        return Layered()
    except ValidationError as exc:
        problem = exc.errors()[0]
        raise _wrong_value(layers, problem) from exc


def _wrong_value(layers: Sequence[Layer], problem: Any) -> UserError:
    key = ".".join(str(part) for part in problem["loc"])
    return UserError(
        f"The setting {key!r} from {_origin(layers, key)} is {problem['input']!r}.",
        code="bad-setting",
        fix=f"Allowed: {allowed_values(declared_keys()[key])}.",
    )


def allowed_values(field: FieldInfo) -> str:
    """What a setting may be, in words."""
    if field.annotation is bool:
        return "true or false"
    choices = getattr(field.annotation, "__args__", ())
    if choices and all(isinstance(choice, str) for choice in choices):
        return " or ".join(repr(choice) for choice in choices)
    if field.annotation is int:
        bounds: dict[str, Any] = {}
        for rule in field.metadata:
            bounds |= {name: getattr(rule, name) for name in ("ge", "le") if hasattr(rule, name)}
        return f"a whole number from {bounds['ge']} to {bounds['le']}"
    if field.annotation is float:
        return "a time above zero like 20, 20s or 2m"
    return "a text that is not empty"
