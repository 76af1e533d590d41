"""What a judgement says: a verdict, a sentence, and the figures it rests on."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

import numpy as np

from ..statistics.intervals import mean_interval


class Verdict(StrEnum):
    """How bad it is."""

    GOOD = "good"
    NOTE = "note"
    ALARM = "alarm"
    UNKNOWN = "unknown"


@dataclass(frozen=True)
class Judgement:
    """One question about the data.

    figures : (what, value) in the order in which they are shown; advice : what to do, empty where nothing is.
    """

    name: str
    verdict: Verdict
    sentence: str
    figures: tuple[tuple[str, str], ...] = ()
    advice: str = ""


@dataclass(frozen=True)
class Rate:
    """Mean two-way identification with its interval; chance is .5."""

    mean: float
    low: float
    high: float

    @classmethod
    def of(cls, values: np.ndarray) -> Rate:
        """From the rate of each image (N,), NaN without a rival."""
        interval = mean_interval(values, limits=(0.0, 1.0))
        return cls(interval.mean, interval.low, interval.high)

    @property
    def above_chance(self) -> bool:
        """Whether the interval lies above .5."""
        return bool(self.low > 0.5)

    def __str__(self) -> str:
        return f"{self.mean:.3f} [{self.low:.3f}, {self.high:.3f}]"
