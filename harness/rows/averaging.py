"""The mean training image: what makes that control."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from ..data import ImageSet
from ..storage.content import save_array

BLOCK = 256
"""Images read at a time."""


def write_mean_image(folder: Path, train: ImageSet, dtype: str) -> None:
    """Write the (H, W, 3) mean of `train` as `dtype`, rounded to uint8."""
    total = sum(batch.sum(axis=0, dtype=np.float64) for _, batch in train.batches(BLOCK))
    mean = total / len(train)
    save_array(folder, "image", (np.round(mean) if dtype == "uint8" else mean).astype(dtype))
