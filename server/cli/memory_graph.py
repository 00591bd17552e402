"""`aqe memory graph`, `neighbours`, `link`, `unlink`: what joins the memories of a project."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, cast

import typer

from aqe.server.cli.interrupts import working
from aqe.server.cli.output import JsonOption, ProjectOption, kept_where, print_json, project_at
from aqe.server.counting import counted, memories

if TYPE_CHECKING:
    from pathlib import Path

    from aqe.engine.memory import Store
    from aqe.engine.memory.graph import Edge, Neighbour
    from aqe.engine.memory.graph.building import GraphReport
    from aqe.engine.memory.graph.edges import Kind
    from aqe.server.cli.graph_objects import WeightsShown

NamespaceOption = Annotated[str, typer.Option("--namespace", "-n", metavar="NAME", help="The memory's namespace.")]
KindOption = Annotated[
    str,
    typer.Option(
        "--kind", metavar="KIND", help="covers, imports, calls, fixed-by (from the first ID on), co-retrieved, similar."
    ),
]
MembersArgument = Annotated[
    list[str], typer.Argument(metavar="ID ID...", help="Two memories or more; NAMESPACE:ID for another namespace.")
]
_TEXT = 70


def graph(
    build: Annotated[
        bool, typer.Option("--build", help="First bring it up to date with the index, the impact map and the vectors.")
    ] = False,
    learn: Annotated[
        bool,
        typer.Option("--learn", help="Learn from the recorded runs how edges weigh here; kept if it finds more tests."),
    ] = False,
    unlearn: Annotated[bool, typer.Option("--unlearn", help="Go back to the weights that came with aqe.")] = False,
    json: JsonOption = False,
    project: ProjectOption = None,
) -> None:
    """Show what joins this project's memories, by kind and by what said so."""
    from aqe.engine.memory import open_store
    from aqe.engine.memory.graph import read_figures
    from aqe.engine.memory.opening import open_to_read

    root = project_at(project)
    with open_store(root) if build or learn or unlearn else open_to_read(root) as store:
        report = _build(store, root, quiet=json) if build else None
        if unlearn:
            _unlearn(store)
        tried = _learn(store, root, quiet=json) if learn else None
        figures, weights = read_figures(store), _weights(store)
    if json:
        from aqe.server.cli.graph_objects import GraphShown

        shown = GraphShown(**vars(figures), built=report, weights=weights, tried=tried)
        print_json("memory-graph", shown, project=kept_where(root))
        return
    if report is not None:
        print(f"{counted(report.came, 'edge')} came, {report.went} went")
    print(f"{counted(figures.edges, 'edge')} {'joins' if figures.edges == 1 else 'join'} {memories(figures.memories)}")
    for title, counts in (("by kind", figures.kinds), ("said by", figures.origins)):
        for name, count in counts.items():
            print(f"  {title}  {name:<13} {count}")
    if learn:
        print(_outcome(tried))
    if weights is not None:
        print(f"weights of its own since {weights.learned_at}: {_gain(weights)}")


def _build(store: Store, root: Path, *, quiet: bool) -> GraphReport:
    from aqe.engine.index import index_scope
    from aqe.engine.memory.graph.building import build_graph

    with working(quiet=quiet) as (progress, cancel):
        return build_graph(store, index_scope(store).rstrip("/"), root, progress=progress, cancel=cancel)


def _learn(store: Store, root: Path, *, quiet: bool) -> WeightsShown | None:
    """Learn weights and keep them where they win; what came of it."""
    from aqe.engine.embedding import open_embedder
    from aqe.engine.index import index_scope
    from aqe.engine.memory import rfc3339
    from aqe.engine.memory.graph.own_weights import keep_weights, learn_from_runs
    from aqe.engine.settings import load_settings
    from aqe.server.cli.graph_objects import WeightsShown

    embedder = open_embedder(load_settings(root))
    with working(quiet=quiet) as (progress, cancel):
        scope = index_scope(store).rstrip("/")
        trial = learn_from_runs(store, embedder, scope, progress=progress, cancel=cancel)
    if trial is None:
        return None
    if trial.is_won:
        keep_weights(store, trial)
    at = rfc3339(store.now()) if trial.is_won else None
    return WeightsShown(at, trial.functions, trial.held_out, round(trial.gain, 4), round(trial.low, 4))


def _unlearn(store: Store) -> None:
    from aqe.engine.memory.graph.own_weights import forget_weights

    forget_weights(store)


def _weights(store: Store) -> WeightsShown | None:
    from aqe.engine.memory import rfc3339
    from aqe.engine.memory.graph.own_weights import read_weights
    from aqe.server.cli.graph_objects import WeightsShown

    with store.reading() as connection:
        own = read_weights(connection)
    if own is None:
        return None
    return WeightsShown(rfc3339(own.learned_at), own.functions, own.held_out, round(own.gain, 4), round(own.low, 4))


