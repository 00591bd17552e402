"""`aqe stats`: what the project's store holds."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from aqe.engine.activity import Activity, read_activity
from aqe.engine.memory.contents import NOTHING, SearchFigures, StoreStats
from aqe.server.cli.output import JsonOption, ProjectOption, kept_where, print_json, project_at
from aqe.server.counting import counted

_WHOLE = ("vec0", "exact")
_STRUCTURES = {"linear": "their codes", "ivf": "lists of codes", "hnsw": "a graph"}
"""How a search by meaning goes, by the names of `SearchFigures`."""

_CACHED = {"query": "searches were answered as before", "embedding": "texts had been embedded before"}


@dataclass(frozen=True)
class StatsShown(StoreStats):
    """Counts of current memories (`revisions` counts ended ones too), test outcomes and jobs; sizes in bytes;
    `searches` by namespace, where they were measured; `caches` counts what was at hand and what was not, of searches
    (`query_hits`, `query_misses`) and of texts that a costly embedder had embedded before, by all processes;
    `activity` is what was asked and what came of it."""

    activity: Activity = field(default_factory=Activity)


def command(json: JsonOption = False, project: ProjectOption = None) -> None:
    """Show what the project's store holds (memories, test runs, jobs, bytes by component), what was asked, and what
    feedback said."""
    from aqe.engine.memory.opening import has_store, open_to_read
    from aqe.engine.requests import RequestTable

    root = project_at(project)
    stats, activity, place = NOTHING, Activity(), "none yet: it is made when something is kept"
    if has_store(root):
        with open_to_read(root) as store:
            stats, activity = store.stats(measure=True), read_activity(store, RequestTable(store))
        place = f"{store.path} (version {stats.version})"
    if json:
        print_json("stats", StatsShown(**vars(stats), activity=activity), project=kept_where(root))
        return
    print(f"project     {root}")
    _show_store(stats, place)
    _show_activity(activity)
    print(f"bytes       {sum(stats.bytes.values()):,}")
    for component, size in stats.bytes.items():
        print(f"            {size:,} {component}")


def _show_store(stats: StoreStats, place: str) -> None:
    print(f"store       {place}")
    print(
        f"memories    {stats.memories} ({stats.vectors} with a vector, {counted(stats.revisions, 'revision')} in all)"
    )
    for namespace, count in stats.namespaces.items():
        print(f"            {count} in {namespace}")
    for line in _searched(stats.searches):
        print(f"search      {line}")
    for what in ("query", "embedding"):
        hits, misses = stats.caches.get(f"{what}_hits", 0), stats.caches.get(f"{what}_misses", 0)
        if hits + misses:
            print(f"cache       {hits:,} of {hits + misses:,} {_CACHED[what]} ({hits / (hits + misses):.0%})")
    print(f"test runs   {stats.test_runs} ({counted(stats.test_outcomes, 'outcome')})")
    print(f"jobs        {', '.join(f'{count} {state}' for state, count in stats.jobs.items()) or 0}")


def _searched(searches: Sequence[SearchFigures]) -> Iterator[str]:
    """How memories are found by their meaning: where all vectors are compared in one line, else one by one."""
    whole = [one for one in searches if one.structure in _WHOLE]
    if whole:
        vectors, names = sum(one.vectors for one in whole), len({one.namespace for one in whole})
        yield f"{vectors:,} vectors in {counted(names, 'namespace')}: all are compared, so the nearest are found"
    for one in searches:
        if one not in whole:
            how = _STRUCTURES.get(one.structure, one.structure)
            found = f"{one.recall:.1%} of the nearest ten are found, {one.scanned:.0%} of the vectors looked at"
            yield f"{one.vectors:,} vectors in {one.namespace} by {how}: {found}"


def _show_activity(activity: Activity) -> None:
    surest = "" if activity.mean_confidence is None else f", mean confidence {activity.mean_confidence:.2f}"
    queries = counted(activity.queries, "query", "queries")
    print(f"asked       {queries}, {counted(activity.completions, 'completion')}{surest}")
    print(f"answered    {_named(activity.providers)}; {activity.cost_usd:.4f} USD")
    print(f"feedback    {_named(activity.signals)}")
    print(f"sessions    {_named(activity.sessions)}")


def _named(counts: Mapping[str, int]) -> str:
    return ", ".join(f"{count} {name}" for name, count in counts.items()) or "0"
