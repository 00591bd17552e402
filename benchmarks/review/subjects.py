"""The packages that changes are planted in, pinned, as their authors published them (source distributions)."""

from __future__ import annotations

import subprocess
import sys
import tarfile
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Package:
    """`source` is the folder of the importable package inside the distribution, `tests` what its own suite is."""

    name: str
    pin: str
    source: str
    tests: str
    group: str


PACKAGES = (
    Package("inflection", "inflection==0.5.1", "inflection", "test_inflection.py", "tuning"),
    Package("slugify", "python-slugify==8.0.4", "slugify", "", "tuning"),
    Package("humanize", "humanize==4.9.0", "src/humanize", "tests", "tuning"),
    Package("toolz", "toolz==0.12.1", "toolz", "toolz/tests", "tuning"),
    Package("cachetools", "cachetools==5.3.2", "src/cachetools", "tests", "tuning"),
    Package("semver", "semver==3.0.2", "src/semver", "tests", "reporting"),
    Package("isodate", "isodate==0.6.1", "src/isodate", "src/isodate/tests", "reporting"),
    Package("jmespath", "jmespath==1.0.1", "jmespath", "tests", "reporting"),
    Package("tabulate", "tabulate==0.9.0", "tabulate", "test", "reporting"),
    Package("webcolors", "webcolors==1.13", "src/webcolors", "tests", "reporting"),
)
NEEDED = (
    "pytest==8.4.2",
    "six==1.17.0",
    "Text-Unidecode==1.3",
    "humanize==4.9.0",
    "freezegun==1.5.1",
    "wcwidth==0.2.13",
)
"""What the packages import, and their tests; humanize asks for its own version at import."""


def fetch(cache: Path) -> dict[str, Path]:
    """The unpacked source distribution of each package, by name."""
    cache.mkdir(parents=True, exist_ok=True)
    found: dict[str, Path] = {}
    for package in PACKAGES:
        name, _, version = package.pin.partition("==")
        archive = cache / f"{name}-{version}.tar.gz"
        if not archive.exists():
            command = [sys.executable, "-m", "pip", "download", "-q", "--no-deps", "--no-binary", ":all:"]
            subprocess.run([*command, "-d", str(cache), package.pin], check=True)
        folder = cache / f"{name}-{version}"
        if not folder.exists():
            with tarfile.open(archive) as stream:
                stream.extractall(cache, filter="data")
        found[package.name] = folder
    return found


def sources(package: Package, folder: Path) -> dict[str, str]:
    """The Python files that changes are planted in, by posix path; tests and what runs at import only are left out."""
    found = {}
    for path in sorted((folder / package.source).rglob("*.py")):
        inner = path.relative_to(folder)
        if "tests" in inner.parts or path.name in {"__main__.py", "_version.py", "__version__.py", "__about__.py"}:
            continue
        if path.stem.startswith("test_") or "sandbox" in inner.parts:
            continue
        found[inner.as_posix()] = path.read_bytes().decode("utf-8").replace("\r\n", "\n")
    return found
