"""The C extension is optional: real installs with and without a compiler, each in an environment of its own."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import sysconfig
from pathlib import Path

import pytest

pytestmark = pytest.mark.services


@pytest.fixture
def source(tmp_path: Path, repository: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of the source tree, so that a build leaves nothing in the real one."""
    monkeypatch.syspath_prepend(str(repository / "tools"))
    import installed_suite

    installed_suite.copy_tree(tmp_path / "source")
    return tmp_path / "source"


@pytest.fixture
def python(tmp_path: Path) -> Path:
    """The interpreter of a fresh environment that borrows this one's packages, so that only aqe is installed."""
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(tmp_path / "env")], check=True, timeout=60)
    packages = next((tmp_path / "env").glob("lib/python*/site-packages"))
    (packages / "borrowed.pth").write_text(sysconfig.get_path("purelib") + "\n")
    return tmp_path / "env" / "bin" / "python"


def install(python: Path, source: Path, *options: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """Install the tree with pip; every option and variable as given."""
    command = [str(python), "-m", "pip", "install", "--no-deps", "--no-build-isolation", *options, str(source)]
    environ = {**os.environ, "AQE_NATIVE": "auto", **environment}
    return subprocess.run(command, env=environ, capture_output=True, text=True, timeout=300)


def kernels(python: Path, folder: Path) -> list[str]:
    """What the installed aqe says: the path in use and whether the extension is there."""
    code = "from aqe import simd; print(simd.active(), simd.features()['native'], simd.__file__)"
    environ = {name: value for name, value in os.environ.items() if name not in ("PYTHONPATH", "AQE_SIMD")}
    done = subprocess.run([str(python), "-c", code], cwd=folder, env=environ, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done.stdout.split()


@pytest.mark.parametrize("options", [[], ["--editable"]], ids=["plain", "editable"])
def test_an_install_without_a_compiler_succeeds(python: Path, source: Path, tmp_path: Path, options: list[str]) -> None:
    """With CC=false pip still installs aqe, which then runs on NumPy and says so."""
    done = install(python, source, *options, CC="false")
    assert done.returncode == 0, done.stderr
    path, native, file = kernels(python, tmp_path)
    assert (path, native) == ("numpy", "False")
    assert Path(file).is_relative_to(tmp_path)
    doctor = subprocess.run([str(python.parent / "aqe"), "doctor"], cwd=tmp_path, capture_output=True, text=True)
    assert re.search(r"^kernels +numpy", doctor.stdout, re.MULTILINE), doctor.stdout + doctor.stderr


def test_an_install_with_a_compiler_has_the_extension(python: Path, source: Path, tmp_path: Path) -> None:
    """With a compiler and AQE_NATIVE=require the installed aqe runs on C, without one compiler warning."""
    done = install(python, source, AQE_NATIVE="require")
    assert done.returncode == 0, done.stderr
    path, native, _ = kernels(python, tmp_path)
    assert path in ("avx512", "avx512vnni", "avx2", "sse4", "neon", "portable")
    assert native == "True"


def test_a_required_extension_that_does_not_build_fails_the_install(python: Path, source: Path) -> None:
    """AQE_NATIVE=require turns a missing compiler into a failed install."""
    assert install(python, source, AQE_NATIVE="require", CC="false").returncode != 0


def test_the_extension_can_be_left_out(python: Path, source: Path, tmp_path: Path) -> None:
    """AQE_NATIVE=skip installs without compiling, though a compiler is there."""
    assert install(python, source, AQE_NATIVE="skip").returncode == 0
    assert kernels(python, tmp_path)[:2] == ["numpy", "False"]
