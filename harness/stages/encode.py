"""Stage encode: predicted responses, one artifact per micro-batch."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from ..data import Stimuli, VoxelSpace
from ..errors import PluginError
from ..plugins import PluginRef
from ..rows.opaque import TRUE_IDS, OpaqueNames
from ..seeds import sample_seeds
from ..storage.identity import module_sha
from ..storage.store import Store, save_array
from .features import FeatureStore
from .fit import Model
from .guard import guarded


def encode(
    model: Model,
    stimuli: Stimuli,
    *,
    space: VoxelSpace,
    features: FeatureStore,
    store: Store,
    seed: int,
    samples: int,
    micro_batch: int,
    names: OpaqueNames = TRUE_IDS,
    progress: Callable[[int], None] = lambda images: None,
) -> np.ndarray:
    """(N, S, V) float32 predictions for `stimuli`; masked voxels are 0.

    names : under which the plugin gets the images; seeds are those of their ids.
    """
    opened: list[Any] = []
    parts = []
    for start in range(0, len(stimuli), micro_batch):
        ids = stimuli.ids[start : start + micro_batch]
        part = names.stimuli(stimuli.select(ids))
        ingredients = {
            "model": model.key,
            "images": part.sha,
            "space": space.sha,
            "seed": seed,
            "samples": samples,
            "micro_batch": micro_batch,
            "device": model.device.partition(":")[0],
            "stage": module_sha(__name__),
        }

        def make(folder: Path, part: Stimuli = part, ids: tuple[str, ...] = ids) -> None:
            if not opened:
                opened.append(guarded(model.ref, "cannot be loaded", lambda: model.load(space)))
                if hasattr(opened[0], "require"):
                    guarded(model.ref, "refuses the stimuli", lambda: opened[0].require(stimuli))
            seeds = sample_seeds(seed, ids, samples)
            found = guarded(
                model.ref,
                "fails while predicting",
                lambda: opened[0].predict(part, features, space=space, seeds=seeds),
            )
            save_array(folder, "responses", checked(found, model.ref, (len(part), samples), space))

        parts.append(np.asarray(store.get("encode", ingredients, make).array("responses")))
        progress(len(part))
    return np.concatenate(parts)


def checked(found: object, ref: PluginRef, leading: tuple[int, int], space: VoxelSpace) -> np.ndarray:
    """`found` as (N, S, V) float32, finite in valid voxels and 0 in masked ones."""
    found = np.asarray(found)
    expected = (*leading, space.n_voxels)
    if found.shape != expected:
        raise PluginError(
            f"encoder '{ref.name}' predicted an array of shape {found.shape}; expected {expected} "
            f"(images, samples, voxels) for {space.subject}"
        )
    found = np.where(space.valid, found, 0).astype(np.float32)
    if not np.isfinite(found).all():
        raise PluginError(f"encoder '{ref.name}' predicted NaN or infinity for {space.subject}")
    return found
