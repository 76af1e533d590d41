"""CHASMBrain at toy size: its parameters, clusters, inputs and gradients."""

from __future__ import annotations

import torch
from torch import nn

from harness.encoders.chasm.clusters import Clusters, even_runs
from harness.encoders.chasm.params import ChasmParams

SMALL = ChasmParams(
    width=16,
    head_width=16,
    state=8,
    global_depth=1,
    local_depth=2,
    attention_heads=2,
    contrastive_width=8,
    refine_width=16,
    encoder_depth=1,
    decoder_depth=1,
    queries=3,
    readout_width=12,
    latent=6,
    diffusion_steps=5,
    dropout=0.0,
)
CLUSTERS = Clusters(even_runs(31, 6))


def gradients(module: nn.Module) -> dict[str, float]:
    return {n: 0.0 if p.grad is None else float(p.grad.abs().max()) for n, p in module.named_parameters()}


def coarse_inputs(n=4, seed=2):
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(n, 20, generator=generator), torch.randn(n, CLUSTERS.count, generator=generator)


def removed(network: nn.Module, part: str) -> None:
    """Silence one part: what it adds becomes zero, what it weighs becomes even."""
    with torch.no_grad():
        for parameter in network.get_submodule(part).parameters():
            parameter.zero_()
