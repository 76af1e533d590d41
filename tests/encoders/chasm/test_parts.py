"""CHASMBrain's clusters, targets, losses and networks, part by part."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from harness.api import ConfigError, VoxelSpace
from harness.encoders.chasm.clusters import (
    Clusters,
    ClusterTargets,
    cluster_groups,
    even_runs,
    make_clusters,
)
from harness.encoders.chasm.describe import multiply_accumulates, parameter_table
from harness.encoders.chasm.losses import contrast, correlation, divergence, warm_up
from harness.encoders.chasm.params import ChasmParams
from harness.encoders.chasm.stage1 import Stage1
from harness.encoders.chasm.stage2 import Stage2

SMALL = ChasmParams(
    width=16,
    head_width=16,
    state=8,
    global_depth=1,
    local_depth=2,
    attention_heads=2,
    contrastive_width=8,
    refine_width=16,
    encoder_depth=1,
    decoder_depth=1,
    queries=3,
    readout_width=12,
    latent=6,
    diffusion_steps=5,
    dropout=0.0,
)
CLUSTERS = Clusters(even_runs(31, 6))


def stage1(params=SMALL, *, seed=0, subjects=1) -> Stage1:
    torch.manual_seed(seed)
    biases = [torch.linspace(0.2, 0.8, CLUSTERS.count)] * subjects
    return Stage1(params, cls_dim=10, patch_dim=10, patches=9, biases=biases).eval()


def stage2(params=SMALL, *, seed=0) -> Stage2:
    torch.manual_seed(seed)
    return Stage2(params, visual=20, clusters=[CLUSTERS], biases=[torch.full((CLUSTERS.count,), 0.5)]).eval()


def inputs(n=4, seed=1):
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(n, 10, generator=generator), torch.randn(n, 9, 10, generator=generator)


def coarse_inputs(n=4, seed=2):
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(n, 20, generator=generator), torch.randn(n, CLUSTERS.count, generator=generator)


@pytest.mark.parametrize(
    ("voxels", "count"), [(15724, 524), (14278, 475), (13039, 434), (12682, 422), (29, 1), (30, 1)]
)
def test_clusters_of_thirty_conserve_voxels(voxels, count):
    clusters = Clusters(even_runs(voxels, 30))
    assert clusters.count == count
    assert clusters.sizes.sum() == voxels
    assert clusters.sizes.max() - clusters.sizes.min() <= 1
    assert (np.diff(clusters.label) >= 0).all()  # runs of neighbours
    found = clusters.members[clusters.mask]
    assert sorted(found) == list(range(voxels))
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
        found = ClusterTargets(clusters, topk=share)(noise).mean()
        assert abs(float(found) - bias) < 0.015, share  # 30 voxels are not infinitely many


@settings(max_examples=25, deadline=None)
@given(share=st.floats(0.05, 1), voxels=st.integers(4, 40), mode=st.sampled_from(["value", "abs"]))
def test_targets_equal_a_loop_over_clusters(share, voxels, mode):
    clusters = Clusters(even_runs(voxels, 4))
    values = np.random.default_rng(voxels).normal(size=(3, voxels)).astype(np.float32)
    found = ClusterTargets(clusters, topk=share, mode=mode)(torch.from_numpy(values)).numpy()
    for row in range(3):
        for cluster in range(clusters.count):
            own = values[row, clusters.label == cluster]
            count = int(np.ceil(round(share * len(own), 9)))
            order = np.argsort(-(own if mode == "value" else np.abs(own)))
            assert found[row, cluster] == pytest.approx(own[order[:count]].mean(), abs=1e-5)


def test_targets_of_fixed_voxels_and_plain_means():
    clusters, values = Clusters(even_runs(9, 4)), torch.arange(9.0)[None]
    assert ClusterTargets(clusters, topk=0.5, mode="mean")(values).tolist() == [[2.0, 6.5]]
    ncsnr = np.array([0, 1, 0, 9, 8, 1, 9, 0, 9.0])
    found = ClusterTargets(clusters, topk=0.5, mode="fixed_ncsnr", ncsnr=ncsnr)(values)
    assert found.tolist() == [[pytest.approx((3 + 4 + 1) / 3), pytest.approx(7.0)]]
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
    found = make_clusters(space(coordinates=places), params, seed=0).label
    truth = np.repeat(np.arange(6), 6)[order]
    assert len(set(zip(found, truth))) == 6  # the same partition under other names
    with pytest.raises(ConfigError, match="no voxel coordinates"):
        make_clusters(space(), params, seed=0)
    parcel = np.zeros(40, bool)
    parcel[:10] = True
    parcels = replace(params, cluster_by="parcels")
    found = make_clusters(space(rois={"Schaefer-01": parcel, "V1": ~parcel}), parcels, seed=0)
    assert found.sizes.tolist() == [6, 6, 6, 6, 6, 6]
    assert found.label[:6].tolist() == [0] * 6
    with pytest.raises(ConfigError, match="begins with 'schaefer'"):
        make_clusters(space(rois={"V1": parcel}), parcels, seed=0)


def test_a_cluster_belongs_to_the_group_of_most_of_its_voxels():
    clusters = Clusters(np.array([0, 0, 0, 1, 1, 2, 2, 3]))
    early = np.array([1, 1, 0, 0, 1, 0, 0, 0], bool)
    higher = np.array([0, 0, 1, 1, 0, 0, 1, 0], bool)
    found = cluster_groups(clusters, {"early": early, "higher": higher})
    assert found["early"].tolist() == [True, True, False, False]  # cluster 1 is a tie
    assert found["higher"].tolist() == [False, False, True, False]  # cluster 3 has no vote


def test_loss_parts_equal_numpy():
    rng = np.random.default_rng(0)
    a, b = rng.normal(size=(5, 7)), rng.normal(size=(5, 7))
    found = correlation(torch.from_numpy(a), torch.from_numpy(b)).numpy()
    assert found == pytest.approx([np.corrcoef(x, y)[0, 1] for x, y in zip(a, b)])
    assert correlation(torch.ones(1, 4), torch.randn(1, 4)).tolist() == [0.0]
    unit_a, unit_b = (x / np.linalg.norm(x, axis=1, keepdims=True) for x in (a, b))
    logits = unit_a @ unit_b.T / 0.07
    expected = np.mean(
        [np.log(np.exp(matrix).sum(axis=1)) - np.diag(matrix) for matrix in (logits, logits.T)]
    )
    found = contrast(torch.from_numpy(unit_a), torch.from_numpy(unit_b), temperature=0.07)
    assert float(found) == pytest.approx(expected)
    mean, log_variance = torch.from_numpy(a), torch.from_numpy(b)
    normal = torch.distributions.Normal(mean, (log_variance / 2).exp())
    expected = torch.distributions.kl_divergence(normal, torch.distributions.Normal(0, 1)).mean()
    assert float(divergence(mean, log_variance)) == pytest.approx(float(expected))
    assert [warm_up(e, 4) for e in (0, 1, 3, 9)] == [0.25, 0.5, 1.0, 1.0]
    assert warm_up(0, 0) == 1.0


def test_stage_one_has_the_published_size():
    clusters = Clusters(even_runs(15724, 30))
    network = Stage1(
        ChasmParams(), cls_dim=768, patch_dim=768, patches=256, biases=[torch.zeros(clusters.count)]
    ).eval()
    table = parameter_table(network)
    assert 14.6e6 <= sum(table.values()) <= 15.1e6
    assert sum(table.values()) == sum(p.numel() for p in network.parameters())
    assert set(table) == {"global_branch", "local_branch", "gate", "contrast", "bias"}
    with torch.inference_mode():
        work = multiply_accumulates(network, lambda: network(torch.zeros(1, 768), torch.zeros(1, 256, 768)))
    assert work == pytest.approx(2.31e9, rel=0.02)


def test_the_count_of_work_is_that_of_hand():
    network = nn.Sequential(nn.Linear(3, 5), nn.GELU(), nn.Linear(5, 2))
    assert multiply_accumulates(network, lambda: network(torch.zeros(4, 3))) == 4 * (15 + 10)


def gradients(module: nn.Module) -> dict[str, float]:
    return {n: 0.0 if p.grad is None else float(p.grad.abs().max()) for n, p in module.named_parameters()}


@pytest.mark.parametrize("gate", ["image", "cluster"])
@pytest.mark.parametrize("cls_sequence", ["single", "chunk16", "scalar"])
@pytest.mark.parametrize("scan", ["raster", "bidirectional"])
def test_every_parameter_of_stage_one_learns(gate, cls_sequence, scan):
    network = stage1(replace(SMALL, gate=gate, cls_sequence=cls_sequence, scan=scan))
    coarse = network(*inputs())
    assert coarse.clusters.shape == (4, CLUSTERS.count)
    sum(network.loss(coarse, coarse_inputs()[1]).values()).backward()
    # One token is one step from a state of zero: what decays, and older taps, do nothing.
    silent = {n for n, g in gradients(network).items() if g == 0}
    single = {f"global_branch.stack.blocks.0.mixer.{n}" for n in ("A_log",)}
    assert silent <= (single if cls_sequence == "single" else set())


@pytest.mark.parametrize("arch", ["single_mamba", "transformer"])
def test_every_parameter_of_the_single_streams_learns(arch):
    network = stage1(replace(SMALL, stage1_arch=arch))
    sum(network.loss(network(*inputs()), coarse_inputs()[1]).values()).backward()
    assert min(gradients(network).values()) > 0
    assert network(*inputs()).gate is None


@pytest.mark.parametrize("refiner", ["dual_vae", "dual", "mlp", "dual_diff"])
@pytest.mark.parametrize("maps", ["shared", "cluster"])
def test_every_parameter_of_stage_two_learns(refiner, maps):
    network = stage2(replace(SMALL, stage2_refiner=refiner, residual_maps=maps, refine_pearson_weight=0.1))
    vector, responses = coarse_inputs()
    target = torch.randn(4, 31, generator=torch.Generator().manual_seed(3))
    noise = torch.randn(4, 6) if refiner == "dual_vae" else None
    fine = network(vector, responses, noise=noise)
    loss = sum(network.loss(fine, target).values())
    if refiner == "dual_diff":
        loss = loss + network.diffusion.loss(target - fine.voxels.detach(), fine.pooled, 0)
    loss.backward()
    assert min(gradients(network).values()) > 0
    assert fine.voxels.shape == (4, 31)


def removed(network: nn.Module, part: str) -> None:
    """Silence one part: what it adds becomes zero, what it weighs becomes even."""
    with torch.no_grad():
        for parameter in network.get_submodule(part).parameters():
            parameter.zero_()


@pytest.mark.parametrize("part", ["global_branch", "local_branch", "gate", "bias"])
def test_removing_a_part_of_stage_one_changes_its_answer(part):
    network, (cls, patches) = stage1(), inputs()
    before = network(cls, patches).clusters
    removed(network, part)
    assert (network(cls, patches).clusters - before).abs().max() > 1e-4


@pytest.mark.parametrize(
    "part",
    ["visual_token", "cluster_tokens", "encoder", "latent", "holistic", "residual", "scale"],
)
def test_removing_a_part_of_stage_two_changes_its_answer(part):
    network, given_ = stage2(), coarse_inputs()
    assert set(parameter_table(network)) >= {part, "fusion"}
    before = network(*given_).voxels
    removed(network, part)
    assert (network(*given_).voxels - before).abs().max() > 1e-6


def test_the_blend_and_the_scale_are_as_written():
    network, given_ = stage2(), coarse_inputs()
    seen = {}
    for name in ("holistic", "residual", "scale"):
        network.get_submodule(name).register_forward_hook(lambda m, i, o, name=name: seen.update({name: o}))
    with torch.no_grad():
        network.fusion.logit.fill_(1.3)
        found = network(*given_).voxels
    share = torch.tensor(1.3).sigmoid()
    expected = seen["scale"] * (share * seen["holistic"] + (1 - share) * seen["residual"])
    torch.testing.assert_close(found, expected)
    assert ((seen["scale"] > 0.5) & (seen["scale"] < 1.5)).all()
    assert seen["scale"].std() > 0


def test_the_contrast_ties_images_to_their_own_responses():
    network, targets = stage1(), coarse_inputs()[1]
    coarse = network(*inputs())
    terms = network.loss(coarse, targets)
    assert set(terms) == {"mse", "pearson", "contrast"}
    shuffled = network.loss(replace(coarse, feature=coarse.feature.roll(1, 0)), targets)
    assert shuffled["contrast"] != terms["contrast"]
    assert shuffled["mse"] == terms["mse"]
    nothing = stage1(replace(SMALL, contrastive_weight=0.0))
    assert nothing.loss(coarse, targets)["contrast"] == 0
    by_cluster = stage1(replace(SMALL, pearson_axis="cluster"))
    expected = [np.corrcoef(a, b)[0, 1] for a, b in zip(coarse.clusters.detach().T, targets.T)]
    assert by_cluster.loss(coarse, targets)["pearson"].item() == pytest.approx(
        0.5 * (1 - np.mean(expected)), abs=1e-5
    )


def test_the_residual_decoder_begins_at_the_coarse_response_less_its_bias():
    network, (vector, responses) = stage2(), coarse_inputs()
    with torch.no_grad():
        network.residual.maps[0].zero_()
        tokens = torch.zeros(4, CLUSTERS.count, 16)
        found = network.residual(tokens, responses, 0)
    torch.testing.assert_close(found, responses[:, CLUSTERS.label] - 0.5)
    assert vector.shape == (4, 20)


def test_the_latent_is_its_mean_unless_noise_is_given():
    network, given_ = stage2(), coarse_inputs()
    fine = network(*given_)
    zero = network(*given_, noise=torch.zeros(4, 6))
    torch.testing.assert_close(zero.voxels, fine.voxels)
    drawn = network(*given_, noise=torch.ones(4, 6))
    assert (drawn.voxels - fine.voxels).abs().max() > 1e-4
    torch.testing.assert_close(drawn.mean, fine.mean)


def test_the_visual_token_reaches_every_cluster_and_the_order_matters():
    network, (vector, responses) = stage2(), coarse_inputs()
    tokens = []
    network.residual.register_forward_hook(lambda m, i, o: tokens.append(i[0]))
    with torch.no_grad():
        network(vector, responses)
        network(vector + 1, responses)
        late = responses.clone()
        late[:, -1] += 1
        network.latent.inject.weight.zero_()
        network(vector, responses)
        network(vector, late)
    assert ((tokens[1] - tokens[0]).abs().amax(dim=(0, 2)) > 1e-5).all()
    changed = (tokens[3] - tokens[2]).abs().amax(dim=(0, 2))
    assert (changed[:-1] == 0).all()
    assert changed[-1] > 1e-5


def test_interventions_reroute_the_streams_on_the_same_weights():
    network, (cls, patches) = stage1(), inputs()
    with torch.no_grad():
        answers = {
            name: network(cls, patches, intervention=name)
            for name in ("both", "where", "what", "swap", "shuffled")
        }
        h_local = network.local_branch(patches)
        only_local = network.local_branch.predict(h_local, 0) + network.bias[0]
        only_global = network.global_branch.heads[0](network.global_branch(cls)) + network.bias[0]
        swapped = network(patches.mean(dim=1), cls[:, None].expand(-1, 9, -1))
    torch.testing.assert_close(answers["where"].clusters, only_local)
    torch.testing.assert_close(answers["where"].feature, h_local)
    torch.testing.assert_close(answers["what"].clusters, only_global)
    torch.testing.assert_close(answers["swap"].clusters, swapped.clusters)
    assert answers["both"].gate.shape == (4, 2, 1)
    torch.testing.assert_close(answers["both"].gate.sum(dim=1), torch.ones(4, 1))
    values = [answer.clusters for answer in answers.values()]
    for k, one in enumerate(values):
        assert all((one - other).abs().max() > 1e-5 for other in values[k + 1 :])
    unequal = Stage1(SMALL, cls_dim=7, patch_dim=10, patches=9, biases=[torch.zeros(5)])
    with pytest.raises(ConfigError, match="CLS and patches of one width; the backbone has 7 and 10"):
        unequal(torch.zeros(1, 7), patches[:1], intervention="swap")


@pytest.mark.parametrize(
    ("given_", "message"),
    [
        ({"topk": 0.0}, "encoder.topk is 0.0; expected a share above 0, at most 1"),
        ({"validation": 0.9}, "at most 0.5"),
        ({"width": 100}, "must be a multiple of head_width"),
        ({"queries": 0}, "encoder.queries is 0; it must be at least 1"),
        ({"stage1_batch": 1}, "the contrast needs other images"),
        ({"intervention": "swap", "stage1_arch": "transformer"}, "needs two streams"),
        ({"latent_samples": True, "stage2_refiner": "dual"}, "needs the variational latent"),
        ({"stage1_arch": "transformer", "attention_heads": 7}, "multiple of attention_heads"),
    ],
)
def test_impossible_parameters_are_refused(given_, message):
    with pytest.raises(ConfigError, match=message):
        ChasmParams(**given_)
