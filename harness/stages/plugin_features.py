"""The features that a plugin gets: those of backbones, and what it computes of images itself.

What a plugin computes is kept in shards under the source of the plugin, the identity that it gives, and the
content of the images, so that a fit with another learning rate finds it, and a kill loses one shard.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from ..data import Stimuli
from ..errors import PluginError
from ..plugins import PluginRef
from ..progress import progress
from ..storage.identity import code_sha, module_sha
from ..storage.sharded import ShardedArray
from ..storage.store import Store, save_array
from .features import FeatureStore

SHARD = 256
"""Images whose values are one artifact."""


class PluginFeatures:
    """Features for one plugin; implements :class:`harness.api.Features`."""

    def __init__(self, features: FeatureStore, store: Store, ref: PluginRef, *, device: str) -> None:
        self._features, self._store, self._ref, self._device = features, store, ref, device

    def layer(self, backbone: str, layer: str, stimuli: Stimuli) -> np.ndarray:
        """(N, ...) float32 features of `stimuli`, in their order; extracted now if absent."""
        return self._features.layer(backbone, layer, stimuli)

    def computed(
        self,
        name: str,
        compute: Callable[[np.ndarray, int], np.ndarray],
        stimuli: Stimuli,
        *,
        identity: str,
        batch: int = 32,
    ) -> ShardedArray:
        """(N, ...) of what `compute` makes of `stimuli`; see :class:`harness.api.Features`."""
        if batch < 1 or SHARD % batch:
            raise PluginError(f"{self._who}: '{name}' asks for batches of {batch}; it must divide {SHARD}")
        hashes, total = stimuli.image_hashes(), len(stimuli)
        files = []
        for first in range(0, total, SHARD):
            part = stimuli.select(stimuli.ids[first : first + SHARD])
            ingredients = {
                "plugin": f"{self._ref.dist}:{self._ref.name}",
                "code": code_sha(self._ref),
                "values": name,
                "identity": identity,
                "images": hashes[first : first + SHARD],
                "first": first,
                "batch": batch,
                "device": self._device.partition(":")[0],
                "stage": module_sha(__name__),
            }

            def make(folder: Path, first: int = first, part: Stimuli = part) -> None:
                values = []
                for done, (_, images) in enumerate(part.batches(batch)):
                    values.append(self._checked(name, compute(images, first + done * batch), len(images)))
                    progress(f"{name}, images", first + done * batch + len(images), total)
                save_array(folder, "values", np.concatenate(values))

            files.append(self._store.get("features", ingredients, make).folder / "values.npy")
        return ShardedArray(files)

    @property
    def _who(self) -> str:
        return f"{self._ref.kind} '{self._ref.name}'"

    def _checked(self, name: str, values: Any, count: int) -> np.ndarray:
        values = np.asarray(values)
        if not values.ndim or len(values) != count or values.dtype.kind not in "fiub":
            raise PluginError(
                f"{self._who}: '{name}' of {count} images is an array of shape {values.shape} and type "
                f"{values.dtype}; expected a number or more for each image"
            )
        return values
