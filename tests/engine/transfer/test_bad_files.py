"""A file that cannot be taken in is refused in one sentence, and nothing of it is taken in."""

from __future__ import annotations

import hashlib
import json
import os
import zipfile
from pathlib import Path

import apsw
import pytest

from aqe.engine.errors import UserError
from aqe.engine.memory import Store
from aqe.engine.memory.care import Place, back_up
from aqe.engine.memory.transfer import Wanted, export_memories, export_state, import_memories, import_state, read_file
from aqe.engine.memory.transfer.detecting import Form
from aqe.engine.memory.transfer.state import is_state
from tests.engine.transfer.conftest import everything, other

GOOD = {
    "id": "a",
    "namespace": "default",
    "revision": 1,
    "text": "words",
    "created_at": "2026-01-01T00:00:00Z",
    "valid_from": "2026-01-01T00:00:00Z",
}


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"text": ""}, "empty"),
        ({"text": 7}, "not a text"),
        ({"id": ""}, "id has 0 bytes"),
        ({"namespace": "../up"}, "not a namespace"),
        ({"revision": 0}, "revision is 0"),
        ({"revision": True}, "revision is True"),
        ({"valid_from": "yesterday"}, "no moment"),
        ({"valid_to": "2025-01-01T00:00:00Z"}, "ended before it began"),
        ({"metadata": [1]}, "metadata"),
        ({"vector": [0, 0]}, "no direction"),
        ({"vector": ["x"]}, "something else than numbers"),
        ({"provenance": {"planet": "Mars"}}, "planet"),
        ({"more": {"x": [1]}}, "column"),
        ({"valid_from": "0001-01-01T00:00:00Z"}, "no moment"),
    ],
)
def test_a_broken_line_is_named(tmp_path: Path, change: dict[str, object], says: str) -> None:
    """The error names the line and what is wrong with it."""
    file = tmp_path / "in.jsonl"
    file.write_text(json.dumps(GOOD) + "\n" + json.dumps({**GOOD, "id": "b", **change}) + "\n", encoding="utf-8")
    with pytest.raises(UserError, match=says) as refused:
        read_file(file, now=1)
    assert refused.value.code == "bad-record"
    assert "Line 2 of 'in.jsonl'" in refused.value.message


@pytest.mark.parametrize(
    ("name", "data", "code"),
    [
        ("in.jsonl", b'{"format": "aqe.memory/9"}\n', "state-newer"),
        ("in.jsonl", b'{"format": "aqe.memory/x"}\n', "bad-record"),
        ("in.jsonl", b"\xff\xfe\x00", "unknown-format"),
        ("in.json", b'{"a": 1}', "unknown-format"),
        ("in.bin", b"SQLite format 3\0 and nothing else", "bad-record"),
        ("in.md", b" \n", "unknown-format"),
        ("in.bin", b"hello", "unknown-format"),
        ("in.toml", b"[project]\nname = 'shop'\n", "unknown-format"),
        ("in.txt", b"T1|a task\nT2|another task\n", "unknown-format"),
        ("in.json", b'{"schema": "aqe.query/1", "text": "Totals round half up."}\n', "unknown-format"),
    ],
)
def test_other_files_are_refused(tmp_path: Path, name: str, data: bytes, code: str) -> None:
    """What is no file of memories, or of a newer aqe, has its own code."""
    file = tmp_path / name
    file.write_bytes(data)
    with pytest.raises(UserError) as refused:
        read_file(file, now=1)
    assert refused.value.code == code


@pytest.mark.parametrize(
    ("name", "data", "form", "texts"),
    [
        ("in.txt", "T1|a task\nT2|another\n", "markdown", 1),
        ("in.md", "T1|a task\nT2|another\n", None, 1),
        ("in.txt", "# Rules\n\nTotals round.\n\n# Dates\n\nThey are UTC.\n", None, 2),
        ("in.json", '{"schema": "aqe.query/1", "text": "Totals round half up."}\n', "lines", 1),
    ],
)
def test_a_text_is_taken_in_where_it_says_what_it_is(
    tmp_path: Path, name: str, data: str, form: Form | None, texts: int
) -> None:
    """Markdown is told by the file's ending or its headings; any other text comes in where its form is named."""
    file = tmp_path / name
    file.write_text(data, encoding="utf-8")
    assert len(read_file(file, form=form, now=1).records) == texts


