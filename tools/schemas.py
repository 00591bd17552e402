"""Write docs/schemas/<command>.json from the models that the commands print; a test compares the two.

Each schema describes what `aqe COMMAND --json` prints; fields may be added without a new version.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from pydantic import TypeAdapter

from aqe.agents.registry import resolve

FOLDER = Path(__file__).resolve().parent.parent / "docs" / "schemas"
MODELS: dict[str, tuple[str, ...]] = {
    "analyze": ("aqe.agents.fleet.report:AnalyzeReport",),
    "audit": ("aqe.agents.review.report:ReviewReport",),
    "benchmark": ("aqe.server.benchmark.report:BenchmarkReport",),
    "complete": ("aqe.engine.answer:Answer",),
    "config": ("aqe.server.cli.objects:ConfigShown",),
    "coverage": ("aqe.agents.coverage.report:CoverageReport",),
    "demo": ("aqe.server.demo.report:DemoReport",),
    "doctor": ("aqe.server.cli.objects:DoctorShown",),
    "embed": ("aqe.server.cli.objects:VectorShown",),
    "error": ("aqe.server.cli.objects:Failure",),
    "execute": ("aqe.agents.execute:ExecuteReport",),
    "feedback": ("aqe.engine.learning.feedback:FeedbackKept",),
    "flaky": ("aqe.agents.flaky.report:FlakyReport",),
    "generate": ("aqe.agents.generate.report:GenerateReport",),
    "info": ("aqe.server.cli.info:InfoShown",),
    "knowledge-add": ("aqe.server.cli.objects:KnowledgeAdded",),
    "knowledge-list": ("aqe.server.cli.objects:KnowledgeListed",),
    "knowledge-remove": ("aqe.server.cli.objects:KnowledgeRemoved",),
    "knowledge-show": ("aqe.server.cli.objects:KnowledgeListed",),
    "index": ("aqe.engine.index.indexing:IndexReport",),
    "mcp-install": ("aqe.server.cli.mcp_objects:InstallShown",),
    "memory-add": ("aqe.server.cli.objects:MemoryKept",),
    "memory-backup": ("aqe.engine.memory.care.backup:BackupReport",),
    "memory-delete": ("aqe.server.cli.objects:MemoryDeleted",),
    "memory-diff": ("aqe.engine.memory.care.comparing:DiffReport",),
    "memory-export": (
        "aqe.server.cli.transfer_objects:MemoriesExported",
        "aqe.server.cli.transfer_objects:WholeStateExported",
    ),
    "memory-get": ("aqe.server.cli.objects:MemoryShown", "aqe.server.cli.objects:MemoryHistory"),
    "memory-graph": ("aqe.server.cli.graph_objects:GraphShown",),
    "memory-import": ("aqe.server.cli.transfer_objects:MemoriesImported",),
    "memory-link": ("aqe.server.cli.graph_objects:Linked",),
    "memory-merge": (
        "aqe.server.cli.growth_objects:MergesShown",
        "aqe.server.cli.growth_objects:Revived",
        "aqe.server.cli.growth_objects:GrowthLog",
    ),
    "memory-pin": ("aqe.server.cli.growth_objects:PinShown",),
    "memory-prune": (
        "aqe.server.cli.growth_objects:PruneShown",
        "aqe.server.cli.growth_objects:Revived",
        "aqe.server.cli.growth_objects:GrowthLog",
    ),
    "memory-tiers": ("aqe.server.cli.memory_tiers:TiersShown",),
    "memory-unpin": ("aqe.server.cli.growth_objects:PinShown",),
    "memory-key-rekey": ("aqe.engine.memory.care.sealing:SealReport",),
    "memory-key-remove": ("aqe.engine.memory.care.sealing:SealReport",),
    "memory-key-set": ("aqe.engine.memory.care.sealing:SealReport",),
    "memory-list": ("aqe.server.cli.objects:MemoryListed",),
    "memory-neighbours": ("aqe.server.cli.graph_objects:NeighboursShown",),
    "memory-migrate": ("aqe.server.cli.care_objects:Migrated",),
    "memory-repair": ("aqe.engine.memory.care.repairing:RepairReport",),
    "memory-restore": ("aqe.engine.memory.care.restoring:RestoreReport",),
    "memory-rollback": ("aqe.engine.memory.care.snapshots:RollbackReport",),
    "memory-search": ("aqe.server.cli.objects:MemoryFound",),
    "memory-unlink": ("aqe.server.cli.graph_objects:Unlinked",),
    "memory-snapshot": ("aqe.server.cli.care_objects:SnapshotTaken",),
    "memory-snapshots": ("aqe.server.cli.care_objects:SnapshotsListed",),
    "memory-update": ("aqe.server.cli.objects:MemoryUpdated",),
    "memory-verify": ("aqe.engine.memory.care.verifying:VerifiedStore",),
    "privacy-audit": ("aqe.server.cli.objects:AuditShown",),
    "privacy-consent-grant": ("aqe.server.cli.objects:ConsentShown",),
    "privacy-consent-list": ("aqe.server.cli.objects:ConsentsShown",),
    "privacy-consent-revoke": ("aqe.server.cli.objects:ConsentsRevoked",),
    "privacy-report": ("aqe.engine.privacy.controls:ControlsReport",),
    "privacy-scan": ("aqe.engine.privacy.scanning:ScanReport",),
    "privacy-verify": ("aqe.server.cli.objects:AuditVerified",),
    "quarantine-add": ("aqe.server.cli.quarantine:QuarantineShown",),
    "quarantine-list": ("aqe.server.cli.quarantine:QuarantineShown",),
    "quarantine-release": ("aqe.server.cli.quarantine:QuarantineShown",),
    "query": ("aqe.server.cli.objects:QueryShown",),
    "review": ("aqe.agents.review.report:ReviewReport",),
    "review-decisions": ("aqe.server.cli.objects:DecisionsShown",),
    "route": ("aqe.server.cli.route_objects:RouteShown",),
    "route-log": ("aqe.server.cli.route_objects:RouteLog",),
    "route-rules": ("aqe.server.cli.route_objects:RouteRules",),
    "select": ("aqe.agents.select.report:SelectReport",),
    "similarity": ("aqe.server.cli.objects:SimilarityShown",),
    "run": ("aqe.agents.fleet.report:RunReport",),
    "sessions-end": ("aqe.server.cli.objects:SessionChanged",),
    "sessions-export": (
        "aqe.server.cli.sessions_objects:SessionWhole",
        "aqe.server.cli.sessions_objects:SessionWritten",
    ),
    "sessions-import": ("aqe.server.cli.objects:SessionChanged",),
    "sessions-list": ("aqe.server.cli.objects:SessionsListed",),
    "sessions-resume": ("aqe.server.cli.objects:SessionChanged",),
    "sessions-show": ("aqe.server.cli.objects:SessionTurns",),
    "stats": ("aqe.server.cli.stats:StatsShown",),
    "verify": ("aqe.agents.gate.verify:VerifyReport",),
}
ADDED: dict[str, dict[str, Any]] = {"execute": {"all_passed": {"type": "boolean"}}}
"""Properties that a command adds to its report's own fields."""


