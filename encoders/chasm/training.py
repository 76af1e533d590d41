"""How both stages and transfer are trained: AdamW, warm-up and cosine, clipping, batches of one subject."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from harness.training import Losses, Progress, Step, Task, TrainingSettings, WarmUpCosine, train

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


class StageTask(Task):
    """A stage, or a head, and its problem."""

    def __init__(self, module: nn.Module, problem: Problem, schedule: Schedule) -> None:
        self.module, self.problem = module, problem
        self.size, self.decay, self.rate = schedule.batch, schedule.weight_decay, schedule.rate
        self.steps_per_epoch = batch_count([len(own) for own in problem.items], schedule.batch)
        self.schedule = schedule.rates(self.steps_per_epoch)

    def optimizer(self) -> torch.optim.Optimizer:
        """AdamW; matrices decay."""
        return torch.optim.AdamW(_groups(self.module, self.decay), lr=self.rate, fused=True)

    def batches(self, epoch: int) -> Sequence[tuple[int, Tensor]]:
        """(subject, items) of one epoch."""
        return list(batches(self.problem.items, self.size))

    def loss(self, batch: tuple[int, Tensor], step: Step) -> Losses:
        """The problem's terms on one batch."""
        subject, items = batch
        return Losses.summed(self.problem.loss(subject, items, step.epoch))

    def validate(self) -> float:
        """The problem's validation."""
        return self.problem.validate()

    def part(self, batch: tuple[int, Tensor], *, rank: int, world: int) -> tuple[int, Tensor]:
        """Every `world`-th item; the contrast then is among the items of one process."""
        subject, items = batch
        return subject, items[rank::world] if len(items) >= world else items


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


def batches(items: Sequence[np.ndarray], size: int) -> Iterator[tuple[int, Tensor]]:
    """(subject, items) of one epoch, from torch's present random state.

    A batch holds one subject only; subjects come in random order.  A last batch of one item is left
    out, since a single item has nothing to be contrasted with.
    """
    parts: list[tuple[int, Tensor]] = []
    for subject, own in enumerate(items):
        order = torch.from_numpy(own)[torch.randperm(len(own))]
        parts += [(subject, part) for part in order.split(size) if len(part) > 1 or len(own) == 1]
    return (parts[k] for k in torch.randperm(len(parts)).tolist())


def batch_count(counts: Sequence[int], size: int) -> int:
    """Number of :func:`batches` of subjects with so many items."""
    return sum(1 if count == 1 else (count // size) * (size > 1) + (count % size > 1) for count in counts)


def _groups(module: nn.Module, decay: float) -> list[dict[str, object]]:
    decayed, rest = [], []
    for name, parameter in module.named_parameters():
        if parameter.requires_grad:
            plain = parameter.ndim < 2 or any(word in name for word in UNDECAYED)
            (rest if plain else decayed).append(parameter)
    return [{"params": decayed, "weight_decay": decay}, {"params": rest, "weight_decay": 0.0}]
