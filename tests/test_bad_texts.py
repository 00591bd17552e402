"""Bad texts, ids, queries and lines at every command that takes them: one sentence, a code, a documented status, and a
store that holds what it held.

A row is a command with its stdin, the code and words of the answer. A new command adds rows. Paths, settings and disks
are in bad_input/.
"""

from __future__ import annotations

import hashlib
import io
import json
import shutil
import sqlite3
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from aqe.engine.embedding import open_embedder
from aqe.engine.errors import CODES
from aqe.engine.settings import Settings
from aqe.server.cli import main

BIG = b"word " * 2_100_000
LATIN = b"caf\xe9 \xff price"
"""10 MB of text, and bytes that are no UTF-8."""

ODD = "caf\udce9"
"""An argument whose bytes are no UTF-8, as Python hands it over."""

SYNTAX = (
    '"',
    "*",
    "NEAR",
    "NEAR(a b, 2)",
    "- x",
    "a:b",
    "^a",
    "(a",
    "a)",
    "a AND",
    "NOT",
    '"un balanced',
    "{a b}:",
    "'",
)
"""What the text index would read as its own syntax."""

MODEL = '[tool.aqe.providers.house]\nkind = "openai-compatible"\nbase_url = "http://127.0.0.1:9/v1"\nmodels = ["m"]\n'
OWN = open_embedder(Settings()).id.encode()
LEFT_OUT = ("sqlite_", "leases", "jobs", "indexed_files")
"""Tables that follow the clock and the files, not what was asked to be stored."""


@dataclass(frozen=True)
class Row:
    """One mistake or oddity; `code` is empty where the command copes. `{request}` in a word is that of an answer."""

    name: str
    command: tuple[str, ...]
    code: str
    words: str = ""
    stdin: bytes = b""
    slow: bool = False


@dataclass(frozen=True)
class Lines:
    """JSON lines for a batch command: each input line beside the code of its output line ("" where it is answered)."""

    name: str
    command: tuple[str, ...]
    lines: tuple[tuple[bytes, str], ...]


def texts(verb: str, *command: str) -> list[Row]:
    """What no command takes as a text: nothing, blanks, 10 MB, half characters, a NUL byte."""
    piped = (*command, "-")
    return [
        Row(f"{verb}, empty", (*command, ""), "bad-text", "empty"),
        Row(f"{verb}, blank", (*command, " \n"), "bad-text", "empty"),
        Row(f"{verb}, 10 MB", piped, "text-too-long", "10500000 bytes", BIG),
        Row(f"{verb}, no UTF-8", (*command, ODD), "bad-text", "the byte 0xE9"),
        Row(f"{verb}, no UTF-8 on stdin", piped, "bad-text", "U+DCE9", LATIN),
        Row(f"{verb}, NUL", piped, "bad-text", "NUL byte at offset 1", b"a\0b"),
    ]


