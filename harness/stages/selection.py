"""Which of a decoder's candidates stands for an image.

first               the first one; nothing is looked at
predicted-embedding the one whose embedding is nearest to what the decoder predicted from fMRI
gt-selected         the one most like the stimulus; a leak that some papers report, always flagged
"""

from __future__ import annotations

import numpy as np

from ..data import ImageSet, Stimuli
from ..errors import ConfigError
from .decode import Reconstructions


def choose(reconstructions: Reconstructions, rule: str, stimuli: Stimuli) -> np.ndarray:
    """(N,) number of the chosen candidate of each image."""
    n, candidates = len(reconstructions.ids), reconstructions.candidates()
    if candidates == 1 or rule == "first":
        return np.zeros(n, np.int64)
    if rule == "predicted-embedding":
        scores = reconstructions.optional("candidate_scores")
        if scores is None:
            raise ConfigError(
                "--selection predicted-embedding needs a decoder that predicts an embedding and has embed(); "
                "this one does not. Type --selection first"
            )
        return scores.argmax(axis=1)
    targets = _vectors(stimuli.select(reconstructions.ids))
    columns = [_vectors(reconstructions.chosen(np.full(n, c))) for c in range(candidates)]
    return np.stack([(column * targets).sum(axis=1) for column in columns], axis=1).argmax(axis=1)


def _vectors(images: ImageSet) -> np.ndarray:
    """(N, D) centred, normalised pixels at 64 px, so that a product is a correlation."""
    from ..backbones.pixels import Pixels

    pixels = Pixels()
    pixels.open(device="cpu")
    parts = [pixels.extract(batch, ["rgb64"])["rgb64"] for _, batch in images.batches(64)]
    flat = np.concatenate(parts).reshape(len(images), -1).astype(np.float64)
    flat -= flat.mean(axis=1, keepdims=True)
    return flat / np.maximum(np.linalg.norm(flat, axis=1, keepdims=True), 1e-12)