def schema_of(command: str) -> dict[str, Any]:
    """The JSON Schema (2020-12) of what `aqe command --json` prints."""
    variants = [TypeAdapter(resolve(model)).json_schema(mode="serialization") for model in MODELS[command]]
    definitions: dict[str, Any] = {}
    for variant in variants:
        definitions |= variant.pop("$defs", {})
        variant["properties"] = {
            "schema": {"const": f"aqe.{command}/1"},
            **variant["properties"],
            **ADDED.get(command, {}),
        }
        required = variant.get("required", [])
        variant["required"] = ["schema", *required, *ADDED.get(command, {})]
    whole = variants[0] if len(variants) == 1 else {"anyOf": variants}
    head = {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": f"aqe {command.replace('-', ' ') if command != 'error' else 'COMMAND'} --json",
    }
    return head | {key: value for key, value in whole.items() if key != "title"} | {"$defs": definitions}


def render(command: str) -> str:
    """The text of one schema's file."""
    return json.dumps(schema_of(command), indent=2, sort_keys=False) + "\n"


def main() -> None:
    """Write every schema and remove what no command has."""
    FOLDER.mkdir(parents=True, exist_ok=True)
    for path in FOLDER.glob("*.json"):
        if path.stem not in MODELS:
            path.unlink()
    for command in MODELS:
        (FOLDER / f"{command}.json").write_text(render(command), encoding="utf-8")
    print(f"wrote {len(MODELS)} schemas to {FOLDER}")


if __name__ == "__main__":
    main()
