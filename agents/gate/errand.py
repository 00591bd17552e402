"""One program, run to its end inside a box, and what it printed: for what needs no zygote and no cases."""

from __future__ import annotations

import json
import os
import select
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from aqe.agents.gate.plan import boot, hand_over, make_plan
from aqe.agents.gate.probing import Interpreter
from aqe.agents.gate.spec import BoxSpec
from aqe.agents.gate.verdict import Tail

MAX_PRINTED_BYTES = 4 << 20
KEPT_BYTES = 1 << 20
END_WALL_S = 2.0


@dataclass(frozen=True)
class ErrandEnd:
    """How the program ended. `exit_status` is negative for a signal, None where it was ended or never started.

    `failed` says why the box could not be built, `ended_by` why the program was ended: "wall clock" or "output".
    """

    exit_status: int | None
    stdout: str
    stderr: str
    failed: str = ""
    ended_by: str = ""


def run_errand(
    spec: BoxSpec, interpreter: Interpreter, program: Sequence[str], *, rung: int, wall_s: float
) -> ErrandEnd:
    """Run `program` in a box of its own on `rung`; its process and all that it started are gone afterwards."""
    report_fd, report_in = os.pipe()
    out, out_in = os.pipe()
    err, err_in = os.pipe()
    inside = {"report": report_in, "stdout": out_in, "stderr": err_in}
    streams = Tail(out, KEPT_BYTES), Tail(err, KEPT_BYTES)
    try:
        for fd in (report_fd, out, err):
            os.set_blocking(fd, False)
        plan = {**make_plan(spec, interpreter, rung, inside), "program": list(program)}
        process = _start(plan, inside)
    except BaseException:
        for fd in (report_fd, out, err):
            os.close(fd)
        raise
    finally:
        for fd in inside.values():
            os.close(fd)
    try:
        report, ended_by = _wait(report_fd, streams, time.monotonic() + wall_s)
    finally:
        _end(process)
        printed = [stream.take() for stream in streams]
        for fd in (report_fd, out, err):
            os.close(fd)
    failed = report.get("failed", "" if report or ended_by else "its builder died")
    return ErrandEnd(report.get("exit"), printed[0], printed[1], str(failed), ended_by)


def _start(plan: dict[str, Any], inside: dict[str, int]) -> subprocess.Popen[bytes]:
    process = subprocess.Popen(
        [sys.executable, "-I", "-S", "-c", boot("supervisor")],
        stdin=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        stderr=inside["stderr"],
        pass_fds=tuple(inside.values()),
        start_new_session=True,
        env={"LANG": "C.UTF-8"},
        cwd="/",
    )
    hand_over(process, plan)
    return process


def _wait(report_fd: int, streams: tuple[Tail, Tail], deadline: float) -> tuple[dict[str, Any], str]:
    """The builder's last report, and why the program has to be ended where there is none."""
    reports = b""
    while (left := deadline - time.monotonic()) > 0:
        poller = select.poll()  # select takes no descriptor over 1,023, and a server may have many
        for fd in (report_fd, *(stream.fd for stream in streams if not stream.ended)):
            poller.register(fd, select.POLLIN)
        poller.poll(min(int(left * 1000) + 1, 1000))
        for stream in streams:
            stream.drain()
        if sum(stream.total for stream in streams) > MAX_PRINTED_BYTES:
            return {}, "output"
        try:
            data = os.read(report_fd, 1 << 16)
        except BlockingIOError:
            continue
        reports += data
        for line in reports.split(b"\n")[:-1]:
            message = json.loads(line)
            if "end" in message or "failed" in message:
                return message, ""
        if not data:
            return {}, ""
    return {}, "wall clock"


def _end(process: subprocess.Popen[bytes]) -> None:
    """Cut the lifeline, at which everything in the box ends."""
    assert process.stdin is not None
    try:
        process.stdin.close()
    except OSError:
        pass
    try:
        process.wait(END_WALL_S)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
