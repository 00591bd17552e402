"""Paths of other processors, run by qemu: NEON cross-compiled, and the paths that older x86 processors are left with.

Needs Debian's gcc-aarch64-linux-gnu, libc6-dev-arm64-cross and qemu-user; docs/nightly.md has the last result.
"""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytestmark = pytest.mark.nightly

Array = np.ndarray[Any, Any]
Truth = Callable[[str, Array, Array], tuple[float, float]]
PAIR, WHOLE_PAIR, BYTE_COSINE, ROWS, TOPK, NORMALIZE, SOFTMAX = range(7)
F32, F16, BF16, I8, BITS = range(5)
METRICS = ("dot", "cosine", "l2")
SIZES = (0, 1, 3, 4, 5, 7, 8, 9, 15, 16, 17, 31, 33, 63, 65, 100, 384, 769)
PACKAGES = "apt-get install gcc-aarch64-linux-gnu libc6-dev-arm64-cross qemu-user"
X86 = ["sse4", "portable"]
MACHINES: dict[str, tuple[str, list[str], list[str]]] = {  # compiler, emulator, the paths that it must offer
    "aarch64": ("aarch64-linux-gnu-gcc", ["qemu-aarch64"], ["neon", "portable"]),
    "Haswell": ("gcc", ["qemu-x86_64", "-cpu", "Haswell"], ["avx2", *X86]),
    "Nehalem": ("gcc", ["qemu-x86_64", "-cpu", "Nehalem"], X86),
    "Conroe": ("gcc", ["qemu-x86_64", "-cpu", "Conroe"], ["portable"]),
}
TRIED = [(machine, path) for machine, (_, _, paths) in MACHINES.items() for path in paths]


class Emulated:
    """One path on one emulated machine: requests go in together, answers come back in their order."""

    def __init__(self, command: Sequence[str], path: str) -> None:
        self.command = [*command, path]

    def ask(self, requests: Sequence[tuple[tuple[int, ...], bytes]]) -> bytes:
        """The answers to all requests, one behind the other."""
        sent = b"".join(np.array(head, np.int64).tobytes() + data for head, data in requests)
        done = subprocess.run(self.command, input=sent, capture_output=True, timeout=600)
        assert done.returncode == 0, done.stderr.decode()
        return done.stdout


@pytest.fixture(scope="session")
def built(repository: Path, tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], list[str]]:
    """A function: the command that runs answer.c on a machine, compiled once a compiler."""
    folder = tmp_path_factory.mktemp("emulated")
    simd = repository / "simd"
    ideas = ("avx512", "avx512vnni", "avx2", "sse4", "neon", "portable", "dispatch", "pairs", "bytes", "scan")

    def command(machine: str) -> list[str]:
        compiler, emulator, _ = MACHINES[machine]
        for tool in (compiler, emulator[0]):
            assert shutil.which(tool), f"{tool} is missing: {PACKAGES}"
        program = folder / compiler
        if not program.exists():
            flags = ["-O3", "-Wall", "-Wextra", "-Werror", "-static", f"-I{simd}"]
            sources = [str(repository / "tests/simd/answer.c"), *(str(simd / f"{idea}.c") for idea in ideas)]
            subprocess.run([compiler, *flags, *sources, "-lm", "-o", str(program)], check=True, timeout=600)
        return [*emulator, str(program)]

    return command


@pytest.fixture(params=TRIED, ids=["-".join(pair) for pair in TRIED])
def emulated(request: pytest.FixtureRequest, built: Callable[[str], list[str]]) -> Emulated:
    """One path on one machine."""
    machine, path = request.param
    return Emulated(built(machine), path)


@pytest.mark.parametrize("machine", MACHINES)
def test_a_machine_offers_the_paths_that_it_can_run(built: Callable[[str], list[str]], machine: str) -> None:
    """By CPUID and by the registers that are saved, each processor is given its paths and no others, best first."""
    offered = subprocess.run(built(machine), capture_output=True, text=True, check=True, timeout=60).stdout.split()
    assert offered == MACHINES[machine][2]


def narrowed(items: Array, kind: int) -> tuple[Array, Array]:
    """Items of one of the float kinds, and the float32 that they are."""
    if kind == BF16:
        upper = (items.view(np.uint32) >> 16).astype(np.uint16)
        return upper, (upper.astype(np.uint32) << 16).view(np.float32)
    low = items.astype(np.float16 if kind == F16 else np.float32)
    return low, low.astype(np.float32)


@pytest.mark.parametrize("kind", [F32, F16, BF16], ids=["float32", "float16", "bfloat16"])
def test_sums_agree_with_float64(emulated: Emulated, truth: Truth, kind: int) -> None:
    """Pairs of floats of any length and at any address keep the stated bound."""
    random = np.random.default_rng(kind)
    asked, expected = [], []
    for n in SIZES:
        for shift in (0, 1):
            (a, wide_a), (b, wide_b) = (narrowed(random.normal(0, 9, n).astype(np.float32), kind) for _ in range(2))
            for place, metric in enumerate(METRICS):
                asked.append(((PAIR, kind, place, 1, n, 0, shift), a.tobytes() + b.tobytes()))
                expected.append(truth(metric, wide_a, wide_b))
    found = np.frombuffer(emulated.ask(asked), np.float64)
    assert [got for got, (true, room) in zip(found, expected, strict=True) if abs(got - true) > room] == []


