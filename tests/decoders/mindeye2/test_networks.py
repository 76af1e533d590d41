"""MindEye2's backbone and prior: what is inert, what is affine, what the layers compute."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from harness.api import ConfigError
from harness.decoders.mindeye2 import backbone, model, prior, prior_layers

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
    torch.testing.assert_close(fast, x + backbone.mixer_shift(net), rtol=0, atol=1e-6)
    assert backbone.mixer_shift(net).abs() > 1e-3


@torch.no_grad()
def test_over_several_tokens_the_mixer_is_not_inert():
    net = network(sequence=3)
    x = torch.randn(5, 3, 24)
    before = net.mix(x)
    net.mixer_blocks1[0][1][0].weight.zero_()
    assert (net.mix(x) - before).abs().max() > 1e-3
    with pytest.raises(ConfigError, match="no constant shift"):
        backbone.mixer_shift(net)


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


def test_norm_is_layer_norm_without_bias_and_its_epsilon_depends_on_precision():
    x = torch.randn(4, 10) * 0.01
    ours = prior_layers.GainNorm(10)
    torch.nn.init.normal_(ours.g)
    reference = torch.nn.functional.layer_norm(x, (10,), ours.g, eps=1e-5)
    torch.testing.assert_close(ours(x), reference)
    half = torch.nn.functional.layer_norm(x, (10,), ours.g, eps=1e-3)
    torch.testing.assert_close(ours(x.bfloat16()).float(), half, rtol=0.05, atol=0.02)
    scaled = torch.randn(4, 10).abs() * 1e-4
    stable = prior_layers.GainNorm(10, stable=True)
    torch.testing.assert_close(stable(scaled), stable(scaled * 1e5), rtol=1e-4, atol=1e-4)


@settings(max_examples=15, deadline=None)
@given(size=st.sampled_from([2, 8, 32]), extra=st.integers(0, 20), seed=st.integers(0, 99))
def test_rotation_equals_complex_multiplication(size, extra, seed):
    rng = np.random.default_rng(seed)
    x = rng.standard_normal((3, 7, size + extra)).astype(np.float32)
    ours = prior_layers.RotaryEmbedding(size).rotate(torch.from_numpy(x)).numpy()
    angle = np.arange(7)[:, None] * 1e4 ** -(np.arange(0, size, 2) / size)
    turned = (x[..., 0:size:2] + 1j * x[..., 1:size:2]) * np.exp(1j * angle)
    np.testing.assert_allclose(ours[..., 0:size:2], turned.real, atol=1e-5)
    np.testing.assert_allclose(ours[..., 1:size:2], turned.imag, atol=1e-5)
    np.testing.assert_array_equal(ours[..., size:], x[..., size:])


def test_position_bias_equals_t5():
    t5 = pytest.importorskip("transformers.models.t5.modeling_t5")
    ours = prior_layers.RelativePositionBias(3)
    offsets = torch.arange(300)[None] - torch.arange(299)[:, None]
    bucket = t5.T5Attention._relative_position_bucket(
        offsets, bidirectional=False, num_buckets=32, max_distance=128
    )
    expected = ours.relative_attention_bias.weight[bucket].permute(2, 0, 1)
    torch.testing.assert_close(ours(299, 300), expected, rtol=0, atol=0)


SMALL = prior.PriorSettings(token_dim=16, tokens=5, depth=2, heads=2, head_size=8)


def small_prior(**changes):
    from dataclasses import replace

    torch.manual_seed(1)
    return prior.BrainDiffusionPrior(prior.PriorNetwork(replace(SMALL, **changes))).eval()


def test_attention_sees_all_tokens():
    """No causal mask: the last noisy token reaches the first predicted one."""
    net = small_prior().net
    noisy = torch.randn(1, 5, 16, requires_grad=True)
    net(noisy, torch.tensor([7]), condition=torch.randn(1, 5, 16))[0, 0].pow(2).sum().backward()
    assert (noisy.grad.abs().sum(-1) > 0).all()


@torch.no_grad()
@pytest.mark.parametrize("query", ["pos_emb", "all_pos_emb", "token", "none"])
def test_dropped_tokens_are_replaced_by_learned_ones(query):
    net = small_prior(query=query).net
    a, b, c, d = torch.randn(4, 3, 5, 16)
    time, every = torch.tensor([0, 50, 99]), torch.ones(3, dtype=torch.bool)
    one = net(a, time, condition=b, drop_condition=every, drop_image=every)
    other = net(c, time, condition=d, drop_condition=every, drop_image=every)
    torch.testing.assert_close(one, other, rtol=0, atol=0)
    expected = net(
        net.null_image_embed.expand(3, -1, -1), time, condition=net.null_brain_embeds.expand(3, -1, -1)
    )
    torch.testing.assert_close(one, expected, rtol=0, atol=0)
    some = torch.tensor([True, False, False])
    partly = net(a, time, condition=b, drop_condition=some)
    torch.testing.assert_close(partly[1:], net(a, time, condition=b)[1:], rtol=0, atol=0)
    assert (partly[0] - net(a, time, condition=b)[0]).abs().max() > 1e-4


@torch.no_grad()
def test_guidance_extrapolates_from_the_null_prediction():
    net = small_prior().net
    a, b = torch.randn(2, 3, 5, 16)
    time, every = torch.tensor([3, 4, 5]), torch.ones(3, dtype=torch.bool)
    plain, null = net(a, time, condition=b), net(a, time, condition=b, drop_condition=every, drop_image=every)
    torch.testing.assert_close(net.guided(a, time, condition=b, scale=3.0), null + 3 * (plain - null))
    torch.testing.assert_close(net.guided(a, time, condition=b, scale=1.0), plain, rtol=0, atol=0)


def test_the_schedule_is_the_cosine_one():
    s = prior.NoiseSchedule(100)
    level = lambda t: math.cos((t / 100 + 0.008) / 1.008 * math.pi / 2) ** 2  # noqa: E731
    kept = 1.0
    for t in range(100):
        kept *= 1 - min(1 - level(t + 1) / level(t), 0.999)
        assert s.alphas_cumprod[t].item() == pytest.approx(kept, rel=1e-5)
    noisy = s.add_noise(torch.ones(1, 2, 2), torch.tensor([99]), torch.full((1, 2, 2), 2.0))
    torch.testing.assert_close(noisy, torch.full((1, 2, 2), 2.0), rtol=0.05, atol=0.01)


def test_twenty_steps_are_nineteen_calls():
    times = prior.ddim_times(20, total=100)
    assert times == [*range(94, 3, -5), -1]
    whole, calls = small_prior(), []
    whole.net.guided = lambda x, t, **more: calls.append(int(t[0])) or torch.zeros_like(x)
    draws = []
    noise = lambda: draws.append(1) or torch.zeros(2, 5, 16)  # noqa: E731
    whole.sample(torch.zeros(2, 5, 16), noise=noise)
    assert calls == times[:-1]
    assert len(calls) == 19
    assert len(draws) == 19  # the start and 18 fresh draws; the last call returns the clean tokens
    calls.clear()
    whole.sample(torch.zeros(2, 5, 16), noise=noise, steps=100)
    assert calls == list(range(99, -1, -1))
    with pytest.raises(ConfigError, match="steps is 101; expected 2 to 100"):
        whole.sample(torch.zeros(2, 5, 16), noise=noise, steps=101)


def test_the_loss_is_the_plain_error_of_the_clean_tokens():
    whole = small_prior()
    torch.manual_seed(3)
    loss, predicted = whole.loss(clean := torch.randn(4, 5, 16), torch.randn(4, 5, 16))
    assert loss.item() == pytest.approx(((predicted - clean) ** 2).mean().item(), rel=1e-5)
    loss.backward()
    assert all(p.grad is not None for p in whole.net.parameters())


@settings(max_examples=15, deadline=None)
@given(steps=st.integers(2, 100))
def test_any_number_of_steps_ends_in_finite_tokens(steps):
    whole = small_prior()
    with torch.no_grad():
        tokens = whole.sample(torch.zeros(1, 5, 16), noise=lambda: torch.randn(1, 5, 16), steps=steps)
    assert torch.isfinite(tokens).all()


@torch.no_grad()
def test_a_perfect_network_is_sampled_exactly():
    """If the network always predicts the truth, sampling ends there whatever the noise."""
    whole, truth = small_prior(), torch.randn(2, 5, 16)
    whole.net.guided = lambda x, t, **more: truth
    for steps in (20, 100):
        noise = lambda: torch.randn(2, 5, 16)  # noqa: E731
        torch.testing.assert_close(whole.sample(truth, noise=noise, steps=steps), truth, atol=1e-4, rtol=0)
