"""What a plugin computes of images itself: what makes that artifact of the stage features."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from ..data import ImageSet
from ..errors import PluginError
from ..progress import progress
from ..storage.content import save_array


@dataclass(frozen=True)
class Values:
    """Values called `name` that `compute` makes of `batch` images at a time, of `total` images in all."""

    plugin: str
    name: str
    compute: Callable[[np.ndarray, int], np.ndarray]
    batch: int
    total: int


def write_values(folder: Path, values: Values, stimuli: ImageSet, first: int) -> None:
    """Write (n, ...) values of `stimuli`, of which the first is number `first` of all."""
    parts = []
    for done, (_, images) in enumerate(stimuli.batches(values.batch)):
        start = first + done * values.batch
        parts.append(_checked(values, values.compute(images, start), len(images)))
        progress(f"{values.name}, images", start + len(images), values.total)
    save_array(folder, "values", np.concatenate(parts))


def _checked(values: Values, computed: Any, count: int) -> np.ndarray:
    computed = np.asarray(computed)
    if not computed.ndim or len(computed) != count or computed.dtype.kind not in "fiub":
        raise PluginError(
            f"{values.plugin}: '{values.name}' of {count} images is an array of shape {computed.shape} and "
            f"type {computed.dtype}; expected a number or more for each image"
        )
    return computed
