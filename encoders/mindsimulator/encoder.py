"""MindSimulator as a plugin."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from ..common.network import Batch, FittedSubject, SeparateEncoder, Stage
from ..common.tokens import TokenEncoder, TokenTraining

if TYPE_CHECKING:
    from torch import Tensor, nn

SCALE = 300.0
"""Of the estimator's loss before its gradients are clipped."""


class MindSimulatorEncoder(TokenEncoder, SeparateEncoder):
    """Image tokens -> samples of a response's latent by diffusion -> voxels, averaged over trials."""

    name = "mindsimulator"
    stochastic = True

    @dataclass(frozen=True, kw_only=True)
    class Params(TokenTraining):
        """Sizes and training of both networks; the defaults are the published ones.

        width, blocks, dropout : of the autoencoder.  ae_epochs, ae_rate, ae_decay : of its training.
        depth, head_size, timesteps, drop : of the estimator; `drop` is the share of dropped conditions.
        trials : latents that one sample averages, after each was decoded.
        """

        width: int = 256
        blocks: int = 2
        dropout: float = 0.15
        ae_epochs: int = 300
        ae_rate: float = 3e-4
        ae_decay: float = 0.01
        depth: int = 6
        head_size: int = 48
        timesteps: int = 100
        drop: float = 0.2
        trials: int = 5
        epochs: int = 150
        batch: int = 32
        rate: float = 3e-4
        decay: float = 0.01
        clip: float = 2.0

    def network(self, shapes: Mapping[str, tuple[int, ...]], subjects: Sequence[FittedSubject]) -> nn.Module:
        """``autoencoder`` and ``estimator``."""
        from torch import nn

        from harness.nn.diffusion_prior import BrainDiffusionPrior, PriorNetwork, PriorSettings

        from .network import VoxelAutoEncoder, heads_of

        p, (tokens, width) = self.params, shapes["tokens"]
        network = nn.Module()
        network.autoencoder = VoxelAutoEncoder(
            subjects[0].voxels,
            width=p.width,
            blocks=p.blocks,
            dropout=p.dropout,
            tokens=tokens,
            token_dim=width,
        )
        settings = PriorSettings(
            token_dim=width,
            tokens=tokens,
            depth=p.depth,
            heads=heads_of(width),
            head_size=p.head_size,
            timesteps=p.timesteps,
        )
        network.estimator = BrainDiffusionPrior(PriorNetwork(settings))
        return network

    def stages(self, network: nn.Module, subjects: Sequence[FittedSubject]) -> Sequence[Stage]:
        """Autoencoder; then the estimator of its latent of the same trial."""
        import torch

        from .network import temperatures

        p, autoencoder, estimator = self.params, network.autoencoder, network.estimator
        schedule = temperatures(p.ae_epochs)

        def reconstruction(batch: Batch) -> Mapping[str, Tensor]:
            temperature = schedule[batch.epoch if batch.training else -1]
            return autoencoder.terms(batch.voxels, unit(batch.images["tokens"]), temperature=temperature)

        def estimation(batch: Batch) -> Mapping[str, Tensor]:
            condition = unit(batch.images["tokens"])
            with torch.no_grad():
                latent = autoencoder.voxel_encoder(batch.voxels)
            if batch.training:
                return {"mse": SCALE * estimator.loss(latent, condition, drop=p.drop)[0]}
            time = torch.arange(len(latent), device=latent.device) % p.timesteps
            still = torch.Generator().manual_seed(0)
            noise = torch.randn(latent.shape, generator=still).to(latent)
            noisy = estimator.noise_scheduler.add_noise(latent, time, noise)
            error = (estimator.net(noisy, time, condition=condition) - latent).square().mean()
            return {"mse": SCALE * error}

        first = {"decay": p.ae_decay, "schedule": "one-cycle"}
        return [
            Stage("autoencoder", autoencoder, reconstruction, p.ae_epochs, p.batch, p.ae_rate, **first),
            Stage.of(p, "estimator", estimator, estimation, schedule="one-cycle"),
        ]

    def respond(self, model: Any, images: Mapping[str, Tensor], subject: int, seeds: np.ndarray) -> Tensor:
        """The mean over trials of decoded samples, each image with noise of its own."""
        import torch

        condition = unit(images["tokens"])
        generators = [torch.Generator().manual_seed(int(seed) % 2**63) for seed in seeds]
        shape = condition.shape[1:]

        def noise() -> Tensor:
            return torch.stack([torch.randn(shape, generator=g) for g in generators]).to(condition)

        decode, total = model.network.autoencoder.voxel_decoder, 0
        for _ in range(self.params.trials):
            latent = model.network.estimator.sample(condition, noise=noise, steps=self.params.timesteps)
            total = total + decode(latent)
        return total / self.params.trials


def unit(tokens: Tensor) -> Tensor:
    """Tokens (B, N, D) over the length of their first, as the authors divide by the class token's."""
    return tokens / (tokens[:, :1].norm(dim=-1, keepdim=True) + 1e-6)
