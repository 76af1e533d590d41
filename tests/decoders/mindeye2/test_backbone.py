"""MindEye2's backbone: what is inert, what is affine, what it refuses."""

from __future__ import annotations

import pytest
import torch

from harness.api import ConfigError
from harness.decoders.mindeye2 import backbone, model
from harness.nn import diffusion_prior as prior

TINY = backbone.BackboneSettings(
    hidden=24,
    blocks=2,
    token_dim=8,
    tokens=6,
    side=2,
    map_channels=16,
    decoder_channels=(8, 16, 16),
    norm_groups=8,
    auxiliary_dim=12,
)


def network(**changes):
    from dataclasses import replace

    torch.manual_seed(0)
    built = backbone.BrainNetwork(replace(TINY, **changes)).eval()
    for block in built.mixer_blocks2:
        torch.nn.init.normal_(block[0].bias)
    return built


@torch.no_grad()
def test_skipping_the_inert_halves_changes_nothing():
    net = network()
    x = torch.randn(5, 1, 24)
    fast = net.mix(x)
    net.skip_inert = False
    torch.testing.assert_close(net.mix(x), fast, rtol=0, atol=0)
    # LayerNorm over one token is its bias, so each block adds one number.
    shift = sum(block[1](block[0].bias) for block in net.mixer_blocks2)
    torch.testing.assert_close(fast, x + shift, rtol=0, atol=1e-6)
    assert shift.abs() > 1e-3


@torch.no_grad()
def test_over_several_tokens_the_mixer_is_not_inert():
    net = network(sequence=3)
    x = torch.randn(5, 3, 24)
    before = net.mix(x)
    net.mixer_blocks1[0][1][0].weight.zero_()
    assert (net.mix(x) - before).abs().max() > 1e-3


@torch.no_grad()
def test_tokens_are_affine_in_voxels_and_retrieval_is_not():
    net, ridge = network(), backbone.RidgeLayers([11, 7], 24)
    a, b = torch.randn(2, 4, 7)
    outputs = [net(ridge(x, subject=1)) for x in (a, b, 0.3 * a + 0.7 * b)]
    torch.testing.assert_close(0.3 * outputs[0].tokens + 0.7 * outputs[1].tokens, outputs[2].tokens)
    mixed = 0.3 * outputs[0].retrieval + 0.7 * outputs[1].retrieval
    assert (mixed - outputs[2].retrieval).abs().max() > 1e-3


def test_shapes_of_all_heads_and_gradients():
    net = network().train()
    output = net(torch.randn(3, 1, 24))
    assert output.tokens.shape == output.retrieval.shape == (3, 6, 8)
    assert output.latents.shape == (3, 4, 8, 8)
    assert output.auxiliary.shape == (3, 4, 12)
    sum(part.pow(2).sum() for part in output).backward()
    silent = {n for n, p in net.named_parameters() if p.grad is None or not p.grad.abs().sum()}
    inert = {n for n, _ in net.named_parameters() if n.startswith("mixer_blocks1.")}
    assert silent >= inert
    # LayerNorm gains over one entry multiply zero; nothing else is silent.
    assert {n for n in silent - inert if not n.startswith("mixer_blocks2.")} == set()


@torch.no_grad()
def test_repeats_are_averaged_in_the_outputs():
    net = network()
    trials = torch.randn(5, 1, 24)
    index = torch.tensor([1, 0, 1, 1, 2])
    whole = net(trials)
    mean = model.mean_over_repeats(whole, index, 3)
    for part, averaged in zip(whole, mean):
        torch.testing.assert_close(averaged[0], part[1])
        torch.testing.assert_close(averaged[1], part[[0, 2, 3]].mean(0))
    pairs = torch.tensor([1, 0, 2, 1, 1])  # no image has two trials: nothing to keep
    torch.testing.assert_close(
        model.mean_over_repeats(whole, pairs, 3, faithful=True), model.mean_over_repeats(whole, pairs, 3)
    )
    pairs = torch.tensor([1, 0, 1, 0, 2])
    public = model.mean_over_repeats(whole, pairs, 3, faithful=True).tokens
    torch.testing.assert_close(public[1], (2 * whole.tokens[0] + whole.tokens[2]) / 3)
    torch.testing.assert_close(public[2], whole.tokens[4])
    flat = model.mean_over_repeats(network(low_level=False)(trials), index, 3)
    assert flat.latents is None


def test_impossible_sizes_are_refused():
    with pytest.raises(ConfigError, match="hidden is 0"):
        backbone.BackboneSettings(hidden=0)
    with pytest.raises(ConfigError, match="not a multiple of norm_groups 32"):
        backbone.BackboneSettings(decoder_channels=(16, 32))
    with pytest.raises(ConfigError, match="backbone has tokens 6, prior 256"):
        model.ModelSettings(TINY, prior.PriorSettings(token_dim=8))
