"""BraInCoRL's network in training: what its dropout drops, which vectors of a network at rest cannot show."""

from __future__ import annotations

import torch

from harness.encoders.braincorl.network import HyperWeights, Layer


def test_dropout_of_a_layer_spares_the_feed_forward():
    layer = Layer(8, 2, 16, dropout=1.0).train()
    x = torch.randn(3, 5, 8, generator=torch.Generator().manual_seed(0))
    assert torch.equal(layer(x), x + layer.ffn(layer.layer_norm_2(x)))


def test_dropout_takes_tokens_before_the_first_layer():
    network = HyperWeights(4, width=8, layers=1, heads=2, inner=16, mlp_inner=8, dropout=1.0)
    tokens = []
    network.transformer.register_forward_pre_hook(lambda module, given: tokens.append(given[0]))
    draw = torch.Generator().manual_seed(0)
    images, responses = torch.randn(2, 6, 4, generator=draw), torch.randn(2, 6, generator=draw)
    for training in (True, False):
        network.train(training)(images, responses)
    dropped, all_there = tokens
    assert dropped.shape == (2, 4 + 6, 8)
    assert not dropped.any()
    assert all_there.all()
