"""As root with the capabilities that Docker's default profile leaves: which rungs boxes get, as JSON.

Called as `rungs_in_container.py FOLDER`; FOLDER can be reached by everybody. The rights are dropped for good.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import asdict
from pathlib import Path
from typing import Any

from aqe.agents.gate import Box, BoxSpec, find_interpreter, kernel
from aqe.agents.gate.diagnosis import diagnose_interpreter
from aqe.agents.gate.rungs import choose_rung
from aqe.agents.gate.verify import VerifyRequest, verify

# chown, dac_override, fowner, fsetid, kill, setgid, setuid, setpcap, net_bind_service, net_raw, sys_chroot, mknod,
# audit_write, setfcap
LEFT = (0, 1, 3, 4, 5, 6, 7, 8, 10, 13, 18, 27, 29, 31)
PR_CAPBSET_DROP = 24
MODULE = "def area(width, height):\n    return width * height\n"
TESTS = "from shapes import area\n\ndef test_area():\n    assert area(2, 3) == 6\n"


def report(folder: Path) -> dict[str, Any]:
    """What an open and a closed environment get."""
    found: dict[str, Any] = {"rung": choose_rung().rung}
    for name, mode in (("open", 0o755), ("closed", 0o700)):
        project = folder / name
        project.mkdir()
        (project / "shapes.py").write_text(MODULE, "utf-8")
        (project / "test_shapes.py").write_text(TESTS, "utf-8")
        subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(project / ".venv")], check=True)
        os.chmod(project / ".venv", mode)
        python = find_interpreter(project, environ={"PATH": os.environ["PATH"]}).executable
        with Box.open(BoxSpec(python=python, project=str(project))) as box:
            layers = asdict(box.layers)
        request = VerifyRequest(tests=("test_shapes.py",), project=str(project), python=python, runs=1, max_mutants=0)
        evidence = verify(request).evidence
        found[name] = {
            "layers": layers,
            "notes": diagnose_interpreter(project, python, None).notes,
            "evidence": [evidence.rung, evidence.tests[0].verdict, evidence.tests[0].message, evidence.notes],
        }
    return found


def main() -> None:
    folder = Path(sys.argv[1])
    if len(sys.argv) == 2:
        for capability in range(41):
            if capability not in LEFT:
                kernel.prctl(PR_CAPBSET_DROP, capability)
        os.execv(sys.executable, [sys.executable, __file__, str(folder), "dropped"])
    print(json.dumps(report(folder)))


if __name__ == "__main__":
    main()
