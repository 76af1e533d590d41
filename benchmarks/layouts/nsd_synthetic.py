"""Benchmark ``nsd-synthetic``: models trained on NSD's scenes are tested on its artificial pictures.

The pictures are stored linear in luminance, as the screen of that session showed them, while NSD's own are
stored as they look on a screen with a gamma of 2: the square root of the one is comparable with the other
(Gifford et al. 2026).  The centre square of a picture covers what NSD's pictures cover.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

import numpy as np

from harness.api import ConfigError, DataError
from harness.reading.arrays import ArraySource, as_integers, open_array
from harness.reading.pixels import stacked
from harness.reading.resizing import Resize

from ..paired_trials import SplitTrials
from .benchmark import FOLDER, chosen_trials
from .nsd_elsewhere import ElsewhereParams, NsdElsewhere
from .recording import trials_of

GAMMA = 2.0


@dataclass(frozen=True)
class SyntheticParams(ElsewhereParams):
    """As for ``nsd``, how the test session is scaled, and how its pictures are stored.

    Attributes
    ----------
    gamma : pixels become the 1 / gamma power of what is stored, which is linear in luminance; 1 leaves them.
    """

    gamma: float = GAMMA

    def __post_init__(self) -> None:
        super().__post_init__()
        if not self.gamma >= 1:
            raise ConfigError(f"benchmark.gamma is {self.gamma}; expected 1 or more")


class NsdSynthetic(NsdElsewhere):
    """284 artificial pictures, 220 of them common to all subjects; Gifford et al. 2026."""

    layout: ClassVar[str] = "nsd-synthetic"
    images_of: ClassVar[str] = "nsd-synthetic"
    default_test: ClassVar[str] = "synthetic284"
    Params: ClassVar[type] = SyntheticParams
    betas: ClassVar[str] = "synthetic_betas"

    def tests(self, root: Path, subject: str, table: ArraySource, session: int) -> Mapping[str, SplitTrials]:
        """All pictures, and those common to all subjects."""
        manifest = self.manifest()
        entry = manifest.entry("synthetic_design")
        order = as_integers(open_array(entry.file(root), entry.key)) - 1
        sources = [
            open_array(manifest.entry(name).file(root, subject=subject), "imgBrick")
            for name in ("synthetic_stimuli", "color_stimuli")
        ]
        common, own = (source.shape[0] for source in sources)
        if len(order) and order.min() < 0:
            raise DataError(
                f"{entry.file(root)} counts from 0; NSD's own file counts from 1, and so is it read"
            )
        images = SyntheticImages(tuple(sources), self.params.gamma, self.resize(root))
        names = [f"nsdsynthetic-{k:03d}" for k in range(common)]
        names += [f"nsdsynthetic-{k:03d}-{subject}" for k in range(common, common + own)]
        trials = trials_of(table, images, names, order, session=np.full(len(order), session))
        shared = np.isin(trials.ids, names[:common])
        return {"synthetic284": trials, "synthetic220": chosen_trials(trials, shared[trials.image_index])}


@dataclass(frozen=True)
class SyntheticImages:
    """Pictures common to all subjects, then a subject's own, (n, H, W, 3) uint8 linear in luminance."""

    sources: tuple[ArraySource, ArraySource]
    gamma: float
    resize: Resize

    @property
    def what(self) -> str:
        """Their files."""
        return " and ".join(source.what for source in self.sources)

    def __len__(self) -> int:
        return sum(source.shape[0] for source in self.sources)

    def read(self, positions: np.ndarray) -> np.ndarray:
        """Images (n, H, W, 3) uint8 at `positions`, as they look."""
        positions, first = np.asarray(positions, np.int64), self.sources[0].shape[0]
        levels = np.round(255 * (np.arange(256) / 255) ** (1 / self.gamma)).astype(np.uint8)
        images = []
        for k in positions:
            source, place = (self.sources[0], k) if k < first else (self.sources[1], k - first)
            picture = source.take(np.array([place]))[0]
            if picture.dtype != np.uint8:
                raise DataError(f"{source.what} holds {picture.dtype}; expected uint8 from 0 to 255")
            images.append((source.what, self.resize.image(levels[picture], what=source.what)))
        return stacked(images, door=FOLDER)
