"""MindEye2's mixing and losses against plain formulas, and the public code's slips."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from harness.api import DataError
from harness.decoders.mindeye2 import losses, mixing
from harness.nn import contrast


def softmax(x):
    e = np.exp(x - x.max(-1, keepdims=True))
    return e / e.sum(-1, keepdims=True)


def cross_entropies(similarity, shares):
    """Mean over rows of -sum share log softmax, in float64 loops."""
    return -np.mean([sum(s * math.log(p) for s, p in zip(*row)) for row in zip(shares, softmax(similarity))])


def rows(seed, n=5, size=7):
    x = np.random.default_rng(seed).standard_normal((n, size))
    return x / np.linalg.norm(x, axis=1, keepdims=True)


def tensor(x):
    return torch.from_numpy(np.asarray(x, np.float32))


def mixture_of(partner, weight, mixed):
    return mixing.Mixture(torch.tensor(partner), torch.tensor(weight), torch.tensor(mixed))


PLAIN = mixture_of([2, 0, 1, 4, 3], [0.3, 1.0, 0.8, 1.0, 0.6], [True, False, True, False, True])


def test_mixing_blends_the_selected_samples_only():
    x = torch.randn(5, 4)
    mixed = mixing.mix(x, PLAIN)
    torch.testing.assert_close(mixed[0], 0.3 * x[0] + 0.7 * x[2])
    torch.testing.assert_close(mixed[2], 0.8 * x[2] + 0.2 * x[1])
    torch.testing.assert_close(mixed[[1, 3]], x[[1, 3]], rtol=0, atol=0)
    with pytest.raises(DataError, match="4 samples for a mixture of 5"):
        mixing.mix(x[:4], PLAIN)


@settings(max_examples=30, deadline=None)
@given(batch=st.integers(1, 40), seed=st.integers(0, 1000))
def test_mixing_linear_targets_equals_mixing_samples(batch, seed):
    """shares @ x is the mixed x: the targets say exactly what each sample is made of."""
    torch.manual_seed(seed)
    mixture = mixing.draw_mixture(batch)
    assert sorted(mixture.partner.tolist()) == list(range(batch))
    assert (mixture.weight[~mixture.mixed] == 1).all()
    x = torch.randn(batch, 6)
    shares = mixing.targets(mixture)
    torch.testing.assert_close(shares @ x, mixing.mix(x, mixture), atol=1e-5, rtol=1e-4)
    torch.testing.assert_close(shares.sum(1), torch.ones(batch))


def test_proportions_come_from_beta_and_half_are_mixed():
    torch.manual_seed(0)
    mixture = mixing.draw_mixture(20000)
    assert mixture.mixed.float().mean().item() == pytest.approx(0.5, abs=0.02)
    weight = mixture.weight[mixture.mixed]
    assert weight.mean().item() == pytest.approx(0.5, abs=0.02)
    # Beta(a, a) has variance 1 / (4 (2a + 1)).
    assert weight.var().item() == pytest.approx(1 / (4 * 1.3), abs=0.01)


def test_subjects_are_joined_with_an_offset_unless_faithful():
    a = mixture_of([1, 0], [0.4, 1.0], [True, False])
    b = mixture_of([1, 2, 0], [0.7, 0.9, 1.0], [True, True, False])
    whole = mixing.join([a, b])
    assert whole.partner.tolist() == [1, 0, 3, 4, 2]
    x = torch.randn(5, 3)
    apart = torch.cat([mixing.mix(x[:2], a), mixing.mix(x[2:], b)])
    torch.testing.assert_close(mixing.targets(whole) @ x, apart)
    public = mixing.join([a, b], faithful=True)
    assert public.partner.tolist() == [1, 0, 1, 2, 0]
    assert mixing.targets(public)[2, 1].item() == pytest.approx(0.3)  # an image of the first subject
    assert mixing.targets(whole)[2, :2].tolist() == [0, 0]


def test_a_sample_that_is_its_own_partner_keeps_its_target_unless_faithful():
    own = mixture_of([0, 1], [0.3, 1.0], [True, False])
    torch.testing.assert_close(mixing.targets(own), torch.eye(2))
    torch.testing.assert_close(
        mixing.targets(own, faithful=True), torch.tensor([[0.7, 0.0], [0.0, 0.0]]), atol=1e-6, rtol=0
    )


def test_bimixco_equals_the_formula():
    predicted, target = rows(0), rows(1)
    shares = np.zeros((5, 5))
    for i, (p, w) in enumerate(zip(PLAIN.partner.tolist(), PLAIN.weight.tolist())):
        shares[i, i] += w
        shares[i, p] += 1 - w
    similarity = predicted @ target.T / 0.006
    expected = (cross_entropies(similarity, shares) + cross_entropies(similarity.T, shares.T)) / 2
    ours = losses.bimixco_loss(tensor(predicted), tensor(target), PLAIN)
    assert ours.item() == pytest.approx(expected, rel=1e-4)
    same = losses.bimixco_loss(tensor(predicted), tensor(target), PLAIN, faithful=True)
    assert same.item() == pytest.approx(expected, rel=1e-4)  # no fixed point: the slip has no effect


@settings(max_examples=20, deadline=None)
@given(seed=st.integers(0, 99), temperature=st.floats(0.004, 0.2))
def test_soft_clip_equals_the_formula(seed, temperature):
    predicted, target = rows(seed), rows(seed + 1000)
    shares = softmax(target @ target.T / temperature)
    similarity = predicted @ target.T / temperature
    expected = (cross_entropies(similarity, shares) + cross_entropies(similarity.T, shares)) / 2
    ours = contrast.soft_clip_loss(tensor(predicted), tensor(target), temperature=temperature)
    assert ours.item() == pytest.approx(expected, rel=1e-3)


def test_soft_contrastive_equals_the_formula_and_is_least_for_the_teacher():
    rng = np.random.default_rng(4)
    student, teacher, keys = rng.standard_normal((3, 2, 3, 6))
    unit = [
        x.reshape(6, 6) / np.linalg.norm(x.reshape(6, 6), axis=1, keepdims=True)
        for x in (student, teacher, keys)
    ]
    s, t, k = unit
    expected = cross_entropies(s @ k.T / 0.2, softmax(t @ k.T / 0.2))
    expected = (expected + cross_entropies(k @ s.T / 0.2, softmax(k @ t.T / 0.2))) / 2
    ours = losses.soft_contrastive_loss(tensor(student), tensor(teacher), tensor(keys))
    assert ours.item() == pytest.approx(expected, rel=1e-4)
    best = losses.soft_contrastive_loss(tensor(teacher), tensor(teacher), tensor(keys))
    assert best < ours


def test_terms_are_weighted_as_released():
    prior, retrieval = torch.tensor(2.0), torch.tensor(3.0)
    latents, truth = torch.zeros(1, 4, 2, 2), torch.full((1, 4, 2, 2), 0.5)
    low = losses.low_level_loss(latents, truth, contrast=torch.tensor(7.0))
    assert low.item() == pytest.approx(0.5 + 0.1 * 7)
    assert losses.low_level_loss(latents, truth).item() == pytest.approx(0.5)
    assert losses.total_loss(prior, retrieval, low).item() == pytest.approx(30 * 2 + 3 + 0.5 * 1.2)
    assert losses.total_loss(prior, retrieval).item() == pytest.approx(63)
    weights = losses.LossWeights(prior=1, retrieval=0.033, low_level=0.016)
    ratio = losses.total_loss(prior, retrieval, low) / losses.total_loss(
        prior, retrieval, low, weights=weights
    )
    assert ratio.item() == pytest.approx(30, rel=1e-3)  # the paper's numbers are the code's over 30


def test_all_tokens_of_a_sample_make_one_unit_vector():
    flat = contrast.unit_rows(torch.randn(3, 4, 5))
    assert flat.shape == (3, 20)
    torch.testing.assert_close(flat.norm(dim=1), torch.ones(3))
