"""Memories of other systems come in from the files that those systems write."""

from __future__ import annotations

import json
from pathlib import Path

import apsw
import pytest

from aqe.engine.errors import UserError
from aqe.engine.memory import Provenance, Store, rfc3339
from aqe.engine.memory.growth.rules import GrowthRules
from aqe.engine.memory.transfer import Contents, import_memories, read_file

NOW = 1_780_000_000_000_000
GRAPH = [
    {"type": "entity", "name": "Cart", "entityType": "class", "observations": ["rounds half up", "holds lines"]},
    {"type": "entity", "name": "Refund", "entityType": "concept", "observations": []},
    {"type": "relation", "from": "Refund", "to": "Cart", "relationType": "is computed by"},
]


def taken(store: Store, contents: Contents) -> list[tuple[str, str]]:
    """What is in the store after the import, by namespace and text."""
    import_memories(store, contents)
    return sorted((memory.namespace, memory.text) for memory in store.list())


def test_the_mcp_memory_server(store: Store, tmp_path: Path) -> None:
    """Each observation and relation of its knowledge graph is a memory; done again nothing is added."""
    file = tmp_path / "memory.jsonl"
    file.write_text("\n".join(json.dumps(item) for item in GRAPH), encoding="utf-8")
    contents = read_file(file, now=NOW)
    assert contents.form == "server-memory"
    texts = ["Cart: holds lines", "Cart: rounds half up", "Refund (concept)", "Refund is computed by Cart"]
    assert taken(store, contents) == [("imported", text) for text in texts]
    found = store.search("rounds", namespace="imported").hits[0].memory
    assert found.metadata == {"entity": "Cart", "entity_type": "class"}
    assert import_memories(store, read_file(file, now=NOW + 1)).added == 0


def test_what_says_nothing_is_left_out(store: Store, tmp_path: Path) -> None:
    """An observation without a word and a heading without a text are no memories, and are named."""
    graph, notes = tmp_path / "memory.jsonl", tmp_path / "notes.md"
    graph.write_text(json.dumps({**GRAPH[0], "observations": ["", " ", "holds lines"]}) + "\n", encoding="utf-8")
    notes.write_text("# Notes\n\n## A\n\nPrices are gross.\n\n## B\n\n## C\nSee D.\n", encoding="utf-8")
    contents = read_file(graph, now=NOW), read_file(notes, now=NOW)
    assert [len(one.left_out) for one in contents] == [2, 1]
    assert [what for what, _ in contents[1].left_out] == ["## B"]
    for one in contents:
        import_memories(store, one)
    assert sorted(memory.text for memory in store.list()) == [
        "## A\n\nPrices are gross.",
        "## C\nSee D.",
        "Cart: holds lines",
    ]


def test_relations_of_mem0_are_memories(store: Store, tmp_path: Path) -> None:
    """What its graph says comes in as sentences; a relation without an end is named and left out."""
    file = tmp_path / "mem0.json"
    relations = [
        {"source": "alice", "relationship": "reviews", "target": "billing"},
        {"source": "bob", "relationship": "owns", "destination": "shipping"},
        {"source": "carol", "relationship": "owns"},
        "dave",
    ]
    found = {"results": [{"id": "m1", "memory": "Prefers pytest"}], "relations": relations}
    file.write_text(json.dumps(found), encoding="utf-8")
    contents = read_file(file, now=NOW)
    assert [text for _, text in taken(store, contents)] == [
        "Prefers pytest",
        "alice reviews billing",
        "bob owns shipping",
    ]
    assert [what for what, _ in contents.left_out] == ["a relation", "a relation"]


MEM0 = {
    "results": [
        {
            "id": "m1",
            "memory": "Prefers pytest over unittest",
            "hash": "h",
            "metadata": {"topic": "tools"},
            "created_at": "2026-03-01T10:00:00.000001-07:00",
            "updated_at": None,
            "user_id": "dev",
        },
        {"id": "m2", "memory": ""},
    ]
}


