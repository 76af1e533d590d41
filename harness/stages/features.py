"""Stages features and embed: each image once per backbone, in fixed batches, cached by content.

Encoders are fitted on these features and metrics compare them; an image that both use is extracted
once.  A batch is keyed by the content of its images, so equal images share features whatever row,
run or subject they come from.
"""

from __future__ import annotations

import math
import uuid
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache
from pathlib import Path
from typing import Any

import numpy as np

from ..data import ImageSet
from ..plugins import find
from ..storage.cached import Item, cached_map, store_at
from ..storage.executors import Executor, Inline
from ..storage.identity import code_sha, function_identity
from ..storage.references import pictures
from ..storage.sharded import ShardedArray
from ..storage.store import Artifact, Store, is_known
from .extraction import BATCH, extract_batch

LARGE = 1 << 30
"""Bytes, as float32, from which a layer of an image set stays in its files and is read row by row."""


class FeatureStore:
    """Features of image sets; implements :class:`harness.api.Features`."""

    def __init__(self, store: Store, executor: Executor, *, device: str) -> None:
        self._store = store
        self._executor = executor
        self._device = device

    def extract(
        self,
        backbone: str,
        layers: Sequence[str],
        sets: Sequence[ImageSet],
        *,
        progress: Callable[[int], None] = lambda images: None,
    ) -> list[Mapping[str, Artifact]]:
        """Layer -> artifact of each batch of `sets`, made where absent; `progress` counts images."""
        parts = [
            stimuli.select(stimuli.ids[start : start + BATCH])
            for stimuli in sets
            for start in range(0, len(stimuli), BATCH)
        ]
        items = [
            Item(
                {"images": part.image_hashes()},
                lambda part=part: (backbone, self._device, pictures(part)),
                count=len(part),
                parts={layer: {"layer": layer} for layer in layers},
            )
            for part in parts
        ]
        return cached_map(
            "features",
            items,
            extract_batch,
            store=self._store,
            executor=self._executor,
            depends_on={
                **backbone_identity(backbone),
                "batch": BATCH,
                "device": self._device.partition(":")[0],
            },
            progress=progress,
        )

    def layer(self, backbone: str, layer: str, stimuli: ImageSet) -> np.ndarray | ShardedArray:
        """(N, ...) features of `stimuli`, in their order; extracted now if absent."""
        return joined(self.folders(backbone, layer, stimuli))

    def folders(self, backbone: str, layer: str, stimuli: ImageSet) -> list[Path]:
        """Where ``features.npy`` of each batch of `stimuli` lies, in order; extracted now if absent."""
        return [batch[layer].folder for batch in self.extract(backbone, [layer], [stimuli])]

    def saved(self, wanted: Sequence[tuple[str, str]], sets: Sequence[ImageSet]) -> SavedFeatures:
        """(backbone, layer) pairs of `sets`, readable in any process; extracted now if absent."""
        layers = [
            SavedLayer(backbone, layer, stimuli.image_hashes(), tuple(map(str, folders)))
            for backbone, layer in wanted
            for stimuli in sets
            for folders in [self.folders(backbone, layer, stimuli)]
        ]
        return SavedFeatures(str(self._store.root), self._device, tuple(layers))


@dataclass(frozen=True)
class SavedLayer:
    """Features of the images `hashes`: ``features.npy`` in `folders`, one batch after the other.

    at : position of each image among all in `folders`; empty where they are all that lie there, in order.
    """

    backbone: str
    layer: str
    hashes: tuple[str, ...]
    folders: tuple[str, ...]
    at: tuple[int, ...] = ()

    @cached_property
    def _rows(self) -> dict[str, int]:
        return dict(zip(self.hashes, self.at or range(len(self.hashes))))

    def holds(self, hashes: Sequence[str]) -> bool:
        """Whether all of the images `hashes` are among these."""
        return all(sha in self._rows for sha in hashes)

    def some(self, hashes: Sequence[str]) -> SavedLayer:
        """The same of the images `hashes` alone; they are sent with a task."""
        at = [self._rows[sha] for sha in hashes]
        batches = sorted({row // BATCH for row in at})
        moved = tuple(batches.index(row // BATCH) * BATCH + row % BATCH for row in at)
        folders = tuple(self.folders[batch] for batch in batches)
        return SavedLayer(self.backbone, self.layer, tuple(hashes), folders, moved)

    def load(self, hashes: Sequence[str]) -> np.ndarray | ShardedArray:
        """(N, ...) features of the images `hashes`."""
        if not self.at and tuple(hashes) == self.hashes:
            return joined(map(Path, self.folders))
        some = self.some(hashes)
        return joined(map(Path, some.folders), at=some.at)


@dataclass(frozen=True)
class SavedFeatures:
    """Features that lie in the store; implements :class:`harness.api.Features` in any process.

    Images of which it knows nothing are extracted where they are asked for.
    """

    root: str
    device: str
    layers: tuple[SavedLayer, ...]

    def layer(self, backbone: str, layer: str, stimuli: ImageSet) -> np.ndarray | ShardedArray:
        """(N, ...) features of `stimuli`, in their order."""
        hashes = stimuli.image_hashes()
        for saved in self.layers:
            if (saved.backbone, saved.layer) == (backbone, layer) and saved.holds(hashes):
                return saved.load(hashes)
        return FeatureStore(store_at(self.root), Inline(), device=self.device).layer(backbone, layer, stimuli)

    def text(self, backbone: str, texts: Sequence[str]) -> np.ndarray:
        """(n, D) float32 of `texts`; read now if absent."""
        from .text_features import text_features

        return text_features(backbone, texts, store=store_at(self.root), executor=Inline())

    def some(self, stimuli: ImageSet) -> SavedFeatures:
        """What is known of the images of `stimuli`, all in one of the sets."""
        hashes = stimuli.image_hashes()
        kept = tuple(saved.some(hashes) for saved in self.layers if saved.holds(hashes))
        return SavedFeatures(self.root, self.device, kept)


def joined(folders: Iterable[Path], *, at: Sequence[int] | None = None) -> np.ndarray | ShardedArray:
    """The batches in `folders`, or rows `at` of them all, as float32; larger ones stay where they are."""
    rows = ShardedArray([folder / "features.npy" for folder in folders], at=at)
    large = math.prod(rows.shape) * np.dtype(np.float32).itemsize > LARGE
    return rows if large else np.asarray(rows, np.float32)


@lru_cache(maxsize=64)
def backbone_identity(name: str) -> dict[str, Any]:
    """Everything that can change this backbone's features; raises WeightsMissing without weights."""
    ref = find("backbones", name)
    backbone = ref.load()()
    identity = {
        "backbone": name,
        "version": backbone.version,
        "code": code_sha(ref),
        "weights": backbone.identity(),
        "extraction": function_identity(extract_batch)["code"],
    }
    if not is_known(identity):
        # Features are looked up by key, so they cannot live without one.
        identity["code"] = f"unidentified-{uuid.uuid4().hex}"
    return identity
