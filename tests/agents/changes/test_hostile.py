"""Repositories that were made to do harm: their programs are not started, and their trees stay where they are put."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from aqe.agents.changes import read_changes, write_base
from aqe.agents.changes.git import messages
from aqe.engine.errors import UserError
from tests.agents.changes.test_reading import by_path, commit, git, repo

__all__ = ["repo"]

DATA = "version https://git-lfs.github.com/spec/v1\noid sha256:{}\nsize {}\n"


def said(folder: Path, *words: str, given: bytes = b"") -> str:
    done = subprocess.run(["git", *words], cwd=folder, input=given, check=True, capture_output=True)
    return done.stdout.decode().strip()


def tree(folder: Path, *rows: tuple[str, str, str, str]) -> str:
    """A tree made by hand of rows of mode, kind, object and name; git's own checks are not asked."""
    text = b"".join(f"{mode} {name}".encode() + b"\0" + bytes.fromhex(blob) for mode, _, blob, name in rows)
    return said(folder, "hash-object", "-t", "tree", "-w", "--literally", "--stdin", given=text)


def committed(folder: Path, root: str) -> None:
    words = ("-c", "user.name=n", "-c", "user.email=n@example.org", "commit-tree", root, "-m", "harm")
    git(folder, "update-ref", "HEAD", said(folder, *words))


def written(repo: Path, tmp_path: Path) -> Path:
    """The base's folder after all was written, with a neighbour to hit."""
    (tmp_path / "outside").mkdir()
    base = tmp_path / "deep" / "base"
    base.mkdir(parents=True)
    write_base(repo, read_changes(repo), base)
    return base


def test_no_name_leads_out_of_the_folder(repo: Path, tmp_path: Path) -> None:
    """What a tree calls `..`, or puts into a `.git`, is left out; the rest is written."""
    blob = said(repo, "hash-object", "-w", "--stdin", given=b"harm\n")
    inner = tree(repo, ("100644", "blob", blob, "harm.py"))
    outer = tree(repo, ("40000", "tree", inner, ".."))
    rows = [("40000", "tree", outer, ".."), ("40000", "tree", inner, ".GIT"), ("40000", "tree", inner, "good")]
    committed(repo, tree(repo, *rows))
    base = written(repo, tmp_path)
    found = sorted(str(path.relative_to(tmp_path)) for path in tmp_path.rglob("harm.py"))
    assert found == ["deep/base/good/harm.py"]
    assert not list(base.glob(".[gG]*"))


def test_no_link_leads_out_of_the_folder(repo: Path, tmp_path: Path) -> None:
    """A link and a folder of one name: nothing is written to where the link leads; nor a file through a link."""
    blob = said(repo, "hash-object", "-w", "--stdin", given=b"harm\n")
    folder, file = (said(repo, "hash-object", "-w", "--stdin", given=bytes(tmp_path / n)) for n in ("outside", "new"))
    inner = tree(repo, ("100644", "blob", blob, "harm.py"))
    rows = [("120000", "blob", folder, "a"), ("40000", "tree", inner, "a"), ("40000", "tree", inner, "b")]
    rows += [("120000", "blob", file, "c"), ("100644", "blob", blob, "c")]
    committed(repo, tree(repo, *rows))
    base = written(repo, tmp_path)
    assert not list((tmp_path / "outside").iterdir())
    assert not (tmp_path / "new").exists()
    assert os.readlink(base / "a") == str(tmp_path / "outside")
    assert (base / "b" / "harm.py").read_text() == "harm\n"


@pytest.mark.parametrize("key", ["clean", "process"])
@pytest.mark.parametrize("name", ["evil", "Ev.il", "ev=il"])
def test_no_filter_is_started(repo: Path, tmp_path: Path, key: str, name: str) -> None:
    """A filter that the repository is configured with is not run to see what differs."""
    marker = tmp_path / "started"
    git(repo, "config", f"filter.{name}.{key}", f"touch '{marker}'; cat")
    git(repo, "config", f"filter.{name}.required", "true")
    (repo / ".git" / "info" / "attributes").write_text(f"x.py filter={name}\n")
    (repo / "x.py").write_text("a\nB\nc\n")
    one = by_path(read_changes(repo))["x.py"]
    assert not marker.exists()
    assert (one.kind, one.binary) == ("modified", True)


def test_no_signature_is_checked(repo: Path, tmp_path: Path) -> None:
    """The program that is configured to check signatures is not run to read messages."""
    marker, program = tmp_path / "started", tmp_path / "gpg"
    program.write_text(f"#!/bin/sh\ntouch '{marker}'\n")
    program.chmod(0o755)
    git(repo, "config", "log.showSignature", "true")
    git(repo, "config", "gpg.program", str(program))
    first, body = said(repo, "rev-parse", "HEAD"), said(repo, "cat-file", "commit", "HEAD")
    head, _, rest = body.partition("\n\n")
    signed = (
        f"{head}\nparent {first}\ngpgsig -----BEGIN PGP SIGNATURE-----\n \n x\n -----END PGP SIGNATURE-----\n\n{rest}"
    )
    lines = signed.split("\n")
    lines.insert(1, lines.pop(next(place for place, line in enumerate(lines) if line.startswith("parent "))))
    made = said(repo, "hash-object", "-t", "commit", "-w", "--literally", "--stdin", given="\n".join(lines).encode())
    git(repo, "update-ref", "HEAD", made)
    assert messages(repo, first) == "one"
    assert not marker.exists()


def test_nothing_is_fetched_for_a_partial_clone(repo: Path, tmp_path: Path) -> None:
    """What a clone by a filter lacks is told with the command that gets it; no helper is started to fetch it."""
    git(repo, "config", "uploadpack.allowFilter", "true")
    git(tmp_path, "clone", "-q", "--no-local", "--filter=blob:none", repo.as_uri(), "partial")
    clone, marker = tmp_path / "partial", tmp_path / "started"
    lost = said(clone, "rev-parse", "HEAD:x.py")
    for pack in sorted((clone / ".git" / "objects" / "pack").glob("*.pack")):
        if lost in said(clone, "verify-pack", "-v", str(pack.with_suffix(".idx"))):
            for part in pack.parent.glob(f"{pack.stem}.*"):
                part.unlink()
    git(clone, "config", "remote.origin.url", f"ext::touch {marker}")
    git(clone, "config", "protocol.ext.allow", "always")
    (clone / "x.py").write_text("a\n")
    with pytest.raises(UserError) as caught:
        read_changes(clone)
    assert caught.value.code == "shallow-clone"
    assert "--refetch" in (caught.value.fix or "")
    assert not marker.exists()


def test_a_file_of_lfs_that_was_only_touched_is_no_change(repo: Path) -> None:
    """With its filter off a large file is compared by the digest in its pointer; one that differs is binary."""
    import hashlib

    (repo / ".gitattributes").write_text("*.bin filter=lfs\n")
    for name in ("same.bin", "other.bin"):
        (repo / name).write_text(DATA.format(hashlib.sha256(b"data\n").hexdigest(), 5))
    commit(repo, "pointers")
    for key in ("clean", "process"):
        git(repo, "config", f"filter.lfs.{key}", "false")
    (repo / "same.bin").write_bytes(b"data\n")
    (repo / "other.bin").write_bytes(b"DATA\n")
    found = by_path(read_changes(repo))
    assert {name: (one.kind, one.binary) for name, one in found.items()} == {"other.bin": ("modified", True)}
