"""The C of the kernels under AddressSanitizer and UndefinedBehaviorSanitizer, on every path."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import sysconfig
from pathlib import Path

import pytest

pytestmark = pytest.mark.services

FLAGS = (
    "-shared",
    "-fPIC",
    "-O1",
    "-fno-omit-frame-pointer",
    "-fsanitize=address,undefined",
    "-fno-sanitize-recover=all",
)
EXTENSIONS = {"_native": ".", "_funnel": "funnel", "_postings": "postings"}
SUITES = (
    "test_pairs.py",
    "test_rows.py",
    "test_topk.py",
    "test_topk_whole.py",
    "test_tokeniser.py",
    "test_vectors.py",
    "test_vectors_levels.py",
    "test_vectors_threads.py",
    "test_vectors_hard.py",
    "test_vectors_hostile.py",
    "test_vectors_file.py",
    "test_vectors_guard.py",
    "test_inverted.py",
    "test_lexicon.py",
    "test_postings.py",
    "test_fusion.py",
    "test_listed.py",
    "test_scores.py",
    "test_hybrid.py",
    "test_hybrid_cold.py",
    "test_forks.py",
    "test_bound.py",
)


@pytest.fixture(scope="module")
def sanitized(repository: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """The variables of a process whose aqe.simd is a copy that was built with both sanitizers."""
    folder = tmp_path_factory.mktemp("sanitized")
    copy = folder / "aqe" / "simd"
    shutil.copytree(repository / "simd", copy, ignore=shutil.ignore_patterns("*.so", "__pycache__"))
    included = [f"-I{copy}", f"-I{sysconfig.get_path('include')}"]
    for name, place in EXTENSIONS.items():
        sources = sorted(map(str, (copy / place).glob("*.c")))
        command = ["gcc", *FLAGS, *included, *sources, "-lm", "-o", str(copy / f"{name}.abi3.so")]
        subprocess.run(command, check=True, timeout=600)
    libraries = [
        subprocess.check_output(["gcc", f"-print-file-name={name}.so"], text=True).strip()
        for name in ("libasan", "libubsan")
    ]
    given = {"PYTHONPATH": str(folder), "LD_PRELOAD": " ".join(libraries), "ASAN_OPTIONS": "detect_leaks=0"}
    return {**{name: value for name, value in os.environ.items() if name != "AQE_SIMD"}, **given}


def test_the_sanitizers_see_a_read_beyond_the_end(sanitized: dict[str, str], repository: Path) -> None:
    """The premise: in such a process a read behind the end of a block ends with a report."""
    probe = "import ctypes; libc = ctypes.CDLL(None); block = libc.malloc; block.restype = ctypes.c_void_p\n"
    probe += "ctypes.CDLL(None).memcmp(ctypes.c_void_p(block(8)), ctypes.c_void_p(block(8)), 64)"
    done = subprocess.run([sys.executable, "-c", probe], env=sanitized, capture_output=True, text=True, timeout=120)
    assert done.returncode != 0
    assert "AddressSanitizer: heap-buffer-overflow" in done.stderr


def test_the_suite_runs_clean_under_the_sanitizers(sanitized: dict[str, str], repository: Path) -> None:
    """Every path passes its tests with no access beyond a buffer, no undefined shift or overflow, no bad alignment."""
    for name in EXTENSIONS:
        where = f"from aqe.simd import {name}; print({name}.__file__)"
        found = subprocess.run(
            [sys.executable, "-c", where], env=sanitized, capture_output=True, text=True, timeout=120
        )
        assert found.stdout.startswith(sanitized["PYTHONPATH"]), found.stderr
    suites = [str(repository / "tests" / "simd" / name) for name in SUITES]
    chosen = ["-m", "not services and not nightly", "-q", "-s", "-p", "no:cacheprovider"]
    done = subprocess.run(
        [sys.executable, "-m", "pytest", *chosen, *suites],
        env=sanitized,
        cwd=repository,
        capture_output=True,
        text=True,
        timeout=800,
    )
    assert done.returncode == 0, (done.stdout + done.stderr)[-4000:]
    assert "passed" in done.stdout
