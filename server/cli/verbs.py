"""The verbs of the `aqe` command: name, module and one line of help, in the order of the help page.

A verb's module has one typer command function called `command`, a noun group's module a `typer.Typer` called `app`.
"""

from __future__ import annotations

VERBS: dict[str, tuple[str, str]] = {
    "generate": ("aqe.server.cli.generate", "Write executed, stable tests for a module, with evidence."),
    "verify": ("aqe.server.cli.verify", "Judge anybody's tests: stability, coverage, mutants killed."),
    "execute": ("aqe.server.cli.execute", "Run the project's test suite and record each outcome."),
    "coverage": ("aqe.server.cli.coverage", "Rank what no test runs by risk; coverage of changed lines."),
    "flaky": ("aqe.server.cli.flaky", "Find flaky tests, their causes and the commands that show them."),
    "quarantine": ("aqe.server.cli.quarantine", "Keep tests whose failure shall not fail a run."),
    "select": ("aqe.server.cli.select", "Name the tests that a change needs, with reasons; run them."),
    "review": ("aqe.server.cli.review", "Show what a change brought that should be mended, with evidence."),
    "audit": ("aqe.server.cli.audit", "Look at every test for what makes it worth less than it seems."),
    "run": ("aqe.server.cli.run", "Run what a change needs, agents side by side: tests, coverage, review."),
    "analyze": ("aqe.server.cli.analyze", "Report a project's state: coverage, review and an audit of its tests."),
    "query": ("aqe.server.cli.query", "Answer a question about the project, with file and line."),
    "complete": ("aqe.server.cli.complete", "Have a model complete a prompt."),
    "sessions": ("aqe.server.cli.sessions", "Talk, and keep, resume and move conversations."),
    "memory": ("aqe.server.cli.memory", "Keep, find and change what aqe remembers of this project."),
    "knowledge": ("aqe.server.cli.knowledge", "List, add and remove what aqe knows about testing."),
    "feedback": ("aqe.server.cli.feedback", "Say how an answer went, and what would have been right."),
    "route": ("aqe.server.cli.route", "Show which model a request would go to, and why."),
    "embed": ("aqe.server.cli.embed", "Print the vector of a text."),
    "similarity": ("aqe.server.cli.similarity", "Print how alike two texts are."),
    "index": ("aqe.server.cli.index", "Read the project's docs, code and tests, to answer questions."),
    "stats": ("aqe.server.cli.stats", "Show what the project's store holds."),
    "privacy": ("aqe.server.cli.privacy", "See what would leave this machine, what left, and to whom it may go."),
    "serve": ("aqe.server.cli.serve", "Serve the tools over MCP, on stdio or HTTP."),
    "mcp": ("aqe.server.cli.mcp", "Add aqe to Claude Code, Cursor or VS Code."),
    "config": ("aqe.server.cli.config", "Show each setting, its value and where it comes from."),
    "doctor": ("aqe.server.cli.doctor", "Show what this machine gives: sandbox layers, interpreters, kernels."),
    "info": ("aqe.server.cli.info", "Show versions, paths, kernels and the embedder."),
    "benchmark": ("aqe.server.cli.benchmark", "Measure aqe beside the figures that its forerunners publish."),
    "demo": ("aqe.server.cli.demo", "Run every agent on a small shop with planted flaws and leave a report."),
}

PARTS: dict[str, dict[str, tuple[str, ...]]] = {
    "memory": {
        "aqe.server.cli.memory_care": (
            *("migrate", "backup", "verify", "repair", "restore", "snapshot", "snapshots", "rollback", "diff"),
            "key",
        ),
        "aqe.server.cli.memory_graph": ("graph", "neighbours", "link", "unlink"),
        "aqe.server.cli.memory_growth": ("pin", "unpin", "merge", "prune"),
        "aqe.server.cli.memory_tiers": ("tiers",),
        "aqe.server.cli.memory_transfer": ("export", "import"),
    }
}
"""Of a group that is several modules the others with their commands, which `add_to` of each puts under the group."""
