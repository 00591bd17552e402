"""What a repair and a migration did, in lines."""

from __future__ import annotations

from collections.abc import Iterator

from aqe.engine.memory.care.repairing import RepairReport
from aqe.server.counting import counted, memories

_MENDED = {
    "texts": ("text", "texts", "kept though different from the hash"),
    "renumbered": ("revision", "revisions", "renumbered after a gap"),
    "ended": ("earlier revision", "earlier revisions", "ended"),
    "dangling": ("row", "rows", "of what is gone removed"),
    "snapshots": ("snapshot", "snapshots", "without sense removed"),
    "indexed": ("entry", "entries", "of the text index made anew"),
    "vectors_lost": ("memory", "memories", "without a vector"),
    "vectors_given_lost": ("of them", "of them", "with a vector that only its giver can make anew"),
}


def repair_lines(report: RepairReport) -> Iterator[str]:
    """What was wrong, what became of it, and what is lost."""
    if report.how == "nothing":
        yield "Nothing is wrong; nothing was changed."
        return
    would = "would be " if report.dry_run else ""
    for finding in report.findings:
        yield f"found: {finding}"
    if report.unread_pages:
        yield f"{counted(report.unread_pages, 'page')} cannot be read"
    for name, count in vars(report.mended).items():
        if count:
            one, many, rest = _MENDED[name]
            yield f"{counted(count, one, many)} {rest}"
    for table, count in report.broken.items():
        yield f"{counted(count, 'row')} of {table} lost: only a part stands"
    if report.unknown_rows:
        yield f"{counted(report.unknown_rows, 'row')} lost: nothing says of which table"
    if report.lost_count:
        more = f" and {report.lost_count - len(report.lost_memories):,} more" * (
            report.lost_count > len(report.lost_memories)
        )
        yield f"{memories(report.lost_count)} lost a revision: {', '.join(report.lost_memories)}{more}"
    yield f"{would}{report.how}: {memories(report.memories)}, {'sound' if report.sound else 'still not sound'}"
    if report.kept:
        yield f"The file as it was is kept in {report.kept}"
