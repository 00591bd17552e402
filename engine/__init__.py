"""The engine, its settings, errors, memory and jobs: the public names, each loaded when first used."""

from __future__ import annotations

from typing import TYPE_CHECKING

from aqe.engine.lazy import handed_out as _handed_out

if TYPE_CHECKING:
    from aqe.engine.answer import Answer, BatchItem, QueryConfig, Sample, Timings, Verdict
    from aqe.engine.budget import format_budget, parse_budget
    from aqe.engine.engine import Engine
    from aqe.engine.errors import AqeError, Cancelled, GateFailed, InternalError, OutOfTime, UserError
    from aqe.engine.figures import EngineStats
    from aqe.engine.jobs import Job, JobTable
    from aqe.engine.marker import is_ours, lock_target, mark, write_atomic
    from aqe.engine.memory import Hit, Memory, NewMemory, Provenance, SearchAnswer, Store, StoreStats, open_store
    from aqe.engine.progress import CancelToken, Progress, silent
    from aqe.engine.project import aqe_dir, find_project
    from aqe.engine.providers import Message, Provider, Usage
    from aqe.engine.results import read_result, write_result
    from aqe.engine.sessions import Session, Turn
    from aqe.engine.settings import Settings, SettingValue, load_settings, origins
    from aqe.engine.streaming import AnswerStream
    from aqe.engine.subset import AgentEngine

_HOMES = {
    "AgentEngine": "subset",
    "Answer": "answer",
    "AnswerStream": "streaming",
    "AqeError": "errors",
    "BatchItem": "answer",
    "CancelToken": "progress",
    "Cancelled": "errors",
    "Engine": "engine",
    "EngineStats": "figures",
    "GateFailed": "errors",
    "Hit": "memory",
    "InternalError": "errors",
    "Job": "jobs",
    "JobTable": "jobs",
    "Memory": "memory",
    "Message": "providers",
    "NewMemory": "memory",
    "OutOfTime": "errors",
    "Progress": "progress",
    "Provenance": "memory",
    "Provider": "providers",
    "QueryConfig": "answer",
    "Sample": "answer",
    "SearchAnswer": "memory",
    "Session": "sessions",
    "SettingValue": "settings",
    "Settings": "settings",
    "Store": "memory",
    "StoreStats": "memory",
    "Timings": "answer",
    "Turn": "sessions",
    "Usage": "providers",
    "UserError": "errors",
    "Verdict": "answer",
    "aqe_dir": "project",
    "find_project": "project",
    "format_budget": "budget",
    "is_ours": "marker",
    "load_settings": "settings",
    "lock_target": "marker",
    "mark": "marker",
    "open_store": "memory",
    "origins": "settings",
    "parse_budget": "budget",
    "read_result": "results",
    "silent": "progress",
    "write_atomic": "marker",
    "write_result": "results",
}

__all__ = [
    "AgentEngine",
    "Answer",
    "AnswerStream",
    "AqeError",
    "BatchItem",
    "CancelToken",
    "Cancelled",
    "Engine",
    "EngineStats",
    "GateFailed",
    "Hit",
    "InternalError",
    "Job",
    "JobTable",
    "Memory",
    "Message",
    "NewMemory",
    "OutOfTime",
    "Progress",
    "Provenance",
    "Provider",
    "QueryConfig",
    "Sample",
    "SearchAnswer",
    "Session",
    "SettingValue",
    "Settings",
    "Store",
    "StoreStats",
    "Timings",
    "Turn",
    "Usage",
    "UserError",
    "Verdict",
    "aqe_dir",
    "find_project",
    "format_budget",
    "is_ours",
    "load_settings",
    "lock_target",
    "mark",
    "open_store",
    "origins",
    "parse_budget",
    "read_result",
    "silent",
    "write_atomic",
    "write_result",
]

__getattr__, __dir__ = _handed_out(__name__, _HOMES)
