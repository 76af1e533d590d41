"""Clusters of voxels, their targets, and their way back to voxels."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import torch
from torch import Tensor

from harness.api import ConfigError, VoxelSpace
from harness.nn.constancy import is_constant

from .params import ChasmParams


@dataclass(frozen=True, eq=False)
class Clusters:
    """A partition of V valid voxels.

    label : (V,) int64 cluster of each voxel, 0 .. R - 1, none empty.
    """

    label: np.ndarray

    @cached_property
    def sizes(self) -> np.ndarray:
        """(R,) voxels of each cluster."""
        return np.bincount(self.label)

    @property
    def count(self) -> int:
        """R."""
        return len(self.sizes)

    @property
    def largest(self) -> int:
        """Slots of a padded cluster."""
        return int(self.sizes.max())

    @cached_property
    def members(self) -> np.ndarray:
        """(R, largest) voxel of each slot, in voxel order; padded slots are -1."""
        table = np.full((self.count, self.largest), -1, np.int64)
        order = np.argsort(self.label, kind="stable")
        first = np.cumsum(self.sizes) - self.sizes
        table[self.label[order], np.arange(len(order)) - first[self.label[order]]] = order
        return table

    @property
    def mask(self) -> np.ndarray:
        """(R, largest) True where a slot holds a voxel."""
        return self.members >= 0

    @cached_property
    def slot(self) -> np.ndarray:
        """(V,) position of each voxel in the flattened (R * largest) table."""
        slot = np.empty(len(self.label), np.int64)
        flat = self.members.ravel()
        slot[flat[flat >= 0]] = np.flatnonzero(flat >= 0)
        return slot


def even_runs(voxels: int, size: int) -> np.ndarray:
    """(voxels,) labels of floor(voxels / size) contiguous runs whose lengths differ by at most 1."""
    return np.concatenate(
        [np.full(len(run), k) for k, run in enumerate(np.array_split(range(voxels), max(voxels // size, 1)))]
    ).astype(np.int64)


def make_clusters(space: VoxelSpace, params: ChasmParams, *, seed: int) -> Clusters:
    """The partition of the valid voxels of `space` that ``params.cluster_by`` asks for."""
    if params.cluster_by == "raster":
        return Clusters(even_runs(space.n_valid, params.cluster_size))
    if params.cluster_by == "parcels":
        return Clusters(_parcels(space, params))
    if space.coordinates is None or (params.cluster_by == "kmeans_ncsnr" and space.ncsnr is None):
        raise ConfigError(
            f"encoder.cluster_by={params.cluster_by}: {space.subject} has no voxel coordinates or no noise "
            "ceiling; type --set encoder.cluster_by=raster"
        )
    from sklearn.cluster import KMeans

    places = np.asarray(space.coordinates, np.float64)[space.valid]
    places = (places - places.mean(axis=0)) / places.std()  # one scale: distances stay distances
    if params.cluster_by == "kmeans_ncsnr":
        ncsnr = np.asarray(space.ncsnr, np.float64)[space.valid]
        level = ncsnr.std()
        equal = is_constant(level, ncsnr.mean())
        places = np.column_stack([places, np.zeros_like(ncsnr) if equal else (ncsnr - ncsnr.mean()) / level])
    count = max(space.n_valid // params.cluster_size, 1)
    labels = KMeans(count, n_init=1, random_state=seed % 2**32).fit_predict(places)
    return Clusters(np.unique(labels, return_inverse=True)[1].astype(np.int64))


def _parcels(space: VoxelSpace, params: ChasmParams) -> np.ndarray:
    names = sorted(name for name in space.rois if name.lower().startswith(params.parcel_prefix.lower()))
    if not names:
        raise ConfigError(
            f"encoder.cluster_by=parcels: no ROI of {space.subject} begins with '{params.parcel_prefix}'; "
            "type --set encoder.parcel_prefix=NAME or --set encoder.cluster_by=raster"
        )
    label = np.full(space.n_valid, -1, np.int64)
    for number, name in enumerate(names):
        label[(label < 0) & np.asarray(space.rois[name], bool)[space.valid]] = number
    outside = label < 0
    if outside.any():
        label[outside] = len(names) + even_runs(int(outside.sum()), params.cluster_size)
    return np.unique(label, return_inverse=True)[1].astype(np.int64)  # empty parcels vanish


class ClusterTargets:
    """Voxels (B, V) -> cluster targets (B, R): eq. 1, the mean of a cluster's highest voxels.

    ceil(topk * size) voxels of each cluster count, chosen anew for every sample.  For noise of SD s
    the mean of the top 70 % lies 0.497 s above zero: a bias for the model to learn.
    """

    def __init__(
        self, clusters: Clusters, *, topk: float, mode: str = "value", ncsnr: np.ndarray | None = None
    ) -> None:
        share = 1.0 if mode == "mean" else topk
        # Rounded first: 0.7 * 30 is 21.000000000000004 in places, and its ceiling 22.
        counts = [max(1, math.ceil(round(share * int(size), 9))) for size in clusters.sizes]
        self.mode = mode
        self._members = torch.from_numpy(np.maximum(clusters.members, 0))
        self._mask = torch.from_numpy(clusters.mask)
        rank = torch.arange(clusters.largest)
        self._chosen = rank < torch.tensor(counts)[:, None]  # (R, largest), of sorted slots
        if mode == "fixed_ncsnr":
            if ncsnr is None:
                raise ConfigError(
                    "encoder.topk_mode=fixed_ncsnr: the voxels have no noise ceiling; "
                    "type --set encoder.topk_mode=value"
                )
            order = np.argsort(-np.where(clusters.mask, ncsnr[self._members.numpy()], -np.inf), axis=1)
            self._members = self._members.gather(1, torch.from_numpy(order))

    def __call__(self, voxels: Tensor) -> Tensor:
        """(B, V) -> (B, R), on the CPU or wherever `voxels` are."""
        members, mask, chosen = (t.to(voxels.device) for t in (self._members, self._mask, self._chosen))
        slots = voxels[:, members]  # (B, R, largest)
        if self.mode == "value":
            slots = slots.masked_fill(~mask, -torch.inf).sort(dim=-1, descending=True).values
        elif self.mode == "abs":
            order = slots.abs().masked_fill(~mask, -1).argsort(dim=-1, descending=True)
            slots = slots.gather(-1, order)
        return torch.where(chosen, slots, 0).sum(dim=-1) / chosen.sum(dim=-1)


def cluster_groups(clusters: Clusters, groups: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Cortical group -> (R,) bool, each cluster in the group of most of its voxels.

    groups : name -> (V,) bool over the same voxels.  Voxels of no group do not vote; a cluster
    without any is in none; a tie goes to the group named first.
    """
    votes = np.stack(
        [np.bincount(clusters.label, weights=np.asarray(m, float)) for m in groups.values()]
    )  # (groups, R)
    winner = np.where(votes.max(axis=0) > 0, votes.argmax(axis=0), -1)
    return {name: winner == k for k, name in enumerate(groups)}
