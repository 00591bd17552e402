"""Virtual environments with pinned packages for benchmarks, made once and kept."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path


def environment(folder: Path, packages: Iterable[str]) -> Path:
    """The Python of an environment in `folder` that holds exactly the named packages and what they need."""
    python = folder / "bin" / "python"
    wanted = sorted(packages)
    stamp = folder / "wanted.txt"
    if python.exists() and stamp.exists() and stamp.read_text(encoding="utf-8") == "\n".join(wanted):
        return python
    print(f"Making an environment with {', '.join(wanted)}", file=sys.stderr, flush=True)
    subprocess.run([sys.executable, "-m", "venv", "--clear", str(folder)], check=True)
    subprocess.run([str(python), "-m", "pip", "install", "-q", *wanted], check=True)
    stamp.write_text("\n".join(wanted), encoding="utf-8")
    return python
