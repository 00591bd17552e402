"""`aqe feedback`: say how an answer went."""

from __future__ import annotations

from typing import Annotated

import typer

from aqe.server.cli.output import JsonOption, ProjectOption, print_json, project_at
from aqe.server.counting import memories


def command(
    request_id: Annotated[str, typer.Argument(metavar="REQUEST_ID", help="The request_id of the answer.")],
    rating: Annotated[int | None, typer.Option("--rating", metavar="1-5", help="1 is useless, 5 just right.")] = None,
    success: Annotated[
        bool | None, typer.Option("--success/--failure", help="Whether what the answer was for succeeded.")
    ] = None,
    correction: Annotated[
        str | None, typer.Option("--correction", metavar="TEXT", help="The right answer; it is remembered.")
    ] = None,
    signal: Annotated[
        str | None, typer.Option("--signal", metavar="KIND", help="positive, negative, correction or implicit.")
    ] = None,
    json: JsonOption = False,
    project: ProjectOption = None,
) -> None:
    """Teach: say how an answer of `aqe query` went, and what would have been right."""
    from typing import cast

    from aqe.engine.embedding import open_embedder
    from aqe.engine.learning import Feedback, Signal, file_feedback
    from aqe.engine.memory import open_store
    from aqe.engine.settings import load_settings

    root = project_at(project)
    settings = load_settings(root)
    said = Feedback(request_id, rating, success, correction, cast("Signal | None", signal))
    with open_store(root, settings=settings) as store:
        kept = file_feedback(store, open_embedder(settings), said)
    if json:
        print_json("feedback", kept, project=root)
        return
    print(f"Kept: success {kept.success:.2f}, {memories(kept.marked)} marked.")
    if kept.memory_id is not None:
        print(f"The correction is remembered as {kept.memory_id}.")
