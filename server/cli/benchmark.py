"""`aqe benchmark`: what the packages that inspired aqe publish, with ours measured beside it."""

from __future__ import annotations

from typing import Annotated

import typer

from aqe.server.cli.output import JsonOption, ProjectOption, give, project_at, terminal_progress


def command(
    quick: Annotated[bool, typer.Option("--quick", help="Fewer memories and rounds: under 15 seconds.")] = False,
    json: JsonOption = False,
    project: ProjectOption = None,
) -> None:
    """Measure aqe on this machine beside the figures that the packages which inspired it publish.

    A ratio above 1 says that ours is better; "n/a" comes with its reason. Ours is measured on a copy of the demo's
    shop in a temporary folder, in under a minute on an idle machine; the published figures are quoted, not measured.
    """
    import time

    from aqe.server.benchmark.measures import FULL, QUICK, measure
    from aqe.server.benchmark.published import read_claims
    from aqe.server.benchmark.report import BenchmarkReport, compare, machine_here, render

    root = project_at(project)
    size = QUICK if quick else FULL
    sources, claims = read_claims()
    start = time.perf_counter()
    with terminal_progress(quiet=json) as progress:
        ours = measure(size, progress=progress)
    took = round(time.perf_counter() - start, 1)
    rows = compare(claims, ours)
    report = BenchmarkReport(
        quick, size.memories, size.questions, size.rounds, took, machine_here(), list(sources), rows
    )
    give("benchmark", report, lambda: f"{render(report)}\n", project=root, json=json)