@pytest.mark.parametrize("shape", ["answer", "list", "lines"])
def test_an_answer_of_mem0(store: Store, tmp_path: Path, shape: str) -> None:
    """What get_all answers, its bare list, or one memory a line: ids, times and metadata are kept."""
    file = tmp_path / "mem0.json"
    listed = MEM0["results"]
    lines = "\n".join(json.dumps(item) for item in listed)
    text = {"answer": json.dumps(MEM0, indent=2), "list": json.dumps(listed), "lines": lines}[shape]
    file.write_text(text, encoding="utf-8")
    contents = read_file(file, namespace="notes", now=NOW)
    assert taken(store, contents) == [("notes", "Prefers pytest over unittest")]
    found = store.get("m1", namespace="notes")
    assert found is not None
    assert (found.metadata, rfc3339(found.created_at)) == (
        {"topic": "tools", "user_id": "dev"},
        "2026-03-01T17:00:00.000001Z",
    )
    assert [what for what, _ in contents.left_out] == ["m2"]


def database(path: Path, *statements: str) -> Path:
    """A SQLite file that another program made."""
    connection = apsw.Connection(str(path))
    for statement in statements:
        connection.execute(statement)
    connection.close()
    return path


def test_the_history_of_mem0_becomes_revisions(store: Store, tmp_path: Path) -> None:
    """Its log of changes gives each memory its revisions and ends those that were deleted."""
    file = database(
        tmp_path / "history.db",
        "CREATE TABLE history (id TEXT PRIMARY KEY, memory_id TEXT, old_memory TEXT, new_memory TEXT, event TEXT,"
        " created_at DATETIME, updated_at DATETIME, is_deleted INTEGER, actor_id TEXT, role TEXT)",
        "INSERT INTO history VALUES"
        " ('1', 'a', NULL, 'likes tabs', 'ADD', '2026-01-01T00:00:00Z', NULL, 0, 'dev', 'user'),"
        " ('2', 'a', 'likes tabs', 'likes spaces', 'UPDATE', '2026-01-01T00:00:00Z', '2026-02-01T00:00:00Z', 0, 'dev',"
        " 'user'),"
        " ('3', 'b', NULL, 'old office', 'ADD', '2026-01-01T00:00:00Z', NULL, 0, 'dev', 'user'),"
        " ('4', 'b', 'old office', NULL, 'DELETE', '2026-01-01T00:00:00Z', '2026-03-01T00:00:00Z', 1, 'dev', 'user')",
    )
    contents = read_file(file, now=NOW)
    assert contents.form == "mem0"
    assert taken(store, contents) == [("imported", "likes spaces")]
    assert [one.text for one in store.history("a", namespace="imported")] == ["likes tabs", "likes spaces"]
    ended = store.history("b", namespace="imported")[0].valid_to
    assert ended is not None
    assert rfc3339(ended) == "2026-03-01T00:00:00.000000Z"


def test_agentic_qe(store: Store, tmp_path: Path) -> None:
    """Its key-value store, patterns and experiences come in; what has expired does not; the file stays as it was."""
    file = database(
        tmp_path / "memory.db",
        "CREATE TABLE kv_store (key TEXT NOT NULL, namespace TEXT NOT NULL, value TEXT NOT NULL, expires_at INTEGER,"
        " created_at INTEGER, PRIMARY KEY (namespace, key))",
        "INSERT INTO kv_store VALUES ('rounding', 'facts', '\"half up\"', NULL, 1767225600000),"
        " ('config', 'facts', '{\"retries\": 2}', NULL, 1767225600000), ('old', 'facts', '1', 1767225600000, 1),"
        " ('soon', 'facts', 'gone', 1780000009000, 1767225600000)",
        "CREATE TABLE qe_patterns (id TEXT PRIMARY KEY, pattern_type TEXT, qe_domain TEXT, domain TEXT, name TEXT,"
        " description TEXT, confidence REAL, template_json TEXT, context_json TEXT, created_at TEXT, updated_at TEXT)",
        "INSERT INTO qe_patterns VALUES ('p1', 'test-template', 'test-generation', 'python', 'Boundary values',"
        " 'Try both sides of each limit', 0.8, NULL, '{\"tags\": [\"limits\"]}', '2026-01-01 10:00:00', NULL)",
        "CREATE TABLE captured_experiences (id TEXT PRIMARY KEY, task TEXT NOT NULL, agent TEXT, success INTEGER,"
        " quality REAL, result_json TEXT, error TEXT, completed_at TEXT)",
        "INSERT INTO captured_experiences VALUES ('e1', 'Cover cart.py', 'coverage', 1, 0.9, NULL, NULL,"
        " '2026-01-02 10:00:00')",
    )
    before = file.read_bytes()
    contents = read_file(file, namespace="aqe-before", now=NOW)
    assert contents.form == "agentic-qe"
    assert taken(store, contents) == [
        ("aqe-before/experiences", "Cover cart.py"),
        ("aqe-before/facts", 'config: {"retries": 2}'),
        ("aqe-before/facts", "rounding: half up"),
        ("aqe-before/facts", "soon: gone"),
        ("aqe-before/patterns", "Boundary values\nTry both sides of each limit"),
    ]
    assert contents.left_out == (("facts:old", "it has expired"),)
    ends = {memory.id: memory.expires_at for memory in store.list()}
    assert (ends["soon"], ends["rounding"]) == (1_780_000_009_000_000, None)
    assert file.read_bytes() == before
    assert sorted(path.name for path in tmp_path.iterdir() if path.name.startswith("memory")) == ["memory.db"]


