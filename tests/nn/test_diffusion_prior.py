"""MindEye2's prior: guidance, schedule, steps, loss."""

from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from harness.api import ConfigError
from harness.nn import diffusion_prior as prior

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
    dropped = net(a, time, condition=b, drop_condition=every, drop_image=every)
    other = net(c, time, condition=d, drop_condition=every, drop_image=every)
    torch.testing.assert_close(dropped, other, rtol=0, atol=0)
    expected = net(
        net.null_image_embed.expand(3, -1, -1), time, condition=net.null_brain_embeds.expand(3, -1, -1)
    )
    torch.testing.assert_close(dropped, expected, rtol=0, atol=0)
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
