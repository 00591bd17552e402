"""The Evidence of work that did not go through the whole gate: where, with what and how often something was run."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from importlib import metadata

from aqe.agents.gate.evidence import Evidence, SubjectMeasure, TestEvidence
from aqe.agents.gate.interpreter import Interpreter


def circumstances(
    interpreter: Interpreter,
    *,
    seed: int,
    runs: int,
    budget_s: float | None,
    duration_s: float,
    rung: str,
    layers: Sequence[str] = (),
    layers_missing: Sequence[str] = (),
    below_namespaces: bool = False,
    hash_seeds: Sequence[int] = (),
    packages: Mapping[str, str] | None = None,
    tests: Sequence[TestEvidence] = (),
    subjects: Sequence[SubjectMeasure] = (),
    notes: Sequence[str] = (),
) -> Evidence:
    """An Evidence whose mutants are empty; `rung` is the sandbox's, or "suite: overlay", "suite: copy", "none".

    `hash_seeds` are those of the runs where they were set; `packages` are the versions that took part.
    """
    return Evidence(
        aqe_version=metadata.version("aqe"),
        python_version=interpreter.version_text,
        python_executable=interpreter.executable,
        packages=dict(sorted((packages or {}).items())),
        rung=rung,
        below_namespaces=below_namespaces,
        layers=tuple(layers),
        layers_missing=tuple(layers_missing),
        seed=seed,
        hash_seeds=tuple(hash_seeds),
        runs=runs,
        budget_s=budget_s,
        duration_s=round(duration_s, 3),
        subjects=tuple(subjects),
        tests=tuple(tests),
        mutants=(),
        mutants_total=0,
        mutants_killed=0,
        mutants_left_out=0,
        notes=tuple(notes),
    )
