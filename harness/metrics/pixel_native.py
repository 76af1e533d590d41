"""PixCorr at the size that stimuli have, for stimuli of a few pixels.

The field's PixCorr brings everything to 425 x 425 first (:mod:`.pixel`), which smooths what was made of
10 x 10 patches and raises its correlation; papers that reconstruct such patterns correlate the patches
themselves (Miyawaki et al. 2008; van Gerven et al. 2010).  A reconstruction of another size is brought to
that of its stimulus, with antialiasing.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from ..nn.constancy import negligible
from ..nn.resize import resize, unit_range

Prepared = Mapping[str, np.ndarray]


def prepare_pixcorr(images: np.ndarray) -> dict[str, np.ndarray]:
    """``images`` (n, H, W, 3) float64 in [0, 1]."""
    return {"images": unit_range(np.asarray(images), dtype=np.float64)}


def pixcorr(result: Prepared, target: Prepared) -> np.ndarray:
    """(n,) correlation over pixels and colours of image k of `result` with image k of `target`.

    An image without contrast has none with anything: 0.
    """
    ours, theirs = result["images"], target["images"]
    if ours.shape[1:3] != theirs.shape[1:3]:
        ours = resize(ours, theirs.shape[1:3], antialias=True)
    return np.clip((_standardised(ours) * _standardised(theirs)).sum(axis=1), -1.0, 1.0)


def _standardised(images: np.ndarray) -> np.ndarray:
    """(n, H W 3) of mean 0 and norm 1, or 0."""
    values = images.reshape(len(images), -1)
    centred = values - values.mean(axis=1, keepdims=True)
    norm = np.linalg.norm(centred, axis=1, keepdims=True)
    constant = negligible(norm, np.linalg.norm(values, axis=1, keepdims=True))
    return np.divide(centred, norm, out=np.zeros_like(centred), where=~constant)
