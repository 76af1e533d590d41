"""NeuroFlow's forward direction as a plugin."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from harness.api import ConfigError, VoxelSpace
from harness.nn.conv1d import gaussian_draw
from harness.nn.flow_vae import MULTIPLES, NeuroVAE, point, travel
from harness.nn.sit import SiT

from ..common.network import Batch, FittedSubject, SeparateEncoder, Stage
from ..common.tokens import LatentTraining, TokenEncoder, autoencoder_stage


class NeuroFlowEncoder(TokenEncoder, SeparateEncoder):
    """Image tokens, at time 0 of a flow -> latent tokens of a response, at time 1 -> voxels."""

    name = "neuroflow"

    @dataclass(frozen=True, kw_only=True)
    class Params(LatentTraining):
        """Sizes and training of both networks; the defaults are the published ones.

        layer : image tokens, whose shape the latent has; their number must be a multiple of 4.
        inner, blocks : of the autoencoder.  kl, contrast, cycle : weights of its loss beside a squared error
        summed over voxels.  vae_epochs, vae_rate, vae_decay, vae_batch : of its training.
        depth, heads, ema : of the flow.  steps : of the way from one end to the other.
        """

        inner: int = 1024
        blocks: int = 2
        cycle: float = 1000.0
        vae_epochs: int = 30
        vae_batch: int = 64
        depth: int = 12
        steps: int = 20

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
                latent = gaussian_draw(latent, log_variance)
                time = torch.rand(count, device=image.device)
            place, velocity = point(image, latent, time)
            return {"mse": F.mse_loss(network.flow(place, time), velocity)}

        return [
            autoencoder_stage(p, vae, autoencoder, batch=p.vae_batch),
            Stage.of(p, "flow", network.flow, flow, ema=p.ema, keep="average"),
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
