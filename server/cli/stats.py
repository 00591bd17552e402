"""`aqe stats`: what the project's store holds."""

from __future__ import annotations

from aqe.server.cli.output import JsonOption, ProjectOption, kept_where, print_json
from aqe.server.counting import counted

_CACHED = {"query": "searches were answered as before", "embedding": "texts had been embedded before"}


def command(json: JsonOption = False, project: ProjectOption = None) -> None:
    """Show what the project's store holds: memories, test runs, jobs, and bytes by component."""
    from aqe.engine.memory.contents import NOTHING
    from aqe.engine.memory.opening import has_store, open_to_read
    from aqe.engine.project import find_project

    root = find_project(explicit=None if project is None else str(project))
    stats, place = NOTHING, "none yet: it is made when something is kept"
    if has_store(root):
        with open_to_read(root) as store:
            stats = store.stats(measure=True)
        place = f"{store.path} (version {stats.version})"
    if json:
        print_json("stats", stats, project=kept_where(root))
        return
    print(f"project     {root}")
    print(f"store       {place}")
    print(
        f"memories    {stats.memories} ({stats.vectors} with a vector, {counted(stats.revisions, 'revision')} in all)"
    )
    for namespace, count in stats.namespaces.items():
        print(f"            {count} in {namespace}")
    for one in stats.searches:
        print(
            f"search      {one.namespace} ({one.embedder}): {counted(one.vectors, 'vector')} by {one.structure}, recall"
            f" {one.recall:.3f}, looks at {one.scanned:.0%}"
        )
    for what in ("query", "embedding"):
        hits, misses = stats.caches.get(f"{what}_hits", 0), stats.caches.get(f"{what}_misses", 0)
        if hits + misses:
            print(f"cache       {hits:,} of {hits + misses:,} {_CACHED[what]} ({hits / (hits + misses):.0%})")
    print(f"test runs   {stats.test_runs} ({counted(stats.test_outcomes, 'outcome')})")
    print(f"jobs        {', '.join(f'{count} {state}' for state, count in stats.jobs.items()) or 0}")
    print(f"bytes       {sum(stats.bytes.values()):,}")
    for component, size in stats.bytes.items():
        print(f"            {size:,} {component}")
