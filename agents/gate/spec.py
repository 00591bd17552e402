"""What one box is asked for: the interpreter, the folders it may read, its limits."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True)
class Limits:
    """What one box may use; `memory_mb` and `processes` hold for the whole tree where the rung can watch it."""

    memory_mb: int = 1024
    processes: int = 48
    scratch_mb: int = 64
    scratch_files: int = 20000
    open_files: int = 256
    output_kb: int = 4096


@dataclass(frozen=True)
class BoxSpec:
    """What runs where. `path` goes first on sys.path inside; all paths are bound read-only at the same place.

    `files` (relative name to bytes) are written into the scratch folder before the start. The environment inside is a
    clean one with `env` on top; "{scratch}" in a value becomes the scratch folder. The project's own suite runs in the
    user's environment, but not in a box: see `aqe.agents.gate.suite`.
    """

    python: str
    project: str
    path: tuple[str, ...] = ()
    readable: tuple[str, ...] = ()
    files: Mapping[str, bytes] = field(default_factory=dict)
    hash_seed: int = 0
    env: Mapping[str, str] = field(default_factory=dict)
    cwd: str | None = None
    limits: Limits = field(default_factory=Limits)
