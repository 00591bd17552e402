"""The training of the built-in embedding, run end to end on a handful of packages; installs torch beside aqe for it."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from aqe.engine.embedding.static import StaticEmbedder
from aqe.engine.embedding.table import note_of, read_table

pytestmark = pytest.mark.services


@pytest.fixture
def environ(torch: Path) -> dict[str, str]:
    """An environment in which this Python finds torch, and keeps its byte code for the next run."""
    kept = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    return {**kept, "PYTHONPATH": str(torch)}


def test_quick_training_learns(repository: Path, environ: dict[str, str], tmp_path: Path) -> None:
    """`--quick` finds held-out code by its docstring far better than the rows it began with, in a table that run time
    reads; the same seed gives the same file once more."""
    digests = []
    for folder in (tmp_path / "first", tmp_path / "second"):
        command = [sys.executable, str(repository / "benchmarks" / "train_embedding.py"), "--quick"]
        command += ["--cache", str(tmp_path / "cache"), "--out", str(folder)]
        done = subprocess.run(command, env=environ, capture_output=True, text=True, timeout=800)
        assert done.returncode == 0, done.stderr
        note = json.loads(note_of(folder / "table.aqet").read_text(encoding="utf-8"))
        digests.append(note["sha256"])
    held = note["provenance"]["held_out_mrr"]
    assert held["trained"] > held["start"] + 0.1
    assert held["trained"] > 0.5  # by chance 0.006 of 500 texts
    assert re.search(r"MRR@10 on 500 held-out pairs: 0\.\d+ before, 0\.\d+ after", done.stdout)
    rows = StaticEmbedder(read_table(folder / "table.aqet")).embed(
        ["Return the keys of a mapping.", "def f(d):\n    return list(d.keys())", "def f(s):\n    s.settimeout(None)"]
    )
    assert rows[0] @ rows[1] > rows[0] @ rows[2]
    assert digests[0] == digests[1]


def test_training_without_torch_says_how_to_get_it(repository: Path, tmp_path: Path) -> None:
    """Where torch is not installed the script ends with the line that installs it, and writes nothing."""
    blocked = tmp_path / "blocked"
    blocked.mkdir()
    (blocked / "torch.py").write_text("raise ModuleNotFoundError('no torch', name='torch')\n", encoding="utf-8")
    command = [sys.executable, str(repository / "benchmarks" / "train_embedding.py"), "--quick", "--out"]
    environ = {**os.environ, "PYTHONPATH": str(blocked)}
    done = subprocess.run([*command, str(tmp_path / "out")], env=environ, capture_output=True, text=True, timeout=120)
    assert done.returncode == 2
    assert "pip install torch==2.13.0" in done.stderr
    assert "Traceback" not in done.stderr
    assert not (tmp_path / "out").exists()
