"""The care of a store that a running server has open."""

from __future__ import annotations

import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import anyio
import pytest

Aqe = Callable[..., subprocess.CompletedProcess[str]]


@pytest.mark.services
def test_server_sees_what_is_restored_and_rolled_back(
    aqe: Aqe, project: Path, start_http: Callable[[Path], Any]
) -> None:
    """A server finds what a restore and a rollback bring at its next search, and stops a change of the key by name."""

    def done(*words: str) -> str:
        run = aqe("memory", *words, cwd=project)
        assert run.returncode == 0, run.stderr
        return run.stdout

    done("add", "the cart rounds half up", "--id", "cart")
    done("snapshot", "then")
    done("backup", "b.db")
    done("delete", "cart")
    server = start_http(project)

    async def work() -> None:
        async with server.client("auto") as client:

            async def found() -> list[str]:
                answer = await client.call_tool("memory_search", {"query": "cart rounds half"})
                return [row["id"] for row in answer.structured_content["found"]]

            assert await found() == []
            done("rollback", "then")
            assert await found() == ["cart"]
            done("delete", "cart")
            assert await found() == []
            done("restore", "b.db")
            assert await found() == ["cart"]
            assert "sound" in done("verify")

    try:
        anyio.run(work)
        refused = aqe("memory", "key", "set", cwd=project, AQE_DB_KEY="k")
        assert refused.returncode == 2
        assert f"process {server.process.pid} " in refused.stderr or not Path("/proc/self/fd").is_dir()
        assert refused.stderr.endswith("[database-locked]\n")
    finally:
        server.close()
    assert aqe("memory", "key", "set", cwd=project, AQE_DB_KEY="k").returncode == 0
