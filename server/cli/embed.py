"""`aqe embed`: texts as vectors."""

from __future__ import annotations

import json as jsonlib
from collections.abc import Mapping
from typing import TYPE_CHECKING, Annotated, Any

import typer

from aqe.engine.errors import UserError
from aqe.server.cli.answers import piped_text
from aqe.server.cli.lines import LinesOption, answer_lines, with_id
from aqe.server.cli.memory_lines import refuse_beside_lines
from aqe.server.cli.output import JsonOption, ProjectOption, kept_where, print_json, project_at

if TYPE_CHECKING:
    from pathlib import Path

    from aqe.engine.embedding import Embedder


def command(
    text: Annotated[str | None, typer.Argument(metavar="[TEXT]", help="What to embed; - reads stdin.")] = None,
    jsonl: LinesOption = False,
    json: JsonOption = False,
    project: ProjectOption = None,
) -> None:
    """Print the vector of a text: a unit vector of the embedder that the settings name, as one JSON list.

    With --jsonl each line holds `text` and may hold `id`; its answer has the id and the `vector`.
    """
    if jsonl:
        refuse_beside_lines(**{"A TEXT": text})
    root, embedder = open_for(project)
    if jsonl:
        answer_lines(kept_where(root), "embed", lambda line: _answer(embedder, line), keys=("id", "text"))
        return
    if text is None:
        raise UserError("There is no text to embed.", code="bad-text", fix="Give it, or - to read stdin.")
    vector = vector_of(embedder, piped_text() if text == "-" else text)
    if json:
        shown = {"embedder_id": embedder.id, "dimension": embedder.dimension, "vector": vector}
        print_json("embed", shown, project=kept_where(root))
    else:
        print(jsonlib.dumps(vector))


def open_for(project: Path | None) -> tuple[Path, Embedder]:
    """The project and the embedder that its settings name."""
    from aqe.engine.embedding import open_embedder
    from aqe.engine.settings import load_settings

    root = project_at(project)
    return root, open_embedder(load_settings(root))


def checked(text: Any) -> str:
    """`text` if it can be embedded; raises `UserError` (bad-text, text-too-long)."""
    from aqe.engine.memory.entry import check_text

    if isinstance(text, str) and not text.strip():
        raise UserError("The text is empty.", code="bad-text", fix="Give some words.")
    return check_text(text)


def vector_of(embedder: Embedder, text: Any) -> list[float]:
    """The vector of a text with 5 digits; all zeros where it says nothing to the embedder."""
    (row,) = embedder.embed([checked(text)])
    return [float(f"{number:.5g}") for number in row.tolist()]


def _answer(embedder: Embedder, line: Mapping[str, Any]) -> dict[str, Any]:
    if "text" not in line:
        raise UserError("The line has no key 'text'.", code="bad-text", fix='Write {"text": "..."}.')
    return with_id(line, {"vector": vector_of(embedder, line["text"])})
