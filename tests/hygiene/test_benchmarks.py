"""Each benchmark that a document names is run by `make bench` or `make bench-public`, and has the options named."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

import pytest

pytestmark = pytest.mark.tree

COMMAND = re.compile(r"python(?:3[.\d]*)? (benchmarks/[\w/]+\.py)((?: +--?[\w-]+(?: +[\w./{}+-]+)*| +[\w./]+)*)")
MAKERS = {"chunks", "fit_answers", "fit_knowledge", "train_embedding", "train_meanings", "train_router"}
"""What makes data or weights, and is no measurement."""


def documents(repository: Path) -> str:
    """All documents in one text."""
    paths = [*(repository / "docs").glob("*.md"), repository / "README.md", repository / "CONTRIBUTING.md"]
    return "\n".join(path.read_text(encoding="utf-8") for path in paths)


def makefile(repository: Path) -> str:
    """The Makefile, its interpreter by the name that documents use."""
    return (repository / "Makefile").read_text(encoding="utf-8").replace("$(py)", "python")


def told(text: str) -> dict[str, set[str]]:
    """The benchmarks that a text tells to run, each with the options that it gives it."""
    found: dict[str, set[str]] = {}
    for script, words in COMMAND.findall(text):
        found.setdefault(script, set()).update(re.findall(r"--[\w-]+", words))
    return found


def test_each_benchmark_of_the_documents_is_run_by_make(repository: Path) -> None:
    """What a document tells to measure with stands in the Makefile; only what trains or fetches stands elsewhere."""
    named = {script for script in told(documents(repository)) if Path(script).stem not in MAKERS}
    assert len(named) > 20
    assert sorted(named - told(makefile(repository)).keys()) == []


@pytest.mark.parametrize("where", [documents, makefile])
def test_each_option_that_a_benchmark_is_given_exists(repository: Path, where: Callable[[Path], str]) -> None:
    """Neither a document nor the Makefile gives a benchmark an option that it does not take."""
    unknown = [
        (script, option)
        for script, options in told(where(repository)).items()
        for option in sorted(options)
        if f'"{option}"' not in (repository / script).read_text(encoding="utf-8") + _selection(repository, script)
    ]
    assert unknown == []


def _selection(repository: Path, script: str) -> str:
    """What benchmarks/select.py hands its words to: it only bears the name that the command has."""
    path = repository / "benchmarks" / "selection.py"
    return path.read_text(encoding="utf-8") if script == "benchmarks/select.py" else ""
