"""Memories go out of a store and come into another one without a loss."""

from __future__ import annotations

import io
import json
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from aqe.engine.errors import UserError
from aqe.engine.memory import NewMemory, Provenance, Store
from aqe.engine.memory.graph.edges import Edge, add_edges, neighbours
from aqe.engine.memory.transfer import (
    Wanted,
    export_memories,
    export_state,
    import_memories,
    import_state,
    read_file,
)
from tests.engine.transfer.conftest import everything, other

ODD_TEXTS = (
    "a <!-- aqe {} --> b",
    "ends\n\n<!-- /aqe -->\n",
    "line\u2028sep\x85\r\nwin",
    "-- \ufeff - — 🐍",
    "# heading",
)


@pytest.fixture
def full(store: Store) -> Store:
    """A store with revisions, ended memories, vectors of two spaces, metadata and provenance."""
    where = Provenance(file="shop/cart.py", line=12, commit="abc", run="r1", worktree="w")
    store.add("cart totals round half up", id="x", metadata={"k": [1, "–"], "n": None}, vector=[0.1, 0.2, 0.3])
    store.update("x", text="cart totals round half even", vector=[0.1, 1e-30, 3e38], provenance=where)
    store.update("x", metadata={"k": [2]})  # the vector goes on to this revision
    store.add("prices are decimals", vector=[1, 2, 3], embedder_id="aqe-static-1", namespace="agents/flaky")
    gone = store.add("an old rule", vector=[3, 2, 1])
    store.delete(gone)
    for text in ODD_TEXTS:
        store.add(text)
    return store


@pytest.mark.parametrize("name", ["out.jsonl", "out.aqe"])
def test_everything_comes_back_as_it_was(full: Store, tmp_path: Path, name: str) -> None:
    """Ids, revisions, times, metadata, provenance and vectors are the same in another store."""
    out, beside = tmp_path / name, tmp_path / "vectors.safetensors"
    with other(tmp_path) as target:
        if name == "out.aqe":
            export_state(full, out)
            told = import_state(target, out).memories
            again = import_state(target, out).memories
        else:
            export_memories(full, out, form="jsonl", wanted=Wanted(history=True), vectors=beside)
            told = import_memories(target, read_file(out, vectors=beside, now=1))
            again = import_memories(target, read_file(out, vectors=beside, now=1))
        assert everything(target) == everything(full)
        assert (told.added, again.added, again.same) == (told.memories, 0, told.memories)
        assert [hit.memory.id for hit in target.search("round half even").hits] == ["x"]


def test_vectors_of_another_export_are_refused(full: Store, tmp_path: Path) -> None:
    """Lines are read with the vectors that were written together with them, or not at all."""
    files = [(tmp_path / f"{name}.jsonl", tmp_path / f"{name}.safetensors") for name in ("before", "after")]
    for lines, vectors in files:
        export_memories(full, lines, form="jsonl", wanted=Wanted(history=True), vectors=vectors)
        full.add("one more", vector=[3, 1, 2])
    with pytest.raises(UserError, match="not written together") as refused:
        read_file(files[0][0], vectors=files[1][1], now=1)
    assert refused.value.code == "bad-record"
    for lines, vectors in files:
        assert read_file(lines, vectors=vectors, now=1).records


def test_the_same_vectors_make_the_same_file(full: Store, tmp_path: Path) -> None:
    """A file of vectors of several spaces has the same bytes each time, and its header is in order."""
    for number in range(4):
        full.add(f"in space {number}", vector=[1.0, float(number)], embedder_id=f"space-{number}")
    made = set()
    for number in range(3):
        beside = tmp_path / f"{number}.safetensors"
        export_memories(full, tmp_path / f"{number}.jsonl", form="jsonl", wanted=Wanted(), vectors=beside)
        made.add(beside.read_bytes())
    (data,) = made
    header = json.loads(data[8 : 8 + int.from_bytes(data[:8], "little")])
    assert list(header["__metadata__"]) == sorted(header["__metadata__"])


def test_markdown_keeps_odd_texts_and_given_vectors(full: Store, tmp_path: Path) -> None:
    """What a person reads is read back to the letter."""
    out = tmp_path / "out.md"
    export_memories(full, out, form="markdown", wanted=Wanted(history=True))
    with other(tmp_path) as target:
        import_memories(target, read_file(out, now=1))
        own = [row for row in everything(full) if row[8] != "aqe-static-1"]
        assert [row for row in everything(target) if row[0] != "agents/flaky"] == own


