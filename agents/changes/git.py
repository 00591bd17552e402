"""Questions to git about a project's folder: what differs, what a file held, what the commits said.

git is only ever asked to read. A repository's configuration may name programs: external diff programs, text
conversions, filters, file-system monitors, helpers that fetch. None is started; variables that would point git
elsewhere are taken away.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from aqe.agents.changes.changeset import MOST_BYTES
from aqe.engine.errors import UserError

GIT_S = 120.0
TOGETHER_BYTES = 64_000_000
"""How much of blobs is asked for at a time."""
LINK, SUBMODULE = "120000", "160000"
_OFF = [
    *("-c", "core.fsmonitor=false", "-c", "core.quotepath=off", "-c", "diff.renameLimit=2000"),
    *("-c", f"core.bigFileThreshold={MOST_BYTES}"),
]
_ASIDE = {"GIT_OPTIONAL_LOCKS": "0", "GIT_NO_LAZY_FETCH": "1", "GIT_ALLOW_PROTOCOL": "", "LC_ALL": "C"}
_KEPT = frozenset({"GIT_CEILING_DIRECTORIES", "GIT_DISCOVERY_ACROSS_FILESYSTEM"})
"""Variables that say how far up a repository is looked for."""
_READS_THE_TREE = frozenset({"diff", "blame"})
_NO_FILTER = {"clean": "", "smudge": "", "process": "", "required": "false"}
_PLAIN = ("--no-ext-diff", "--no-textconv", "--no-color", "-M", "--relative", "--ignore-submodules=dirty")
_HUNK = re.compile(rb"@@ -(\d+)(?:,(\d+))? \+(\d+)(?:,(\d+))? @@")


@dataclass(frozen=True)
class Entry:
    """One line of `git diff --raw`: modes, the base's blob, git's letter, and names relative to the project."""

    old_mode: str
    new_mode: str
    old_blob: str
    letter: str
    old_name: str
    name: str


@dataclass(frozen=True)
class Tracked:
    """One file of a commit: its mode ("100644", "100755", "120000" for a link) and blob."""

    mode: str
    blob: str
    name: str


def ask_git(project: Path, *words: str, said: bytes = b"", fails: bool = True, wall_s: float = GIT_S) -> bytes | None:
    """What git prints, run in `project` for at most `wall_s` seconds; None where it fails and `fails` is False.

    Raises `UserError` (no-git: not installed, not a repository, git refused, or it took too long).
    """
    git = shutil.which("git")
    if git is None:
        raise UserError(
            "git is not installed, so what changed cannot be told.",
            code="no-git",
            fix="Install git, or compare two folders with --base DIR --head DIR.",
        )
    environ = {name: value for name, value in os.environ.items() if not name.startswith("GIT_") or name in _KEPT}
    environ |= _ASIDE
    options: list[str] = []
    if words[0] in _READS_THE_TREE:
        options, more = without_filters(filters(project))
        environ |= more
    try:
        done = subprocess.run(
            [git, *_OFF, *options, *words],
            cwd=project,
            env=environ,
            input=said,
            capture_output=True,
            timeout=wall_s,
            check=False,
        )
    except subprocess.TimeoutExpired as error:
        raise _no_git(project, f"git {words[0]} did not end in {wall_s:.0f} s") from error
    except OSError as error:
        raise _no_git(project, str(error)) from error
    if done.returncode == 0:
        return done.stdout
    if b"lazy fetching" in done.stderr or b"promisor" in done.stderr:
        raise _partial("what was asked for")
    if not fails:
        return None
    raise _no_git(project, done.stderr.decode("utf-8", "replace"))


def filters(project: Path) -> tuple[str, ...]:
    """The names of the filters that git is configured to put between the files here and their blobs."""
    said = ask_git(project, "config", "-z", "--name-only", "--get-regexp", r"^filter\.", fails=False) or b""
    keys = (os.fsdecode(key).removeprefix("filter.") for key in said.split(b"\0") if key)
    return tuple(sorted({key.rpartition(".")[0] for key in keys} - {""}))


def without_filters(names: Iterable[str]) -> tuple[list[str], dict[str, str]]:
    """Options and environment under which git reads files as they are: an empty command filters nothing.

    What is said by `-c` ends its key at the first "="; a name that has one goes by the environment.
    """
    options: list[str] = []
    environ: dict[str, str] = {}
    for name in names:
        for key, value in _NO_FILTER.items():
            if "=" not in name:
                options += ["-c", f"filter.{name}.{key}={value}"]
                continue
            number = len(environ) // 2
            environ |= {f"GIT_CONFIG_KEY_{number}": f"filter.{name}.{key}", f"GIT_CONFIG_VALUE_{number}": value}
    if environ:
        environ["GIT_CONFIG_COUNT"] = str(len(environ) // 2)
    return options, environ


def filtered(project: Path, names: Sequence[str]) -> frozenset[str]:
    """Those of the files that a configured filter stands before: what they hold is not what their blobs hold."""
    configured = filters(project) if names else ()
    if not configured:
        return frozenset()
    said = b"".join(os.fsencode(name) + b"\0" for name in names)
    words = (ask_git(project, "check-attr", "-z", "--stdin", "filter", said=said) or b"").split(b"\0")
    rows = zip(words[0::3], words[2::3], strict=False)
    return frozenset(os.fsdecode(name) for name, value in rows if os.fsdecode(value) in configured)


def _no_git(project: Path, why: str) -> UserError:
    last = next((line.strip() for line in why.splitlines() if line.strip()), "it gave no answer")
    if "not a git repository" in last:
        return UserError(
            f"{str(project)!r} is not in a git repository, so what changed cannot be told.",
            code="no-git",
            fix="Run it in a repository, or compare two folders with --base DIR --head DIR.",
        )
    return UserError(
        f"git could not be asked about {str(project)!r}: {last}.",
        code="no-git",
        fix="Mend what git says, or compare two folders with --base DIR --head DIR.",
    )


def base_commit(project: Path, ref: str | None) -> str:
    """The commit that `ref` stands for as a base: where HEAD's history left it; without `ref` HEAD itself.

    Empty where nothing was committed yet. Raises `UserError` (no-git, unknown-ref, shallow-clone).
    """
    ask_git(project, "rev-parse", "--git-dir")
    if ref is None:
        return _commit(project, "HEAD") or ""
    found = None if ref.startswith("-") else _commit(project, ref)
    if found is None:
        raise _unknown(project, ref)
    fork = ask_git(project, "merge-base", found, "HEAD", fails=False)
    if fork:
        return fork.decode().split()[0]
    if _is_shallow(project):
        raise _too_shallow(f"where {ref!r} and HEAD parted")
    return found


def _commit(project: Path, ref: str) -> str | None:
    said = ask_git(project, "rev-parse", "--verify", "--quiet", "--end-of-options", f"{ref}^{{commit}}", fails=False)
    return said.decode().strip() if said else None


def _unknown(project: Path, ref: str) -> UserError:
    if _is_shallow(project):
        return _too_shallow(repr(ref))
    branches = (
        ask_git(project, "for-each-ref", "--count=200", "--format=%(refname:short)", fails=False) or b""
    ).decode("utf-8", "replace")
    import difflib

    near = difflib.get_close_matches(ref, [*branches.split(), "HEAD", "HEAD~1"], n=1)
    return UserError(
        f"git knows no commit {ref!r}.",
        code="unknown-ref",
        fix=f"Did you mean {near[0]!r}?" if near else "`git log --oneline --all` shows what there is.",
    )


def _too_shallow(what: str) -> UserError:
    return UserError(
        f"This clone is shallow and does not hold {what}.",
        code="shallow-clone",
        fix="Run `git fetch --unshallow` (in CI: fetch-depth: 0).",
    )


def _partial(what: str) -> UserError:
    return UserError(
        f"This clone is partial and does not hold {what}; nothing is fetched unasked.",
        code="shallow-clone",
        fix="Run `git fetch --refetch --no-filter` (in CI: check out without a filter).",
    )


def _is_shallow(project: Path) -> bool:
    return (ask_git(project, "rev-parse", "--is-shallow-repository", fails=False) or b"").strip() == b"true"


def messages(project: Path, commit: str) -> str:
    """The messages of the commits after `commit` up to HEAD, newest first, an empty line between."""
    if not commit:
        return ""
    said = ask_git(project, "log", "--no-show-signature", "--format=%B%x00", f"{commit}..HEAD", fails=False) or b""
    found = [part.strip() for part in said.decode("utf-8", "replace").split("\0")]
    return "\n\n".join(part for part in found if part)


def changed_entries(project: Path, commit: str) -> list[Entry]:
    """The files below the project that differ between the commit and the working tree; renames are found."""
    words = (ask_git(project, "diff", "--raw", "-z", "--no-abbrev", *_PLAIN, commit, "--") or b"").split(b"\0")
    found, place = [], 0
    while place < len(words) and words[place].startswith(b":"):
        old_mode, new_mode, old_blob, _, letter = words[place][1:].decode("ascii").split()
        names = 2 if letter[0] in "RC" else 1
        old_name, name = os.fsdecode(words[place + 1]), os.fsdecode(words[place + names])
        found.append(Entry(old_mode, new_mode, old_blob, letter[0], old_name, name))
        place += 1 + names
    return found


def is_unknown_folder(project: Path, commit: str) -> bool:
    """Whether the repository is that of a folder above, and knows nothing below the project."""
    inner = ask_git(project, "rev-parse", "--show-prefix", fails=False) or b""
    if not inner.strip():
        return False
    known = ask_git(project, "ls-files", "-z", fails=False) or (commit and ask_git(project, "ls-tree", "-z", commit))
    return not known


def untracked(project: Path) -> list[str]:
    """The files below the project that git neither tracks nor ignores; what Python compiled is none of them."""
    said = ask_git(project, "ls-files", "-z", "-o", "--exclude-standard", "--exclude=__pycache__/") or b""
    return [os.fsdecode(name) for name in said.split(b"\0") if name and not name.endswith(b"/")]


def tracked(project: Path, commit: str) -> list[Tracked]:
    """The files of a commit below the project, submodules left out."""
    found = []
    for row in (ask_git(project, "ls-tree", "-r", "-z", commit) or b"").split(b"\0"):
        facts, _, name = row.partition(b"\t")
        if name:
            mode, _, blob = facts.decode("ascii").split()
            if mode != SUBMODULE:
                found.append(Tracked(mode, blob, os.fsdecode(name)))
    return found


def sizes(project: Path, names: Sequence[str]) -> list[int]:
    """How many bytes each blob holds. Raises `UserError` (shallow-clone) where the clone lacks one."""
    if not names:
        return []
    said = ask_git(project, "cat-file", "--batch-check", said="".join(f"{name}\n" for name in names).encode()) or b""
    rows = [row.split() for row in said.splitlines()]
    for name, row in zip(names, rows, strict=True):
        if len(row) != 3:
            raise _partial(f"the object {name[:10]}")
    return [int(row[2]) for row in rows]


def blobs(project: Path, names: Sequence[str]) -> Iterator[bytes]:
    """What each blob holds, in the order asked. Raises `UserError` (shallow-clone) where the clone lacks one."""
    waiting: list[str] = []
    total = 0
    for name, size in zip(names, sizes(project, names), strict=True):
        if waiting and total + size > TOGETHER_BYTES:
            yield from _blobs(project, waiting)
            waiting, total = [], 0
        waiting.append(name)
        total += size
    yield from _blobs(project, waiting)


def _blobs(project: Path, names: Sequence[str]) -> Iterator[bytes]:
    if not names:
        return
    said = ask_git(project, "cat-file", "--batch", said="".join(f"{name}\n" for name in names).encode()) or b""
    place = 0
    for name in names:
        end = said.index(b"\n", place)
        words = said[place:end].split()
        if len(words) != 3:
            raise _no_git(project, f"the object {name} is missing")
        size = int(words[2])
        yield said[end + 1 : end + 1 + size]
        place = end + 1 + size + 1


def line_changes(
    project: Path, commit: str, *, but: Iterable[str] = ()
) -> dict[str, tuple[frozenset[int], frozenset[int]]]:
    """For each changed file, by the head's name (the base's if it went): lines of the head added, of the base removed.

    These are the lines of `git diff`, so that others who count by them agree. The files `but` are not read.
    """
    words = ("-U0", *_PLAIN, "--src-prefix=a/", "--dst-prefix=b/", commit, "--", ".")
    return parse_patch(ask_git(project, "diff", *words, *(f":(exclude,literal){name}" for name in but)) or b"")


def parse_patch(patch: bytes) -> dict[str, tuple[frozenset[int], frozenset[int]]]:
    """The added and removed line numbers of each file of a patch without context lines.

    >>> parse_patch(b"--- a/x.py\\n+++ b/x.py\\n@@ -1 +1,2 @@\\n-a\\n+b\\n+c\\n")["x.py"]
    (frozenset({1, 2}), frozenset({1}))
    """
    found: dict[str, tuple[set[int], set[int]]] = {}
    lines = iter(patch.split(b"\n"))
    old = name = ""
    for line in lines:
        if line.startswith(b"--- "):
            old = _name(line[4:])
        elif line.startswith(b"+++ "):
            name = _name(line[4:]) or old
        elif match := _HUNK.match(line):
            first_old, many_old, first_new, many_new = (1 if part is None else int(part) for part in match.groups())
            added, removed = found.setdefault(name, (set(), set()))
            removed.update(range(first_old, first_old + many_old))
            added.update(range(first_new, first_new + many_new))
            _skip(lines, many_old + many_new)
    return {name: (frozenset(added), frozenset(removed)) for name, (added, removed) in found.items()}


def _skip(lines: Iterable[bytes], many: int) -> None:
    """Pass over the lines of a hunk, whatever they look like; git's remarks begin with a backslash and do not count."""
    for line in lines if many else ():
        if line.startswith(b"\\"):
            continue
        many -= 1
        if many == 0:
            return


def _name(said: bytes) -> str:
    """A file's name from a `---` or `+++` line, without its prefix; empty for /dev/null."""
    if said.startswith(b'"'):
        said = _unquoted(said[1 : said.rindex(b'"')])
    else:
        said = said.removesuffix(b"\t")
    return "" if said == b"/dev/null" else os.fsdecode(said[2:])


_ESCAPES = {b"n": b"\n", b"t": b"\t", b"r": b"\r", b"a": b"\a", b"b": b"\b", b"f": b"\f", b"v": b"\v"}


def _unquoted(said: bytes) -> bytes:
    def plain(match: re.Match[bytes]) -> bytes:
        word = match[1]
        return bytes([int(word, 8)]) if len(word) == 3 else _ESCAPES.get(word, word)

    return re.sub(rb"\\([0-7]{3}|.)", plain, said)