ENTRY = ("knowledge", "add", "--title", "T", "-n", "quality")
RATED = ("feedback", "{request}", "--rating")
ROWS = [
    *texts("memory add", "memory", "add"),
    *texts("memory update", "memory", "update", "first"),
    *texts("embed", "embed"),
    *texts("query", "query"),
    *texts("complete", "complete"),
    *texts("knowledge add", *ENTRY),
    Row("similarity, empty", ("similarity", "", "x"), "bad-text", "empty"),
    Row("similarity, no UTF-8", ("similarity", "x", ODD), "bad-text", "U+DCE9"),
    Row("chat, empty", ("sessions", "chat", "talk", ""), "bad-text", "empty"),
    Row("chat, no UTF-8", ("sessions", "chat", "talk", ODD), "bad-text", "U+DCE9"),
    *texts("route", "route"),
    Row("scan, 10 MB", ("privacy", "scan", "-"), "", "nothing found", BIG, slow=True),
    Row("scan, no UTF-8", ("privacy", "scan", "-"), "", "1 found", LATIN + b" mail anna.meyer@mailbox.org"),
    # ids
    Row("get, unknown", ("memory", "get", "nil"), "unknown-id", "nil"),
    Row("get, no UTF-8", ("memory", "get", ODD), "bad-id", "U+DCE9"),
    Row("update, unknown", ("memory", "update", "nil", "x"), "unknown-id", "nil"),
    Row("delete, unknown", ("memory", "delete", "nil"), "unknown-id", "nil"),
    Row("delete, no UTF-8", ("memory", "delete", ODD), "bad-id", "U+DCE9"),
    Row("add, id taken", ("memory", "add", "another text", "--id", "first"), "id-taken", "first"),
    Row("add, id too long", ("memory", "add", "x", "--id", "i" * 201), "bad-id", "201 bytes"),
    Row("feedback, unknown", ("feedback", "nil", "--rating", "3"), "unknown-request", "nil"),
    Row("feedback, empty id", ("feedback", "", "--rating", "3"), "unknown-request"),
    Row("feedback, no UTF-8", ("feedback", ODD, "--rating", "3"), "unknown-request"),
    Row("show, unknown session", ("sessions", "show", "nil"), "unknown-session", "nil"),
    Row("resume, unknown session", ("sessions", "resume", "nil"), "unknown-session", "nil"),
    Row("end, unknown session", ("sessions", "end", "nil"), "unknown-session", "nil"),
    Row("export, unknown session", ("sessions", "export", "nil"), "unknown-session", "nil"),
    Row("chat, odd session", ("sessions", "chat", "a/b", "x"), "bad-session", "a/b"),
    Row("query, odd session", ("query", "x", "--session", "a\nb"), "bad-session"),
    Row("query, no session's name", ("query", "x", "--session", ""), "bad-session"),
    Row("query, session without UTF-8", ("query", "x", "--session", ODD), "bad-session"),
    Row("knowledge show, unknown", ("knowledge", "show", "nil"), "unknown-id", "nil"),
    Row("knowledge remove, unknown", ("knowledge", "remove", "nil"), "unknown-id", "nil"),
    Row("knowledge remove, no UTF-8", ("knowledge", "remove", ODD), "unknown-id"),
    Row("starter, unknown", ("knowledge", "add", "--starter", "nil"), "unknown-id", "nil"),
    Row("knowledge add, id without UTF-8", (*ENTRY, "x", "--id", ODD), "bad-id", "U+DCE9"),
    Row("consent, no UTF-8", ("privacy", "consent", "grant", ODD), "no-such-provider"),
    Row("revoke, no UTF-8", ("privacy", "consent", "revoke", ODD), "bad-argument"),
    # namespaces, limits, filters, feedback
    *[
        Row(f"namespace {name!r}", ("memory", "add", "x", "-n", name), "bad-namespace")
        for name in ("a b", "a:b", "../x", "-n", "", "_", "_a", "a/", "/", "n" * 101, ODD)
    ],
    Row("get, odd namespace", ("memory", "get", "first", "-n", "a:b"), "bad-namespace", "a:b"),
    Row("search, odd namespace", ("memory", "search", "x", "-n", "a:b"), "bad-namespace", "a:b"),
    Row("list, odd namespace", ("memory", "list", "-n", "a:b"), "bad-namespace", "a:b"),
    Row("shelf, odd namespace", ("knowledge", "list", "-n", "a:b"), "bad-namespace", "a:b"),
    Row("entry, odd namespace", ("knowledge", "add", "x", "--title", "T", "-n", "a:b"), "bad-namespace"),
    Row("search for none", ("memory", "search", "x", "-k", "0"), "bad-limit"),
    Row("lines for none", ("memory", "search", "--jsonl", "-k", "0"), "bad-limit", "1 to 1000", b'{"query": "x"}'),
    Row("lines of no namespace", ("memory", "search", "--jsonl", "-n", "a:b"), "bad-namespace", "a:b", b'{"query": 1}'),
    Row("lines unknown operator", ("memory", "search", "--jsonl", "-m", 'k={"near": 3}'), "bad-filter", "near"),
    Row("search for all", ("memory", "search", "x", "-k", "9" * 30), "bad-limit"),
    Row("unknown operator", ("memory", "list", "-m", 'k={"near": 3}'), "bad-filter", "near"),
    Row("metadata without UTF-8", ("memory", "add", "x", "-m", f"k={ODD}"), "bad-metadata", "U+DCE9"),
    Row("rating of nine", (*RATED, "9"), "bad-feedback", "9"),
    Row("no feedback", ("feedback", "{request}"), "bad-feedback", "says nothing"),
    Row("unknown signal", ("feedback", "{request}", "--signal", "sideways"), "bad-feedback", "sideways"),
    Row("empty correction", ("feedback", "{request}", "--correction", ""), "bad-text", "empty"),
    Row("correction without UTF-8", ("feedback", "{request}", "--correction", ODD), "bad-text", "U+DCE9"),
    # sessions to import
    Row("import, no UTF-8", ("sessions", "import", "-"), "bad-session", "", b"\xff\xfe{"),
    Row("import, no JSON", ("sessions", "import", "README.md"), "bad-session", "nothing was stored"),
    Row("import, no messages", ("sessions", "import", "-"), "bad-session", "messages", b'{"messages": 5}'),
    Row(
        "import, unknown role",
        ("sessions", "import", "-"),
        "bad-session",
        "king",
        b'{"messages": [{"role": "user", "content": "a"}, {"role": "king", "content": "b"}]}',
    ),
    Row(
        "import, half a character",
        ("sessions", "import", "-"),
        "bad-session",
        "U+D800",
        b'{"messages": [{"role": "user", "content": "\\ud800"}]}',
    ),
    Row("import, too deep", ("sessions", "import", "-"), "bad-session", "", b"[" * 100_000),
    # the text index's own syntax in what a user writes
    *[Row(f"search {query}", ("memory", "search", "--", query), "") for query in SYNTAX],
    *[Row(f"query {query}", ("query", "--", f"{query} parcel"), "") for query in SYNTAX],
    Row("search, empty", ("memory", "search", ""), "bad-query", "nothing to look for"),
    Row("search, no UTF-8", ("memory", "search", ODD), "bad-text", "U+DCE9"),
    # what a batch reads from its lines
    Row("embed, text beside lines", ("embed", "x", "--jsonl"), "bad-argument", "A TEXT does not go with --jsonl"),
    Row("route, task beside lines", ("route", "--jsonl", "--task", "x"), "bad-argument", "--task does not go"),
    # files to index
    Row("index, missing", ("index", "gone"), "no-such-path", "gone"),
    Row("index, no UTF-8", ("index", ODD), "no-such-path"),
    Row("index, outside", ("index", "/"), "outside-project"),
    Row("index, odd files", ("index",), "", "big.md"),
]