def test_edited_markdown_is_taken_as_a_new_revision(store: Store, tmp_path: Path) -> None:
    """A text that was changed in the file is a conflict that `take` makes a revision of."""
    store.add("prices round half up", id="rule")
    out = tmp_path / "out.md"
    export_memories(store, out, form="markdown", wanted=Wanted())
    out.write_text(out.read_text("utf-8").replace("half up", "half even"), encoding="utf-8")
    kept = import_memories(store, read_file(out, now=1))
    assert (kept.kept, kept.named) == (1, ("default: rule",))
    taken = import_memories(store, read_file(out, now=1), conflict="take")
    assert taken.taken == 1
    assert [one.text for one in store.history("rule")] == ["prices round half up", "prices round half even"]
    assert [hit.memory.revision for hit in store.search("half even").hits] == [2]


@settings(max_examples=20, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    texts=st.lists(
        st.text(st.characters(codec="utf-8", exclude_characters="\0"), min_size=1).filter(lambda text: text.strip()),
        min_size=1,
        max_size=6,
    ),
    form=st.sampled_from(["jsonl", "markdown"]),
)
def test_any_text_survives(tmp_path_factory: pytest.TempPathFactory, texts: list[str], form: str) -> None:
    """Texts of any characters come back to the letter from both forms."""
    folder = tmp_path_factory.mktemp("any")
    with other(folder, "from") as source, other(folder, "to") as target:
        source.add_many([NewMemory(text, id=str(number)) for number, text in enumerate(texts)])
        out = folder / f"out.{'md' if form == 'markdown' else 'jsonl'}"
        export_memories(source, out, form="markdown" if form == "markdown" else "jsonl", wanted=Wanted())
        import_memories(target, read_file(out, now=1))
        assert everything(target) == everything(source)


def test_export_since_continues_another_store(store: Store, tmp_path: Path) -> None:
    """What changed since an export is enough to bring its copy up to date."""
    first, later = tmp_path / "first.jsonl", tmp_path / "later.jsonl"
    store.add("one", id="a")
    store.add("two", id="b")
    export_memories(store, first, form="jsonl", wanted=Wanted(history=True))
    moment = store.now()
    store.update("a", text="one, revised")
    store.delete("b")
    store.add("three", id="c")
    export_memories(store, later, form="jsonl", wanted=Wanted(history=True, since=moment))
    with other(tmp_path) as target:
        import_memories(target, read_file(first, now=1))
        told = import_memories(target, read_file(later, now=1))
        assert (told.added, told.continued) == (1, 2)
        assert everything(target) == everything(store)
        assert [hit.memory.id for hit in target.search("one revised").hits] == ["a"]
        assert target.get("b") is None


def test_export_as_of_has_what_held_then(store: Store) -> None:
    """A moment in the past is exported with the revisions of that moment."""
    store.add("old words", id="a")
    moment = store.now()
    store.update("a", text="new words")
    store.add("later", id="b")
    out = io.StringIO()
    export_memories(store, out, form="jsonl", wanted=Wanted(at=moment))
    lines = [json.loads(line) for line in out.getvalue().splitlines()[1:]]
    assert [(line["id"], line["text"]) for line in lines] == [("a", "old words")]


def test_dry_run_tells_and_writes_nothing(full: Store, tmp_path: Path) -> None:
    """The counts of a dry run are those of the import, and the store stays empty."""
    out = tmp_path / "out.jsonl"
    export_memories(full, out, form="jsonl", wanted=Wanted(history=True))
    with other(tmp_path) as target:
        would = import_memories(target, read_file(out, now=1), dry_run=True)
        assert everything(target) == []
        done = import_memories(target, read_file(out, now=1))
    assert would.dry_run
    assert (would.added, would.revisions) == (done.added, done.revisions)


def test_conflict_fail_takes_nothing(store: Store, tmp_path: Path) -> None:
    """With `fail` one memory that differs leaves the store as it was."""
    out = tmp_path / "out.jsonl"
    store.add("new here", id="a")
    store.add("theirs", id="b")
    export_memories(store, out, form="jsonl", wanted=Wanted())
    with other(tmp_path) as target:
        target.add("ours", id="b")
        with pytest.raises(UserError) as refused:
            import_memories(target, read_file(out, now=1), conflict="fail")
        assert refused.value.code == "import-conflict"
        assert refused.value.message == "One memory differs from that of the store, 'b' in 'default'."
        target.add("also ours", id="a")
        with pytest.raises(UserError, match=r"^2 memories differ from those of the store, the first is 'a'"):
            import_memories(target, read_file(out, now=1), conflict="fail")
        assert sorted(one.text for one in target.list()) == ["also ours", "ours"]


