"""Mistakes and oddities before the memory, its figures and the settings."""

from __future__ import annotations

import contextlib
from pathlib import Path

from bad_input.projects import (
    broken_database,
    database_is_untouched,
    locked_database,
    nothing,
    remembering,
    still_remembers,
    unknown_key,
)
from bad_input.rows import FULL_DISK, READ_ONLY, Row

ADD = ("memory", "add", "one more")


def unknown_embedder(project: Path, stack: contextlib.ExitStack) -> None:
    (project / "pyproject.toml").write_text('[tool.aqe]\nembedder = "word2vec"\n', encoding="utf-8")


def model_without_its_library(project: Path, stack: contextlib.ExitStack) -> None:
    (project / "pyproject.toml").write_text('[tool.aqe]\nembedder = "sentence-transformers:gone"\n', encoding="utf-8")


ROWS = [
    Row("broken database", ADD, broken_database, "database-broken", 2, "aqe.db", (), database_is_untouched),
    Row("broken database, stats", ("stats",), broken_database, "database-broken", 2, "", (), database_is_untouched),
    Row("locked database", ADD, locked_database, "database-locked", 2, "aqe.db", (), still_remembers, True),
    Row("read-only project, memory", ADD, nothing, "project-read-only", 2, ".aqe", READ_ONLY),
    Row(
        *("read-only project, key", ("memory", "key", "set", "--keyring"), remembering),
        *("project-read-only", 2, "key-id", READ_ONLY, still_remembers),
    ),
    Row("read-only project, stats", ("stats",), nothing, "", 0, "none yet", READ_ONLY),
    Row("read-only project, config", ("config",), nothing, "", 0, "sandbox.memory_mb", READ_ONLY),
    Row("full disk, memory", ADD, nothing, "disk-full", 2, ".aqe", FULL_DISK),
    Row("disk fills up, memory", ADD, remembering, "disk-full", 2, "aqe.db", FULL_DISK, still_remembers),
    Row("disk is full, list", ("memory", "list"), remembering, "", 0, "keep this", FULL_DISK, still_remembers, True),
    Row("wrong setting, memory", ADD, unknown_key, "unknown-setting", 2, "budget"),
    Row(
        "syntax of the text index",
        ("memory", "search", '"NEAR( * - ^col:'),
        remembering,
        "",
        0,
        "",
        (),
        still_remembers,
    ),
    Row("query of signs alone", ("memory", "search", '"*-'), remembering, "", 0, "0 found by text"),
    Row("no query", ("memory", "search"), remembering, "bad-query", 2, "words"),
    Row("odd namespace", ("memory", "search", "x", "-n", "a:b"), remembering, "bad-namespace", 2, "a:b"),
    Row("read-only project, memory search", ("memory", "search", "x"), nothing, "", 0, "0 found", READ_ONLY),
    Row("unknown embedder", ADD, unknown_embedder, "bad-setting", 2, "word2vec"),
    Row("model without its library", ADD, model_without_its_library, "missing-extra", 2, "pip install 'aqe["),
    Row("wrong setting, stats", ("stats",), unknown_key, "unknown-setting", 2, "budget"),
    Row("wrong setting, config", ("config",), unknown_key, "unknown-setting", 2, "budget"),
]
