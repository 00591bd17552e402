"""What executed review answers with."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from aqe.agents.review.executed.shortening import shortened_call, shortened_outcomes

Kind = Literal["value", "exception", "arguments", "output", "type"]


@dataclass(frozen=True)
class Difference:
    """One changed function that was seen to behave differently, on the smallest input found.

    `name` is what changed and `line` its place on the head's side (the first changed line inside it); `call` is what
    ran, which may be a caller of it in the same module. `before` and `after` are words: "returned (1, 2)", "raises
    ValueError: ...", "left [1] in items". `inputs` counts calls tried on both sides, `differing` those with another
    outcome. `crash`: the head raises what no raise statement and no docstring speaks of. `breaks_hint`: the head's
    value contradicts the return hint, the base's did not. `is_fair`: the arguments are such as hints, defaults, use
    and examples ask for; where they are not, the difference may be outside of what the function is for.
    """

    path: str
    name: str
    line: int
    call: str
    before: str
    after: str
    kind: Kind
    crash: bool = False
    breaks_hint: bool = False
    inputs: int = 0
    differing: int = 0
    is_fair: bool = True

    @property
    def sentence(self) -> str:
        """The difference in one sentence: `parse('1.2') returned (1, 2), now raises ValueError`; long values cut."""
        before, after = shortened_outcomes(self.before, self.after)
        return f"{shortened_call(self.call)} {before}, now {after}"

    @property
    def is_cut(self) -> bool:
        """Whether the sentence shows less than the whole call."""
        return shortened_call(self.call) != self.call


@dataclass(frozen=True)
class Skipped:
    """A changed function (qualified name) that was not compared, and why in words."""

    path: str
    name: str
    why: str


@dataclass(frozen=True)
class Comparison:
    """All differences, gravest first. `changed` counts changed functions, `compared` those of them that ran on both
    sides; `executions` counts calls. `layers` and `layers_missing` are those of the sandbox. `partial`: the time ended
    first."""

    differences: tuple[Difference, ...] = ()
    changed: int = 0
    compared: int = 0
    not_compared: tuple[Skipped, ...] = ()
    executions: int = 0
    rung: str = ""
    layers: tuple[str, ...] = ()
    layers_missing: tuple[str, ...] = ()
    hash_seeds: tuple[int, ...] = ()
    partial: bool = False
    notes: tuple[str, ...] = ()
