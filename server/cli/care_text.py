"""What a repair and a migration did, in lines."""

from __future__ import annotations

from collections.abc import Iterator

from aqe.engine.memory.care.repairing import RepairReport

_MENDED = {
    "texts": "texts kept though they differ from their hash",
    "renumbered": "revisions renumbered after a gap",
    "ended": "earlier revisions ended",
    "dangling": "rows that named what is gone removed",
    "snapshots": "snapshots that could not be read removed",
    "indexed": "entries of the text index made anew",
    "vectors_lost": "memories without their vector",
    "vectors_given_lost": "of them with a vector that only its giver can make anew",
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
        yield f"{report.unread_pages:,} pages cannot be read"
    for name, count in vars(report.mended).items():
        if count:
            yield f"{count:,} {_MENDED[name]}"
    for table, count in report.broken.items():
        yield f"{count:,} rows of {table} are lost: only a part of them stands"
    if report.unknown_rows:
        yield f"{report.unknown_rows:,} rows are lost: nothing says which table they were of"
    if report.lost_count:
        more = f" and {report.lost_count - len(report.lost_memories):,} more" * (
            report.lost_count > len(report.lost_memories)
        )
        yield f"{report.lost_count:,} memories lost a revision: {', '.join(report.lost_memories)}{more}"
    yield f"{would}{report.how}: {report.memories:,} memories, {'sound' if report.sound else 'still not sound'}"
    if report.kept:
        yield f"The file as it was is kept in {report.kept}"
