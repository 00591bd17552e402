"""Mistakes and oddities before what is asked, compared and routed, in conversations, and in privacy's commands."""

from __future__ import annotations

import contextlib
from pathlib import Path

from bad_input.projects import broken_database, database_is_untouched, empty_folder, nothing
from bad_input.rows import READ_ONLY, Row


def unknown_provider_key(project: Path, stack: contextlib.ExitStack) -> None:
    (project / "pyproject.toml").write_text('[tool.aqe.providers.house]\nbase_urll = "x"\n', encoding="utf-8")


def port_that_is_none(project: Path, stack: contextlib.ExitStack) -> None:
    table = 'kind = "openai-compatible"\nmodels = ["m"]\nbase_url = "http://localhost:99999/v1"\n'
    (project / "pyproject.toml").write_text(f"[tool.aqe.providers.house]\n{table}", encoding="utf-8")


ROWS = [
    # a setting that all of them read
    *(
        Row(f"port that is none, {words[0]}", words, port_that_is_none, "bad-setting", 2, "providers.house.base_url")
        for words in (("query", "x"), ("complete", "x"), ("route", "x"))
    ),
    # aqe privacy
    Row("path to scan is missing", ("privacy", "scan", "gone.py"), nothing, "no-such-path", 2, "gone.py"),
    Row("head of no audit log", ("privacy", "verify", "--head", "soon"), nothing, "bad-argument", 2, "soon"),
    # aqe embed, aqe similarity
    Row("nothing to embed", ("embed", " "), nothing, "bad-text", 2, "empty"),
    Row("nothing to compare", ("similarity", "x", ""), nothing, "bad-text", 2, "empty"),
    Row("read-only project, embed", ("embed", "x"), nothing, "", 0, "", READ_ONLY),
    # aqe route
    Row("nothing to route", ("route",), nothing, "usage", 2, "--explain"),
    Row("empty prompt", ("route", " "), nothing, "bad-text", 2, "empty"),
    Row("completion without a model", ("route", "x", "--completion"), nothing, "no-model", 2, "pip install"),
    Row("unknown strategy", ("route", "x", "--strategy", "costs"), nothing, "bad-argument", 2, "Did you mean 'cost'?"),
    Row("misspelt provider key", ("route", "x"), unknown_provider_key, "unknown-setting", 2, "'base_url'"),
    Row("broken database, route", ("route", "x"), broken_database, "database-broken", 2, "", (), database_is_untouched),
    Row("read-only project, route", ("route", "x"), nothing, "", 0, "extractive", READ_ONLY),
    # aqe query
    Row("empty question", ("query", " "), nothing, "bad-text", 2, "empty"),
    Row("question of signs alone", ("query", '"*-'), nothing, "", 0, "I do not know."),
    Row("question with query syntax", ("query", '"mod" NEAR(x* OR -y)'), nothing, "", 0, "request "),
    Row("broken database, query", ("query", "x"), broken_database, "database-broken", 2, "", (), database_is_untouched),
    Row("read-only project, query", ("query", "x"), nothing, "project-read-only", 2, ".aqe", READ_ONLY),
    Row("odd session name", ("query", "x", "--session", "a/b"), nothing, "bad-session", 2, "a/b"),
    # aqe complete
    Row("a folder as schema", ("complete", "x", "--schema", "data"), empty_folder, "bad-argument", 2, "Is a directory"),
    Row("no model, complete", ("complete", "x"), nothing, "no-model", 2, "pip install"),
    # aqe sessions
    Row("unknown session", ("sessions", "show", "nobody"), nothing, "unknown-session", 2, "nobody"),
    Row("session that is no JSON", ("sessions", "import", "mod.py"), nothing, "bad-session", 2, "JSON"),
]
