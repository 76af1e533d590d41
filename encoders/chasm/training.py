"""One training loop for both stages and for transfer: AdamW, warm-up and cosine, clipping, early stop.

Nothing random outlives an epoch: order, dropout and latent draws of epoch k come from a seed of
their own, so a training that is killed and resumed ends in the same weights.
"""

from __future__ import annotations

import hashlib
import logging
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn

from harness.api import track

from .checkpoints import Checkpoint, Progress

logger = logging.getLogger(__name__)

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

    def rate_at(self, step: int, steps_per_epoch: int) -> float:
        """Learning rate of optimiser step 0, 1, ..."""
        warm, total = self.warmup_epochs * steps_per_epoch, self.epochs * steps_per_epoch
        if step < warm:
            return self.rate * (step + 1) / warm
        done = (step - warm) / max(total - warm, 1)
        return self.final_rate + (self.rate - self.final_rate) * (1 + math.cos(math.pi * done)) / 2


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


def train(
    module: nn.Module,
    problem: Problem,
    schedule: Schedule,
    *,
    seed: int,
    checkpoint: Checkpoint,
) -> Progress:
    """Train `module` in place; it ends with the weights of the last epoch, the best are returned."""
    optimizer = torch.optim.AdamW(_groups(module, schedule.weight_decay), lr=schedule.rate, fused=True)
    progress = checkpoint.restore(module, optimizer)
    remaining = range(progress.epoch, schedule.epochs)
    for epoch in track(remaining, f"{checkpoint.file.stem}, epochs", done=progress.epoch):
        if progress.best_epoch >= 0 and epoch - progress.best_epoch > schedule.patience:
            break
        with seeded(seed, checkpoint.file.stem, epoch):
            record = _epoch(module, problem, schedule, optimizer, epoch)
        module.eval()
        with torch.no_grad():
            record["validation"] = problem.validate()
        progress.history.append(record)
        if record["validation"] < progress.best_value:
            progress.best_epoch, progress.best_value = epoch, record["validation"]
            progress.best = {
                name: value.detach().cpu().clone() for name, value in module.state_dict().items()
            }
        progress.epoch += 1
        checkpoint.save(progress, module, optimizer)
        logger.debug("%s epoch %d: %s", checkpoint.file.stem, epoch + 1, record)
    module.eval()
    if not progress.best:  # every validation was NaN
        progress.best = {name: value.detach().cpu().clone() for name, value in module.state_dict().items()}
        logger.warning("%s: no epoch had a finite validation loss", checkpoint.file.stem)
    return progress


def _epoch(
    module: nn.Module,
    problem: Problem,
    schedule: Schedule,
    optimizer: torch.optim.Optimizer,
    epoch: int,
) -> dict[str, float]:
    module.train()
    plan = list(batches(problem.items, schedule.batch))
    trained = [p for group in optimizer.param_groups for p in group["params"]]
    totals: dict[str, float] = {}
    for number, (subject, items) in enumerate(plan):
        rate = schedule.rate_at(epoch * len(plan) + number, len(plan))
        for group in optimizer.param_groups:
            group["lr"] = rate
        terms = problem.loss(subject, items, epoch)
        optimizer.zero_grad(set_to_none=True)
        sum(terms.values()).backward()
        nn.utils.clip_grad_norm_(trained, schedule.clip)
        optimizer.step()
        for name, value in terms.items():
            totals[name] = totals.get(name, 0.0) + float(value.detach()) / len(plan)
    return totals


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


@contextmanager
def seeded(seed: int, *purpose: object) -> Iterator[None]:
    """Torch's generators seeded for one purpose; their state is put back afterwards."""
    words = "|".join(map(str, (seed, *purpose))).encode()
    with torch.random.fork_rng():
        torch.manual_seed(int.from_bytes(hashlib.sha256(words).digest()[:7], "little"))
        yield


def _groups(module: nn.Module, decay: float) -> list[dict[str, object]]:
    decayed, rest = [], []
    for name, parameter in module.named_parameters():
        if parameter.requires_grad:
            plain = parameter.ndim < 2 or any(word in name for word in UNDECAYED)
            (rest if plain else decayed).append(parameter)
    return [{"params": decayed, "weight_decay": decay}, {"params": rest, "weight_decay": 0.0}]
