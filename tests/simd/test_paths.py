"""Which path is chosen, and what choosing costs: each case in a process of its own."""

from __future__ import annotations

import inspect
import os
import subprocess
import sys

import pytest

from aqe import simd


def python(code: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run `code` in a fresh interpreter with these variables set on top of the present ones."""
    return subprocess.run(
        [sys.executable, "-c", code], env={**os.environ, **environment}, capture_output=True, text=True, timeout=60
    )


@pytest.mark.parametrize("name", simd.paths())
def test_the_environment_forces_a_path(name: str) -> None:
    """AQE_SIMD chooses the path at run time, and active() says so."""
    done = python("from aqe import simd; print(simd.active(), simd.dot.__module__ or 'C')", AQE_SIMD=name)
    assert done.stdout.split()[:1] == [name], done.stderr


def test_without_a_wish_the_best_path_is_active() -> None:
    """With AQE_SIMD empty the first of paths() is in use."""
    done = python("from aqe import simd; print(simd.active(), simd.paths()[0])", AQE_SIMD="")
    first, best = done.stdout.split()
    assert first == best


def test_an_unknown_path_is_refused_with_the_choices() -> None:
    """AQE_SIMD with a name that does not exist is an error at first use that lists what can run here."""
    done = python("from aqe import simd; simd.active()", AQE_SIMD="mmx")
    assert done.returncode == 1
    assert "AQE_SIMD: 'mmx' is not a path of aqe.simd. Choose one of" in done.stderr
    assert "numpy" in done.stderr


def test_kernels_of_an_unknown_path_are_refused() -> None:
    """kernels() names the path that it cannot give."""
    elsewhere = next(name for name in simd.PATHS if name not in simd.paths())
    with pytest.raises(simd.PathUnavailable, match=f"'{elsewhere}' cannot run on this machine. Choose one of"):
        simd.kernels(elsewhere)
    with pytest.raises(simd.PathUnavailable, match=r"'mmx' is not a path of aqe\.simd"):
        simd.kernels("mmx")


def test_features_tell_what_can_run() -> None:
    """features() agrees with paths(), and numpy always runs."""
    found = simd.features()
    assert [name for name in simd.PATHS if found[name]] == simd.paths()
    assert found["native"] == found["portable"]


def test_importing_loads_no_numpy_where_c_is_there() -> None:
    """Importing aqe.simd and using a C kernel loads neither NumPy nor typing; only the twin needs NumPy."""
    code = (
        "import sys; before = set(sys.modules); from aqe import simd; from array import array;"
        "a = array('f', [1]); simd.features()['native'] and (simd.dot(a, a), simd.hamming(b'1', b'2'));"
        "print(sorted(m for m in set(sys.modules) - before if m.split('.')[0] in ('numpy', 'typing', 'dataclasses')))"
    )
    assert python(code, AQE_SIMD="").stdout.strip() == "[]"


def test_the_public_functions_are_those_of_the_active_path() -> None:
    """simd.dot and its sisters are the functions of the active path, not copies."""
    active = simd.kernels(simd.active())
    assert (simd.dot.__doc__, simd.cosine.__doc__) == (active.dot.__doc__, active.cosine.__doc__)
    assert simd.topk.__func__ is simd.Kernels.topk


def test_every_path_says_the_same_of_its_functions() -> None:
    """help() of a function tells shapes, kinds and errors, in the same words whichever path is in use."""
    paths = [simd.kernels(name) for name in simd.paths()]
    for name in ("cosine", "dot", "hamming", "l2", "matvec", "normalize", "softmax", "tokens"):
        told = {inspect.getdoc(getattr(path, name)) for path in paths}
        assert len(told) == 1
        assert name == "tokens" or "Raises TypeError" in str(told)
