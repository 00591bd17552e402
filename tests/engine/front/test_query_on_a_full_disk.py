"""A question is answered although nothing can be written, and whoever asks is told what was not."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

ASKS = """
import resource, sys
from pathlib import Path
from aqe.engine.sync import Engine
from aqe.engine.errors import UserError
from aqe.server.cli.query import refresh_index
root = Path(sys.argv[1])
with Engine.open(root) as engine:
    engine.remember("A refund of a cart is rounded half up to the cent.")
    engine.query("How is a refund rounded?")
    (root / "README.md").write_text("# Vouchers\\n\\nA voucher expires after thirty days.\\n" * 200)
    full = min(path.stat().st_size for path in (root / ".aqe").glob("aqe.db*"))
    resource.setrlimit(resource.RLIMIT_FSIZE, (min(full, 4096), resource.RLIM_INFINITY))
    refresh_index(engine, quiet=True)
    answer = engine.query("How is a refund of a cart rounded?")
    print(answer.answered, "half up" in answer.text)
    for ask in (lambda: engine.feedback(answer.request_id, rating=5), lambda: engine.query("And then?", session="s")):
        try:
            ask()
        except UserError as error:
            print(error.code)
    resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
    engine.feedback(answer.request_id, rating=5)
    print("kept")
"""


@pytest.mark.services
def test_question_is_answered_on_a_full_disk_and_logged_when_there_is_room(tmp_path: Path) -> None:
    """On a full disk a question is answered from what is indexed, feedback and sessions say that the disk is full, and
    the request is logged as soon as there is room."""
    (tmp_path / "pyproject.toml").write_text("[tool.aqe]\n", "utf-8")
    command = [sys.executable, "-c", ASKS, str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    assert done.stdout.split() == ["True", "True", "disk-full", "disk-full", "kept"], done.stderr
    assert "The project's index is as it was before" in done.stderr