def test_rows_of_nulls_are_no_memories(store: Store, tmp_path: Path) -> None:
    """A row without a value or a text is left out and counted; one that lacks its id alone gets one of its own."""
    file = database(
        tmp_path / "memory.db",
        "CREATE TABLE kv_store (key TEXT, namespace TEXT, value TEXT)",
        "INSERT INTO kv_store VALUES (NULL, NULL, NULL), ('k', 'facts', NULL), (NULL, 'facts', '\"nameless\"')",
        "CREATE TABLE qe_patterns (id TEXT, pattern_type TEXT, name TEXT)",
        "INSERT INTO qe_patterns VALUES (NULL, NULL, NULL)",
        "CREATE TABLE captured_experiences (id TEXT, task TEXT)",
        "INSERT INTO captured_experiences VALUES (NULL, NULL), (NULL, 'Cover cart.py')",
    )
    contents = read_file(file, now=NOW)
    assert taken(store, contents) == [("imported/experiences", "Cover cart.py"), ("imported/facts", "nameless")]
    assert "None" not in {memory.id for memory in store.list()}
    assert len(contents.left_out) == 4


def test_any_markdown(store: Store, tmp_path: Path) -> None:
    """Notes of anybody become a memory for each section, which says where it stood."""
    file = tmp_path / "NOTES.md"
    file.write_text("# Rules\n\nRound half up.\n\n## Refunds\n\nAt most 30 days.\n", encoding="utf-8")
    assert len(taken(store, read_file(file, now=NOW))) == 2
    found = store.search("refunds days", namespace="imported").hits[0].memory
    assert "At most 30 days." in found.text
    assert found.metadata["file"] == "NOTES.md"


def test_plain_lines(store: Store, tmp_path: Path) -> None:
    """Lines with a text are taken as `aqe memory add --jsonl` takes them."""
    file = tmp_path / "texts.jsonl"
    file.write_text('{"text": "one", "id": "1", "metadata": {"a": 1}}\n{"text": "two", "namespace": "x"}\n', "utf-8")
    assert taken(store, read_file(file, now=NOW)) == [("imported", "one"), ("x", "two")]


def test_a_plain_line_brings_all_that_an_added_one_does(store: Store, tmp_path: Path) -> None:
    """End, vector, place, run, pin and metadata of a line come in as `aqe memory add --jsonl` takes them."""
    about = {"empty": "", "none": None, "n": [1.5]}
    line = {"text": " spaces stay ", "id": "a", "ttl": "3000d", "vector": [3, 4], "embedder_id": "mine", "file": "a.py"}
    line |= {"line": 3, "run": "r9", "commit": "c0ffee", "pinned": True, "namespace": "n", "metadata": about}
    endless = {"text": "endless", "id": "b", "ttl": "never", "vector": [1, 0]}
    file = tmp_path / "texts.jsonl"
    file.write_text(f"{json.dumps(line)}\n{json.dumps(endless)}\n", encoding="utf-8")
    assert import_memories(store, read_file(file, now=NOW, namespace="m")).added == 2
    kept, other = store.get("a", namespace="n"), store.get("b", namespace="m")
    assert kept is not None
    assert other is not None
    assert (kept.text, kept.metadata, kept.pinned) == (" spaces stay ", about, True)
    assert kept.expires_at == NOW + 3000 * 86_400_000_000
    assert kept.provenance == Provenance("a.py", 3, "c0ffee", "r9")
    assert (kept.embedder_id, kept.dimension) == ("mine", 2)
    assert (other.embedder_id, other.expires_at, other.pinned) == ("given", None, False)
    hits = store.search(vector=[3, 4], embedder_id="mine").hits
    assert [(hit.memory.id, round(hit.score, 6)) for hit in hits] == [("a", 1.0)]


