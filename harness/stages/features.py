"""Stages features and embed: each image once per backbone, in fixed batches, cached by content.

Encoders are fitted on these features and metrics compare them; an image that both use is extracted
once.  A batch is keyed by the content of its images, so equal images share features whatever row,
run or subject they come from.  One that does not fit into memory is halved until it does.
"""

from __future__ import annotations

import logging
import sys
import uuid
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np

from .. import plugins
from ..data import ImageSet
from ..errors import PluginError
from ..storage.executors import Executor
from ..storage.identity import code_sha, module_sha
from ..storage.store import Store, is_known, key_of, save_array
from ..storage.worker import kept_open, store_at

logger = logging.getLogger(__name__)

BATCH = 64
"""Images per extraction call; part of every key, since a batch size can change the last bits."""


@dataclass(frozen=True)
class BatchTask:
    """One batch and the layers that are missing from it; `where` maps layer -> (key, ingredients)."""

    root: str
    backbone: str
    device: str
    images: np.ndarray
    where: dict[str, tuple[str, dict[str, Any]]]


class FeatureStore:
    """Features of image sets; implements :class:`harness.api.Features`."""

    def __init__(self, store: Store, executor: Executor, *, device: str) -> None:
        self._store = store
        self._executor = executor
        self._device = device
        self._held: dict[tuple[str, str], list[tuple[dict[str, int], np.ndarray]]] = {}

    def extract(
        self,
        backbone: str,
        layers: Sequence[str],
        sets: Sequence[ImageSet],
        *,
        progress: Callable[[int], None] = lambda images: None,
    ) -> None:
        """Make sure that all of `sets` have `layers` of `backbone`; `progress` counts images."""
        tasks = (task for stimuli in sets for task in self._missing(backbone, layers, stimuli, progress))
        for done in self._executor.map(extract_batch, tasks):
            self._store.computed["features"] += done[0]
            progress(done[1])

    def hold(self, backbone: str, layer: str, stimuli: ImageSet) -> None:
        """Keep the features of `stimuli` in memory, for parts of it asked for later."""
        rows = {sha: row for row, sha in enumerate(stimuli.image_hashes())}
        self._held.setdefault((backbone, layer), []).append((rows, self.layer(backbone, layer, stimuli)))

    def release(self) -> None:
        """Drop what :meth:`hold` kept."""
        self._held.clear()

    def layer(self, backbone: str, layer: str, stimuli: ImageSet) -> np.ndarray:
        """(N, ...) float32 features of `stimuli`, in their order; extracted now if absent."""
        hashes = stimuli.image_hashes()
        for rows, features in self._held.get((backbone, layer), ()):
            if all(sha in rows for sha in hashes):
                return features[[rows[sha] for sha in hashes]]
        folders = self.folders(backbone, layer, stimuli)
        files = (np.load(folder / "features.npy", mmap_mode="r", allow_pickle=False) for folder in folders)
        return np.concatenate([np.asarray(file) for file in files])

    def folders(self, backbone: str, layer: str, stimuli: ImageSet) -> list[Path]:
        """Where ``features.npy`` of each batch of `stimuli` lies, in order; extracted now if absent."""
        self.extract(backbone, [layer], [stimuli])
        hashes = stimuli.image_hashes()
        keys = [
            key_of("features", self._ingredients(backbone, layer, hashes[start : start + BATCH]))
            for start in range(0, len(hashes), BATCH)
        ]
        return [self._store.open("features", key).folder for key in keys]

    def _missing(
        self, backbone: str, layers: Sequence[str], stimuli: ImageSet, progress: Callable[[int], None]
    ) -> Iterator[BatchTask]:
        for ids in _batches(stimuli):
            part = stimuli.select(ids)
            where = {}
            for layer in layers:
                ingredients = self._ingredients(backbone, layer, part.image_hashes())
                key = key_of("features", ingredients)
                if self._store.open("features", key) is None:
                    where[layer] = (key, ingredients)
                else:
                    self._store.reused["features"] += 1
            if where:
                root = str(self._store.root)
                yield BatchTask(root, backbone, self._device, np.asarray(part.images()), where)
            else:
                progress(len(ids))

    def _ingredients(self, backbone: str, layer: str, hashes: Sequence[str]) -> dict[str, Any]:
        return {
            **backbone_identity(backbone),
            "layer": layer,
            "images": hashes,
            "batch": BATCH,
            "device": self._device.partition(":")[0],
        }


