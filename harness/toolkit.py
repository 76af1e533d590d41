"""What a plugin may use of the harness besides the contracts of :mod:`harness.api`.

=================  =======================================================================================
training           `train`, `Task`, `TrainingSettings`, `Losses`, `Step`, `Progress`: one loop that resumes to
                   the last bit, stops early, keeps curves and runs on one device or several; `WarmUpCosine`,
                   `OneCycle`: schedules; `seeded`, `purpose_seed`: draws of their own for every purpose;
                   `local_device`, `write_curves`
solvers            `fit_ridge`, `RidgeModel`, `PENALTIES`, `check_penalties`: a ridge penalty per voxel by
                   cross-validation; `ImageComponents`: principal components of images
saved spaces       `save_space`, `load_space`: the voxel space of a fit, so that any other is refused;
                   `replaced`: files that appear whole or not at all
token stores       `ShardedArray`: one array in several files, perhaps larger than memory; what
                   :meth:`harness.api.Features.computed` gives back
constant voxels    `is_constant`, `spread`
=================  =======================================================================================

Nothing else of the engine is for plugins: other modules move without notice.  A plugin's identity counts the
source of what it imports, so one that imports a single block from its own module is fitted again less often.
"""

from __future__ import annotations

from .nn.constancy import is_constant, spread
from .solvers.image_components import ImageComponents
from .solvers.ridge import PENALTIES, RidgeModel, check_penalties, fit_ridge
from .solvers.saved import load_space, replaced, save_space
from .storage.sharded import ShardedArray
from .training import (
    Losses,
    OneCycle,
    Progress,
    Step,
    Task,
    TrainingSettings,
    WarmUpCosine,
    local_device,
    purpose_seed,
    seeded,
    train,
    write_curves,
)

__all__ = [
    "PENALTIES",
    "ImageComponents",
    "Losses",
    "OneCycle",
    "Progress",
    "RidgeModel",
    "ShardedArray",
    "Step",
    "Task",
    "TrainingSettings",
    "WarmUpCosine",
    "check_penalties",
    "fit_ridge",
    "is_constant",
    "load_space",
    "local_device",
    "purpose_seed",
    "replaced",
    "save_space",
    "seeded",
    "spread",
    "train",
    "write_curves",
]
