"""What a look at the store found and what a repair did, in lines."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from aqe.engine.memory.care.repairing import RepairReport
from aqe.engine.memory.care.verifying import Finding
from aqe.server.counting import counted, memories

_MENDED = {
    "corrected": ("flipped bit", "flipped bits", "put right: what was written stands again"),
    "texts": ("text", "texts", "kept though different from the hash, and marked so (`aqe-damaged` in the metadata)"),
    "rows": ("row", "rows", "kept though different from the checksum, and marked so (`aqe-damaged` in the metadata)"),
    "other_rows": (
        "row of a session, a request, feedback or an edge",
        "rows of sessions, requests, feedback and edges",
        "kept though different from the checksum",
    ),
    "renumbered": ("revision", "revisions", "renumbered after a gap"),
    "ended": ("earlier revision", "earlier revisions", "ended"),
    "dangling": ("row", "rows", "of what is gone removed"),
    "snapshots": ("snapshot", "snapshots", "without sense removed"),
    "indexed": ("entry", "entries", "of the text index made anew"),
    "vectors_lost": ("memory", "memories", "without a vector"),
    "vectors_given_lost": ("of them", "of them", "with a vector that only its giver can make anew"),
    "vectors_ended_lost": ("vector", "vectors", "of ended revisions removed: a rollback has them made anew"),
}


def finding_lines(findings: Sequence[Finding]) -> Iterator[str]:
    """Each thing that is wrong once, with what it means and what to do; checks that found the same are named in one
    line."""
    together: dict[tuple[str, str, str], list[str]] = {}
    for one in findings:
        together.setdefault((one.what, one.meaning, one.fix), []).append(one.check)
    for (what, meaning, fix), checks in together.items():
        yield f"{', '.join(checks)}: {what}: {meaning}. {fix}"


def held(count: int, remembered: int) -> str:
    """So many current memories, and how many of them were remembered where not all were.

    >>> held(1, 1), held(1200, 3)
    ('1 memory', "1,200 memories (3 remembered, the others of the project index and aqe's knowledge)")
    """
    if count == remembered:
        return memories(count)
    return f"{memories(count)} ({remembered:,} remembered, the others of the project index and aqe's knowledge)"


def repair_lines(report: RepairReport) -> Iterator[str]:
    """What was wrong, what became of it, and what is lost."""
    if report.how == "nothing":
        yield "Nothing is wrong; nothing was changed."
        return
    would = "would be " if report.dry_run else ""
    found: dict[str, list[str]] = {}
    for check, _, what in (finding.partition(": ") for finding in report.findings):
        found.setdefault(what, []).append(check)
    for what, checks in found.items():
        yield f"found: {', '.join(checks)}: {what}"
    if report.unread_pages:
        yield f"{counted(report.unread_pages, 'page')} cannot be read"
    for name, count in vars(report.mended).items():
        if count:
            one, many, rest = _MENDED[name]
            yield f"{counted(count, one, many)} {rest}"
    if report.mended.vectors_lost:
        yield "The next search embeds what has no vector from its text, or `aqe memory migrate` does so now"
    for table, count in report.broken.items():
        yield f"{counted(count, 'row')} of {table} lost: only a part stands"
    for table, count in report.lost_pages.items():
        yield f"{counted(count, 'page')} of {table} lost, with the rows on {'it' if count == 1 else 'them'}"
    for table, count in report.replaced.items():
        has = "has" if count == 1 else "have"
        yield f"{counted(count, 'row')} of {table} {has} lost bytes of a text: U+FFFD stands in their place"
    if report.unknown_rows:
        yield f"{counted(report.unknown_rows, 'row')} lost: nothing says of which table"
    if report.lost_count:
        more = f" and {report.lost_count - len(report.lost_memories):,} more" * (
            report.lost_count > len(report.lost_memories)
        )
        yield f"{memories(report.lost_count)} lost a revision: {', '.join(report.lost_memories)}{more}"
    if report.more_lost and not report.everything_lost:
        saved = report.saved.get("memories", 0)
        yield (
            "An unknown number more is lost: what named them is lost too. Rows of memories, ended ones too, were"
            f" numbered up to {report.highest_row:,} at least; {saved:,} of them {'is' if saved == 1 else 'are'} saved"
        )
    if report.everything_lost:
        yield f"Everything {'would be' if report.dry_run else 'is'} lost: no memory in the file can be saved."
        yield from _ways_back(report.earlier)
        if report.damaged_before:
            yield "Put in its place, one of those kept damaged before may give `aqe memory repair` more:"
            yield from (f"  {name}" for name in report.damaged_before)
    else:
        state = "sound" if report.sound else "still not sound"
        yield f"{would}{report.how}: {held(report.memories, report.remembered)}, {state}"
    if report.kept:
        yield f"The file as it was is kept in {report.kept}"


def _ways_back(earlier: Sequence[str]) -> Iterator[str]:
    """Where what is lost may still be; `aqe memory restore` takes any of them."""
    if not earlier:
        yield "There is no earlier file in .aqe; `aqe memory restore FILE` puts a backup of yours in its place."
        return
    yield "`aqe memory restore FILE` puts a backup of yours in its place, or one of these:"
    yield from (f"  {name}" for name in earlier)
