"""What a project was asked, what feedback said of the answers, and which conversations there are, as counts."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from aqe.engine.learning import feedback_figures
from aqe.engine.memory.store import Store
from aqe.engine.requests import RequestTable


@dataclass(frozen=True)
class Activity:
    """Counts of the requests that are kept, with the mean of the stated confidences (None without one), how many
    answers reused their session's passages, what they cost in US dollars and how many went to each provider; of
    feedback the last word on each request by its signal, a rating in the middle as neutral; of sessions by whether they
    are open."""

    queries: int = 0
    completions: int = 0
    mean_confidence: float | None = None
    reused: int = 0
    cost_usd: float = 0.0
    providers: Mapping[str, int] = field(default_factory=dict)
    signals: Mapping[str, int] = field(default_factory=dict)
    sessions: Mapping[str, int] = field(default_factory=dict)


def read_activity(store: Store, requests: RequestTable) -> Activity:
    """The counts now."""
    kept = requests.figures()
    with store.reading() as connection:
        sessions = dict(
            connection.execute(
                "SELECT CASE WHEN ended_at IS NOT NULL THEN 'ended' WHEN expires_at <= ? THEN 'expired' ELSE 'open'"
                " END, count(*) FROM sessions GROUP BY 1 ORDER BY 1",
                (store.now(),),
            )
        )
    return Activity(
        queries=kept.queries,
        completions=kept.completions,
        mean_confidence=kept.mean_confidence,
        reused=kept.reused,
        cost_usd=kept.cost_usd,
        providers=kept.providers,
        signals=feedback_figures(store)["signals"],
        sessions={str(state): int(count) for state, count in sessions.items()},
    )