def extract_batch(task: BatchTask) -> tuple[int, int]:
    """Extract and store one batch; (artifacts written, images)."""
    store = store_at(task.root)
    todo = {layer: place for layer, place in task.where.items() if store.open("features", place[0]) is None}
    if todo:
        found = extract_in_memory(task.backbone, task.images, list(todo), device=task.device)
        for layer, (key, ingredients) in todo.items():
            with store.writing("features", key, ingredients) as folder:
                save_array(folder, "features", np.asarray(found[layer], np.float32))
    return len(todo), len(task.images)


def extract_in_memory(
    name: str, images: np.ndarray, layers: Sequence[str], *, device: str
) -> dict[str, np.ndarray]:
    """Images (n, H, W, 3) -> layer -> (n, ...), halved as often as the memory of `device` asks for.

    What fits is remembered for as long as the backbone is open.  Fewer images at a time may change the
    last bits of features, which is why it is said.

    Raises
    ------
    PluginError
        Not even one image fits.
    """
    backbone, held = kept_open(
        ("backbone", name, device), lambda: (open_backbone(name, device=device), {"images": BATCH})
    )
    while True:
        size = held["images"]
        try:
            parts = [
                backbone.extract(images[start : start + size], layers)
                for start in range(0, max(len(images), 1), size)
            ]
            if len(parts) == 1:  # gigabytes that need no copy
                return {layer: parts[0][layer] for layer in layers}
            return {layer: np.concatenate([part[layer] for part in parts]) for layer in layers}
        except Exception as problem:
            if not is_out_of_memory(problem):
                raise
            reason = " ".join(str(problem).split())[:200]
        # Out here the failed call has let go of its memory.
        tried = min(size, len(images))
        if tried <= 1:
            raise PluginError(
                f"backbone '{name}' does not fit into the memory of {device} with a single image ({reason}). "
                "Close what else uses it, or give another --device"
            )
        held["images"] = tried // 2
        logger.warning(
            "backbone '%s': %d images at once do not fit into the memory of %s, going on with %d; the last "
            "digits of features may differ from those of a larger machine",
            *(name, tried, device, held["images"]),
        )
        if device.startswith("cuda"):
            sys.modules["torch"].cuda.empty_cache()


def is_out_of_memory(problem: Exception) -> bool:
    """Whether Python, or torch on any device, said that memory ran out."""
    torch: Any = sys.modules.get("torch")
    if isinstance(problem, MemoryError) or (torch and isinstance(problem, torch.OutOfMemoryError)):
        return True
    # torch has no class of its own for a CPU that has no more to give.
    return isinstance(problem, RuntimeError) and "can't allocate memory" in str(problem)


def open_backbone(name: str, *, device: str) -> Any:
    """The backbone called `name`, ready on `device`."""
    backbone = plugins.find("backbones", name).load()()
    backbone.open(device=device)
    return backbone


@lru_cache(maxsize=64)
def backbone_identity(name: str) -> dict[str, Any]:
    """Everything that can change this backbone's features; raises WeightsMissing without weights."""
    ref = plugins.find("backbones", name)
    backbone = ref.load()()
    identity = {
        "backbone": name,
        "version": backbone.version,
        "code": code_sha(ref),
        "weights": backbone.identity(),
        "stage": module_sha(__name__),
    }
    if not is_known(identity):
        # Features are looked up by key, so they cannot live without one.
        identity["code"] = f"unidentified-{uuid.uuid4().hex}"
    return identity


def _batches(stimuli: ImageSet) -> Iterator[tuple[str, ...]]:
    for start in range(0, len(stimuli), BATCH):
        yield stimuli.ids[start : start + BATCH]
