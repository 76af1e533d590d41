"""The features that a plugin gets: those of backbones, and what it computes of images itself.

What a plugin computes is kept in shards under the source of the plugin, the identity that it gives, and the
content of the images, so that a fit with another learning rate finds it, and a kill loses one shard.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from ..data import ImageSet
from ..errors import PluginError
from ..plugins import PluginRef
from ..storage.cached import Item, cached_map, store_at
from ..storage.executors import Inline
from ..storage.identity import code_sha
from ..storage.sharded import ShardedArray
from .computing import Values, write_values
from .features import SavedFeatures

SHARD = 256
"""Images whose values are one artifact."""


@dataclass(frozen=True)
class PluginFeatures:
    """Features for the plugin `ref`, in any process; implements :class:`harness.api.Features`.

    share : (which, of how many) of the shards of :meth:`computed` are made here, where several processes
        make what a fit will ask for (:meth:`harness.api.Decoder.targets`); a fit gets all of them.
    """

    saved: SavedFeatures
    ref: PluginRef
    share: tuple[int, int] = (0, 1)

    def layer(self, backbone: str, layer: str, stimuli: ImageSet) -> np.ndarray | ShardedArray:
        """(N, ...) features of `stimuli`, in their order; extracted now if absent."""
        return self.saved.layer(backbone, layer, stimuli)

    def text(self, backbone: str, texts: Sequence[str]) -> np.ndarray:
        """(n, D) float32 of `texts`; read now if absent."""
        return self.saved.text(backbone, texts)

    def computed(
        self,
        name: str,
        compute: Callable[[np.ndarray, int], np.ndarray],
        stimuli: ImageSet,
        *,
        identity: str,
        batch: int = 32,
    ) -> ShardedArray | np.ndarray:
        """(N, ...) of what `compute` makes of `stimuli`; see :class:`harness.api.Features`."""
        values = Values(f"{self.ref.kind} '{self.ref.name}'", name, compute, batch, len(stimuli))
        if batch < 1 or SHARD % batch:
            raise PluginError(
                f"{values.plugin}: '{name}' asks for batches of {batch}; it must divide {SHARD}"
            )
        hashes = stimuli.image_hashes()
        items = [
            Item(
                {"images": hashes[first : first + SHARD], "first": first},
                (values, stimuli.select(stimuli.ids[first : first + SHARD]), first),
            )
            for first in range(0, len(stimuli), SHARD)
        ]
        which, of = self.share
        if of > 1:
            items = items[which::of] if identity else []  # without identity nothing can be kept
        artifacts = cached_map(
            "features",
            items,
            write_values,
            store=store_at(self.saved.root),
            executor=Inline(),
            depends_on={
                "plugin": f"{self.ref.dist}:{self.ref.name}",
                "code": code_sha(self.ref),
                "values": name,
                "identity": identity,
                "batch": batch,
                "device": self.saved.device.partition(":")[0],
            },
        )
        if not artifacts and of > 1:
            return np.empty(0, np.float32)  # a share may be nothing; whoever has one reads no values
        return ShardedArray([artifact.folder / "values.npy" for artifact in artifacts])
