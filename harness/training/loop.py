"""The loop: seeded, resumed to the last bit, stopped early, logged, on one device or several.

Nothing random outlives an epoch or a step: what it draws comes from a seed of its own, and learning rates
are functions of the step.  So a training that is killed anywhere and started again ends in the same weights.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
from pathlib import Path
from typing import TYPE_CHECKING

from .checkpoints import Checkpoint, Progress
from .devices import open_processes
from .task import Task, TrainingSettings

if TYPE_CHECKING:
    from torch import nn


def train(
    task: Task,
    settings: TrainingSettings,
    *,
    device: str = "cpu",
    checkpoint: Path | None = None,
    identity: str = "",
) -> Progress:
    """Train ``task.module`` in place, or go on from `checkpoint`; the module ends with its last weights.

    checkpoint : file of the state, ``.safetensors``; None keeps nothing.
    identity : hash of what is trained on what; the settings and the shapes of weights are added.  A file of
        another training is left aside.

    Returns curves, the best weights by validation (the last where none was finite) and the moving average.
    Raises :class:`harness.errors.DataError` when a loss is not finite.
    """
    import torch

    from .running import Loop

    processes = open_processes(device)
    loop = Loop(task, settings, torch.device(device), processes)
    kept = Checkpoint(checkpoint, identity=_identity(task.module, settings, identity, processes.world))
    return loop.run(kept)


def _identity(module: nn.Module, settings: TrainingSettings, identity: str, world: int) -> str:
    words = dataclasses.asdict(settings)
    for name in ("checkpoint_every", "shown", "remedy"):  # another value ends in the same weights
        words.pop(name)
    shapes = [(name, list(value.shape), str(value.dtype)) for name, value in module.state_dict().items()]
    text = json.dumps([words, shapes, identity, world], sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()
