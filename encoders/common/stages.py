"""Training of one stage of a system through the one loop."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from harness.training import (
    Losses,
    OneCycle,
    Progress,
    Step,
    TrainingSettings,
    WarmUpCosine,
    decay_groups,
    train,
)

from .batching import SubjectTask
from .inputs import Inputs
from .params import Training
from .training_data import TrainingSet

if TYPE_CHECKING:
    import torch
    from torch import Tensor, nn

VALIDATED = 128
"""Items validated at a time."""


@dataclass(frozen=True, eq=False)
class Batch:
    """Items of one subject.

    subject : its number.  images : layer -> (B, ...).  voxels : (B, V) standardised responses.
    epoch, epochs : where the training is.  training : False while it is validated: nothing is drawn then.
    """

    subject: int
    images: Mapping[str, Tensor]
    voxels: Tensor
    epoch: int
    epochs: int
    training: bool

    def some_voxels(self, most: int) -> Tensor:
        """Places of at most `most` voxels: drawn in training, else at equal steps from the first to the last.

        Voxels lie in the order of the volume, so that the first of them would be one corner of cortex.
        """
        import torch

        count = self.voxels.shape[1]
        if self.training:
            places = torch.randperm(count)[:most]
        else:
            places = torch.linspace(0, count - 1, min(most, count), dtype=torch.float64).round().long()
        return places.to(self.voxels.device)


@dataclass(frozen=True)
class Stage:
    """What is trained, and how.

    module : whose weights.  loss : batch -> named terms, whose sum is minimised.  rate : the highest.
    schedule : ``constant``; ``cosine``, after one epoch of warm-up down to nothing; ``one-cycle``.
    keep : weights of the ``best`` epoch by the loss on held-out images, of the ``last``, or their moving
        ``average`` (with `ema`).  steps : of an epoch, as many passes over the items as that takes; 0 is one
        pass.
    """

    name: str
    module: nn.Module
    loss: Callable[[Batch], Mapping[str, Tensor]]
    epochs: int
    batch: int
    rate: float
    decay: float = 0.0
    clip: float = 0.0
    patience: int = 0
    ema: float = 0.0
    schedule: Literal["constant", "cosine", "one-cycle"] = "constant"
    keep: Literal["best", "last", "average"] = "best"
    steps: int = 0

    @classmethod
    def of(
        cls,
        params: Training,
        name: str,
        module: nn.Module,
        loss: Callable[[Batch], Mapping[str, Tensor]],
        **more: Any,
    ) -> Stage:
        """The only stage of a system, or its last, as `params` say."""
        how = {"decay": params.decay, "clip": params.clip, "patience": params.patience}
        return cls(name, module, loss, params.epochs, params.batch, params.rate, **how, **more)


class StageTask(SubjectTask):
    """A stage on training sets."""

    def __init__(
        self, stage: Stage, sets: Sequence[TrainingSet], inputs: Sequence[Inputs], device: str
    ) -> None:
        super().__init__(stage.module, [data.train for data in sets], stage.batch)
        self.stage, self.sets, self.inputs, self.device = stage, sets, inputs, device
        self.steps_per_epoch = stage.steps or self.steps_per_epoch
        total = stage.epochs * self.steps_per_epoch
        if stage.schedule == "one-cycle":
            self.schedule = OneCycle(stage.rate, total, rise=min(0.5, 2 / stage.epochs), last=1000.0)
        elif stage.schedule == "cosine":
            warmup = min(self.steps_per_epoch, total - 1)
            self.schedule = WarmUpCosine(stage.rate, 0.0, warmup, total)

    def batches(self, epoch: int) -> Sequence[tuple[int, Tensor]]:
        """(subject, items) of one epoch, passes over the items one after the other."""
        parts = list(super().batches(epoch))
        while len(parts) < self.steps_per_epoch:
            parts += super().batches(epoch)
        return parts[: self.steps_per_epoch]

    def optimizer(self) -> torch.optim.Optimizer:
        """AdamW; matrices decay."""
        import torch

        return torch.optim.AdamW(decay_groups(self.module, self.stage.decay), lr=self.stage.rate)

    def loss(self, batch: tuple[int, Tensor], step: Step) -> Losses:
        """The stage's terms."""
        subject, items = batch
        return Losses.summed(self.stage.loss(self._batch(subject, items, epoch=step.epoch, training=True)))

    def validate(self) -> float:
        """Mean over subjects of the summed terms on held-out images."""
        import torch

        values = []
        for subject, data in enumerate(self.sets):
            total = 0.0
            for items in torch.from_numpy(data.validation).split(VALIDATED):
                terms = self.stage.loss(self._batch(subject, items, epoch=0, training=False))
                total += len(items) * float(sum(terms.values()))
            values.append(total / len(data.validation))
        return float(np.mean(values))

    def _batch(self, subject: int, items: Tensor, *, epoch: int, training: bool) -> Batch:
        data = self.sets[subject]
        images = self.inputs[subject].rows(data.image[items.numpy()], self.device)
        voxels = data.voxels[items].to(self.device)
        return Batch(subject, images, voxels, epoch, self.stage.epochs, training)


def train_stage(
    stage: Stage,
    sets: Sequence[TrainingSet],
    inputs: Sequence[Inputs],
    *,
    section: str,
    seed: int,
    device: str,
    checkpoint: Path,
    identity: str,
) -> Progress:
    """Train ``stage.module`` in place; it ends in evaluation mode, frozen, with the weights to keep.

    section : name of the system, for its progress.
    """
    task = StageTask(stage, sets, inputs, device)
    settings = TrainingSettings(
        f"{section}-{stage.name}",
        stage.epochs * task.steps_per_epoch,
        seed=seed,
        clip=stage.clip,
        patience=stage.patience,
        ema=stage.ema,
        shown="epochs",
    )
    done = train(task, settings, device=device, checkpoint=checkpoint, identity=identity)
    kept: dict[str, Any] = {"best": done.best, "average": done.averaged, "last": None}
    if kept[stage.keep]:
        stage.module.load_state_dict(kept[stage.keep])
    stage.module.eval().requires_grad_(False)
    return done
