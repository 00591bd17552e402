"""Published and ours side by side: the ratio where both are the same kind of figure, else why there is none."""

from __future__ import annotations

import os
import platform
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from aqe.server.benchmark.published import Claim, Source, Unit

SCALE: Mapping[Unit, float] = {"us": 1.0, "ms": 1000.0, "MB": 1.0, "per_s": 1.0}
"""What ours is divided by to stand in the unit of the row."""


@dataclass(frozen=True)
class Row:
    """One row. `ours` is in the row's `unit` (microseconds where the published figure is no single number).

    `ratio` above 1 says that ours is better: faster, or smaller. Where it is None, `why` says why.
    """

    group: str
    what: str
    source: str
    published: str
    value: float | None
    unit: str | None
    ours: float | None
    ratio: float | None
    note: str
    why: str


@dataclass(frozen=True)
class Machine:
    """Where ours was measured."""

    aqe: str
    python: str
    platform: str
    processors: int
    kernels: str
    embedder: str


@dataclass(frozen=True)
class BenchmarkReport:
    """All rows. Ours was measured in `duration_s` seconds beside `memories` memories; figures are medians of `rounds`
    rounds or percentiles over `questions` questions."""

    quick: bool
    memories: int
    questions: int
    rounds: int
    duration_s: float
    machine: Machine
    sources: list[Source]
    rows: list[Row]


def compare(claims: Sequence[Claim], ours: Mapping[str, float]) -> list[Row]:
    """Each published row with ours, from the figures by name that `measure` gave."""
    return [_row(claim, ours) for claim in claims]


def machine_here() -> Machine:
    """This machine, as far as figures depend on it."""
    from importlib.metadata import version

    from aqe import simd
    from aqe.engine.embedding import open_embedder
    from aqe.engine.settings import Settings

    return Machine(
        aqe=version("aqe"),
        python=platform.python_version(),
        platform=platform.platform(),
        processors=os.cpu_count() or 1,
        kernels=simd.active(),
        embedder=open_embedder(Settings()).id,
    )


def render(report: BenchmarkReport) -> str:
    """The plain table, by group, with the sources below it."""
    width = max(len(row.what) for row in report.rows) + 2
    lines, group = [], ""
    for row in report.rows:
        if row.group != group:
            group = row.group
            lines += ["", f"{group:<{width}}{'published':>22}{'ours':>14}{'ratio':>10}"]
        ratio = "n/a" if row.ratio is None else f"{row.ratio:.3g}"
        ours = "" if row.ours is None else _figure(row.ours, row.unit or "us")
        said = row.why or row.note
        lines.append(f"  {row.what:<{width - 2}}{row.published:>22}{ours:>14}{ratio:>10}  {said}".rstrip())
    here = report.machine
    lines += [
        "",
        f"Ours: aqe {here.aqe}, Python {here.python}, {here.processors} processors, kernels {here.kernels}, "
        f"{report.memories:,} memories, in {report.duration_s:.0f} s. A ratio above 1 says that ours is better.",
        "Published, none of it measured here:",
        *(f"  {source.name} ({source.machine})" for source in report.sources),
    ]
    return "\n".join(lines[1:])


def _row(claim: Claim, ours: Mapping[str, float]) -> Row:
    found = ours.get(claim.measure) if claim.measure else None
    unit = claim.unit or ("us" if claim.measure else None)
    mine = None if found is None or unit is None else float(f"{found / SCALE[unit]:.4g}")
    why = claim.why or ("" if found is not None else "this system does not tell it")
    ratio = None
    if mine and claim.value is not None and not why:
        ratio = float(f"{mine / claim.value if unit == 'per_s' else claim.value / mine:.3g}")
    return Row(claim.group, claim.what, claim.source, claim.published, claim.value, unit, mine, ratio, claim.note, why)


def _figure(value: float, unit: str) -> str:
    """A figure in a unit that reads well."""
    if unit == "per_s":
        return f"{value:,.0f}/s"
    if unit == "MB":
        return f"{value:.0f} MB"
    us = value * SCALE["ms"] if unit == "ms" else value
    if us < 1:
        return f"{us * 1000:.0f} ns"
    return f"{us:.3g} us" if us < 1000 else f"{us / 1000:.3g} ms"