def test_bytes_and_bits_are_exact(emulated: Emulated) -> None:
    """Products, squared distances and differing bits of bytes are exact, cosines those of float64."""
    random = np.random.default_rng(4)
    asked, expected = [], []
    for n in (*SIZES, 65_537):
        a, b = (random.integers(-128, 128, n).astype(np.int8) for _ in range(2))
        wide_a, wide_b = a.astype(np.int64), b.astype(np.int64)
        sums = {0: wide_a @ wide_b, 2: ((wide_a - wide_b) ** 2).sum(), 3: np.unpackbits((a ^ b).view(np.uint8)).sum()}
        for metric, whole in sums.items():
            head = (WHOLE_PAIR, BITS if metric == 3 else I8, metric, 1, n, 0, 1)
            asked.append((head, a.tobytes() + b.tobytes()))
            expected.append(int(whole))
    assert np.frombuffer(emulated.ask(asked), np.int64).tolist() == expected
    cosine = emulated.ask([((BYTE_COSINE, I8, 1, 1, 3, 0, 0), bytes([1, 2, 3, 3, 254, 1]))])
    assert np.frombuffer(cosine, np.float64)[0] == pytest.approx(2 / 14, abs=1e-12)


@pytest.mark.parametrize("metric", METRICS)
def test_rows_and_scans_agree_with_float64(emulated: Emulated, truth: Truth, metric: str) -> None:
    """A query with any number of rows keeps the bound, and a masked scan finds what a full ranking finds."""
    random = np.random.default_rng(5)
    place = METRICS.index(metric)
    for rows, n in ((1, 5), (3, 33), (4, 64), (7, 100), (41, 17)):
        query, matrix = random.standard_normal(n).astype(np.float32), random.standard_normal((rows, n))
        matrix = matrix.astype(np.float32)
        mask = (random.random(rows) < 0.6).astype(np.uint8)
        data = query.tobytes() + matrix.tobytes()
        answer = emulated.ask([((ROWS, F32, place, rows, n, 0, 1), data)])
        found = np.frombuffer(answer, np.float32)
        expected = [truth(metric, query, row) for row in matrix]
        assert all(abs(got - true) <= room for got, (true, room) in zip(found, expected, strict=True))
        ranked = emulated.ask([((TOPK, F32, place, rows, n, 5, 1), data + mask.tobytes())])
        hits = np.frombuffer(ranked[8:], np.dtype([("row", "<i8"), ("score", "<f8")]))
        order = np.argsort(found if metric == "l2" else -found, kind="stable")
        assert hits["row"].tolist() == [row for row in order.tolist() if mask[row]][:5]
        np.testing.assert_array_equal(hits["score"], found[hits["row"]])


@pytest.mark.parametrize("metric", [0, 2, 3], ids=["dot", "l2", "hamming"])
def test_rows_and_scans_of_bytes_are_exact(emulated: Emulated, metric: int) -> None:
    """A query with any number of rows of int8 or bits, of any width, gives exact numbers, and the best in order."""
    random = np.random.default_rng(7)
    kind = BITS if metric == 3 else I8
    for rows, n in ((1, 5), (7, 48), (9, 16), (70, 33), (300, 48), (20, 96), (20, 128), (17, 384), (9, 40_000)):
        query, matrix = (random.integers(-128, 128, shape).astype(np.int8) for shape in (n, (rows, n)))
        wide, target = matrix.astype(np.int64), query.astype(np.int64)
        expected = wide @ target if metric == 0 else ((wide - target) ** 2).sum(axis=1)
        if metric == 3:
            expected = np.unpackbits((matrix ^ query).view(np.uint8), axis=1).sum(axis=1)
        mask = (random.random(rows) < 0.6).astype(np.uint8)
        data = query.tobytes() + matrix.tobytes()
        found = np.frombuffer(emulated.ask([((ROWS, kind, metric, rows, n, 0, 1), data)]), np.int64)
        assert found.tolist() == expected.tolist()
        ranked = emulated.ask([((TOPK, kind, metric, rows, n, 5, 1), data + mask.tobytes())])
        hits = np.frombuffer(ranked[8:], np.dtype([("row", "<i8"), ("score", "<f8")]))
        order = np.argsort(-expected if metric == 0 else expected, kind="stable")
        assert hits["row"].tolist() == [row for row in order.tolist() if mask[row]][:5]
        assert hits["score"].tolist() == expected[hits["row"]].tolist()


def test_rows_as_probabilities_and_unit_vectors(emulated: Emulated) -> None:
    """Softmax and normalising agree with float64, also of odd rows: NaN, infinite, zero and huge ones."""
    random = np.random.default_rng(6)
    for n in SIZES[1:]:
        rows = (random.standard_normal((4, n)) * 20).astype(np.float32)
        rows[1] = 0
        rows[2] *= np.float32(1e36)
        data = bytes(4 * n) + rows.tobytes()
        shares, units = (
            np.frombuffer(emulated.ask([((form, F32, 0, 4, n, 0, 1), data)]), np.float32).reshape(4, n)
            for form in (SOFTMAX, NORMALIZE)
        )
        wide = rows.astype(np.float64)
        powers = np.exp(wide - wide.max(axis=1, keepdims=True))
        np.testing.assert_allclose(shares, powers / powers.sum(axis=1, keepdims=True), rtol=2e-5, atol=1e-36)
        lengths = np.sqrt((wide**2).sum(axis=1, keepdims=True))
        np.testing.assert_allclose(units, wide / np.where(lengths, lengths, 1), rtol=1e-5, atol=1e-36)
    odd = np.array([[np.nan, 0, 1], [np.inf, 0, 1], [-np.inf, -np.inf, -np.inf], [0, -np.inf, 0]], np.float32)
    shares = np.frombuffer(emulated.ask([((SOFTMAX, F32, 0, 4, 3, 0, 0), bytes(12) + odd.tobytes())]), np.float32)
    assert np.isnan(shares[:9]).all()
    assert shares[9:].tolist() == [0.5, 0.0, 0.5]
