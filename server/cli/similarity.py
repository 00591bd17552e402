"""`aqe similarity`: how alike two texts are."""

from __future__ import annotations

from typing import Annotated

import typer

from aqe.server.cli.embed import checked, open_for
from aqe.server.cli.output import JsonOption, ProjectOption, kept_where, print_json


def command(
    first: Annotated[str, typer.Argument(metavar="A", help="A text, prose or code.")],
    second: Annotated[str, typer.Argument(metavar="B", help="Another.")],
    json: JsonOption = False,
    project: ProjectOption = None,
) -> None:
    """Print how alike two texts are: 1 is the same, 0 has nothing in common."""
    from aqe.engine.embedding import similarity

    root, embedder = open_for(project)
    value = float(f"{similarity(embedder, checked(first), checked(second)):.5g}")
    if json:
        shown = {"similarity": value, "embedder_id": embedder.id}
        print_json("similarity", shown, project=kept_where(root))
    else:
        print(f"{value:.3f}")
