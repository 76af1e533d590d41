"""One resumable training loop for every system.

A system says what is trained (:class:`Task`: weights, optimiser, batches, loss, optional validation) and how
long (:class:`TrainingSettings`); :func:`train` owns steps, seeds, precision, clipping, early stopping, the
best weights and their moving average, curves, checkpoints, resuming and devices.
"""

from .checkpoints import Checkpoint, Progress, write_curves
from .devices import local_device
from .loop import train
from .schedules import OneCycle, WarmUpCosine
from .task import Losses, Step, Task, TrainingSettings, decay_groups, purpose_seed, seeded

__all__ = [
    "Checkpoint",
    "Losses",
    "OneCycle",
    "Progress",
    "Step",
    "Task",
    "TrainingSettings",
    "WarmUpCosine",
    "decay_groups",
    "local_device",
    "purpose_seed",
    "seeded",
    "train",
    "write_curves",
]
