"""What a system says about its training, and nothing of how it is carried out."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

from ..api import ConfigError

if TYPE_CHECKING:
    import torch
    from torch import Tensor, nn


@dataclass(frozen=True)
class Step:
    """Where a training is.

    number, total : optimiser steps before this one, and in all.
    epoch, place : epoch of this step, and steps of that epoch before it.
    """

    number: int
    total: int
    epoch: int
    place: int


@dataclass(frozen=True)
class Losses:
    """What one batch gives: `total` is minimised, `terms` are means for the curves."""

    total: Tensor
    terms: Mapping[str, Tensor] = field(default_factory=dict)

    @classmethod
    def summed(cls, terms: Mapping[str, Tensor]) -> Losses:
        """The sum of `terms` is minimised."""
        return cls(sum(terms.values()), terms)


class Task:
    """A system's side of a training; subclasses give `batches` and `loss`.

    module : all weights that are trained, saved and resumed.
    steps_per_epoch : number of batches of every epoch.
    """

    module: nn.Module
    steps_per_epoch: int

    def optimizer(self) -> torch.optim.Optimizer:
        """The optimiser of `module`, as at step 0."""
        import torch

        return torch.optim.AdamW(self.module.parameters())

    def schedule(self, step: int) -> Mapping[str, Any]:
        """What is set in every group of the optimiser before step 0, 1, ...: ``{"lr": ...}`` and the like."""
        return {}

    def batches(self, epoch: int) -> Sequence[Any]:
        """The batches of an epoch, drawn from torch's global generator where they are random."""
        raise TypeError(f"{type(self).__name__} has no batches")

    def loss(self, batch: Any, step: Step) -> Losses:
        """Losses of one of the batches; draws come from torch's global generators."""
        raise TypeError(f"{type(self).__name__} has no loss")

    def seed(self, count: int) -> int | None:
        """Seed of all draws of epoch `count`, or of step `count` where each step is seeded anew.

        None takes one from the settings' seed and name.
        """
        return None

    def validate(self) -> float | None:
        """Called after each epoch without gradients; a value to be small, or None for no validation."""
        return None

    def part(self, batch: Any, *, rank: int, world: int) -> Any:
        """The share of a batch that process `rank` of `world` trains on, for several devices."""
        raise ConfigError(
            f"{type(self).__name__} cannot share a batch among {world} processes; start one process, without "
            "accelerate launch or torchrun"
        )


@dataclass(frozen=True)
class TrainingSettings:
    """How a training is carried out; all of it is part of a checkpoint's identity.

    name : of curves, progress and messages.
    steps : optimiser steps in all; the last epoch may be cut short.
    reseeded : whether each epoch or each step draws from a seed of its own.
    clip : largest norm of all gradients together; 0 for no limit.
    precision : ``bfloat16`` runs :meth:`Task.loss` under autocast; weights stay as they are.
    patience : epochs without a better validation before it stops; 0 for never.
    ema : decay of a moving average of the weights per step, which is then validated and kept; 0 for none.
    checkpoint_every : steps between checkpoints; 0 for the end of each epoch.
    remedy : what to do when the loss is not finite.
    """

    name: str
    steps: int
    seed: int
    reseeded: Literal["epoch", "step"] = "epoch"
    clip: float = 0.0
    precision: Literal["float32", "bfloat16"] = "float32"
    patience: int = 0
    ema: float = 0.0
    checkpoint_every: int = 0
    shown: Literal["epochs", "steps"] = "steps"
    remedy: str = "check the training data for NaN, or lower the learning rate"

    def __post_init__(self) -> None:
        if self.steps < 1:
            raise ConfigError(f"{self.name} is trained for {self.steps} steps; it must be at least 1")
        if not 0 <= self.ema < 1:
            raise ConfigError(f"{self.name}: ema is {self.ema}; expected 0 (none) to below 1, often 0.999")
        for name in ("clip", "patience", "checkpoint_every"):
            if getattr(self, name) < 0:
                raise ConfigError(f"{self.name}: {name} is {getattr(self, name)}; it must not be negative")
        if self.precision not in ("float32", "bfloat16"):
            raise ConfigError(f"{self.name}: precision is {self.precision!r}; choose float32 or bfloat16")

    def seed_of(self, count: int | str) -> int:
        """The seed of epoch or step `count` where the task names none."""
        return purpose_seed(self.seed, self.name, count)


def decay_groups(module: nn.Module, decay: float, *, spared: Sequence[str] = ()) -> list[dict[str, Any]]:
    """What an optimiser gets, no group empty: matrices decay, vectors and scalars do not, nor does what has a
    word of `spared` in its name."""
    decayed, rest = [], []
    for name, parameter in module.named_parameters():
        if parameter.requires_grad:
            plain = parameter.ndim < 2 or any(word in name for word in spared)
            (rest if plain else decayed).append(parameter)
    groups = [{"params": decayed, "weight_decay": decay}, {"params": rest, "weight_decay": 0.0}]
    return [group for group in groups if group["params"]]


def purpose_seed(seed: int, *purpose: object) -> int:
    """A seed of 56 bits for one purpose; equal words give equal seeds on every machine."""
    words = "|".join(map(str, (seed, *purpose))).encode()
    return int.from_bytes(hashlib.sha256(words).digest()[:7], "little")


@contextmanager
def seeded(seed: int, *purpose: object) -> Iterator[None]:
    """Torch's generators seeded for one purpose; their state is put back afterwards."""
    import torch

    with torch.random.fork_rng():
        torch.manual_seed(purpose_seed(seed, *purpose))
        yield
