"""The two trainings of NeuroFlow's decoder: the autoencoder of responses, and the flow between tokens."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from harness.decoders.latent_diffusion.fitting import DrawnBatches
from harness.nn.conv1d import gaussian_draw
from harness.nn.flow_vae import NeuroVAE, point
from harness.nn.sit import SiT
from harness.training import Losses, Step, decay_groups


@dataclass(frozen=True)
class FlowSet:
    """(T, V) standardised responses, (T,) image of each, and (N, tokens, width) true tokens."""

    voxels: np.ndarray
    image_index: np.ndarray
    tokens: Any


class FlowTask(DrawnBatches):
    """A training on single responses and the tokens of their images; `rate` stays, matrices decay."""

    def __init__(
        self, module: torch.nn.Module, data: FlowSet, *, rate: float, decay: float, **how: Any
    ) -> None:
        self.data, self.rate, self.decay = data, rate, decay
        super().__init__(module, rows=len(data.voxels), **how)

    def optimizer(self) -> torch.optim.Optimizer:
        """AdamW."""
        return torch.optim.AdamW(decay_groups(self.module, self.decay), lr=self.rate)

    def drawn(self, batch: int) -> tuple[Tensor, Tensor]:
        """(B, 1, V) responses and (B, tokens, width) tokens."""
        trials = torch.randperm(len(self.data.voxels))[:batch].numpy()
        voxels = self.rows(self.data.voxels, trials)
        return voxels[:, None], self.rows(self.data.tokens, self.data.image_index[trials])


class AutoencoderTask(FlowTask):
    """Responses to latent tokens near the image's, and back."""

    name = "neuroflow autoencoder"

    def __init__(self, vae: NeuroVAE, data: FlowSet, weights: dict[str, float], **how: Any) -> None:
        self.weights = weights
        super().__init__(vae, data, **how)

    def loss(self, batch: int, step: Step) -> Losses:
        """Weighted terms."""
        terms = self.module.terms(*self.drawn(batch), sample=True)
        return Losses.summed({name: self.weights[name] * value for name, value in terms.items()})


class VelocityTask(FlowTask):
    """The velocity between image tokens and samples of the latent of a response to that image."""

    name = "neuroflow flow"

    def __init__(self, flow: SiT, data: FlowSet, vae: NeuroVAE, **how: Any) -> None:
        self.vae = vae
        super().__init__(flow, data, **how)

    def loss(self, batch: int, step: Step) -> Losses:
        """Mean squared error."""
        voxels, tokens = self.drawn(batch)
        with torch.no_grad():
            mean, log_variance, _ = self.vae.encode(voxels)
        time = torch.rand(len(tokens)).to(tokens.device)
        place, velocity = point(tokens, gaussian_draw(mean, log_variance), time)
        return Losses.summed({"mse": F.mse_loss(self.module(place, time), velocity)})
