"""Training MindBridge: several subjects together, one alone, or a new one through a bridge that stays."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F

from harness.decoders.latent_diffusion.fitting import DrawnBatches, adamw, one_cycle
from harness.decoders.mindeye2.fitting import draw_batch
from harness.training import Losses, Step

from .network import MindBridgeNetwork, token_losses, total_loss
from .settings import FitSettings


@dataclass(frozen=True)
class BridgeSet:
    """What one subject trains on.

    pooled : (T, pooled) trials after pooling; image_index : (T,) image of each.
    image, words : (N, n, d) true tokens of the images.
    """

    pooled: np.ndarray
    image_index: np.ndarray
    image: np.ndarray
    words: np.ndarray


class BridgeTask(DrawnBatches):
    """Tokens of every subject's batch, its voxels again, and a detour of one subject through another.

    With one subject there is no detour.  `adapting` trains the embedder and the builder of the last subject
    alone; the detour then leads from the first to the last.
    """

    name = "mindbridge"

    def __init__(
        self,
        network: MindBridgeNetwork,
        sets: Mapping[int, BridgeSet],
        how: FitSettings,
        *,
        seed: int,
        device: str,
        adapting: bool = False,
    ) -> None:
        self.sets, self.how, self.adapting = dict(sets), how, adapting
        if adapting:
            target = str(network.subjects[-1])
            network.requires_grad_(False)
            network.embedder[target].requires_grad_(True)
            network.builder[target].requires_grad_(True)
        images = min(len(np.unique(data.image_index)) for data in self.sets.values())
        super().__init__(network, batch=how.batch, epochs=how.epochs, rows=images, seed=seed, device=device)
        self.schedule = one_cycle(steps=self.steps, epochs=how.epochs, rate=how.learning_rate, last=100.0)

    def optimizer(self) -> torch.optim.Optimizer:
        """AdamW."""
        return adamw(self.module, rate=self.how.learning_rate, decay=self.how.decay)

    def loss(self, batch: int, step: Step) -> Losses:
        """See the class."""
        network, shared, voxels, image, words = self.module, {}, [], [], []
        for subject, data in self.sets.items():
            trials = draw_batch(data, batch)
            images = data.image_index[trials]
            voxels.append(self.rows(data.pooled, trials))
            shared[subject] = network.embed(voxels[-1], subject)
            image.append(self.rows(data.image, images))
            words.append(self.rows(data.words, images))
        output = network.translate(torch.cat(list(shared.values())))
        terms = token_losses(output, torch.cat(image), torch.cat(words))
        rebuilt = torch.cat([network.build(shared[subject], subject) for subject in self.sets])
        terms["reconstruction"] = F.mse_loss(rebuilt, torch.cat(voxels))
        if len(self.sets) > 1:
            source, target = self._pair()
            terms["cycle"] = network.cycle_loss(shared[source], target)
        return Losses(total_loss(terms, self.how.weights), {k: v.detach() for k, v in terms.items()})

    def _pair(self) -> tuple[int, int]:
        subjects = list(self.sets)
        if self.adapting:
            return subjects[0], subjects[-1]
        first, second = torch.randperm(len(subjects))[:2].tolist()
        return subjects[first], subjects[second]
