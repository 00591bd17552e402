"""`aqe config`: each setting, its value, and where it comes from."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any

import typer

from aqe.server.cli.output import JsonOption, ProjectOption, kept_where, print_json, project_at


def command(
    key: Annotated[str | None, typer.Argument(metavar="[KEY]", help="Show this setting alone.")] = None,
    json: JsonOption = False,
    project: ProjectOption = None,
) -> None:
    """Show each setting, its value and where it comes from.

    A flag wins over an AQE_* variable, that over [tool.aqe] in pyproject.toml, that over the user's file, that over
    the default. A value of pyproject.toml that would loosen what keeps you safe is ignored, and shown with the reason.
    """
    from aqe.engine.settings import origins, unknown_setting, user_file

    root = project_at(project)
    settings = origins(root)
    if key is not None:
        settings = [setting for setting in settings if setting.key == key]
        if not settings:
            raise unknown_setting(key, "aqe")
    if json:
        print_json("config", {"settings": settings, "user_file": str(user_file())}, project=kept_where(root))
        return
    width = max(len(setting.key) for setting in settings)
    values = {setting.key: _shown(setting.value) for setting in settings}
    wide = max(len(value) for value in values.values())
    for setting in settings:
        print(f"{setting.key:<{width}}  {values[setting.key]:<{wide}}  {setting.origin}")
        if setting.ignored:
            print(f"{'':<{width}}  {setting.ignored}")


def _shown(value: Any) -> str:
    if value is None:
        return "-"
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, Mapping):
        return ", ".join(value) or "-"
    if isinstance(value, tuple):
        return ", ".join(str(one) for one in value) or "-"
    return f"{value:g}" if isinstance(value, float) else str(value)
