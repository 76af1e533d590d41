"""Training MindEye1 on one subject: voxel network with prior, and the low-level network on its own."""

from __future__ import annotations

import numpy as np
import torch

from harness.decoders.latent_diffusion.fitting import DrawnBatches, adamw, one_cycle
from harness.decoders.mindeye2 import losses, mixing, schedule
from harness.decoders.mindeye2.fitting import TrainingSet, draw_batch
from harness.nn import contrast
from harness.training import Losses, Step

from .low_level import CONTRAST_WEIGHT, LowLevelNetwork, contrast_loss
from .network import MindEye1Network
from .settings import FitSettings

PRIOR_WEIGHT = 30.0


class TokensTask(DrawnBatches):
    """Contrastive loss of the projector plus 30 times the prior's, on single trials."""

    name = "mindeye1"

    def __init__(
        self, network: MindEye1Network, data: TrainingSet, how: FitSettings, *, seed: int, device: str
    ) -> None:
        rows = data.n_images
        super().__init__(network, batch=how.batch, epochs=how.epochs, rows=rows, seed=seed, device=device)
        self.data, self.how = data, how
        self.schedule = one_cycle(steps=self.steps, epochs=how.epochs, rate=how.learning_rate)

    def optimizer(self) -> torch.optim.Optimizer:
        """AdamW."""
        return adamw(self.module, rate=self.how.learning_rate, decay=self.how.decay)

    def loss(self, batch: int, step: Step) -> Losses:
        """In the MixCo phase the prior is trained on mixed voxels with the target of the sample itself."""
        trials = draw_batch(self.data, batch)
        voxels = self.rows(self.data.responses, trials)
        tokens = self.rows(self.data.tokens, self.data.image_index[trials])
        temperature = schedule.soft_temperature(step.epoch, self.how.epochs, share=self.how.mixco_share)
        mixture = None
        if temperature is None:
            mixture = mixing.draw_mixture(len(trials)).to(self.device)
            voxels = mixing.mix(voxels, mixture)
        output = self.module.voxel2clip(voxels)
        prior, _ = self.module.loss(tokens, output.tokens, drop=self.how.drop)
        ours, theirs = contrast.unit_rows(output.projected.float()), contrast.unit_rows(tokens)
        if mixture is not None:
            retrieval = losses.bimixco_loss(ours, theirs, mixture, faithful=self.how.faithful)
        else:
            retrieval = contrast.soft_clip_loss(ours, theirs, temperature=temperature)
        terms = {"prior": prior.detach(), "contrast": retrieval.detach()}
        return Losses(retrieval + PRIOR_WEIGHT * prior, terms)


class LowLevelTask(DrawnBatches):
    """L1 of unscaled latents plus a tenth of the contrastive term.

    A batch is a random convex mixture of each image's repeats (half of the batches), their mean (30 %), or
    one of them each (20 %).
    """

    name = "mindeye1 low level"

    def __init__(
        self,
        network: LowLevelNetwork,
        data: TrainingSet,
        how: FitSettings,
        *,
        scale: float,
        seed: int,
        device: str,
    ) -> None:
        super().__init__(
            network, batch=how.low_batch, epochs=how.low_epochs, rows=data.n_images, seed=seed, device=device
        )
        self.data, self.how, self.scale = data, how, scale
        self.schedule = one_cycle(steps=self.steps, epochs=how.low_epochs, rate=how.low_learning_rate)
        order = np.argsort(data.image_index, kind="stable")
        images, starts = np.unique(data.image_index[order], return_index=True)
        self.trials_of = dict(zip(images.tolist(), np.split(order, starts[1:]), strict=True))
        self.images = images

    def optimizer(self) -> torch.optim.Optimizer:
        """AdamW."""
        return adamw(self.module, rate=self.how.low_learning_rate, decay=self.how.decay)

    def loss(self, batch: int, step: Step) -> Losses:
        """See the class."""
        images = self.images[torch.randperm(len(self.images))[:batch].numpy()]
        kind = float(torch.rand(()))
        voxels = torch.stack([self._mixed(self.trials_of[int(k)], kind) for k in images]).to(self.device)
        latents, student = self.module(voxels)
        error = torch.nn.functional.l1_loss(latents, self.rows(self.data.latents, images))
        error = error / self.scale
        if self.data.views is None or student is None:
            return Losses(error, {"latents": error.detach()})
        teacher, other = (self.rows(view, images) for view in self.data.views)
        unit = (
            torch.nn.functional.normalize(part.flatten(0, 1), dim=-1) for part in (student, teacher, other)
        )
        term = contrast_loss(*unit)
        terms = {"latents": error.detach(), "contrast": term.detach()}
        return Losses(error + CONTRAST_WEIGHT * term, terms)

    def _mixed(self, trials: np.ndarray, kind: float) -> torch.Tensor:
        rows = torch.from_numpy(np.ascontiguousarray(self.data.responses[trials], np.float32))
        if kind < 0.5:
            shares = torch.rand(len(rows), 1)
            return (rows * shares).sum(0) / shares.sum()
        return rows.mean(0) if kind < 0.8 else rows[int(torch.randint(len(rows), ()))]
