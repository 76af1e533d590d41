"""Subjects that a small ``chasm`` learns in seconds, and its fit and predictions."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from harness.api import (
    Responses,
    Split,
    Stimuli,
    SubjectData,
    VoxelSpace,
)
from harness.encoders.chasm import ChasmEncoder
from harness.encoders.chasm.params import ChasmParams

CPU = {"seed": 0, "device": "cpu"}


SMALL = {
    "backbone": "toy",
    "cluster_size": 5,
    "width": 16,
    "head_width": 16,
    "state": 8,
    "global_depth": 1,
    "local_depth": 1,
    "contrastive_width": 8,
    "refine_width": 16,
    "encoder_depth": 1,
    "decoder_depth": 1,
    "queries": 2,
    "readout_width": 24,
    "latent": 4,
    "kl_warmup": 1,
    "warmup_epochs": 1,
    "stage1_epochs": 2,
    "stage2_epochs": 2,
    "stage2_batch": 32,
    "stage1_rate": 3e-3,
    "stage2_rate": 3e-3,
    "transfer_epochs": 3,
    "diffusion_steps": 4,
}


class ToyFeatures:
    """CLS (N, 12) and patches (N, 4, 12): pixels of the image and of its four quarters, whitened."""

    def layer(self, backbone: str, layer: str, stimuli: Stimuli) -> np.ndarray:
        assert backbone == "toy"
        images = stimuli.images().astype(np.float32) / 255
        quarters = images.reshape(-1, 2, 2, 2, 2, 3).swapaxes(2, 3).reshape(len(images), 4, 12)
        return {"cls": quarters.mean(axis=1), "patches": quarters}.get(layer, images)


FEATURES = ToyFeatures()


def subject(name: str = "s1", *, n: int = 90, voxels: int = 24, noise: float = 0.3) -> SubjectData:
    """A cortex linear in three views of 4 x 4 pixels, its mean at 5; voxels 0 and 7 are masked, 9 is flat."""
    rng = np.random.default_rng(voxels)
    images = rng.integers(0, 256, (n + 40, 4, 4, 3), np.uint8)
    views = np.random.default_rng(5).normal(size=(48, 3))
    tuning = views @ np.random.default_rng(len(name)).normal(size=(3, voxels)) / 2
    tuning[:, 9] = 0
    valid = np.ones(voxels, bool)
    valid[[0, 7]] = False
    space = VoxelSpace("toy", name, "all", voxels, "zscore", f"{name}-voxels", valid=valid)

    def split(part: slice, prefix: str) -> Split:
        shown = images[part]
        ids = [f"{name}-{prefix}{k}" for k in range(len(shown))]
        index = np.repeat(np.arange(len(shown)), 2)
        signal = (shown.reshape(len(shown), -1) / 255 - 0.5) @ tuning + 5
        drawn = noise * rng.normal(size=(len(index), voxels)) * (tuning.std(axis=0) > 0)
        trials = (signal[index] + drawn) * valid
        return Split(Stimuli.from_array(ids, shown), Responses(space, ids, trials.astype(np.float32), index))

    return SubjectData(space, split(slice(0, n), "train"), split(slice(n, None), "test"))


def encoder(**params) -> ChasmEncoder:
    return ChasmEncoder(ChasmParams(**{**SMALL, **params}))


def fitted(folder: Path, *subjects: SubjectData, seed: int = 0, **params) -> ChasmEncoder:
    model = encoder(**params)
    subjects = [each.training() for each in subjects or (subject(),)]
    model.fit(subjects, FEATURES, seed=seed, device="cpu", checkpoint_dir=folder)
    return model


def predict(model: ChasmEncoder, data: SubjectData, *, samples: int = 1, seed: int = 0) -> np.ndarray:
    seeds = np.random.default_rng(seed).integers(0, 2**64, (len(data.test), samples), np.uint64)
    return model.predict(data.test.stimuli, FEATURES, space=data.space, seeds=seeds)


def voxel_r(predicted: np.ndarray, data: SubjectData) -> np.ndarray:
    measured = data.test.responses.mean()
    live = data.space.valid & (measured.std(axis=0) > 0)
    return np.array([np.corrcoef(predicted[:, v], measured[:, v])[0, 1] for v in np.flatnonzero(live)])


def saved(model: ChasmEncoder, folder: Path) -> Path:
    model.save(folder / "model")
    return folder / "model"
