"""CHASMBrain's clusters of voxels and what is predicted of them."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from small_chasm import SMALL

from harness.api import ConfigError, VoxelSpace
from harness.encoders.chasm.clusters import (
    Clusters,
    ClusterTargets,
    cluster_groups,
    even_runs,
    make_clusters,
)


@pytest.mark.parametrize(
    ("voxels", "count"), [(15724, 524), (14278, 475), (13039, 434), (12682, 422), (29, 1), (30, 1)]
)
def test_clusters_of_thirty_conserve_voxels(voxels, count):
    clusters = Clusters(even_runs(voxels, 30))
    assert clusters.count == count
    assert clusters.sizes.sum() == voxels
    assert clusters.sizes.max() - clusters.sizes.min() <= 1
    assert (np.diff(clusters.label) >= 0).all()  # runs of neighbours
    members = clusters.members[clusters.mask]
    assert sorted(members) == list(range(voxels))
    assert (clusters.members.ravel()[clusters.slot] == np.arange(voxels)).all()


def test_subject_one_of_nsd_has_520_clusters_of_30_and_4_of_31():
    sizes = Clusters(even_runs(15724, 30)).sizes
    assert (np.sum(sizes == 30), np.sum(sizes == 31)) == (520, 4)


@settings(max_examples=30, deadline=None)
@given(labels=st.lists(st.integers(0, 5), min_size=1, max_size=40))
def test_any_partition_goes_to_slots_and_back(labels):
    clusters = Clusters(np.unique(labels, return_inverse=True)[1])
    values = np.random.default_rng(0).normal(size=len(labels))
    table = np.where(clusters.mask, values[clusters.members], np.nan)
    assert (table.ravel()[clusters.slot] == values).all()


def test_top_seventy_percent_of_noise_lie_half_an_sd_above_zero():
    clusters = Clusters(even_runs(3000, 30))
    noise = torch.randn(2000, 3000, generator=torch.Generator().manual_seed(0))
    for share, bias in ((0.7, 0.497), (0.8, 0.350), (0.9, 0.195), (1.0, 0.0)):
        target = ClusterTargets(clusters, topk=share)(noise).mean()
        assert abs(float(target) - bias) < 0.015, share  # 30 voxels are not infinitely many


@settings(max_examples=25, deadline=None)
@given(share=st.floats(0.05, 1), voxels=st.integers(4, 40), mode=st.sampled_from(["value", "abs"]))
def test_targets_equal_a_loop_over_clusters(share, voxels, mode):
    clusters = Clusters(even_runs(voxels, 4))
    values = np.random.default_rng(voxels).normal(size=(3, voxels)).astype(np.float32)
    targets = ClusterTargets(clusters, topk=share, mode=mode)(torch.from_numpy(values)).numpy()
    for row in range(3):
        for cluster in range(clusters.count):
            own = values[row, clusters.label == cluster]
            count = int(np.ceil(round(share * len(own), 9)))
            order = np.argsort(-(own if mode == "value" else np.abs(own)))
            assert targets[row, cluster] == pytest.approx(own[order[:count]].mean(), abs=1e-5)


def test_targets_of_fixed_voxels_and_plain_means():
    clusters, values = Clusters(even_runs(9, 4)), torch.arange(9.0)[None]
    assert ClusterTargets(clusters, topk=0.5, mode="mean")(values).tolist() == [[2.0, 6.5]]
    ncsnr = np.array([0, 1, 0, 9, 8, 1, 9, 0, 9.0])
    targets = ClusterTargets(clusters, topk=0.5, mode="fixed_ncsnr", ncsnr=ncsnr)(values)
    assert targets.tolist() == [[pytest.approx((3 + 4 + 1) / 3), pytest.approx(7.0)]]
    with pytest.raises(ConfigError, match="no noise ceiling"):
        ClusterTargets(clusters, topk=0.5, mode="fixed_ncsnr")


def space(**more) -> VoxelSpace:
    valid = np.ones(40, bool)
    valid[:4] = False
    return VoxelSpace("toy", "s1", "all", 40, "zscore", "sha", valid=valid, **more)


def test_other_partitions_use_coordinates_and_atlases():
    rng = np.random.default_rng(0)
    blobs = np.repeat(rng.normal(size=(6, 3)) * 100, 6, axis=0) + rng.normal(size=(36, 3))
    order = rng.permutation(36)
    places = np.concatenate([np.zeros((4, 3)), blobs[order]])
    params = replace(SMALL, cluster_size=6, cluster_by="kmeans_xyz")
    labels = make_clusters(space(coordinates=places), params, seed=0).label
    truth = np.repeat(np.arange(6), 6)[order]
    assert len(set(zip(labels, truth))) == 6  # the same partition under other names
    with pytest.raises(ConfigError, match="no voxel coordinates"):
        make_clusters(space(), params, seed=0)
    parcel = np.zeros(40, bool)
    parcel[:10] = True
    parcels = replace(params, cluster_by="parcels")
    clusters = make_clusters(space(rois={"Schaefer-01": parcel, "V1": ~parcel}), parcels, seed=0)
    assert clusters.sizes.tolist() == [6, 6, 6, 6, 6, 6]
    assert clusters.label[:6].tolist() == [0] * 6
    with pytest.raises(ConfigError, match="begins with 'schaefer'"):
        make_clusters(space(rois={"V1": parcel}), parcels, seed=0)


def test_a_cluster_belongs_to_the_group_of_most_of_its_voxels():
    clusters = Clusters(np.array([0, 0, 0, 1, 1, 2, 2, 3]))
    early = np.array([1, 1, 0, 0, 1, 0, 0, 0], bool)
    higher = np.array([0, 0, 1, 1, 0, 0, 1, 0], bool)
    groups = cluster_groups(clusters, {"early": early, "higher": higher})
    assert groups["early"].tolist() == [True, True, False, False]  # cluster 1 is a tie
    assert groups["higher"].tolist() == [False, False, True, False]  # cluster 3 has no vote