A_TEXT = (b'{"id": "z", "%s": "last"}', "")
BROKEN: tuple[tuple[bytes, str], ...] = (
    (b'{"id": "a", "%s": "one"}', ""),
    (b"not json", "bad-line"),
    (b"[1]", "bad-line"),
    (b'{"id": "l", "%s": "caf\xe9"}', "bad-line"),
    (b"[" * 100_000, "bad-line"),
    (b'{"id": "e", "%s": ""}', "bad-text"),
    (b'{"id": "n", "%s": 5}', "bad-text"),
    (b'{"id": "m"}', "bad-text"),
    A_TEXT,
)
NO_TEXTS = ((b'{"id": "o", "%s": "a\\u0000b"}', "bad-text"), (b'{"id": "h", "%s": "\\ud800"}', "bad-text"))
LONG = (b'{"id": "w", "%s": "' + BIG + b'"}', "text-too-long")


def of(field: bytes, *lines: tuple[bytes, str]) -> tuple[tuple[bytes, str], ...]:
    return tuple((line.replace(b"%s", field), code) for line, code in lines)


BATCHES = [
    Lines("embed", ("embed", "--jsonl"), of(b"text", *BROKEN, *NO_TEXTS, A_TEXT)),
    Lines("route", ("route", "--jsonl"), of(b"prompt", *BROKEN, *NO_TEXTS, LONG, A_TEXT)),
    Lines("scan", ("privacy", "scan", "--jsonl"), of(
        b"text", *[line for line in BROKEN if b'""' not in line[0]], (b'{"text": "x", "path": 5}', "bad-line"), A_TEXT,
    )),
    Lines("add", ("memory", "add", "--jsonl"), of(
        b"text", *BROKEN[:-1], *NO_TEXTS,
        (b'{"id": ["x"], "text": "t"}', "bad-id"),
        (b'{"id": "first", "text": "another"}', "id-taken"),
        (b'{"text": "x", "namespace": "a:b"}', "bad-namespace"),
        (b'{"text": "x", "metadata": [1]}', "bad-metadata"),
        (b'{"text": "x", "line": "q"}', "bad-provenance"),
        (b'{"text": "x", "vector": ["a"]}', "bad-vector"),
        (b'{"text": "x", "vector": [0, 0]}', "bad-vector"),
        (b'{"text": "x", "vector": [1e999]}', "bad-vector"),
        (b'{"text": "x", "vector": [1, 2], "embedder_id": "%s"}' % OWN, "bad-vector"),
        A_TEXT,
    )),
    Lines("search", ("memory", "search", "--jsonl"), of(
        b"query",
        (b'{"id": "a", "query": "keep"}', ""),
        *BROKEN[1:5],
        (b'{"id": "b"}', "bad-query"),
        (b'{"query": 7}', "bad-query"),
        (b'{"query": "x", "k": "z"}', "bad-limit"),
        (b'{"query": "x", "k": 1e400}', "bad-limit"),
        (b'{"query": "x", "filter": []}', "bad-filter"),
        (b'{"query": "x", "namespace": "a:b"}', "bad-namespace"),
        (b'{"query": "x", "namespace": 7}', "bad-namespace"),
        (b'{"vector": [1, 2, 3, 4]}', "bad-vector"),
        (b'{"query": "x", "vector": [1, 2], "embedder_id": "theirs"}', "bad-vector"),
        (b'{"query": "x", "vector": [1, 2], "embedder_id": "%s"}' % OWN, "bad-vector"),
        (b'{"query": "NEAR(\\""}', ""),
        *NO_TEXTS,
        LONG,
        (b'{"query": "", "vector": [1, 2]}', ""),
        (b'{"vector": [1, 2], "embedder_id": "nope"}', "unknown-embedder"),
        A_TEXT,
    )),
]  # fmt: skip

