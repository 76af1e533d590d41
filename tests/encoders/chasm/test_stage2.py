"""CHASMBrain's second stage: what learns, what each part does, the blend."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from small_chasm import CLUSTERS, SMALL, coarse_inputs, gradients, removed

from harness.encoders.chasm.describe import parameter_table
from harness.encoders.chasm.stage2 import Stage2


def stage2(params=SMALL, *, seed=0) -> Stage2:
    torch.manual_seed(seed)
    return Stage2(params, visual=20, clusters=[CLUSTERS], biases=[torch.full((CLUSTERS.count,), 0.5)]).eval()


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
        voxels = network(*given_).voxels
    share = torch.tensor(1.3).sigmoid()
    expected = seen["scale"] * (share * seen["holistic"] + (1 - share) * seen["residual"])
    torch.testing.assert_close(voxels, expected)
    assert ((seen["scale"] > 0.5) & (seen["scale"] < 1.5)).all()
    assert seen["scale"].std() > 0


def test_the_residual_decoder_begins_at_the_coarse_response_less_its_bias():
    network, (vector, responses) = stage2(), coarse_inputs()
    with torch.no_grad():
        network.residual.maps[0].zero_()
        tokens = torch.zeros(4, CLUSTERS.count, 16)
        residual = network.residual(tokens, responses, 0)
    torch.testing.assert_close(residual, responses[:, CLUSTERS.label] - 0.5)
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


@pytest.mark.parametrize("ablation", ["visual", "latent", "holistic", "residual"])
def test_an_ablated_part_answers_for_another_image(ablation):
    network, (vector, responses) = stage2(), coarse_inputs()
    whole = network(vector, responses).voxels
    assert (network(vector, responses, ablation=ablation).voxels - whole).abs().max() > 1e-7
    same = [value[:1].expand_as(value) for value in (vector, responses)]  # all images are one
    torch.testing.assert_close(network(*same, ablation=ablation).voxels, network(*same).voxels)


def _reach(**changes) -> torch.Tensor:
    """(L,) how strongly the holistic decoder's answer depends on each token at the start."""
    network = stage2(replace(SMALL, **changes)).holistic
    tokens = torch.randn(4, 60, 16, generator=torch.Generator().manual_seed(1)).requires_grad_()
    network(tokens, 0).square().sum().backward()
    return tokens.grad.square().sum(dim=(0, 2)).sqrt()


def test_appended_queries_read_the_end_and_spread_ones_and_attention_read_all():
    """The defect of the published reading, and what of the alternatives mends it."""
    first = slice(0, 20)
    shares = {
        read: (reach := _reach(holistic_read=read, holistic_scan=scan))[first].sum() / reach.sum()
        for read, scan in (("appended", "causal"), ("spread", "bidirectional"), ("attention", "causal"))
    }
    assert shares["appended"] < shares["spread"] / 2
    assert 0.1 < shares["spread"] < 0.6
    assert 0.1 < shares["attention"] < 0.6


@pytest.mark.parametrize("length", [1, 5, 60])
def test_spread_queries_keep_the_tokens_in_order(length):
    network = stage2(replace(SMALL, holistic_read="spread")).holistic
    count = network.queries.shape[1]
    order, places = network._order(length, torch.device("cpu"))
    assert sorted(order.tolist()) == list(range(length + count))
    assert order[places].tolist() == list(range(length, length + count))
    assert [k for k in order.tolist() if k < length] == list(range(length))
    assert order[-1] == length + count - 1  # the last has all before it
