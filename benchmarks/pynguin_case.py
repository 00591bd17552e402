"""Runs inside a box of aqe's sandbox: Pynguin on one module, in a process of its own."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time


def generate(args, emit):
    """args: module, project_path, seed, search_s, wall_s. Returns files (name to text), seconds, exit and said."""
    folder = tempfile.mkdtemp()
    command = [sys.executable, "-m", "pynguin"]
    options = {
        "--project-path": args["project_path"],
        "--module-name": args["module"],
        "--output-path": folder,
        "--report-dir": os.path.join(folder, "report"),
        "--maximum-search-time": str(args["search_s"]),
        "--assertion-generation": "MUTATION_ANALYSIS",
        "--seed": str(args["seed"]),
    }
    for name, value in options.items():
        command += [name, value]
    start = time.monotonic()
    environment = dict(os.environ, PYNGUIN_DANGER_AWARE="1")
    try:
        done = subprocess.run(
            command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=args["wall_s"]
        )
        status, said = done.returncode, done.stdout
    except subprocess.TimeoutExpired as error:
        status, said = -1, error.stdout or b""
    files = {}
    for name in sorted(os.listdir(folder)):
        if name.endswith(".py"):
            with open(os.path.join(folder, name), encoding="utf-8") as stream:
                files[name] = stream.read()
    text = said[-2000:].decode("utf-8", "replace")
    return {"files": files, "seconds": time.monotonic() - start, "exit": status, "said": text}
