"""NeuroFlow's forward direction as a plugin."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from harness.api import VoxelSpace
from harness.nn.latent_settings import FlowSettings

from ..common.network import Batch, FittedSubject, SeparateEncoder, Stage
from ..common.tokens import LatentTraining, TokenEncoder, autoencoder_stage

if TYPE_CHECKING:
    from torch import Tensor, nn


class NeuroFlowEncoder(TokenEncoder, SeparateEncoder):
    """Image tokens, at time 0 of a flow -> latent tokens of a response, at time 1 -> voxels."""

    name = "neuroflow"

    @dataclass(frozen=True, kw_only=True)
    class Params(FlowSettings, LatentTraining):
        """Sizes and training of both networks; the defaults are the published ones.

        layer : image tokens, whose shape the latent has; their number must be a multiple of 4
        """

    def network(self, shapes: Mapping[str, tuple[int, ...]], subjects: Sequence[FittedSubject]) -> nn.Module:
        """``vae`` and ``flow``."""
        source = f"encoder.layer {self.params.layer}"
        return self.params.networks(subjects[0].voxels, *shapes["tokens"], source=source, section="encoder")

    def stages(self, network: nn.Module, subjects: Sequence[FittedSubject]) -> Sequence[Stage]:
        """Autoencoder; then the flow to samples of its latent of the same trial."""
        import torch
        import torch.nn.functional as F

        from harness.nn.conv1d import gaussian_draw
        from harness.nn.flow_vae import point

        p, vae, weights = self.params, network.vae, self.params.loss_weights()

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
        from harness.nn.flow_vae import travel

        latent = travel(model.network.flow, images["tokens"], steps=self.params.steps)
        return model.network.vae.generate(latent)[:, 0]

    def image_tokens(self, responses: np.ndarray, *, space: VoxelSpace) -> np.ndarray:
        """Image tokens (N, tokens, width) of responses (N, V) of `space`: the same flow, from 1 to 0."""
        import torch

        from harness.nn.flow_vae import travel

        model, number = self._find(space)
        voxels = model.subjects[number].scale.standardised(np.asarray(responses)[:, space.valid])
        with torch.inference_mode():
            latent, _, _ = model.network.vae.encode(voxels.float()[:, None].to(self._device))
            tokens = travel(model.network.flow, latent, steps=self.params.steps, backward=True)
        return tokens.cpu().numpy()
