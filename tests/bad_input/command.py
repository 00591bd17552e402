"""The real command in a project's folder, in a mount namespace of its own where a row asks for one."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

from bad_input.rows import NotHere
from tests.warm_command import WarmCommand, warm_command


def run_aqe(project: Path, *command: str, inside: tuple[str, ...] = ()) -> subprocess.CompletedProcess[str]:
    """The real command in the project's folder, with no setting of this machine."""
    environment = {key: value for key, value in os.environ.items() if not key.startswith(("AQE_", "VIRTUAL_ENV"))}
    environment["XDG_CONFIG_HOME"] = str(project.parent / "config")
    warm = WARM_INSIDE if inside else warm_command()
    return warm.run(command, cwd=project, env=environment, before=inside[:1], after=inside[1:])


def namespace() -> list[str]:
    """The command that opens a mount namespace, where the system lets us."""
    command = ["unshare", *(["--map-root-user"] if os.geteuid() else []), "--mount"]
    if shutil.which("unshare") is None or subprocess.run([*command, "true"], check=False).returncode:
        raise NotHere("this system gives no mount namespace")
    return command


WARM_INSIDE = WarmCommand(namespace)
"""The command in a mount namespace; what one row mounts lies over its own project alone."""
