"""How both stages and transfer are trained: AdamW, warm-up and cosine, clipping, batches of one subject."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from harness.training import Losses, Progress, Step, TrainingSettings, WarmUpCosine, decay_groups, train

from ..common.batching import SubjectTask

UNDECAYED = ("position", "queries", "bias", "offsets")
"""Names of parameters that weight decay leaves alone, beside all vectors and scalars."""


@dataclass(frozen=True)
class Schedule:
    """How long and how fast; `rate` falls to `final_rate` along a cosine after a linear warm-up."""

    epochs: int
    batch: int
    rate: float
    final_rate: float
    warmup_epochs: int
    weight_decay: float
    clip: float
    patience: int
    precision: str = "float32"

    def rates(self, steps_per_epoch: int) -> WarmUpCosine:
        """Learning rate as a function of the optimiser's step."""
        warmup, total = self.warmup_epochs * steps_per_epoch, self.epochs * steps_per_epoch
        return WarmUpCosine(self.rate, self.final_rate, warmup, total)


@dataclass(frozen=True)
class Problem:
    """What is minimised.

    items : for each subject, the items (trials or images) of its training part.
    loss : (subject, items, epoch) -> named terms, whose sum is minimised.
    validate : () -> value to be small.
    """

    items: Sequence[np.ndarray]
    loss: Callable[[int, Tensor, int], Mapping[str, Tensor]]
    validate: Callable[[], float]


class StageTask(SubjectTask):
    """A stage, or a head, and its problem."""

    def __init__(self, module: nn.Module, problem: Problem, schedule: Schedule) -> None:
        super().__init__(module, problem.items, schedule.batch)
        self.problem, self.decay, self.rate = problem, schedule.weight_decay, schedule.rate
        self.schedule = schedule.rates(self.steps_per_epoch)

    def optimizer(self) -> torch.optim.Optimizer:
        """AdamW; matrices decay."""
        groups = decay_groups(self.module, self.decay, spared=UNDECAYED)
        return torch.optim.AdamW(groups, lr=self.rate, fused=True)

    def loss(self, batch: tuple[int, Tensor], step: Step) -> Losses:
        """The problem's terms on one batch."""
        subject, items = batch
        return Losses.summed(self.problem.loss(subject, items, step.epoch))

    def validate(self) -> float:
        """The problem's validation."""
        return self.problem.validate()


def fit(
    module: nn.Module,
    problem: Problem,
    schedule: Schedule,
    *,
    seed: int,
    device: str,
    checkpoint: Path,
    fingerprint: str,
) -> Progress:
    """Train `module` in place; it ends with the weights of the last epoch, the best are returned.

    checkpoint : file of its state, by whose name it is called.  fingerprint : of what is trained on what.
    """
    task = StageTask(module, problem, schedule)
    stage = checkpoint.stem.partition("-")[0]
    settings = TrainingSettings(
        checkpoint.stem,
        schedule.epochs * task.steps_per_epoch,
        seed=seed,
        clip=schedule.clip,
        patience=schedule.patience,
        precision=schedule.precision,
        shown="epochs",
        remedy="check responses and features for NaN, or lower the learning rate: "
        f"--set encoder.{stage}_rate={schedule.rate / 10:g}",
    )
    return train(task, settings, device=device, checkpoint=checkpoint, identity=fingerprint)
