"""A benchmark of areas that prefer a category, with unequal repeats, no ncsnr and a masked voxel."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from harness.api import Responses, Split, Stimuli, SubjectData, VoxelSpace

CATEGORIES = ("face", "house", "word", "car")
SIDE = 8
V = 30


class Regional:
    """30 voxels: ten prefer faces, ten houses, ten nothing; the last one is masked."""

    version = "1"
    simulated = True
    generated = True

    @dataclass(frozen=True)
    class Params:
        n_train: int = 60
        n_test: int = 24
        noise: float = 0.5

    def __init__(self, params: Params) -> None:
        self.params = params

    def subjects(self) -> tuple[str, ...]:
        return ("one",)

    def load(self, subject: str) -> SubjectData:
        at = np.arange(V)
        areas = {"FFA": at < 10, "PPA": (at >= 10) & (at < 20), "V1": at >= 20}
        space = VoxelSpace(
            *("regional", subject, "all", V, "raw", "regional-1"),
            rois=areas,
            groups={"higher": areas["FFA"] | areas["PPA"], "early": areas["V1"]},
            valid=at < V - 1,
        )
        weights = np.random.default_rng(0).uniform(0.5, 1.5, V)
        splits = []
        for name, n, seed in (("train", self.params.n_train, 1), ("test", self.params.n_test, 2)):
            generator = np.random.default_rng(seed)
            category = np.arange(n) % len(CATEGORIES)
            # A colour for each category, so that an encoder of pixels can learn what an area prefers.
            images = generator.integers(0, 120, (n, SIDE, SIDE, 3))
            images[np.arange(n), :, :, category % 3] += 60 + 60 * (category == 3)[:, None, None]
            signal = np.zeros((n, V))
            for k, area in enumerate(("FFA", "PPA")):
                signal += 2 * np.outer(category == k, weights * areas[area])
            # The same three levels in every category.
            signal += np.outer(np.arange(n) // len(CATEGORIES) % 3 - 1.0, areas["V1"] * weights)
            index = np.repeat(np.arange(n), generator.integers(1, 4, n))
            trials = signal[index] + self.params.noise * generator.standard_normal((len(index), V))
            trials[:, ~space.valid] = 0
            ids = [f"{name}-{k:03d}" for k in range(n)]
            labels = {"category": np.array(CATEGORIES)[category]}
            splits.append(
                Split(
                    Stimuli.from_array(ids, images.astype(np.uint8), labels=labels),
                    Responses(space, ids, trials.astype(np.float32), index),
                )
            )
        return SubjectData(space, *splits)
