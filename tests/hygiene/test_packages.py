"""What a build of the package says and holds."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]


@pytest.mark.services
def test_build_warns_of_nothing_and_has_its_data(tmp_path: Path) -> None:
    """A build takes the report's templates, the embedding's table and the plugin's hidden files along, and says no word
    about ambiguous packages or experimental tables."""
    command = [sys.executable, "setup.py", "--quiet", "egg_info", "--egg-base", str(tmp_path)]
    command += ["build_py", "--build-lib", str(tmp_path / "lib")]
    done = subprocess.run(
        command, cwd=ROOT, env={**os.environ, "AQE_NATIVE": "skip"}, capture_output=True, text=True, timeout=100
    )
    assert done.returncode == 0, done.stderr
    assert "would be ignored" not in done.stderr
    assert "experimental" not in done.stderr
    assert (tmp_path / "lib" / "aqe" / "server" / "reports" / "templates" / "base.html").is_file()
    built = tmp_path / "lib" / "aqe" / "engine" / "embedding" / "data"
    source = ROOT / "engine" / "embedding" / "data"
    names = ("table.aqet", "table.json", "training_packages.toml")
    assert [name for name in names if (built / name).read_bytes() != (source / name).read_bytes()] == []
    plugin = Path("server", "clients", "data", "claude-code")
    there = {path.relative_to(ROOT / plugin) for path in (ROOT / plugin).rglob("*") if path.is_file()}
    packed = {
        path.relative_to(tmp_path / "lib" / "aqe" / plugin)
        for path in (tmp_path / "lib").rglob("*")
        if plugin.name in path.parts and path.is_file()
    }
    assert {path for path in there if "__pycache__" not in path.parts} == packed