OPENING = [
    ("memory", "add", "x"), ("memory", "search", "x"), ("memory", "get", "first"), ("memory", "update", "first", "x"),
    ("memory", "delete", "first"), ("memory", "list"), ("query", "x"), ("complete", "x"), ("route", "x"), ("index",),
    ("feedback", "{request}", "--rating", "3"), ("knowledge", "list"), ("knowledge", "remove", "hash-seed"),
    ("sessions", "list"), ("sessions", "chat", "talk", "x"), ("privacy", "audit"), ("privacy", "verify"), ("stats",),
]  # fmt: skip


@dataclass(frozen=True)
class Prepared:
    """A project with a memory, two of other spaces, an index, a talk and an answer of the request id, and what the
    tables of its store hold."""

    root: Path
    request: str
    rows: dict[str, str]


@pytest.fixture(scope="session")
def template(tmp_path_factory: pytest.TempPathFactory) -> Prepared:
    root = tmp_path_factory.mktemp("bad-texts") / "project"
    root.mkdir()
    (root / "pyproject.toml").write_text(MODEL)
    (root / "README.md").write_text("# Parcels\n\nA parcel of 400 grams costs 390 cents.\n")
    (root / "latin.py").write_bytes(b'# caf\xe9\ndef f():\n    "doc \xff"\n')
    (root / "nul.md").write_bytes(b"# a\0b\n\ntext \0\n")
    (root / "empty.md").write_bytes(b"")
    (root / "big.md").write_bytes(BIG[:1_100_000])
    assert call(root, "memory", "add", "keep this", "--id", "first")[0] == 0
    vectors = b'{"text": "given", "vector": [1, 2]}\n{"text": "theirs", "vector": [1, 2, 3], "embedder_id": "theirs"}\n'
    assert call(root, "memory", "add", "--jsonl", stdin=vectors)[0] == 0
    status, out, _ = call(root, "query", "What does a parcel cost?", "--session", "talk", "--json")
    assert status == 0
    return Prepared(root, json.loads(out)["request_id"], rows_of(root))


