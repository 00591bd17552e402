"""The table that comes with aqe: the very file that was measured, of sources whose licences allow it."""

from __future__ import annotations

import hashlib
import json
import re
import runpy
import sys
import tomllib
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from aqe.engine.embedding.static import built_in_path, open_static
from aqe.engine.embedding.table import note_of, read_table

ALLOWED = {
    "0BSD",
    "Apache 2.0 License",
    "Apache License 2.0",
    "Apache Software License",
    "Apache-2.0",
    "BSD",
    "BSD License",
    "BSD-2-Clause",
    "BSD-3-Clause",
    "CC0-1.0",
    "ISC",
    "ISC License (ISCL)",
    "MIT",
    "MIT License",
    "MIT-0",
    "PSF-2.0",
    "Python Software Foundation License",
    "Zlib",
}


@pytest.fixture(scope="module")
def note() -> dict[str, Any]:
    """What table.json says."""
    found: dict[str, Any] = json.loads(note_of(built_in_path()).read_text(encoding="utf-8"))
    return found


@pytest.fixture(scope="module")
def packages() -> list[dict[str, Any]]:
    """The rows of training_packages.toml."""
    path = built_in_path().with_name("training_packages.toml")
    return list(tomllib.loads(path.read_text(encoding="utf-8"))["package"])


@pytest.fixture
def splits(repository: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """The names of benchmarks/splits.py."""
    monkeypatch.syspath_prepend(repository / "benchmarks")
    names = runpy.run_path(str(repository / "benchmarks" / "splits.py"))
    sys.modules.pop("archives", None)
    return names


def test_table_is_the_one_its_note_describes(note: dict[str, Any]) -> None:
    """The file's SHA-256 and length are those of table.json, so no other table can have slipped in."""
    whole = built_in_path().read_bytes()
    assert hashlib.sha256(whole).hexdigest() == note["sha256"]
    assert len(whole) == note["bytes"]


def test_table_stays_small(note: dict[str, Any]) -> None:
    """The table with its vocabulary has at most 8,000,000 bytes."""
    assert note["bytes"] <= 8_000_000


def test_every_source_has_a_permissive_licence(packages: list[dict[str, Any]]) -> None:
    """Each package of the training names licences that are all on the list; none is of the GPL family or MPL."""
    named = {
        row["name"]: set(re.split(r" (?:AND|OR) ", row["licence"].removesuffix(" (licence file)"))) for row in packages
    }
    assert {name: licences - ALLOWED for name, licences in named.items() if not licences <= ALLOWED} == {}
    assert not [row["name"] for row in packages if re.search(r"GPL|MPL|General Public|Mozilla", row["licence"])]


def test_note_and_list_name_the_same_sources(note: dict[str, Any], packages: list[dict[str, Any]]) -> None:
    """table.json counts for each package of the list as many functions as the list does, and no other package."""
    listed = {f"{row['name']}=={row['version']}": row["functions"] for row in packages}
    assert note["provenance"]["sources"] == listed
    assert sum(listed.values()) >= note["provenance"]["pairs"] > 100_000


def test_every_source_has_its_notice(repository: Path, packages: list[dict[str, Any]]) -> None:
    """LICENSES/embedding-table.txt names each package with version and licence."""
    notices = (repository / "LICENSES" / "embedding-table.txt").read_text(encoding="utf-8")
    titles = [f"{row['name']} {row['version']} ({row['licence']})" for row in packages]
    assert [title for title in titles if title not in notices] == []


def test_no_package_is_trained_on_and_measured(splits: dict[str, Any], packages: list[dict[str, Any]]) -> None:
    """The packages of both test splits stand in no row of the training list, however their names are spelt."""
    trained = {re.sub(r"[-_.]+", "-", row["name"]).lower() for row in packages}
    measured = {re.sub(r"[-_.]+", "-", name).lower() for name in splits["DEVELOPMENT"] | splits["FRESH"]}
    assert measured & trained == set()
    assert len(measured) == len(splits["DEVELOPMENT"]) + len(splits["FRESH"])


def test_table_knows_the_words_of_the_field() -> None:
    """The table has 384 items a row, and rows of its own for stems that tests and code are full of."""
    table = read_table(built_in_path())
    assert table.dimension == 384
    assert {b"test", b"assert", b"fil", b"thread", b"json", b"self"} <= set(table.words)


def test_sentences_find_the_code_they_describe() -> None:
    """Each of six sentences, none of which names its function, lies nearest to the code that does what it says."""
    found = {
        "Delete all files in a folder that are older than some days.": (
            "def f(path, days):\n    limit = time.time() - days * 86400\n    for name in os.listdir(path):\n"
            "        if os.stat(name).st_mtime < limit:\n            os.remove(name)"
        ),
        "Send a message by mail.": (
            "def f(to, text):\n    with smtplib.SMTP(host) as server:\n        server.sendmail(sender, to, text)"
        ),
        "Compute the average of the numbers.": "def f(values):\n    return sum(values) / len(values)",
        "Parse a date from a string.": 'def f(s):\n    return datetime.strptime(s, "%Y-%m-%d")',
        "Wait until the worker is done, then close the connection.": (
            "def f(self):\n    self.thread.join()\n    self.socket.close()"
        ),
        "Return whether the user may see the page.": (
            'def f(user, view):\n    return user.is_authenticated and user.has_perm("view", view)'
        ),
    }
    embedder = open_static()
    nearest = np.argmax(embedder.embed(list(found)) @ embedder.embed(list(found.values())).T, axis=1)
    assert nearest.tolist() == list(range(len(found)))