def test_state_carries_sessions_answers_and_feedback(store: Store, tmp_path: Path) -> None:
    """The other tables come along once, and marks find their feedback."""
    with store.writing() as connection:
        connection.execute(
            'INSERT INTO feedback (id, request_id, signal, success, metadata, created_at, worktree, "commit")'
            " VALUES ('f1', 'r1', 'positive', 1.0, '{}', 5, '', '')"
        )
        connection.execute(
            "INSERT INTO marks (namespace, id, success, weight, at, feedback) VALUES ('default', 'x', 1.0, 1.0, 5, 1)"
        )
    out = tmp_path / "all.aqe"
    export_state(store, out)
    with other(tmp_path) as target:
        with target.writing() as connection:
            connection.execute(
                'INSERT INTO feedback (id, request_id, signal, success, metadata, created_at, worktree, "commit")'
                " VALUES ('f0', 'r0', 'positive', 1.0, '{}', 4, '', '')"
            )
        first, second = import_state(target, out), import_state(target, out)
        assert (first.added["feedback"], first.added["marks"]) == (1, 1)
        assert (second.added["feedback"], second.same["marks"]) == (0, 1)
        with target.reading() as connection:
            sql = "SELECT feedback.id FROM marks JOIN feedback ON feedback.row = marks.feedback"
            assert connection.execute(sql).fetchall() == [("f1",)]


def test_state_carries_the_edges_that_were_given(store: Store, tmp_path: Path) -> None:
    """What joins memories comes along; an edge to a memory that has ended there does not."""
    for id in ("crash", "fix", "other"):
        store.add(f"what the {id} was", id=id)
    given = [Edge("fixed-by", (("default", "crash"), ("default", one)), 2.0) for one in ("fix", "other")]
    add_edges(store, given)
    out = tmp_path / "all.aqe"
    export_state(store, out)
    with other(tmp_path) as target:
        target.add("what the other was", id="other")
        target.delete("other")
        told, again = import_state(target, out), import_state(target, out)
        assert (told.added["edges"], told.same["edges"], again.same["edges"]) == (1, 0, 1)
        assert [what for what, _ in told.memories.left_out] == ["1 edge"]
        (found,) = neighbours(target, "crash")
        assert (found.id, found.kind, found.outward, found.weight) == ("fix", "fixed-by", True, 2.0)


def test_memories_of_one_batch_join_and_go_on(store: Store, tmp_path: Path) -> None:
    """An equal text joins the one that came just before it in the file, and what is there already goes on between new
    ones: words, vectors and the log of changes know each row once."""
    with other(tmp_path, "from") as source:
        source.add("prices round half up", namespace="a", metadata={"x": 1}, vector=[1.0, 0.0])
        source.add("prices round half up", namespace="b", metadata={"y": 2})
        source.add("carts expire", namespace="b", id="c")
        store.add("carts expire", namespace="all", id="c")
        source.update("c", namespace="b", text="carts expire after a day")
        source.add("tax is due", namespace="b", vector=[0.0, 1.0])
        export_memories(source, tmp_path / "out.jsonl", form="jsonl", wanted=Wanted(history=True))
    before = store.changes()
    told = import_memories(store, read_file(tmp_path / "out.jsonl", now=1), namespace="all")
    assert (told.added, told.continued, told.revisions) == (2, 2, 3)
    found = {text: store.search(text).hits for text in ("prices round", "carts expire", "tax due")}
    assert [[hit.memory.text for hit in hits] for hits in found.values()] == [
        ["prices round half up"],
        ["carts expire after a day"],
        ["tax is due"],
    ]
    assert found["prices round"][0].memory.metadata == {"x": 1, "y": 2}
    nearest = store.search(vector=[0.9, 0.1], k=2).hits
    assert [hit.memory.text for hit in nearest] == ["prices round half up", "tax is due"]
    with store.reading() as connection:
        logged = "SELECT count(DISTINCT row) FROM change_log WHERE number > ?"
        assert connection.execute(logged, (before,)).get == connection.execute("SELECT count(*) FROM memories").get
