"""Source archives of pinned public packages, unpacked in a cache folder: projects to ask questions about.

benchmarks/data/question_packages.toml lists them with their licences. pip downloads each as it is on the index, for
which it has the package's build backend tell its metadata; nothing is installed. One that cannot be had is an error,
since its questions could not be asked.
"""

from __future__ import annotations

import subprocess
import sys
import tarfile
import tempfile
from collections.abc import Iterable
from pathlib import Path

import platformdirs
from archives import Package, read_packages

PACKAGES = Path(__file__).with_name("data") / "question_packages.toml"
CACHE = Path(platformdirs.user_cache_dir("aqe")) / "benchmarks" / "sdists"


def projects(names: Iterable[str], cache: Path = CACHE) -> dict[str, Path]:
    """The folder of each project, named as its unpacked archive is ("schedule-1.2.2")."""
    known = {f"{one.name}-{one.version}": one for one in read_packages(PACKAGES)}
    return {name: unpacked(known[name], cache) for name in dict.fromkeys(names)}


def unpacked(package: Package, cache: Path) -> Path:
    """The folder of a package's source archive, which is downloaded and unpacked where it is not there yet."""
    folder = cache / f"{package.name}-{package.version}"
    if not folder.is_dir():
        cache.mkdir(parents=True, exist_ok=True)
        print(f"Fetching {package.pin}", file=sys.stderr, flush=True)
        with tempfile.TemporaryDirectory(dir=cache) as work:
            command = [sys.executable, "-m", "pip", "download", "-q", "--no-deps", "--no-binary", ":all:"]
            subprocess.run([*command, "-d", work, package.pin], check=True)
            (archive,) = Path(work).glob("*.tar.gz")
            with tarfile.open(archive) as packed:
                packed.extractall(work, filter="data")
            (top,) = (path for path in Path(work).iterdir() if path.is_dir())
            top.rename(folder)
    return folder