@pytest.mark.parametrize("form", ["jsonl", "markdown", "vectors", "database", "lines", "server-memory", "mem0"])
def test_a_file_that_was_cut_short_is_called_so(store: Store, tmp_path: Path, form: str) -> None:
    """Wherever a file ends too early in the middle of something, it is said that it was cut short, and the whole file
    is taken in."""
    store.add("the first words", id="a", vector=[1.0, 2.0])
    store.add("the second words", id="b", vector=[2.0, 1.0])
    vectors = tmp_path / "v.safetensors" if form in ("vectors", "jsonl") else None
    file = tmp_path / f"in.{'md' if form == 'markdown' else 'jsonl'}"
    plain = {
        "lines": '{"text": "one"}\n{"text": "two"}',
        "server-memory": '{"type": "entity", "name": "n", "entityType": "t", "observations": ["o"]}',
        "mem0": json.dumps({"results": [{"id": "1", "memory": "words"}]}, indent=1),
    }
    if form in plain:
        file.write_text(plain[form], encoding="utf-8")
    elif form == "database":
        connection = apsw.Connection(str(file))
        connection.execute("CREATE TABLE kv_store (namespace, key, value)")
        connection.execute("INSERT INTO kv_store VALUES ('a', 'b', 'c')")
        connection.close()
    else:
        export_memories(store, file, form="markdown" if vectors is None else "jsonl", wanted=Wanted(), vectors=vectors)
    target = vectors if form == "vectors" and vectors is not None else file
    whole = target.read_bytes()
    assert read_file(file, now=1, vectors=vectors).records
    for at in (1 if form in ("lines", "vectors") else len(whole) // 4, len(whole) * 2 // 3, len(whole) - 2):
        target.write_bytes(whole[:at])
        with pytest.raises(UserError, match="was cut short") as refused:
            read_file(file, now=1, vectors=vectors)
        assert refused.value.code == "bad-record"


def test_lines_that_are_missing_at_the_end_are_told(store: Store, tmp_path: Path) -> None:
    """A file that ends after a whole line says how many revisions it should hold; those that are there come in."""
    for name in ("a", "b", "c"):
        store.add(f"words of {name}", id=name)
    file = tmp_path / "in.jsonl"
    export_memories(store, file, form="jsonl", wanted=Wanted())
    file.write_bytes(b"".join(file.read_bytes().splitlines(keepends=True)[:2]))
    found = read_file(file, now=1)
    assert len(found.records) == 1
    ((what, why),) = found.left_out
    assert (what, "cut short, or lines were taken out" in why) == ("2 revisions", True)


def test_what_was_written_beside_the_sections_is_told(store: Store, tmp_path: Path) -> None:
    """A note that somebody put under the sections of an export is left out with a word; an edited text comes in."""
    store.add("the first words", id="a")
    file = tmp_path / "in.md"
    export_memories(store, file, form="markdown", wanted=Wanted())
    assert read_file(file, now=1).left_out == ()
    text = file.read_text(encoding="utf-8").replace("first words", "edited words")
    file.write_text(text + "\n## Mine\n\nA note of my own.\n", encoding="utf-8")
    found = read_file(file, now=1)
    assert [one.text for one in found.records] == ["the edited words"]
    assert [what for what, _ in found.left_out] == ["## Mine A note of my own."]


@pytest.mark.parametrize(
    ("data", "form", "says", "code"),
    [
        (b"SQLite format 3\0", "jsonl", "it is a database, and jsonl is a text", "unknown-format"),
        (b'{"a": 1}', "mem0", "it holds no memory of mem0", "unknown-format"),
        (b"words", "mem0", "is not JSON", "bad-record"),
    ],
)
def test_a_file_of_another_form_than_named_says_what_it_is(
    tmp_path: Path, data: bytes, form: Form, says: str, code: str
) -> None:
    """What was named is not what the file is: that is said, and nothing is taken in."""
    file = tmp_path / "in.x"
    file.write_bytes(data)
    with pytest.raises(UserError, match=says) as refused:
        read_file(file, form=form, now=1)
    assert refused.value.code == code


def test_a_text_is_no_state_and_has_no_vectors(store: Store, tmp_path: Path) -> None:
    """A file that is no archive is not called a cut one; a file of vectors beside plain lines is refused."""
    file = tmp_path / "in.jsonl"
    file.write_text('{"text": "one"}\n', encoding="utf-8")
    with pytest.raises(UserError, match="is no zip file") as refused:
        import_state(store, file)
    assert refused.value.code == "unknown-format"
    with pytest.raises(UserError, match="is lines") as refused:
        read_file(file, vectors=file, now=1)
    assert refused.value.code == "bad-argument"


def test_what_is_left_out_is_named_by_its_line(tmp_path: Path) -> None:
    """Of plain lines without a text the number is told; an answer of mem0 with nothing in it holds nothing."""
    file = tmp_path / "in.jsonl"
    file.write_text('{"text": "one"}\n\n{"text": " "}\n', encoding="utf-8")
    assert read_file(file, now=1).left_out == (("line 3", "it has no text"),)
    for empty in ('{"results": []}', "[]"):
        file.write_text(empty, encoding="utf-8")
        assert read_file(file, now=1).records == ()


@pytest.mark.parametrize(
    ("line", "says"),
    [
        ('{"text": "a",}', r"it is not JSON \(.* at column 1\d\)"),
        ('{"words": "a"}', "the line has no key 'text'"),
        ("[1]", "it is not a JSON object"),
        ('{"text": 5}', "the text is int, not a text"),
        ('{"text": "a", "metadata": [1]}', "the metadata is list, not an object"),
        ('{"text": "a", "metadata": {"a": NaN}}', "the metadata is not JSON"),
        ('{"text": "nul \\u0000"}', "the text holds a NUL byte at offset 4"),
        ('{"text": "half \\ud83d"}', "the text holds a half character"),
        ('{"text": "a", "id": "a\\u0000b"}', "the id holds a NUL byte"),
        ('{"text": "a", "id": 5}', "the id is int, not a text"),
        ('{"text": "a", "ttl": "bad"}', "'bad' is no time to keep a memory for"),
        ('{"text": "a", "vector": [0, 0], "embedder_id": "e"}', "the vector is zero or not finite"),
        ('{"text": "a", "namespace": "a b"}', "'a b' is not a namespace"),
        ('{"text": "a", "line": 3}', "the line 3 is of no file"),
        ('{"text": "a", "file": "a.py", "line": "3"}', "the provenance's line is '3'"),
        ('{"text": "a", "pinned": "yes"}', "its pinned is 'yes'"),
    ],
)
def test_a_line_that_is_no_memory_says_why(tmp_path: Path, line: str, says: str) -> None:
    """Plain lines are refused by number, with what is wrong in words."""
    file = tmp_path / "in.jsonl"
    file.write_text('{"text": "one"}\n' + line + "\n", encoding="utf-8")
    with pytest.raises(UserError, match=f"Line 2 of 'in.jsonl' is no memory: {says}"):
        read_file(file, now=1)


def test_a_missing_file_and_a_folder_are_refused(tmp_path: Path) -> None:
    """There is one code for what is not there or is no file."""
    for path in (tmp_path / "none.jsonl", tmp_path):
        with pytest.raises(UserError) as refused:
            read_file(path, now=1)
        assert refused.value.code == "no-such-path"


def test_a_changed_or_cut_archive_takes_nothing(store: Store, tmp_path: Path) -> None:
    """An archive whose part was changed, is missing or is cut off is refused before the first write."""
    store.add("words", id="a")
    whole = tmp_path / "whole.aqe"
    export_state(store, whole)
    changed, missing, cut = (tmp_path / f"{name}.aqe" for name in ("changed", "missing", "cut"))
    with zipfile.ZipFile(whole) as source:
        parts = {name: source.read(name) for name in source.namelist()}
    for path, left_out, other_text in ((changed, "", b"words"), (missing, "turns.jsonl", b"")):
        with zipfile.ZipFile(path, "w") as archive:
            for name, data in parts.items():
                if name != left_out:
                    archive.writestr(name, data.replace(b"words", b"swords") if other_text and name != "x" else data)
    cut.write_bytes(whole.read_bytes()[:-200])
    with other(tmp_path) as target:
        for path in (changed, missing, cut):
            assert is_state(path)
            with pytest.raises(UserError) as refused:
                import_state(target, path)
            assert refused.value.code == "state-broken"
            assert ("was cut short" in refused.value.message) is (path is cut)
        assert everything(target) == []


def test_a_newer_archive_is_refused(store: Store, tmp_path: Path) -> None:
    """A state of a database that this aqe does not know yet is refused in one sentence."""
    out = tmp_path / "new.aqe"
    export_state(store, out)
    with zipfile.ZipFile(out) as source:
        parts = {name: source.read(name) for name in source.namelist()}
    manifest = json.loads(parts["manifest.json"])
    manifest["database"] += 1
    with zipfile.ZipFile(out, "w") as archive:
        for name, data in parts.items():
            archive.writestr(name, json.dumps(manifest) if name == "manifest.json" else data)
    with pytest.raises(UserError) as refused:
        import_state(store, out)
    assert refused.value.code == "state-newer"


def test_an_export_that_cannot_be_written_leaves_no_part(store: Store, tmp_path: Path) -> None:
    """Where the folder is missing that is said, and nothing is left behind."""
    store.add("words")
    with pytest.raises(UserError) as refused:
        export_memories(store, tmp_path / "no" / "out.jsonl", form="jsonl", wanted=Wanted())
    assert refused.value.code == "bad-output"
    assert [path.name for path in tmp_path.iterdir() if "part" in path.name] == []


def test_an_import_cut_off_goes_on_where_it_stopped(store: Store, tmp_path: Path) -> None:
    """Batches that were written stay, and the same import again adds the rest."""
    for number in range(5):
        store.add(f"memory {number}", id=str(number))
    out = tmp_path / "out.jsonl"
    export_memories(store, out, form="jsonl", wanted=Wanted())

    class Stop(Exception):
        pass

    def stop(text: str, done: float = 0.0, total: float | None = None) -> None:
        if done >= 4:
            raise Stop

    with other(tmp_path) as target:
        with pytest.raises(Stop):
            import_memories(target, read_file(out, now=1), batch=2, progress=stop)
        assert len(target.list()) == 4
        told = import_memories(target, read_file(out, now=1), batch=2)
        assert (told.added, told.same) == (1, 4)


@pytest.mark.parametrize("more", [{"expires_at": 10**30}, {"expires_at": "soon"}, {"pinned": 5}, {"pinned": True}])
def test_what_no_column_holds_is_refused_before_anything_is_written(
    store: Store, tmp_path: Path, more: dict[str, object]
) -> None:
    """Hundreds of good memories before the bad one stay out too."""
    file = tmp_path / "in.jsonl"
    good = [json.dumps({**GOOD, "id": str(number)}) for number in range(20)]
    file.write_text("\n".join([*good, json.dumps({**GOOD, "more": more})]), encoding="utf-8")
    with pytest.raises(UserError) as refused:
        import_memories(store, read_file(file, now=1), batch=5)
    assert refused.value.code == "bad-record"
    assert store.list() == []


def test_a_pipe_is_no_file(tmp_path: Path) -> None:
    """A named pipe is refused at once by both ways in."""
    pipe = tmp_path / "pipe.aqe"
    os.mkfifo(pipe)
    assert not is_state(pipe)
    with pytest.raises(UserError) as kept:
        export_state(Store.open(Path(":memory:")), pipe)
    assert kept.value.code == "bad-output"
    with pytest.raises(UserError) as refused:
        read_file(pipe, now=1)
    assert refused.value.code == "no-such-path"


def test_store_is_no_target_of_an_export_and_no_source_of_an_import(store: Store, tmp_path: Path) -> None:
    """Neither the store nor what lies beside it is written over, vectors do not replace their memories, and a backup is
    pointed to what takes it."""
    store.add("words", id="a")
    for name in ("", "-wal", "-shm"):
        target = store.path.with_name(store.path.name + name)
        for vectors, file in ((None, target), (target, tmp_path / "x.jsonl")):
            with pytest.raises(UserError) as refused:
                export_memories(store, file, form="jsonl", wanted=Wanted(), vectors=vectors)
            assert refused.value.code == "bad-output"
    with pytest.raises(UserError) as refused:
        export_memories(store, tmp_path / "x", form="jsonl", wanted=Wanted(), vectors=tmp_path / "y" / ".." / "x")
    assert refused.value.code == "bad-argument"
    back_up(Place(store.path), tmp_path / "b.db")
    with pytest.raises(UserError) as refused:
        read_file(tmp_path / "b.db", now=1)
    assert (refused.value.code, "memory restore" in str(refused.value)) == ("unknown-format", True)


@pytest.mark.parametrize(
    ("part", "data"),
    [
        ("sessions.jsonl", b'{"id": "s", "turns": 1e999}'),
        ("feedback.jsonl", b'{"id": "\\ud800"}'),
        ("marks.jsonl", b'{"id": {"base64": "?"}}'),
        ("test_runs.jsonl", b'{"position": 99999999999999999999}'),
        ("edges.jsonl", b'{"kind": "likes", "members": []}'),
        ("turns.jsonl", b"\xff"),
    ],
)
def test_a_bad_row_of_an_archive_is_found_before_its_memories_come_in(
    store: Store, tmp_path: Path, part: str, data: bytes
) -> None:
    """Whatever part is wrong, nothing of the archive is taken in."""
    store.add("words", id="a")
    out = tmp_path / "all.aqe"
    export_state(store, out)
    with zipfile.ZipFile(out) as source:
        parts = {name: source.read(name) for name in source.namelist()}
    parts[part] = data
    manifest = json.loads(parts["manifest.json"])
    manifest["parts"][part] |= {"sha256": hashlib.sha256(data).hexdigest(), "bytes": len(data)}
    parts["manifest.json"] = json.dumps(manifest).encode()
    with zipfile.ZipFile(out, "w") as archive:
        for name, content in parts.items():
            archive.writestr(name, content)
    with other(tmp_path) as target:
        with pytest.raises(UserError) as refused:
            import_state(target, out)
        assert refused.value.code == "state-broken"
        assert everything(target) == []


@pytest.mark.parametrize(
    "manifest",
    [
        b"[]",
        b'{"schema": "aqe.state/1", "parts": []}',
        b'{"schema": "aqe.state/1", "parts": {}, "database": null}',
        b'{"schema": "aqe.state/1", "parts": {"memories.jsonl": []}, "database": 1}',
        b'{"schema": "aqe.state/1", "parts": {"memories.jsonl": {"bytes": "x"}}, "database": 1}',
        b" " * 2_000_000,
    ],
)
def test_a_manifest_of_something_else_is_refused(store: Store, tmp_path: Path, manifest: bytes) -> None:
    """What the manifest must say is checked, and it is read no further than it may reach."""
    out = tmp_path / "all.aqe"
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("manifest.json", manifest)
        archive.writestr("memories.jsonl", b"")
    with pytest.raises(UserError) as refused:
        import_state(store, out)
    assert refused.value.code == "state-broken"


def test_an_export_whose_ends_of_lines_were_rewritten_is_the_same(store: Store, tmp_path: Path) -> None:
    """Markdown that an editor or git gave the ends of lines of Windows holds what it held."""
    store.add("first fact\non two lines", id="a")
    export_memories(store, tmp_path / "out.md", wanted=Wanted(), form="markdown")
    text = (tmp_path / "out.md").read_bytes()
    (tmp_path / "out.md").write_bytes(text.replace(b"\n", b"\r\n"))
    found = read_file(tmp_path / "out.md", now=1)
    assert ([one.text for one in found.records], found.left_out) == (["first fact\non two lines"], ())
    assert import_memories(store, found).same == 1
