"""What trainings of these decoders share: optimiser, schedule, steps that draw their own batches."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import nn

from harness.api import ConfigError
from harness.training import OneCycle, Task, TrainingSettings, purpose_seed


def adamw(module: nn.Module, *, rate: float, decay: float) -> torch.optim.AdamW:
    """AdamW; names that contain "bias" do not decay, which spares no norm's gain."""
    named = [(name, value) for name, value in module.named_parameters() if value.requires_grad]
    return torch.optim.AdamW(
        [
            {"params": [value for name, value in named if "bias" not in name], "weight_decay": decay},
            {"params": [value for name, value in named if "bias" in name], "weight_decay": 0.0},
        ],
        lr=rate,
    )


def one_cycle(*, steps: int, epochs: int, rate: float, last: float = 1000.0) -> OneCycle:
    """Up during two epochs from 1/25, then down to a `last`-th of that."""
    if epochs < 3:
        raise ConfigError(f"epochs is {epochs}; the learning rate rises for two, so give at least 3")
    return OneCycle(rate, steps, rise=2 / epochs, first=25, last=last)


class DrawnBatches(Task):
    """Steps draw their own batches: `name` is that of their seeds, `rows` are the samples of an epoch.

    A batch holds no more than there are.
    """

    name: str

    def __init__(
        self, module: nn.Module, *, batch: int, epochs: int, rows: int, seed: int, device: str
    ) -> None:
        self.module, self.device, self.run_seed = module.to(device), device, seed
        self.batch = min(batch, rows)
        self.steps_per_epoch = max(1, rows // self.batch)
        self.steps = epochs * self.steps_per_epoch

    def batches(self, epoch: int) -> Sequence[int]:
        """The size of each batch."""
        return [self.batch] * self.steps_per_epoch

    def seed(self, count: int) -> int:
        """Of all draws of a step."""
        return purpose_seed(self.run_seed, self.name, count)

    def rows(self, values: Any, at: np.ndarray) -> torch.Tensor:
        """float32 rows `at` of an array or token store, on the device."""
        return torch.from_numpy(np.ascontiguousarray(values[at], dtype=np.float32)).to(self.device)


def settings_of(task: DrawnBatches, *, clip: float = 0.0) -> TrainingSettings:
    """How a task is trained: seeds of its own for every step, ten checkpoints or more."""
    return TrainingSettings(
        task.name,
        task.steps,
        seed=task.run_seed,
        reseeded="step",
        clip=clip,
        checkpoint_every=max(1, min(1000, task.steps // 10)),
        remedy="check the responses for unmasked NaN, or lower decoder.learning_rate",
    )
