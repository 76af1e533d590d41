"""NSD's own trials train, and a test set that was measured in another session tests.

Training data are those of benchmark ``nsd``: all images but the shared 1,000, so that a model that was fitted
there is tested here.  The test session holds no training trial that could set its means and spreads
(:class:`..assembly.Assembly`, ``test_scale``).
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import ClassVar

import numpy as np

from harness.api import ConfigError, suggest
from harness.reading.arrays import ArraySource
from harness.reading.prepared import Block
from harness.reading.resizing import Resize

from ..paired_trials import SplitTrials
from .benchmark import LayoutBenchmark, Params, chosen_trials
from .nsd import PERCENT, count_trials, read_session, read_trials, stimuli
from .recording import Recording, prepared, read_mask

SCALES = ("training", "own")


@dataclass(frozen=True)
class ElsewhereParams(Params):
    """As for ``nsd``, and how the test session is scaled.

    Attributes
    ----------
    test_scale : ``training``: by the mean of the training sessions' means and variances; ``own``: by its own
        trials, as published evaluations do; the run is then flagged.
    """

    test_scale: str = "training"

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.test_scale not in SCALES:
            raise ConfigError(suggest(self.test_scale, SCALES, what="test_scale"))


class NsdElsewhere(LayoutBenchmark):
    """What the test sets beside NSD share; one is its name, its files and :meth:`tests`.

    betas : name of the entry of the test session's betas.
    """

    images_of: ClassVar[str] = "nsd"
    Params: ClassVar[type] = ElsewhereParams
    betas: ClassVar[str]

    def test_scale(self) -> str:
        """As the parameter says."""
        return self.params.test_scale

    def read(self, root: Path, subject: str) -> Recording:
        """NSD's trials of images that are not shared, and the test session's trials apart."""
        core = read_trials(self, root, subject)
        own = np.isin(core.trials.ids, list(core.training_sets["shared1000"]))
        trials = chosen_trials(core.trials, own[core.trials.image_index])
        manifest = self.manifest()
        volume, mask = read_mask(manifest.entry("mask").file(root, subject=subject))
        forms = (manifest.entry(name) for name in (self.betas, f"{self.betas}_hdf5"))
        file = next(path for form in forms for _, path in form.find(root, subject=subject))
        table = prepared(
            [Block(count_trials(file), partial(read_session, file, mask))],
            [file, volume.path],
            n_voxels=int(mask.sum()),
            what=f"{self.betas.replace('_', ' ')} of {subject}",
            depends_on=(self.layout, PERCENT, np.flatnonzero(mask).tobytes()),
        )
        session = int(trials.session.max()) + 1
        return replace(
            core,
            trials=trials,
            test_sets={},
            training_sets={},
            apart=self.tests(root, subject, table, session),
        )

    @abstractmethod
    def tests(self, root: Path, subject: str, table: ArraySource, session: int) -> Mapping[str, SplitTrials]:
        """Name of each test set -> its trials, which are rows of `table` (T, V), of that `session`."""

    def resize(self, root: Path) -> Resize:
        """To the size that the training pictures have: as they are stored, or as was asked for."""
        asked = self.params.resize()
        if asked.size:
            return asked
        side = stimuli(self.manifest(), root, self).source.shape[1:3]
        return Resize(tuple(side), self.params.image_filter, "center-crop")
