"""What a run knows when its stages are done, before it is written (:mod:`harness.run.record`)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from ..data import SubjectData
from ..notices import Flag
from ..rows.row_images import RowImages
from ..scoring.contributions import Contributions
from ..scoring.scores import Scored
from ..stages.data import Subset
from .plan import Plan


@dataclass
class Outcome:
    """Everything that a finished run knows: data, image sets, scores, and what could not be scored."""

    plan: Plan
    data: SubjectData
    subset: Subset | None
    sets: list[RowImages] = field(default_factory=list)
    scored: Scored = field(default_factory=Scored)
    region_contributions: list[Contributions] = field(default_factory=list)
    voxel_r: dict[str, Sequence[float]] = field(default_factory=dict)
    wanted: tuple[tuple[str, str], ...] = ()
    candidates: int = 1
    transductive: bool = False
    blended: float = 0.0  # share of the decoder's low-level images in what is scored
    predicted: np.ndarray | None = None  # (N, V) mean over samples
    copies: dict[str, np.ndarray] = field(default_factory=dict)  # small ones, by which flags compare images
    warned: list[Flag] = field(default_factory=list)
    keys: dict[str, str] = field(default_factory=dict)
    seconds: dict[str, float] = field(default_factory=dict)
