"""The README's transcript is what the commands in it print."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]


@pytest.mark.services
def test_the_transcript_of_the_readme_holds() -> None:
    """Running the README's commands again prints the same lines, all but times."""
    command = [sys.executable, ROOT / "tools" / "transcript.py", "--check"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=600, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
