"""Captions become image tokens: each by itself, by all of its words and their order."""

from __future__ import annotations

import pytest
import torch

from harness.backbones.tiny.networks.bigg import BigG
from harness.decoders.latent_diffusion.tiny.words import DIM, TOKENS, CaptionTokens, text_states

CAPTIONS = ["a red circle above a blue square", "a blue square above a red circle", "a tree"]


@pytest.fixture(scope="module")
def states() -> torch.Tensor:
    torch.manual_seed(0)
    with torch.no_grad():
        return text_states(BigG().eval(), CAPTIONS)


@pytest.fixture(scope="module")
def network() -> CaptionTokens:
    torch.manual_seed(1)
    return CaptionTokens().eval()


def test_captions_are_read_one_by_one(states, network):
    with torch.no_grad():
        tokens = network(states)
        alone = torch.cat([network(state[None]) for state in states])
    assert tokens.shape == (3, TOKENS, DIM)
    torch.testing.assert_close(tokens, alone, atol=1e-5, rtol=1e-5)


def test_the_order_of_words_counts(states, network):
    with torch.no_grad():
        tokens = network(states)
    assert (tokens[0] - tokens[1]).abs().max() > 1e-4


def test_every_position_is_heard(states, network):
    states = states.clone().requires_grad_()
    network(states).square().sum().backward()
    assert (states.grad.abs().sum(dim=2) > 0).all()
