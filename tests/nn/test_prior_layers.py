"""Layers of MindEye2's prior against plain formulas."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from harness.nn import prior_layers


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
@given(
    size=st.sampled_from([2, 8, 32]),
    extra=st.integers(0, 20),
    seed=st.integers(0, 99),
    training=st.booleans(),
)
def test_rotation_equals_complex_multiplication(size, extra, seed, training):
    rng = np.random.default_rng(seed)
    x = rng.standard_normal((3, 7, size + extra)).astype(np.float32)
    ours = prior_layers.RotaryEmbedding(size).train(training).rotate(torch.from_numpy(x)).numpy()
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
