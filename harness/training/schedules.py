"""Learning rates as functions of the step alone, so that a resumed training needs no state of theirs."""

from __future__ import annotations

import math
from dataclasses import dataclass

from ..api import ConfigError


@dataclass(frozen=True)
class WarmUpCosine:
    """A linear rise to `peak` during `warmup` steps, then a half cosine to `final` at `total`."""

    peak: float
    final: float
    warmup: int
    total: int

    def __call__(self, step: int) -> dict[str, float]:
        """Learning rate of step 0, 1, ..."""
        if step < self.warmup:
            return {"lr": self.peak * (step + 1) / self.warmup}
        share = (step - self.warmup) / max(self.total - self.warmup, 1)
        return {"lr": self.final + (self.peak - self.final) * (1 + math.cos(math.pi * share)) / 2}


@dataclass(frozen=True)
class OneCycle:
    """One cycle of rate and first beta over `total` steps (Smith & Topin 2018), number for number torch's
    ``OneCycleLR`` with cosines.

    peak : reached after a share `rise` of the steps, from ``peak / first``; the last rate is
        ``peak / first / last``.
    momentum : the first beta falls from the upper to the lower of the two and rises again.
    second_beta : of Adam, which stays.
    """

    peak: float
    total: int
    rise: float = 0.3
    first: float = 25.0
    last: float = 1e4
    momentum: tuple[float, float] = (0.85, 0.95)
    second_beta: float = 0.999

    def __post_init__(self) -> None:
        if not 0 < self.rise <= 1:
            raise ConfigError(f"the rate rises for a share {self.rise} of the steps; expected above 0 to 1")

    def __call__(self, step: int) -> dict[str, object]:
        """Learning rate and betas of step 0, 1, ..."""
        low, high = self.momentum
        start = self.peak / self.first
        turn = float(self.rise * self.total) - 1
        if step <= turn:
            share = step / turn if turn else 0.0
            rate, beta = _cosine(start, self.peak, share), _cosine(high, low, share)
        else:
            share = (step - turn) / (self.total - 1 - turn)
            rate, beta = _cosine(self.peak, start / self.last, share), _cosine(low, high, share)
        return {"lr": rate, "betas": (beta, self.second_beta)}


def _cosine(start: float, end: float, share: float) -> float:
    return end + (start - end) / 2.0 * (math.cos(math.pi * share) + 1)
