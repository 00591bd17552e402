"""The paths of the funnel against the portable one, as a program of C: on this machine, and NEON under qemu."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

SOURCES = ("avx2", "avx512", "avx512vnni", "sse4", "neon", "portable", "code", "paths")


def compiled(repository: Path, compiler: str, out: Path) -> Path:
    """The program, from the sources of the funnel and `funnel_paths.c`."""
    sources = [str(repository / "simd" / "funnel" / f"{name}.c") for name in SOURCES]
    options = ["-O2", "-Wall", "-Wextra", "-Werror", "-static", f"-I{repository}/simd", f"-I{repository}/simd/funnel"]
    program = [str(repository / "tests" / "simd" / "funnel_paths.c"), *sources, "-lm", "-o", str(out)]
    done = subprocess.run([compiler, *options, *program], capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    return out


@pytest.mark.nightly
@pytest.mark.parametrize(
    ("compiler", "runner", "first"),
    [("gcc", [], ""), ("aarch64-linux-gnu-gcc", ["qemu-aarch64"], "the first path is neon")],
    ids=["here", "neon"],
)
def test_every_path_computes_what_the_portable_one_does(
    repository: Path, tmp_path: Path, compiler: str, runner: list[str], first: str
) -> None:
    """Codes are equal bit by bit and sums within rounding, on every path, for every dimension that was tried."""
    for tool in (compiler, *runner):
        assert shutil.which(tool), f"{tool} is missing: apt-get install gcc gcc-aarch64-linux-gnu qemu-user"
    program = compiled(repository, compiler, tmp_path / "funnel_paths")
    done = subprocess.run([*runner, str(program)], capture_output=True, text=True, timeout=600)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "0 failed" in done.stdout
    assert first in done.stdout
