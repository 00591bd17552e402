"""The project index: which files, which passages, and that it follows every change."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from aqe.engine.errors import Cancelled, UserError
from aqe.engine.index import IndexReport, index_project, index_scope
from aqe.engine.index.files import find_files
from aqe.engine.lease import take_lease
from aqe.engine.memory import Memory, Store
from aqe.engine.progress import CancelToken

CART = '''"""The cart."""

LIMIT = 3


class Cart:
    """What is bought."""

    def add(self, sku: str) -> None:
        """Put an article in."""
        self.lines.append(sku)


# read by the warehouse
@cached
def export(names: list[str]) -> str:
    """Names as one line."""

    def inner() -> str:
        return ", "

    return inner().join(names)
'''


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A project with a module, a test and a page."""
    root = tmp_path / "project"
    for folder in ("shop", "tests", "docs"):
        (root / folder).mkdir(parents=True)
    (root / "shop" / "cart.py").write_text(CART)
    (root / "tests" / "test_cart.py").write_text("def test_limit():\n    assert LIMIT == 3\n")
    (root / "docs" / "rules.md").write_text("# Rules\n\nPrices are whole cents.\n\n## Tax\n\nAdded at the end.\n")
    return root


@pytest.fixture
def memory(tmp_path: Path) -> Store:
    """A store beside the project, with the real clock."""
    return Store.open(tmp_path / "aqe.db")


def write(project: Path, name: str, text: str | bytes) -> None:
    """Write a file of the project; what was there was last seen to change long ago."""
    path = project / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(text if isinstance(text, bytes) else text.encode())


def run(store: Store, project: Path, *paths: str) -> IndexReport:
    """Index by words alone."""
    return index_project(store, None, project, paths=[Path(path) for path in paths])


def rows(store: Store) -> list[Memory]:
    """The index in the order of files and lines."""
    found = store.list(namespace=index_scope(store), limit=10_000)
    return sorted(found, key=lambda one: (one.provenance.file, one.provenance.line))


def indexed(store: Store) -> list[str]:
    """The files that have passages."""
    return sorted({one.provenance.file for one in rows(store)})


def places(store: Store, file: str) -> list[tuple[str, int, int]]:
    """Name, first and last line of each passage of a file."""
    found = [one.metadata for one in rows(store) if one.provenance.file == file]
    return [(one["name"], one["first"], one["last"]) for one in found]


def test_each_definition_is_a_passage_with_its_lines(memory: Store, project: Path) -> None:
    """A module gives its own lines, each class and each function or method, comments and decorators included."""
    run(memory, project)
    assert places(memory, "shop/cart.py") == [
        ("", 1, 3),
        ("Cart", 6, 7),
        ("Cart.add", 9, 11),
        ("export", 14, 22),
    ]


def test_passage_holds_the_lines_of_the_file_word_for_word(memory: Store, project: Path) -> None:
    """Below the line that says where it stands, a passage is its lines as they are in the file."""
    run(memory, project)
    passages = rows(memory)
    assert passages
    for one in passages:
        lines = (project / one.provenance.file).read_text().split("\n")
        first, last = one.metadata["first"], one.metadata["last"]
        assert one.text.partition("\n")[2] == "\n".join(lines[first - 1 : last])
        assert one.provenance.line == first


def test_docs_code_and_tests_have_namespaces_of_their_own(memory: Store, project: Path) -> None:
    """A search can be limited to docs, code or tests."""
    run(memory, project)
    found = {one.provenance.file: one.namespace for one in rows(memory)}
    assert found == {
        "docs/rules.md": "index/docs",
        "shop/cart.py": "index/code",
        "tests/test_cart.py": "index/tests",
    }


