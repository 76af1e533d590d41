"""Features without a store, for plugins that are fitted by hand."""

from __future__ import annotations

import numpy as np


class PlainFeatures:
    """Computes what a plugin asks for and remembers it by name in `values`; has no backbone."""

    def __init__(self) -> None:
        self.values: dict[str, np.ndarray] = {}

    def layer(self, backbone, layer, stimuli):
        raise AssertionError(f"nothing of {backbone} was extracted")

    def computed(self, name, compute, stimuli, *, identity, batch=32):
        done, parts = 0, []
        for _, images in stimuli.batches(batch):
            parts.append(compute(images, done))
            done += len(images)
        self.values[name] = np.concatenate(parts)
        return self.values[name]
