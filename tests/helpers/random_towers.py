"""open_clip's towers with random weights."""

from __future__ import annotations

import torch

from harness.backbones import openclip


def random_tower(tower, *, seed=0):
    """`tower` with random weights, so large that every block changes the result."""
    generator = torch.Generator().manual_seed(seed)

    def drawn(value):
        mean = 1.0 if value.ndim == 1 else 0.0
        return mean + 0.4 * torch.randn(value.shape, generator=generator)

    return openclip.with_weights(tower, {name: drawn(value) for name, value in tower.state_dict().items()})
