"""The gate: whatever anyone proposes runs in a sandbox here and comes back as `Evidence`.

Names are handed out lazily (PEP 562), so that the pytest plugin and `aqe --help` do not pay for them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from aqe.engine.lazy import handed_out as _handed_out

if TYPE_CHECKING:
    from aqe.agents.gate.box import Box, BoxSpec, CaseResult, Layers, Limits
    from aqe.agents.gate.evidence import Evidence, MutantResult, SubjectMeasure, TestEvidence
    from aqe.agents.gate.interpreter import Interpreter, find_interpreter
    from aqe.agents.gate.verify import VerifyReport, VerifyRequest

_HOMES = {
    "Box": "box",
    "BoxSpec": "box",
    "CaseResult": "box",
    "Evidence": "evidence",
    "Interpreter": "interpreter",
    "Layers": "box",
    "Limits": "box",
    "MutantResult": "evidence",
    "SubjectMeasure": "evidence",
    "TestEvidence": "evidence",
    "VerifyReport": "verify",
    "VerifyRequest": "verify",
    "find_interpreter": "interpreter",
}

__all__ = [
    "Box",
    "BoxSpec",
    "CaseResult",
    "Evidence",
    "Interpreter",
    "Layers",
    "Limits",
    "MutantResult",
    "SubjectMeasure",
    "TestEvidence",
    "VerifyReport",
    "VerifyRequest",
    "find_interpreter",
]

__getattr__, __dir__ = _handed_out(__name__, _HOMES)
