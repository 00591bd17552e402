"""Both versions of what is reviewed, for whoever runs their tests."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from aqe.agents.gate.interpreter import Interpreter
from aqe.engine.progress import CancelToken, Progress


@dataclass(frozen=True)
class Sides:
    """Where both versions lie and who runs their tests until when (`deadline`, a reading of `time.monotonic`).

    `base` gives the folder of the base's tree when it is needed; `import_from_head`: the head is not the project that
    is installed.
    """

    head: Path
    base: Callable[[], Path]
    interpreter: Interpreter
    import_from_head: bool
    deadline: float
    progress: Progress
    cancel: CancelToken
