"""Stage encode: predicted responses, one artifact per micro-batch."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from ..data import Stimuli, VoxelSpace
from ..rows.opaque import TRUE_IDS, OpaqueNames
from ..seeds import sample_seeds
from ..storage.cached import Item, cached_map
from ..storage.content import digest
from ..storage.executors import Executor
from ..storage.references import readable
from ..storage.store import Store
from .features import FeatureStore, SavedFeatures
from .fit import texts_wanted
from .guard import guarded
from .model import Model
from .predicting import predict_batch


def encode(
    model: Model,
    stimuli: Stimuli,
    *,
    space: VoxelSpace,
    features: FeatureStore,
    store: Store,
    executor: Executor,
    seed: int,
    samples: int,
    micro_batch: int,
    names: OpaqueNames = TRUE_IDS,
    progress: Callable[[int], None] = lambda images: None,
) -> np.ndarray:
    """(N, S, V) float32 predictions for `stimuli`; masked voxels are 0.

    names : under which the plugin gets the images; seeds are those of their ids.
    """
    plugin = model.ref.load()
    reads_texts = bool(texts_wanted(model.build()))
    held: list[SavedFeatures] = []

    def saved() -> SavedFeatures:
        if not held:
            opened = model.build()
            held.append(features.saved(tuple(opened.wants()), [stimuli]))
            if hasattr(opened, "require"):
                fitted = guarded(model.ref, "cannot be loaded", lambda: model.load(space))
                guarded(model.ref, "refuses the stimuli", lambda: fitted.require(stimuli))
        return held[0]

    def item(ids: tuple[str, ...]) -> Item:
        seeds = sample_seeds(seed, ids, samples)
        part = names.stimuli(stimuli.select(ids))

        def arguments() -> tuple[Any, ...]:
            return model, space, readable(part), saved().some(part), seeds

        written = {"written": part.written_sha} if reads_texts else {}
        ingredients = {"images": part.sha, "seeds": seeds, **written}
        return Item(ingredients, arguments, count=len(ids), plugin=plugin.__module__)

    artifacts = cached_map(
        "encode",
        [item(stimuli.ids[start : start + micro_batch]) for start in range(0, len(stimuli), micro_batch)],
        predict_batch,
        store=store,
        executor=executor,
        depends_on={
            "model": model.key,
            "space": space.sha,
            "micro_batch": micro_batch,
            "device": model.device.partition(":")[0],
            **({"scaling": digest(space.scaling)} if getattr(plugin, "converts_units", False) else {}),
        },
        progress=progress,
    )
    return np.concatenate([np.asarray(artifact.array("responses")) for artifact in artifacts])
