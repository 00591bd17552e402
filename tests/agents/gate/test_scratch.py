"""Removing scratch: whatever lies in it goes, and nothing beside or above it is touched."""

from __future__ import annotations

import os
import stat
from pathlib import Path

from aqe.agents.gate.entering import remove_tree


def test_scratch_with_closed_folders_and_links_goes_alone(tmp_path: Path) -> None:
    """Closed folders are removed; a file that a link points to, and the folder above, keep their modes."""
    victim = tmp_path / "victim"
    victim.mkdir(mode=0o755)
    (victim / "file").write_text("mine", "utf-8")
    os.chmod(victim / "file", 0o640)
    scratch = tmp_path / "scratch"
    (scratch / "closed" / "deep").mkdir(parents=True)
    (scratch / "link").symlink_to(victim, target_is_directory=True)
    (scratch / "closed" / "link").symlink_to(victim / "file")
    os.chmod(scratch / "closed" / "deep", 0)
    os.chmod(scratch / "closed", 0)
    above = stat.S_IMODE(tmp_path.stat().st_mode)
    remove_tree(str(scratch))
    assert not scratch.exists()
    assert stat.S_IMODE(victim.stat().st_mode) == 0o755
    assert stat.S_IMODE((victim / "file").stat().st_mode) == 0o640
    assert stat.S_IMODE(tmp_path.stat().st_mode) == above


def test_scratch_that_is_gone_already_is_no_error(tmp_path: Path) -> None:
    """Removing what is not there changes nothing, least of all the folder above."""
    os.chmod(tmp_path, 0o755)
    remove_tree(str(tmp_path / "gone"))
    assert stat.S_IMODE(tmp_path.stat().st_mode) == 0o755
