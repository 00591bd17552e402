"""Write the README's transcript from a real run: `python tools/transcript.py [--check]`.

Makes a scratch folder with a virtual environment, installs one pinned package there, runs the commands below and puts
what they print between the markers of README.md. With --check it compares instead, all but times, and prints the
difference; the interpreter is then one of the version that the transcript names.
"""

from __future__ import annotations

import argparse
import difflib
import os
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

README = Path(__file__).resolve().parent.parent / "README.md"
BEGIN, END = "<!-- transcript: written by make transcript -->", "<!-- transcript ends -->"
PACKAGE = "inflection==0.5.1"
GENERATE = "aqe generate inflection --out tests --seed 1 --evaluations 3000"
SHOWN_LINES = 40
TIME = re.compile(r"\b\d+(\.\d+)? (m?s)\b")


def run(command: list[str], folder: Path) -> str:
    """Run a command that must succeed, and return what it printed."""
    environ = {name: value for name, value in os.environ.items() if not name.startswith(("AQE_", "VIRTUAL_ENV"))}
    done = subprocess.run(command, cwd=folder, env=environ, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise SystemExit(f"{' '.join(command)} ended with {done.returncode}:\n{done.stdout}{done.stderr}")
    return done.stdout


def transcript(python: str) -> str:
    """The transcript as Markdown, made in a scratch folder with the given interpreter."""
    version = run([python, "-c", "import sys; print('%d.%d' % sys.version_info[:2])"], Path.cwd()).strip()
    with tempfile.TemporaryDirectory(prefix="aqe-transcript-") as name:
        folder = Path(name)
        run([python, "-m", "venv", ".venv"], folder)
        scripts = folder / ".venv" / ("Scripts" if os.name == "nt" else "bin")
        run([str(scripts / "python"), "-m", "pip", "install", "-q", PACKAGE], folder)
        words = GENERATE.split()
        said = run([sys.executable, "-m", "aqe.server.cli", *words[1:]], folder)
        written = (folder / "tests" / "test_inflection.py").read_text(encoding="utf-8").splitlines()
    lines = [
        "```console",
        f"$ python{version} -m venv .venv && .venv/bin/pip install -q {PACKAGE}",
        f"$ {GENERATE}",
        *said.rstrip().splitlines(),
        f"$ head -{SHOWN_LINES} tests/test_inflection.py",
        *written[:SHOWN_LINES],
        "```",
    ]
    return "\n".join(lines)


def python_of(text: str) -> str:
    """An interpreter of the version that a transcript names: this one, else one on PATH."""
    match = re.search(r"^\$ python(\d+\.\d+) -m venv", text, re.MULTILINE)
    if match is None:
        raise SystemExit("README.md has no transcript yet: run `make transcript`.")
    if match[1] == f"{sys.version_info[0]}.{sys.version_info[1]}":
        return sys.executable
    found = shutil.which(f"python{match[1]}")
    if found is None:
        raise SystemExit(f"The transcript was made with Python {match[1]}, which is not on PATH here.")
    return found


def timeless(text: str) -> list[str]:
    """The lines with every time masked."""
    return [TIME.sub(r"# \2", line) for line in text.splitlines()]


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--check", action="store_true", help="compare with README.md in place of writing it")
    check = parser.parse_args().check
    text = README.read_text(encoding="utf-8")
    before, begin, rest = text.partition(BEGIN)
    old, end, after = rest.partition(END)
    if not begin or not end:
        raise SystemExit(f"README.md lacks the lines {BEGIN!r} and {END!r}.")
    if check:
        new = transcript(python_of(old))
        changes = list(difflib.unified_diff(timeless(old.strip()), timeless(new), "README.md", "now", lineterm=""))
        print("\n".join(changes) if changes else "The transcript holds.")
        return 1 if changes else 0
    README.write_text(f"{before}{BEGIN}\n{transcript(sys.executable)}\n{END}{after}", encoding="utf-8")
    print("README.md has a new transcript.")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
