"""Models of the sentence-transformers library as embedders: those that lie on this machine, nothing is downloaded."""

from __future__ import annotations

import functools
import hashlib
import importlib
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from aqe.engine.embedding.embedder import SENTENCE_TRANSFORMERS, embed_with_names, no_model
from aqe.engine.extras import missing_extra

if TYPE_CHECKING:
    from numpy.typing import NDArray

NAME_WEIGHT = 0.2  # best for MiniLM on packages that no choice was made on later


class SentenceTransformerEmbedder:
    """An embedder over a loaded model; its `id` holds a hash of the weights."""

    def __init__(self, name: str, model: Any) -> None:
        self._model = model
        self._lock = threading.Lock()
        self.id = f"st:{Path(name).name[:100]}:{_weights_hash(model)[:12]}"
        self.dimension = int(self._encode(["a"]).shape[1])

    def embed(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """One unit row for each text; zeros for a text of white space."""
        return embed_with_names(self._plain, texts, NAME_WEIGHT)

    def _plain(self, texts: Sequence[str]) -> NDArray[np.float32]:
        out = np.zeros((len(texts), self.dimension), np.float32)
        said = [at for at, text in enumerate(texts) if text.strip()]
        if said:
            out[said] = self._encode([texts[at].encode("utf-8", "replace").decode("utf-8") for at in said])
        return out

    def _encode(self, texts: list[str]) -> NDArray[np.float32]:
        with self._lock:
            rows = self._model.encode(texts, normalize_embeddings=True, convert_to_numpy=True, show_progress_bar=False)
        return np.asarray(rows, np.float32)


@functools.cache
def open_sentence_transformer(name: str) -> SentenceTransformerEmbedder:
    """The model in the folder `name`, or of that name in the library's own cache; loaded once a process.

    Raises `UserError` (missing-extra, no-embedding-model).
    """
    try:
        from sentence_transformers import SentenceTransformer
    except ImportError as exc:
        raise missing_extra(f"The embedder '{SENTENCE_TRANSFORMERS}{name}'", extra="sentence-transformers") from exc
    try:
        with _without_bars():
            return SentenceTransformerEmbedder(name, SentenceTransformer(name, local_files_only=True))
    except (OSError, ValueError, RuntimeError, KeyError, TypeError) as exc:
        raise no_model(name, " ".join(str(exc).split())[:200].rstrip(".") or type(exc).__name__) from exc


@contextmanager
def _without_bars() -> Iterator[None]:
    """The library shows bars of its own on stderr while it loads a model, also where that is no terminal."""
    logging = importlib.import_module("transformers.utils.logging")
    shown = logging.is_progress_bar_enabled()
    logging.disable_progress_bar()
    try:
        yield
    finally:
        if shown:
            logging.enable_progress_bar()


def _weights_hash(model: Any) -> str:
    """SHA-256 over the model's tensors, in the order of their names."""
    digest = hashlib.sha256()
    for name, tensor in sorted(model.state_dict().items()):
        digest.update(name.encode("utf-8") + b"\0" + tensor.detach().cpu().float().numpy().tobytes())
    return digest.hexdigest()