def test_the_users_own_folder_is_indexed_only_as_a_project(
    memory: Store, project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A command that is begun at home reads not all files of its user; with a pyproject.toml home is a project."""
    write(project, "README.md", "The cart holds what is bought.")
    monkeypatch.setenv("HOME", str(project))
    (project / "pyproject.toml").unlink(missing_ok=True)
    left_out = run(memory, project).left_out
    assert (indexed(memory), [one.file for one in left_out]) == ([], ["."])
    with pytest.raises(UserError, match="--project") as refused:
        run(memory, project, "docs")
    assert refused.value.code == "outside-project"
    write(project, "pyproject.toml", "[project]\nname = 'home'\n")
    run(memory, project)
    assert "README.md" in indexed(memory)


def test_second_run_reads_nothing_and_changes_nothing(memory: Store, project: Path) -> None:
    """Over an unchanged project a run reads no file once the clock has moved on, and every row stays the same one."""
    for path in project.rglob("*.*"):
        os.utime(path, (1, 1))
    first = run(memory, project)
    before = rows(memory)
    with memory.writing() as connection:  # as if the first run had been an hour ago, and the files older still
        connection.execute("UPDATE indexed_files SET indexed_at = indexed_at + 3600000000")
    again = run(memory, project)
    assert (first.new, first.read, first.files, first.passages) == (3, 3, 3, 7)
    assert (again.new, again.changed, again.gone, again.read, again.files, again.passages) == (0, 0, 0, 0, 3, 7)
    assert rows(memory) == before


def test_changed_file_is_found_by_content_though_its_time_was_put_back(memory: Store, project: Path) -> None:
    """A change of the same size whose modification time was set back is indexed all the same."""
    path = project / "docs" / "rules.md"
    before = path.stat()
    run(memory, project)
    write(project, "docs/rules.md", path.read_text().replace("cents", "pence"))
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
    assert run(memory, project).changed == 1
    assert memory.search("pence", namespace="index/").hits
    assert not memory.search("cents", namespace="index/").hits


def test_touched_file_is_read_and_not_written(memory: Store, project: Path) -> None:
    """A new time without a new content changes nothing."""
    run(memory, project)
    before = rows(memory)
    os.utime(project / "shop" / "cart.py", (10**9, 10**9))
    report = run(memory, project)
    assert (report.changed, report.passages) == (0, 7)
    assert rows(memory) == before


def test_passage_that_only_moved_keeps_its_row(memory: Store, project: Path) -> None:
    """A line put in above moves the passages below: the same rows say the new lines, and have sums of what they say."""
    run(memory, project)
    before = {one.metadata["name"]: one for one in rows(memory) if one.provenance.file == "shop/cart.py"}
    write(project, "shop/cart.py", CART.replace("LIMIT = 3\n", "LIMIT = 3\nMORE = 4\n"))
    assert run(memory, project).changed == 1
    after = {one.metadata["name"]: one for one in rows(memory) if one.provenance.file == "shop/cart.py"}
    assert (after["export"].id, after["export"].revision) == (before["export"].id, 1)
    assert (after["export"].provenance.line, after["export"].metadata["last"]) == (15, 23)
    assert after[""].id != before[""].id
    with memory.reading() as connection:
        assert connection.execute("SELECT count(*) FROM memories WHERE row_sum IS NULL").get == 0


def test_deleted_and_renamed_files_leave_no_row(memory: Store, project: Path) -> None:
    """What is gone is found no more, in any revision; a renamed file is found under its new name alone."""
    run(memory, project)
    (project / "docs" / "rules.md").unlink()
    (project / "shop" / "cart.py").rename(project / "shop" / "basket.py")
    report = run(memory, project)
    assert (report.new, report.gone, report.files) == (1, 2, 2)
    assert indexed(memory) == ["shop/basket.py", "tests/test_cart.py"]
    assert memory.stats().revisions == memory.stats().memories


def test_paths_limit_what_is_looked_at(memory: Store, project: Path) -> None:
    """With paths only what lies below them is read, and only there a deleted file is noticed."""
    run(memory, project, "docs", "shop/cart.py")
    assert indexed(memory) == ["docs/rules.md", "shop/cart.py"]
    (project / "docs" / "rules.md").unlink()
    (project / "shop" / "cart.py").unlink()
    assert run(memory, project, "docs").gone == 1
    assert indexed(memory) == ["shop/cart.py"]


def test_path_outside_the_project_is_refused(memory: Store, project: Path) -> None:
    """A path that leaves the project is a mistake, also by way of `..`."""
    with pytest.raises(UserError) as refused:
        run(memory, project, "docs/../../elsewhere")
    assert refused.value.code == "outside-project"


def test_a_path_that_neither_is_nor_was_there_is_refused(memory: Store, project: Path) -> None:
    """A mistyped path is a mistake; a file or folder that was indexed and is gone is dropped by its name."""
    run(memory, project)
    for name in ("nowhere", "docs/nowhere.md", "doc", "a" * 300):
        with pytest.raises(UserError, match=f"{name}'") as refused:
            run(memory, project, "docs", name)
        assert refused.value.code == "no-such-path"
    (project / "loop").symlink_to("loop")
    with pytest.raises(UserError) as refused:
        run(memory, project, "loop/x.md")
    assert refused.value.code == "no-such-path"
    shutil.rmtree(project / "docs")
    assert run(memory, project, "docs").gone >= 1
    assert not [name for name in indexed(memory) if name.startswith("docs/")]


@pytest.mark.parametrize("with_git", [True, False], ids=["git", "no git"])
def test_ignored_files_are_left_out(memory: Store, project: Path, with_git: bool) -> None:
    """Nested .gitignore files, their negations and their anchors mean what git says they mean, with git and without;
    a line that is no rule is passed over."""
    if with_git:
        git = shutil.which("git")
        assert git is not None
        subprocess.run([git, "init", "-q", str(project)], check=True)
    write(project, ".gitignore", "*.txt\n!keep.txt\n!\n\\\n/out/\nlogs/\n")
    write(project, "docs/.gitignore", "!local.txt\ndrafts/*\n!drafts/good.md\n")
    for name in (
        "a.txt",
        "keep.txt",
        "out/page.md",
        "docs/out/page.md",
        "shop/logs/note.md",
        "docs/local.txt",
        "docs/drafts/bad.md",
        "docs/drafts/good.md",
    ):
        write(project, name, "some words\n")
    run(memory, project)
    own = {"docs/rules.md", "shop/cart.py", "tests/test_cart.py"}
    assert set(indexed(memory)) - own == {"keep.txt", "docs/out/page.md", "docs/local.txt", "docs/drafts/good.md"}


def test_file_that_becomes_ignored_leaves(memory: Store, project: Path) -> None:
    """A rule added to .gitignore takes the passages of what it names out."""
    run(memory, project)
    write(project, ".gitignore", "docs/\n")
    assert run(memory, project).gone == 1
    assert "docs/rules.md" not in indexed(memory)


def test_project_that_its_repository_ignores_is_indexed(memory: Store, project: Path) -> None:
    """A project inside a folder that an outer repository ignores is walked by its own rules."""
    git = shutil.which("git")
    assert git is not None
    subprocess.run([git, "init", "-q", str(project.parent)], check=True)
    write(project.parent, ".gitignore", "*\n")
    assert run(memory, project).files == 3


def test_other_peoples_code_is_left_out(memory: Store, project: Path) -> None:
    """Environments, vendored code, aqe's own folder and hidden ones are not the project's."""
    for name in (".venv/lib/x.py", "node_modules/a/readme.md", "vendor/y.py", ".aqe/notes.md", ".cache/z.md"):
        write(project, name, "'words'\n")
    write(project, "tools/env39/pyvenv.cfg", "home = /usr\n")
    write(project, "tools/env39/lib.py", "'words'\n")
    assert run(memory, project).files == 3


def test_links_are_not_followed(memory: Store, project: Path) -> None:
    """A link to a file or folder outside leads nowhere, and is told."""
    outside = project.parent / "secret"
    outside.mkdir()
    (outside / "plan.md").write_text("the plan\n")
    (project / "plan.md").symlink_to(outside / "plan.md")
    (project / "more").symlink_to(outside)
    report = run(memory, project)
    assert [(one.file, one.reason) for one in report.left_out] == [("plan.md", "a link")]
    assert report.files == 3


def test_a_named_link_to_a_folder_is_left_out_with_a_word(memory: Store, project: Path) -> None:
    """Who names a link to a folder is told why nothing of it is read."""
    (project / "beside").symlink_to("docs")
    report = run(memory, project, "beside")
    assert (report.files, [(one.file, one.reason) for one in report.left_out]) == (0, [("beside", "a link")])


def test_large_and_binary_files_are_left_out_with_a_word(memory: Store, project: Path) -> None:
    """A 10 MB page and a file with NUL bytes are named with the reason, and the rest is indexed."""
    write(project, "docs/huge.md", b"word " * 2_000_000)
    write(project, "docs/odd.txt", b"text\0more")
    report = run(memory, project)
    assert [(one.file, one.reason) for one in report.left_out] == [
        ("docs/huge.md", "10.0 MB, more than 1 MB"),
        ("docs/odd.txt", "binary"),
    ]
    assert report.files == 3


def test_file_that_became_binary_leaves(memory: Store, project: Path) -> None:
    """Passages of a file that cannot be read any more are gone."""
    run(memory, project)
    write(project, "docs/rules.md", b"\x00\x01")
    run(memory, project)
    assert "docs/rules.md" not in indexed(memory)


def test_syntax_error_is_told_and_the_file_is_text(memory: Store, project: Path) -> None:
    """A module that does not parse is named with its line each time, and found by its words all the same."""
    write(project, "shop/broken.py", "def half(:\n    return 'unfinished business'\n")
    for report in (run(memory, project), run(memory, project)):
        assert [one.file for one in report.left_out] == ["shop/broken.py"]
        assert "line 1" in report.left_out[0].reason
    hits = memory.search("unfinished business", namespace="index/code").hits
    assert hits[0].memory.provenance.file == "shop/broken.py"


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        (b'"""One."""\r\n\r\ndef a():\r\n    """Two."""\r\n', [("", 1, 1), ("a", 3, 4)]),
        (b'\xef\xbb\xbf"""One."""\n\ndef a():\n    """Two."""\n', [("", 1, 1), ("a", 3, 4)]),
        (b'# coding: latin-1\n"""Caf\xe9."""\n\x0c\ndef a(): pass\n', [("", 1, 2), ("a", 4, 4)]),
        (b"def a():\r    pass\rdef b():\r    pass", [("a", 1, 2), ("b", 3, 4)]),
        (b"", []),
        (b"\n\n", []),
    ],
    ids=["crlf", "bom", "latin-1 and form feed", "cr", "empty", "blank"],
)
def test_line_ends_and_encodings_keep_the_lines_right(
    memory: Store, project: Path, data: bytes, expected: list[tuple[str, int, int]]
) -> None:
    """CRLF, CR, a byte order mark, a coding line and form feeds shift no line."""
    write(project, "odd.py", data)
    run(memory, project)
    assert places(memory, "odd.py") == expected


def test_odd_names_are_kept(memory: Store, project: Path) -> None:
    """Names with spaces, quotes, a line end or bytes that are no UTF-8 (kept as %XX) are indexed and leave again."""
    names = [b"a b's.md", b'two\nlines "x".md', b"caf\xe9.md", "überblick.md".encode()]
    for name in names:
        Path(os.fsdecode(os.fsencode(project) + b"/" + name)).write_text("words of oddity\n")
    run(memory, project)
    found = {hit.memory.provenance.file for hit in memory.search("oddity", namespace="index/").hits}
    assert found == {"a b's.md", 'two\nlines "x".md', "caf%E9.md", "überblick.md"}
    for name in names:
        Path(os.fsdecode(os.fsencode(project) + b"/" + name)).unlink()
    assert run(memory, project).gone == 4


def test_a_name_that_is_shown_as_another_files_is_named(memory: Store, project: Path) -> None:
    """Of two files that would have one name the one that really has it is indexed, and the other is left out."""
    for name in (b"caf\xe9.md", b"caf%E9.md"):
        Path(os.fsdecode(os.fsencode(project) + b"/" + name)).write_text("words of oddity\n")
    assert [one.file for one in run(memory, project).left_out] == ["caf%E9.md"]
    again = run(memory, project)
    assert (again.changed, again.new, again.gone) == (0, 0, 0)


def test_equal_passages_of_one_file_are_all_found(memory: Store, project: Path) -> None:
    """The same lines twice under one heading are two rows with their own lines."""
    write(project, "docs/twice.md", "# Step\n\nPress the key.\n\n# Step\n\nPress the key.\n")
    run(memory, project)
    assert places(memory, "docs/twice.md") == [("Step", 1, 3), ("Step", 5, 7)]
    assert run(memory, project).changed == 0


def test_cancelled_run_keeps_what_is_done(memory: Store, project: Path) -> None:
    """A run cancelled half-way raises, keeps the files read so far, and the next one reads only the others."""
    for number in range(40):
        write(project, f"docs/page{number:02}.md", f"# Page {number}\n\nWords.\n")
    cancel = CancelToken()

    def stop_at_twenty(text: str, done: float = 0.0, total: float | None = None) -> None:
        if done == 20:
            cancel.cancel()

    with pytest.raises(Cancelled):
        index_project(memory, None, project, progress=stop_at_twenty, cancel=cancel)
    done = len(indexed(memory))
    assert 0 < done < 43
    assert run(memory, project).new == 43 - done
    assert take_lease(memory, index_scope(memory)) is not None


def test_two_processes_index_one_project(memory: Store, project: Path) -> None:
    """Processes that index at the same time all end well, and each file is there once."""
    for number in range(30):
        write(project, f"docs/page{number:02}.md", f"# Page {number}\n\nWords.\n")
    script = (
        "import sys; from pathlib import Path; from aqe.engine.memory import Store\n"
        "from aqe.engine.index import index_project\n"
        "with Store.open(Path(sys.argv[1]), busy_timeout_s=60) as store:\n"
        "    print(index_project(store, None, Path(sys.argv[2])).new)\n"
    )
    command = [sys.executable, "-c", script, str(memory.path), str(project)]
    started = [subprocess.Popen(command, stdout=subprocess.PIPE, text=True) for _ in range(3)]
    new = [int(one.communicate(timeout=100)[0]) for one in started]
    assert sum(new) == 33
    assert len(rows(memory)) == 37


def test_lease_of_a_dead_process_is_taken_over(memory: Store, project: Path) -> None:
    """A run that was killed while it held the lease keeps nobody out."""
    script = (
        "import os, sys; from pathlib import Path; from aqe.engine.lease import take_lease\n"
        "from aqe.engine.memory import Store\n"
        "assert take_lease(Store.open(Path(sys.argv[1])), 'index/')\n"
        "os.kill(os.getpid(), 9)\n"
    )
    subprocess.run([sys.executable, "-c", script, str(memory.path)], timeout=60, check=False)
    assert run(memory, project).new == 3


def test_waiting_for_the_lease_can_be_cancelled(memory: Store, project: Path) -> None:
    """While another one indexes, a cancelled run ends, says that it waited, and has written nothing."""
    held = take_lease(memory, index_scope(memory))
    assert held is not None
    cancel, said = CancelToken(), list[str]()

    def note(text: str, done: float = 0.0, total: float | None = None) -> None:
        said.append(text)
        cancel.cancel()

    with pytest.raises(Cancelled):
        index_project(memory, None, project, progress=note, cancel=cancel)
    assert "Waiting" in said[0]
    assert rows(memory) == []
    held.release()


def test_settings_are_read_by_table(memory: Store, project: Path) -> None:
    """A TOML file gives a passage for each table, under its name."""
    write(project, "pyproject.toml", '[project]\nname = "x"\n\n[tool.y]\nlimit = 3\n')
    run(memory, project)
    assert places(memory, "pyproject.toml") == [("project", 1, 2), ("tool.y", 4, 5)]


def test_files_come_in_the_order_of_their_names(project: Path) -> None:
    """Whatever the disk says, two runs do the same in the same order."""
    names = [file.name for file in find_files(project)[0]]
    assert names == ["docs/rules.md", "shop/cart.py", "tests/test_cart.py"]


def test_records_are_left_out_and_questions_are_passages(tmp_path: Path) -> None:
    """A TOML file of many records is named as left out; each question of a plain FAQ is a passage of its own."""
    (tmp_path / "cases.toml").write_text("[[case]]\nask = 'who?'\n" * 40)
    (tmp_path / "settings.toml").write_text("[tool]\nname = 'x'\n")
    (tmp_path / "faq.txt").write_text("Is it fast?\n  Yes.\n\nIs it free?\n  As in beer.\n")
    with Store.open(tmp_path / "aqe.db") as store:
        report = index_project(store, None, tmp_path)
        texts = [memory.text for memory in store.list(namespace="index/")]
    assert [(one.file, one.reason) for one in report.left_out] == [("cases.toml", "records, not settings")]
    assert sorted("free" in text for text in texts if "faq.txt" in text) == [False, True]
