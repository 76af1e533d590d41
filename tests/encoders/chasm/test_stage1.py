"""CHASMBrain's first stage: what learns, what each part does, interventions."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from small_chasm import CLUSTERS, SMALL, coarse_inputs, gradients, removed

from harness.api import ConfigError
from harness.encoders.chasm.stage1 import Stage1


def stage1(params=SMALL, *, seed=0, subjects=1) -> Stage1:
    torch.manual_seed(seed)
    biases = [torch.linspace(0.2, 0.8, CLUSTERS.count)] * subjects
    return Stage1(params, cls_dim=10, patch_dim=10, patches=9, biases=biases).eval()


def inputs(n=4, seed=1):
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(n, 10, generator=generator), torch.randn(n, 9, 10, generator=generator)


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


@pytest.mark.parametrize("part", ["global_branch", "local_branch", "gate", "bias"])
def test_removing_a_part_of_stage_one_changes_its_answer(part):
    network, (cls, patches) = stage1(), inputs()
    before = network(cls, patches).clusters
    removed(network, part)
    assert (network(cls, patches).clusters - before).abs().max() > 1e-4


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
    for k, clusters in enumerate(values):
        assert all((clusters - other).abs().max() > 1e-5 for other in values[k + 1 :])
    unequal = Stage1(SMALL, cls_dim=7, patch_dim=10, patches=9, biases=[torch.zeros(5)])
    with pytest.raises(ConfigError, match="CLS and patches of one width; the backbone has 7 and 10"):
        unequal(torch.zeros(1, 7), patches[:1], intervention="swap")
