"""Reading MindEye1's published files, without running anything in them, and keeping fitted networks."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from functools import partial
from pathlib import Path

import torch

from harness.api import DataError, VoxelSpace
from harness.decoders.files import loaded
from harness.decoders.mindeye2.checkpoints import read_weights
from harness.nn.diffusion_prior import NoiseSchedule

from .low_level import LowLevelNetwork, LowLevelSettings, low_level_state
from .network import MindEye1Network, NetworkSettings


def tokens_network(path: Path, space: VoxelSpace, sizes: NetworkSettings) -> MindEye1Network:
    """``last.pth`` of a ``prior_257_final_*`` folder: ``net.*`` and ``voxel2clip.*``.

    The noise schedule is a table that may be missing in the file, as the public code loads without it.
    """
    weights = {name.removeprefix("module."): value for name, value in read_weights(path).items()}
    _require_voxels(weights, "voxel2clip.lin0.0.weight", space, path)
    schedule = NoiseSchedule(sizes.timesteps).state_dict()
    for name, value in schedule.items():
        weights.setdefault(f"noise_scheduler.{name}", value)
    build = partial(MindEye1Network, space.n_valid, sizes)
    return loaded(build, weights, what=f"mindeye1 in {path.name}").requires_grad_(False)


def low_network(path: Path, space: VoxelSpace, sizes: LowLevelSettings) -> LowLevelNetwork:
    """``epoch120.pth`` of an ``autoencoder_*`` folder, with or without the head of its training."""
    weights = low_level_state(read_weights(path))
    _require_voxels(weights, "lin0.0.weight", space, path)
    build = partial(LowLevelNetwork, space.n_valid, with_head(sizes, weights))
    what = f"mindeye1's low-level network in {path.name}"
    return loaded(build, weights, what=what).requires_grad_(False)


def with_head(sizes: LowLevelSettings, weights: Mapping[str, torch.Tensor]) -> LowLevelSettings:
    """`sizes` with the contrastive head that `weights` have, or none."""
    head = weights.get("maps_projector.0.weight")
    return replace(sizes, contrast_dim=0 if head is None else len(head))


def _require_voxels(weights: Mapping[str, torch.Tensor], name: str, space: VoxelSpace, path: Path) -> None:
    if name not in weights:
        raise DataError(f"{path} has no weight '{name}'; expected a published checkpoint of MindEye1")
    if (voxels := weights[name].shape[1]) != space.n_valid:
        raise DataError(
            f"{path} was trained on {voxels} voxels, {space.subject} has {space.n_valid}; choose the "
            "checkpoint of this subject"
        )
