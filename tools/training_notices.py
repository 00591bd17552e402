"""Write LICENSES/embedding-table.txt anew: `python tools/training_notices.py [--cache DIR]`.

The notices of the packages that the built-in embedding was trained on, as their own archives carry them: each licence
text once, with the packages under it and their copyright lines.
"""

from __future__ import annotations

import argparse
import re
import sys
from collections import defaultdict
from pathlib import Path, PurePosixPath

import platformdirs

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "benchmarks"))
PACKAGES = ROOT / "engine" / "embedding" / "data" / "training_packages.toml"
NOTICES = ROOT / "LICENSES" / "embedding-table.txt"
HEAD = """\
Notices of the software that aqe's built-in embedding (engine/embedding/data/table.aqet) was trained on.

The table holds numbers computed from the documentation and code of the packages below, and single words that occur in
many of them; it holds no text of theirs. Their licences and copyright lines follow, as the packages carry them. Only
their Python files were used: notices of what some wheels bundle in binary form are left out, and a word below on fonts
or certificates concerns files that were not read. Written by tools/training_notices.py.
"""
RULE = "=" * 100
_COPYRIGHT = re.compile(r"\W*(?:(?:portions|all files)\s+)?(?:copyright\b.*\d{4}|(?:\(c\)|©).*\d{4})", re.IGNORECASE)
_BUNDLED = re.compile(r"^-{4,}\s+^This binary distr.*", re.MULTILINE | re.DOTALL)


def main() -> int:
    """Fetch the archives where they are not there yet, and write the file."""
    from archives import fetch, licence_files, read_packages

    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    cache = Path(platformdirs.user_cache_dir("aqe")) / "benchmarks" / "embedding"
    parser.add_argument("--cache", type=Path, default=cache, help="keeps the archives")
    archives = fetch(read_packages(PACKAGES), parser.parse_args().cache / "archives")
    texts: dict[str, str] = {}
    owners: dict[str, list[str]] = defaultdict(list)
    bare = []
    for package, archive in archives.items():
        title = f"{package.name} {package.version} ({package.licence})"
        files = [text for name, text in licence_files(archive) if is_main(name)]
        for text in files:
            body, copyrights = parted(_BUNDLED.sub("", text))
            key = "".join(body.split()).lower()
            texts.setdefault(key, body)
            owners[key].append("\n    ".join((title, *copyrights)))
        if not files:
            bare.append(title)
    parts = [HEAD]
    if bare:
        parts.append("Without a licence file in their archive, under the licence that they declare: " + ", ".join(bare))
    order = sorted(texts, key=lambda key: (-len(owners[key]), owners[key]))
    parts.extend("\n".join((RULE, *owners[key], "-" * 100, texts[key])) for key in order)
    NOTICES.write_text("\n\n".join(part.strip("\n") for part in parts) + "\n", encoding="utf-8")
    print(f"{NOTICES.relative_to(ROOT)}: {len(texts)} texts of {len(archives)} packages")
    return 0


def is_main(name: str) -> bool:
    """Whether a licence file speaks for the package itself and not for something in it."""
    path = PurePosixPath(name)
    return len(path.parts) <= 2 or (len(path.parts) == 3 and path.parts[1] == "licenses")


def parted(text: str) -> tuple[str, list[str]]:
    """A licence's text without its copyright lines, and those lines."""
    lines = [line.rstrip() for line in text.replace("\f", "\n").splitlines()]
    copyrights = [line.strip() for line in lines if _COPYRIGHT.match(line)]
    body = "\n".join(line for line in lines if not _COPYRIGHT.match(line))
    return re.sub(r"\n{3,}", "\n\n", body).strip(), copyrights


if __name__ == "__main__":
    raise SystemExit(main())
