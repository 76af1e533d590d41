"""NeuroFlow's forward direction as a plugin."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from harness.api import ConfigError, VoxelSpace
from harness.nn.flow_vae import MULTIPLES, NeuroVAE, point, travel
from harness.nn.sit import SiT

from ..common.network import Batch, FittedSubject, SeparateEncoder, Stage
from ..common.params import Training


class NeuroFlowEncoder(SeparateEncoder):
    """Image tokens, at time 0 of a flow -> latent tokens of a response, at time 1 -> voxels."""

    name = "neuroflow"
    axes: ClassVar[Mapping[str, int]] = {"tokens": 3}

    @dataclass(frozen=True, kw_only=True)
    class Params(Training):
        """Sizes and training of both networks; the defaults are the published ones.

        layer : image tokens, whose shape the latent has; their number must be a multiple of 4.
        inner, blocks : of the autoencoder.  kl, contrast, cycle : weights of its loss beside a squared error
        summed over voxels.  vae_epochs, vae_rate, vae_decay, vae_batch : of its training.
        depth, heads, ema : of the flow.  steps : of the way from one end to the other.
        """

        backbone: str = "dinov2"
        layer: str = "patches"
        inner: int = 1024
        blocks: int = 2
        kl: float = 0.001
        contrast: float = 1000.0
        cycle: float = 1000.0
        vae_epochs: int = 30
        vae_rate: float = 1e-4
        vae_decay: float = 0.05
        vae_batch: int = 64
        depth: int = 12
        heads: int = 12
        ema: float = 0.9999
        steps: int = 20
        epochs: int = 45
        batch: int = 24
        rate: float = 1e-4
        clip: float = 1.0

    def layers(self) -> Mapping[str, tuple[str, str]]:
        """The image tokens."""
        return {"tokens": (self.params.backbone, self.params.layer)}

    def network(self, shapes: Mapping[str, tuple[int, ...]], subjects: Sequence[FittedSubject]) -> nn.Module:
        """``vae`` and ``flow``."""
        p, (tokens, width) = self.params, shapes["tokens"]
        channels, rest = divmod(tokens, MULTIPLES[-1])
        if rest or width % p.heads:
            raise ConfigError(
                f"encoder.layer {p.layer} has {tokens} tokens of {width}; expected a number of tokens that "
                f"{MULTIPLES[-1]} divides and a width that encoder.heads={p.heads} divides"
            )
        network = nn.Module()
        network.vae = NeuroVAE(
            subjects[0].voxels, channels=channels, inner=p.inner, token_dim=width, blocks=p.blocks
        )
        network.flow = SiT(tokens=tokens, width=width, depth=p.depth, heads=p.heads)
        return network

    def stages(self, network: nn.Module, subjects: Sequence[FittedSubject]) -> Sequence[Stage]:
        """Autoencoder; then the flow to samples of its latent of the same trial."""
        p, vae = self.params, network.vae
        weights = {"reconstruction": 1.0, "kl": p.kl, "contrast": p.contrast, "cycle": p.cycle}

        def autoencoder(batch: Batch) -> Mapping[str, Tensor]:
            terms = vae.terms(batch.voxels[:, None], batch.images["tokens"], sample=batch.training)
            return {name: weights[name] * value for name, value in terms.items()}

        def flow(batch: Batch) -> Mapping[str, Tensor]:
            image, count = batch.images["tokens"], len(batch.voxels)
            with torch.no_grad():
                latent, log_variance, _ = vae.encode(batch.voxels[:, None])
            time = (torch.arange(count, device=image.device) + 0.5) / count
            if batch.training:
                latent = latent + torch.exp(0.5 * log_variance) * torch.randn_like(latent)
                time = torch.rand(count, device=image.device)
            place, velocity = point(image, latent, time)
            return {"mse": F.mse_loss(network.flow(place, time), velocity)}

        first = {"decay": p.vae_decay, "keep": "last"}
        second = {"decay": p.decay, "clip": p.clip, "ema": p.ema, "keep": "average", "patience": p.patience}
        return [
            Stage("vae", vae, autoencoder, p.vae_epochs, p.vae_batch, p.vae_rate, **first),
            Stage("flow", network.flow, flow, p.epochs, p.batch, p.rate, **second),
        ]

    def respond(self, model: Any, images: Mapping[str, Tensor], subject: int, seeds: np.ndarray) -> Tensor:
        """The flow from 0 to 1, and the decoder; nothing is drawn."""
        latent = travel(model.network.flow, images["tokens"], steps=self.params.steps)
        return model.network.vae.generate(latent)[:, 0]

    def image_tokens(self, responses: np.ndarray, *, space: VoxelSpace) -> np.ndarray:
        """Image tokens (N, tokens, width) of responses (N, V) of `space`: the same flow, from 1 to 0."""
        model, number = self._find(space)
        voxels = model.subjects[number].scale.standardised(np.asarray(responses)[:, space.valid])
        with torch.inference_mode():
            latent, _, _ = model.network.vae.encode(voxels.float()[:, None].to(self._device))
            tokens = travel(model.network.flow, latent, steps=self.params.steps, backward=True)
        return tokens.cpu().numpy()