def _outcome(tried: WeightsShown | None) -> str:
    if tried is None:
        return "nothing was learned: the recorded runs tell of too few functions (`aqe execute --map` records one)"
    kept = "kept" if tried.learned_at is not None else "not kept"
    return f"weights were learned from {counted(tried.functions, 'function')} and are {kept}: {_gain(tried)}"


def _gain(weights: WeightsShown) -> str:
    return f"{weights.gain:+.3f} of 1 / rank on {counted(weights.held_out, 'query', 'queries')} held out"


def neighbours(
    id: Annotated[str, typer.Argument(metavar="ID")],
    namespace: NamespaceOption = "default",
    kind: Annotated[
        list[str] | None, typer.Option("--kind", metavar="KIND", help="Only edges of this kind; may be repeated.")
    ] = None,
    depth: Annotated[int, typer.Option("--depth", metavar="N", help="Edges to go over, 1 to 3.")] = 1,
    k: Annotated[int, typer.Option("-k", metavar="N", help="At most this many.")] = 50,
    json: JsonOption = False,
    project: ProjectOption = None,
) -> None:
    """Show the memories that a memory is joined with, the nearest and strongest first."""
    from aqe.engine.memory.graph import neighbours as find_neighbours
    from aqe.engine.memory.graph.edges import check_kind
    from aqe.engine.memory.opening import open_to_read

    root = project_at(project)
    kinds = None if kind is None else [check_kind(one) for one in kind]
    with open_to_read(root) as store:
        found = find_neighbours(store, id, namespace=namespace, kinds=kinds, depth=depth, k=k)
        texts = [_text(store, one) for one in found]
    if json:
        from aqe.server.cli.graph_objects import NeighbourShown, NeighboursShown

        shown = [NeighbourShown(**vars(one), text=text) for one, text in zip(found, texts, strict=True)]
        print_json("memory-neighbours", NeighboursShown(id, namespace, shown), project=kept_where(root))
        return
    from aqe.engine.terminal import one_line, shortened

    for one, text in zip(found, texts, strict=True):
        arrow = "--" if one.outward is None else "->" if one.outward else "<-"
        far = f" (by {one.via})" if one.depth > 1 else ""
        line = f"{arrow} {one.kind:<12} {one.weight:5.2f}  {one.id}  {one.namespace}  {shortened(text, _TEXT)}{far}"
        print(one_line(line))


def link(
    members: MembersArgument,
    kind: KindOption,
    weight: Annotated[float, typer.Option("--weight", metavar="W", help="How strong it is, above 0.")] = 1.0,
    namespace: NamespaceOption = "default",
    json: JsonOption = False,
    project: ProjectOption = None,
) -> None:
    """Join two memories or more by an edge; one that is there gets the new weight."""
    from aqe.engine.memory import open_store
    from aqe.engine.memory.graph import add_edges

    root = project_at(project)
    with open_store(root) as store:
        edge = _edge(store, members, kind, weight, namespace)
        new = add_edges(store, [edge])
    if json:
        from aqe.server.cli.graph_objects import Linked, members_of

        print_json("memory-link", Linked(edge.kind, edge.weight, members_of(edge), bool(new)), project=root)
    else:
        print(f"{len(edge.members)} memories are joined" if new else "They were joined already")


def unlink(
    members: MembersArgument,
    kind: KindOption,
    namespace: NamespaceOption = "default",
    json: JsonOption = False,
    project: ProjectOption = None,
) -> None:
    """Drop an edge that was given with `aqe memory link`."""
    from aqe.engine.memory import open_store
    from aqe.engine.memory.graph import remove_edges

    root = project_at(project)
    with open_store(root) as store:
        edge = _edge(store, members, kind, 1.0, namespace)
        removed = remove_edges(store, [edge])
    if json:
        from aqe.server.cli.graph_objects import Unlinked, members_of

        print_json("memory-unlink", Unlinked(edge.kind, edge.weight, members_of(edge), bool(removed)), project=root)
    else:
        print("They are joined no more" if removed else "There is no such edge")


def add_to(app: typer.Typer) -> None:
    """Make these commands of `aqe memory`."""
    for name, command in (("graph", graph), ("neighbours", neighbours), ("link", link), ("unlink", unlink)):
        app.command(name)(command)


def _edge(store: Store, members: list[str], kind: str, weight: float, namespace: str) -> Edge:
    """An edge of ids of one namespace, or of others where they say so; an id may have a colon itself."""
    from aqe.engine.memory.graph import Edge

    keys = []
    for member in members:
        before, colon, id = member.partition(":")
        names_another = colon and before and id and store.get(member, namespace=namespace) is None
        keys.append((before, id) if names_another else (namespace, member))
    return Edge(cast("Kind", kind), tuple(keys), weight)


def _text(store: Store, one: Neighbour) -> str:
    found = store.get(one.id, namespace=one.namespace)
    return "" if found is None else found.text