@pytest.fixture
def prepared(template: Prepared, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Prepared:
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    root = tmp_path / "project"
    shutil.copytree(template.root, root)
    monkeypatch.chdir(root)
    return Prepared(root, template.request, template.rows)


def call(root: Path, *words: str, stdin: bytes = b"") -> tuple[int, str, str]:
    """The command in this process, its stdin as a pipe gives it; exit status, stdout and stderr."""
    streams = sys.stdin, sys.stdout, sys.stderr
    out, err = (io.TextIOWrapper(io.BytesIO(), encoding="utf-8", write_through=True) for _ in range(2))
    sys.stdin = io.TextIOWrapper(io.BytesIO(stdin), encoding="utf-8", errors="surrogateescape")
    sys.stdout, sys.stderr = out, err
    try:
        status = main(["--project", str(root), *words])
    finally:
        sys.stdin, sys.stdout, sys.stderr = streams
    return status, *(stream.buffer.getvalue().decode() for stream in (out, err))


def rows_of(root: Path) -> dict[str, str]:
    """What each table of the store holds, as a hash."""
    with sqlite3.connect(root / ".aqe" / "aqe.db") as connection:
        names = connection.execute("SELECT name FROM sqlite_master WHERE type = 'table' AND sql NOT LIKE 'CREATE V%'")
        tables = [name for (name,) in names if not name.startswith(LEFT_OUT)]
        return {
            name: hashlib.sha256(repr(connection.execute(f'SELECT * FROM "{name}"').fetchall()).encode()).hexdigest()
            for name in tables
        }


@pytest.mark.parametrize(
    "row", [pytest.param(row, id=ascii(row.name), marks=[pytest.mark.services] * row.slow) for row in ROWS]
)
def test_mistake_is_one_sentence_and_stores_nothing(prepared: Prepared, row: Row) -> None:
    """A mistake is one line on stderr with its code and exit status 2, and the store holds what it held; an oddity is
    answered, and the memory of before is still there."""
    words = [word.replace("{request}", prepared.request) for word in row.command]
    status, out, err = call(prepared.root, *words, stdin=row.stdin)
    assert status == (2 if row.code else 0), err
    assert "Traceback" not in out + err
    assert row.words in out + err
    if row.code:
        assert row.code in CODES
        assert err.endswith(f"[{row.code}]\n")
        assert err.count("\n") == 1
        assert rows_of(prepared.root) == prepared.rows
    assert "keep this" in call(prepared.root, "memory", "get", "first")[1]


@pytest.mark.parametrize("batch", [pytest.param(batch, id=batch.name) for batch in BATCHES])
def test_broken_line_is_named_and_the_rest_goes_on(prepared: Prepared, batch: Lines) -> None:
    """Each input line has one output line in its place: an answer, or an error with code and line number; exit 1."""
    status, out, err = call(prepared.root, *batch.command, stdin=b"\n".join(line for line, _ in batch.lines) + b"\n")
    answers: list[dict[str, Any]] = [json.loads(line) for line in out.splitlines()]
    codes = [answer.get("error", {}).get("code", "") for answer in answers]
    assert codes == [code for _, code in batch.lines]
    assert [answer["line"] for answer in answers if "error" in answer] == [
        number for number, (_, code) in enumerate(batch.lines, 1) if code
    ]
    assert status == 1
    assert err.endswith("[lines-failed]\n")
    assert "keep this" in call(prepared.root, "memory", "get", "first")[1]


@pytest.mark.parametrize("command", [pytest.param(command, id=" ".join(command[:2])) for command in OPENING])
def test_database_of_a_newer_aqe_is_refused_and_left_alone(prepared: Prepared, command: tuple[str, ...]) -> None:
    """A store with a higher version is refused by every command that opens it, and not a byte of it changes."""
    path = prepared.root / ".aqe" / "aqe.db"
    with sqlite3.connect(path) as connection:
        connection.execute("PRAGMA user_version = 999")
    connection.close()
    before = path.read_bytes()
    words = [word.replace("{request}", prepared.request) for word in command]
    status, _, err = call(prepared.root, *words)
    assert (status, err.count("\n"), "version 999" in err) == (2, 1, True)
    assert err.endswith("[database-newer]\n")
    assert path.read_bytes() == before
