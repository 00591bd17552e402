"""Copied code: named where the other copy stands, silent where code was moved, is short, or only has the same form."""

from __future__ import annotations

import textwrap
import time
from pathlib import Path

import pytest

from aqe.agents.review.brought import Sighting
from aqe.agents.review.clones import find_clones
from aqe.agents.review.sources import Source
from aqe.engine.errors import Cancelled
from aqe.engine.progress import CancelToken

ORIGINAL = """
def read_rows(path, limit):
    rows = []
    with open(path) as stream:
        for line in stream:
            parts = line.strip().split(",")
            if len(parts) < 2:
                continue
            rows.append((parts[0], int(parts[1])))
            if len(rows) == limit:
                break
    return rows
"""


def clones(folder: Path, added: str, *, path: str = "shop/new.py", base: str = "") -> list[Sighting]:
    """What is found when `added` stands at the end of a file that held `base`."""
    head = Source(path, base + added, frozenset(range(base.count("\n") + 1, (base + added).count("\n") + 1)))
    (folder / path).parent.mkdir(parents=True, exist_ok=True)
    (folder / path).write_text(head.text)
    bases = [Source(path, base, frozenset())] if base else []
    found, whole = find_clones([head], bases, folder, deadline=time.monotonic() + 60)
    assert whole
    return [one for _, one in found]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A project with the original in one module."""
    (tmp_path / "shop").mkdir()
    (tmp_path / "shop" / "rows.py").write_text(f'"""Rows."""\n{ORIGINAL}')
    return tmp_path


def test_a_copy_names_where_the_other_one_stands(folder: Path) -> None:
    """The message has file, lines and function of the code that was there."""
    (found,) = clones(folder, ORIGINAL.replace("read_rows", "load_rows"))
    assert "11 statements repeat shop/rows.py lines 3-13 (read_rows) with other names or values" in found.message
    assert found.lines == (2, 12)


def test_other_names_and_formatting_do_not_hide_a_copy(folder: Path) -> None:
    """Renamed variables, line breaks and comments leave it a copy."""
    copied = (
        ORIGINAL.replace("rows", "found")
        .replace("path", "file")
        .replace('line.strip().split(",")', 'line.strip().split(\n                ",",\n            )  # cut')
    )
    (found,) = clones(folder, copied.replace("read_found", "load"))
    assert "with other names or values" in found.message


def test_a_copied_part_inside_a_longer_function_is_found(folder: Path) -> None:
    """What was pasted between other statements is a copy too."""
    body = textwrap.indent(textwrap.dedent(ORIGINAL.split("\n", 2)[2]), "    ")
    (found,) = clones(folder, f"\ndef report(path, limit):\n    print(path)\n{body}")
    assert found.lines[0] == 4


def test_code_that_moved_within_the_change_is_no_copy(tmp_path: Path) -> None:
    """A function that went from one place of a file to another stands there once."""
    base = f"{ORIGINAL}\n\ndef other():\n    return 1\n"
    head = f"\ndef other():\n    return 1\n{ORIGINAL}"
    source = Source("shop/rows.py", head, frozenset(range(5, 20)))
    (tmp_path / "shop").mkdir()
    (tmp_path / "shop" / "rows.py").write_text(head)
    found, _ = find_clones(
        [source], [Source("shop/rows.py", base, frozenset())], tmp_path, deadline=time.monotonic() + 60
    )
    assert found == []


def test_the_same_form_with_other_values_is_no_copy(folder: Path) -> None:
    """Statements that only have the same form, like declarations of options, are not copies."""
    options = [
        f'    parser.add_argument("--{name}", default={number}, help="the {name} to take")\n'
        for number, name in enumerate(("red", "green", "blue", "cyan", "grey", "pink", "gold", "teal"))
    ]
    (folder / "shop" / "options.py").write_text("def first(parser):\n" + "".join(options[:4]))
    assert clones(folder, "def second(parser):\n" + "".join(options[4:])) == []


def test_names_must_map_one_to_one(folder: Path) -> None:
    """Swapped variables make other code of the same form."""
    mixed = ORIGINAL.replace("rows.append((parts[0]", "parts.append((rows[0]").replace("read_rows", "mix")
    assert clones(folder, mixed) == []


@pytest.mark.parametrize("path", ["tests/test_new.py", "shop/migrations/new.py"])
def test_tests_and_generated_folders_may_repeat(folder: Path, path: str) -> None:
    """In tests, migrations and the like repetition is not told."""
    assert clones(folder, ORIGINAL, path=path) == []


def test_a_few_statements_are_no_copy(folder: Path) -> None:
    """Short code is the same by chance."""
    (folder / "shop" / "short.py").write_text("def first(a, b):\n    total = a + b\n    return total\n")
    assert clones(folder, "def second(a, b):\n    total = a + b\n    return total\n") == []


def test_out_of_time_says_that_not_all_was_searched(folder: Path) -> None:
    """When the deadline has passed the answer says that it is not whole."""
    head = Source("shop/new.py", ORIGINAL, frozenset(range(1, 20)))
    assert find_clones([head], [], folder, deadline=1.0, now=lambda: 2.0) == ([], False)


@pytest.mark.timeout(60)
def test_thousands_of_rows_of_one_shape_are_no_copies(tmp_path: Path) -> None:
    """A table of 3000 rows is answered, and no row is called a copy of another."""
    text = "T = []\n" + "".join(f"T.append(({number}, other({number})))\n" for number in range(3000))
    (tmp_path / "table.py").write_text(text)
    (tmp_path / "again.py").write_text(text.replace("other(", "another("))
    head = Source("table.py", text, frozenset(range(1, 3002)))
    assert find_clones([head], [], tmp_path, deadline=time.monotonic() + 60) == ([], True)


def test_the_deadline_is_looked_at_within_one_long_run(tmp_path: Path) -> None:
    """A run of thousands of statements is left where the time ends."""
    text = "".join(f"T.append(({n}, {n + 1}))\nU.extend(another[{n}:{n + 2}])\n" for n in range(400))
    (tmp_path / "table.py").write_text(text)
    head = Source("table.py", text, frozenset(range(1, 801)))
    readings = iter(range(100_000))
    found, whole = find_clones([head], [], tmp_path, deadline=50, now=lambda: next(readings))
    assert (found, whole) == ([], False)
    assert next(readings) < 60


def test_a_cancelled_search_ends(tmp_path: Path) -> None:
    """Who gave it up waits for no more of it."""
    head = Source("shop/new.py", ORIGINAL, frozenset(range(1, 20)))
    cancel = CancelToken()
    cancel.cancel()
    with pytest.raises(Cancelled):
        find_clones([head], [], tmp_path, deadline=time.monotonic() + 60, cancel=cancel)


def test_the_whole_of_a_long_copy_is_one_finding(folder: Path) -> None:
    """Hundreds of statements that stand elsewhere are told once, from the first line to the last."""
    body = "".join(f"    key_{n} = rows[{n}] + offset({n})\n    write(key_{n}, {n})\n" for n in range(300))
    (folder / "shop" / "long.py").write_text(f"def first(rows):\n{body}")
    (found,) = clones(folder, f"def second(rows):\n    print(rows)\n{body}    return 1\n")
    assert found.lines == (3, 602)
