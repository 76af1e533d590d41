"""What a run knows when its stages are done, before it is written (:mod:`harness.run.record`)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from ..data import SubjectData
from ..notices import Flag
from ..rows.row_images import RowImages
from ..scoring.contributions import Contributions
from ..scoring.scores import Scored
from ..stages.data import Subset
from .plan import Plan


@dataclass(frozen=True)
class Outcome:
    """Everything that a finished run knows: data, image sets, scores, and what could not be scored.

    training : training splits that the encoder was fitted on.  predicted : (N, V) mean over samples.
    copies : small ones, by which flags compare images.  blended : share of the decoder's low-level images in
    what is scored.  wanted : the encoder's (backbone, layer) pairs.
    """

    plan: Plan
    data: SubjectData
    subset: Subset | None
    training: tuple[SubjectData, ...] = ()
    sets: Sequence[RowImages] = ()
    scored: Scored = field(default_factory=Scored)
    region_contributions: Sequence[Contributions] = ()
    voxel_r: Mapping[str, Sequence[float]] = field(default_factory=dict)
    wanted: tuple[tuple[str, str], ...] = ()
    candidates: int = 1
    blended: float = 0.0
    predicted: np.ndarray | None = None
    copies: Mapping[str, np.ndarray] = field(default_factory=dict)
    warned: tuple[Flag, ...] = ()
    keys: Mapping[str, str] = field(default_factory=dict)
    seconds: Mapping[str, float] = field(default_factory=dict)