def test_a_plain_line_about_a_file_goes_stale_with_it(tmp_path: Path) -> None:
    """The file of a line is one of the project, however it is named, and a change of it tells on the memory."""
    (tmp_path / "a.py").write_text("then", "utf-8")
    file = tmp_path / "texts.jsonl"
    named = [str(tmp_path / "a.py"), "./a.py", "a.py"]
    file.write_text("".join(json.dumps({"text": f"of {one}", "file": one}) + "\n" for one in named), "utf-8")
    with Store.open(tmp_path / "aqe.db", growth=GrowthRules(root=tmp_path), here=Provenance(worktree="w")) as store:
        import_memories(store, read_file(file, now=NOW))
        before = store.list()
        (tmp_path / "a.py").write_text("now", "utf-8")
        assert [memory.stale for memory in store.list()] == [True] * 3
    assert [memory.stale for memory in before] == [False] * 3
    assert {memory.provenance for memory in before} == {Provenance("a.py", worktree="w")}


def test_a_database_of_something_else_is_refused(tmp_path: Path) -> None:
    """A SQLite file without a table that aqe knows is named as such."""
    file = database(tmp_path / "other.db", "CREATE TABLE things (a)")
    with pytest.raises(UserError) as refused:
        read_file(file, now=NOW)
    assert refused.value.code == "unknown-format"


def test_one_memory_of_mem0(store: Store, tmp_path: Path) -> None:
    """A file with a single object is a single memory, its words in metadata are left alone, odd times are now."""
    file = tmp_path / "one.json"
    about = {"title": "Infinity War", "note": "NaN handling", "score": 1.5}
    file.write_text(json.dumps({"id": "q", "memory": "one", "metadata": about, "created_at": -9e10}), encoding="utf-8")
    assert taken(store, read_file(file, now=NOW)) == [("imported", "one")]
    found = store.get("q", namespace="imported")
    assert found is not None
    assert (found.metadata, found.created_at) == (about, NOW)


def test_an_id_that_no_memory_may_have_is_kept_in_the_metadata(store: Store, tmp_path: Path) -> None:
    """NUL bytes and half characters in an id do not come in as one."""
    file = tmp_path / "mem0.json"
    file.write_text('[{"memory": "one", "id": "a\\u0000b"}, {"memory": "two", "id": "\\ud800"}]', encoding="utf-8")
    assert len(taken(store, read_file(file, now=NOW))) == 2
    assert all(store.get(memory.id, namespace="imported") for memory in store.list())
    assert sorted(memory.metadata["id"] for memory in store.list()) == ["?", "ab"]


def test_metadata_that_is_too_large_is_left_out_by_name(store: Store, tmp_path: Path) -> None:
    """The memory is named with why, and the others come in."""
    file = tmp_path / "texts.jsonl"
    large = json.dumps({"text": "large", "id": "x", "metadata": {"a": "b" * 100_000}})
    file.write_text(f'{{"text": "one"}}\n{large}\n', encoding="utf-8")
    contents = read_file(file, now=NOW)
    assert taken(store, contents) == [("imported", "one")]
    assert [what for what, _ in contents.left_out] == ["x"]


def test_the_same_text_without_an_id_joins_what_the_file_knows(store: Store, tmp_path: Path) -> None:
    """Metadata, pin and the longer life of the file's memory come to the one that has its text; one that is over does
    not stand in its way."""
    file = tmp_path / "in.jsonl"
    line = {"namespace": "default", "revision": 1, "created_at": "2026-01-01", "valid_from": "2026-01-01"}
    lines = [
        line | {"id": "1", "text": "kept", "id_given": False, "metadata": {"a": 1}, "more": {"pinned": 1}},
        line | {"id": "2", "text": "over", "id_given": False},
    ]
    file.write_text("\n".join(json.dumps(one) for one in lines), encoding="utf-8")
    kept = store.add("kept", metadata={"b": 2})
    over = store.add("over")
    with store.writing() as connection:
        connection.execute("UPDATE memories SET expires_at = 5 WHERE id = ?", (over,))
    told = import_memories(store, read_file(file, now=NOW))
    assert (told.continued, told.added) == (1, 1)
    found = store.get(kept)
    assert found is not None
    assert (found.metadata, found.pinned) == ({"a": 1, "b": 2}, True)
    assert sorted(memory.text for memory in store.list()) == ["kept", "over"]
    assert import_memories(store, read_file(file, now=NOW)).same == 2
