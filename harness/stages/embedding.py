"""True images through the encoder side of a fitted decoder: what makes an artifact of the stage embed."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from ..data import VoxelSpace
from ..errors import PluginError
from ..storage.content import save_array
from ..storage.references import Reference
from ..storage.worker import kept_open
from .guard import guarded
from .model import Model


def embed_batch(folder: Path, model: Model, space: VoxelSpace, images: Reference) -> None:
    """Embed one micro-batch of true images with an opened decoder: (n, ...) float32."""
    ref, given = model.ref, images.load()
    name = ("decoder", model.key or str(folder), model.folder, space.sha, "")
    decoder = kept_open(name, lambda: guarded(ref, "cannot be loaded", lambda: model.load(space)))
    embedding = np.asarray(guarded(ref, "fails while embedding images", lambda: decoder.embed(given)))
    if embedding.dtype.kind not in "fiu" or embedding.ndim < 2 or len(embedding) != len(given):
        raise PluginError(
            f"decoder '{ref.name}' embedded {len(given)} images as {embedding.dtype} of shape "
            f"{embedding.shape}; expected (images, numbers) or (images, tokens, numbers)"
        )
    save_array(folder, "embedding", embedding.astype(np.float32))
