"""Mistakes and oddities before assistants: what installs aqe for one and what serves it."""

from __future__ import annotations

import contextlib
import socket
from pathlib import Path

from bad_input.projects import nothing
from bad_input.rows import READ_ONLY, Row

BROKEN_CLIENT = '{\n  // ours\n  "mcpServers": {\n'


def taken_port(project: Path, stack: contextlib.ExitStack) -> dict[str, str]:
    holder = stack.enter_context(contextlib.closing(socket.socket()))
    holder.bind(("127.0.0.1", 0))
    holder.listen()
    return {"port": str(holder.getsockname()[1])}


def broken_client(project: Path, stack: contextlib.ExitStack) -> None:
    """A client's configuration with comments that ends too early."""
    (project / ".mcp.json").write_text(BROKEN_CLIENT, encoding="utf-8")


def odd_client(project: Path, stack: contextlib.ExitStack) -> None:
    """A client's configuration whose servers are a list."""
    (project / ".vscode").mkdir()
    (project / ".vscode" / "mcp.json").write_text('{"servers": []}', encoding="utf-8")


def half_a_block(project: Path, stack: contextlib.ExitStack) -> None:
    """A file for assistants with the beginning of aqe's block and no end."""
    (project / "CLAUDE.md").write_text("<!-- aqe:begin -->\n", encoding="utf-8")


def client_is_untouched(project: Path) -> None:
    assert (project / ".mcp.json").read_text(encoding="utf-8") == BROKEN_CLIENT
    assert [path.name for path in project.glob("*mcp*")] == [".mcp.json"]


def no_client_is_written(project: Path) -> None:
    assert not (project / ".mcp.json").exists()


ROWS = [
    Row(
        "client config that is no JSON",
        ("mcp", "install", "claude", "--yes", "--block"),
        broken_client,
        "bad-client-config",
        2,
        "line 4, column 1",
        (),
        client_is_untouched,
    ),
    Row("client config of another shape", ("mcp", "install", "vscode", "--yes"), odd_client, "bad-client-config", 2),
    Row(
        "half a block",
        ("mcp", "install", "claude", "--yes", "--block"),
        half_a_block,
        "bad-client-config",
        2,
        "CLAUDE.md",
        (),
        no_client_is_written,
    ),
    Row("unknown client", ("mcp", "install", "claud", "--yes"), nothing, "bad-argument", 2, "'claude'"),
    Row("nobody to ask", ("mcp", "install", "claude"), nothing, "usage", 2, "--yes", (), no_client_is_written),
    Row(
        "read-only project, mcp install",
        ("mcp", "install", "claude", "--yes"),
        nothing,
        "project-read-only",
        2,
        "",
        READ_ONLY,
    ),
    Row("missing project, serve", ("serve", "--project", "nowhere"), nothing, "no-such-project", 2, "nowhere"),
    Row("impossible port, serve", ("serve", "--http", "--port", "70000"), nothing, "bad-port", 2, "70000"),
    Row("taken port, serve", ("serve", "--http", "--port", "{port}"), taken_port, "port-in-use", 2, "", slow=True),
]
