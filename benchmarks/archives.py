"""Pinned packages as archives: fetched through pip, never installed, their Python files read where they lie.

`train_embedding.py` and `retrieval.py` read packages this way. A version that cannot be had any more is reported and
left out.
"""

from __future__ import annotations

import io
import subprocess
import sys
import sysconfig
import tarfile
import tokenize
import tomllib
import zipfile
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from packaging.utils import (
    InvalidSdistFilename,
    InvalidWheelFilename,
    canonicalize_name,
    parse_sdist_filename,
    parse_wheel_filename,
)

STANDARD_LIBRARY = "CPython standard library"
AT_ONCE = 4
_FOREIGN = ("vendor", "vendored", "vendored_packages", "extern", "external", "externals", "third_party", "thirdparty")
VENDORED = frozenset(f"{before}{name}" for before in ("", "_") for name in (*_FOREIGN, "patched", "site-packages"))
TESTS = frozenset(("test", "tests", "idle_test", "_tests", "testsuite", "test_data"))
LARGEST = 2_000_000


@dataclass(frozen=True)
class Package:
    """One version of a distribution."""

    name: str
    version: str
    licence: str = ""

    @property
    def pin(self) -> str:
        """What pip is asked for."""
        return f"{self.name}=={self.version}"


def read_packages(path: Path) -> list[Package]:
    """The packages that a TOML file lists under `package`."""
    rows = tomllib.loads(path.read_text(encoding="utf-8"))["package"]
    return [Package(row["name"], row["version"], row.get("licence", "")) for row in rows]


def fetch(packages: Iterable[Package], cache: Path) -> dict[Package, Path]:
    """The archive of each package that is to be had; the others are named on stderr.

    A wheel is preferred, of whatever platform this Python takes; else the source archive. The standard library is the
    folder of the running Python.
    """
    cache.mkdir(parents=True, exist_ok=True)
    wanted = list(packages)
    held = _held(cache)
    with ThreadPoolExecutor(AT_ONCE) as pool:
        done = pool.map(lambda package: _held_or_fetched(package, cache, held), wanted)
        found = dict(zip(wanted, done, strict=True))
    for package, path in found.items():
        if path is None:
            print(f"{package.pin} cannot be had and is left out.", file=sys.stderr)
    return {package: path for package, path in found.items() if path is not None}


def _held_or_fetched(package: Package, cache: Path, held: dict[tuple[str, str], Path]) -> Path | None:
    if package.name == STANDARD_LIBRARY:
        return Path(sysconfig.get_path("stdlib"))
    key = (canonicalize_name(package.name), package.version)
    for form in ("--only-binary=:all:", "--no-binary=:all:"):
        if key in held:
            break
        command = [sys.executable, "-m", "pip", "download", "-q", "--disable-pip-version-check", "--no-deps"]
        command += ["--ignore-requires-python", form, "-d", str(cache), package.pin]
        if subprocess.run(command, capture_output=True, check=False).returncode == 0:
            held = _held(cache)
    return held.get(key)


def _held(cache: Path) -> dict[tuple[str, str], Path]:
    """The archives of a folder by distribution and version."""
    found: dict[tuple[str, str], Path] = {}
    for path in sorted(cache.iterdir()):
        try:
            if path.suffix == ".whl":
                name, version = parse_wheel_filename(path.name)[:2]
            else:
                name, version = parse_sdist_filename(path.name)
        except (InvalidSdistFilename, InvalidWheelFilename):
            continue
        found[name, str(version)] = path
    return found


def python_files(archive: Path) -> Iterator[tuple[str, str]]:
    """The name and text of each Python file that is neither vendored nor a test, in the order of their names."""
    for name, data in _members(archive):
        text = _decoded(data)
        if text is not None:
            yield name, text


def licence_files(archive: Path) -> Iterator[tuple[str, str]]:
    """The name and text of each licence, copying or notice file of an archive's own top folders."""
    for name, data in _members(archive, licence=True):
        yield name, data.decode("utf-8", errors="replace")


def is_own(name: str) -> bool:
    """Whether a file is the package's own working code: not vendored, not a test."""
    path = PurePosixPath(name)
    folders = {part.lower() for part in path.parts[:-1]}
    if path.suffix != ".py" or folders & (VENDORED | TESTS):
        return False
    return not (path.name.startswith("test_") or path.stem.endswith("_test") or path.stem in ("conftest", "setup"))


def is_licence(name: str) -> bool:
    """Whether a file is a licence text in the folder of metadata or at the top of a source archive."""
    path = PurePosixPath(name)
    near = any(part.endswith(".dist-info") for part in path.parts) or len(path.parts) <= 2
    words = ("licen", "copying", "notice", "copyright")
    return near and path.name.lower().startswith(words) and path.suffix.lower() in ("", ".txt", ".md", ".rst")


def _members(archive: Path, *, licence: bool = False) -> Iterator[tuple[str, bytes]]:
    wanted = is_licence if licence else is_own
    if archive.is_dir():
        for path in sorted(archive.glob("LICENSE*") if licence else archive.rglob("*.py")):
            name = path.relative_to(archive).as_posix()
            if wanted(name) and path.stat().st_size <= LARGEST:
                yield name, path.read_bytes()
    elif archive.suffix == ".whl" or archive.suffix == ".zip":
        with zipfile.ZipFile(archive) as file:
            for entry in sorted(file.infolist(), key=lambda entry: entry.filename):
                if not entry.is_dir() and wanted(entry.filename) and entry.file_size <= LARGEST:
                    yield entry.filename, file.read(entry)
    else:
        with tarfile.open(archive) as tar:
            for member in sorted(tar.getmembers(), key=lambda member: member.name):
                stream = tar.extractfile(member) if member.isfile() and wanted(member.name) else None
                if stream is not None and member.size <= LARGEST:
                    yield member.name, stream.read()


def _decoded(data: bytes) -> str | None:
    """The text of a source file in the encoding that it declares; None where it is none."""
    try:
        encoding, _ = tokenize.detect_encoding(io.BytesIO(data).readline)
        return data.decode(encoding).replace("\r\n", "\n")
    except (SyntaxError, UnicodeDecodeError, LookupError):
        return None
