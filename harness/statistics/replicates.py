"""Seeds as replicates: how far the scores of one system differ when it is fitted and decoded again.

Images and seeds are crossed: every seed of a system meets the same images.  In the two-way random model

    x_ri = mean + seed_r + image_i + rest_ri

the mean over R seeds and N images has the variance (MS_images + MS_seeds - MS_rest) / (N R) (Searle, Casella
& McCulloch 1992, ch. 4).  The first term is the square of the standard error over images of the seeds' mean
values; :class:`SeedSpread` holds what the others add.  A difference between systems whose seeds are drawn
apart has the sum of both sides' spreads.  Degrees of freedom follow Satterthwaite (1946, Biometrics 2).

Differences between images say nothing of this: 100 images tell two seeds of one ridge apart "with p = .003".
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class SeedSpread:
    """What R seeds of one system add to the variance of their mean.

    between : variance of the seeds' means over R; rest : the part of it that is images by seeds.
    seeds : R; images : N.
    """

    between: float
    rest: float
    seeds: int
    images: int

    @property
    def variance(self) -> float:
        """At least 0: seeds never make a mean surer."""
        return max(self.between - self.rest, 0.0)

    @property
    def wobble(self) -> float:
        """Sum of squares over degrees of freedom, for Satterthwaite's formula."""
        if self.variance == 0:
            return 0.0
        apart = self.between**2 / (self.seeds - 1)
        return apart + self.rest**2 / ((self.seeds - 1) * (self.images - 1))

    def of(self, subjects: int) -> SeedSpread:
        """Its part in a mean over `subjects`, of which this is one."""
        return SeedSpread(self.between / subjects**2, self.rest / subjects**2, self.seeds, self.images)


def seed_spread(values: np.ndarray) -> SeedSpread | None:
    """Spread of `values` (R, N) of R seeds and N images; None for one seed or fewer than two images.

    An image that a seed lacks (NaN) is left out.
    """
    values = np.asarray(values, np.float64)
    values = values[:, np.isfinite(values).all(axis=0)]
    seeds, images = values.shape
    if seeds < 2 or images < 2:
        return None
    by_seed = values.mean(axis=1)
    rest = values - by_seed[:, None] - values.mean(axis=0) + by_seed.mean()
    interaction = (rest**2).sum() / ((seeds - 1) * (images - 1))
    return SeedSpread(
        float(by_seed.var(ddof=1) / seeds), float(interaction / (images * seeds)), seeds, images
    )


def mean_over_seeds(values: np.ndarray) -> np.ndarray:
    """Mean over the first axis of what is not NaN; NaN where nothing is."""
    if len(values) == 1:
        return values[0]
    present = np.isfinite(values)
    total = np.where(present, values, 0.0).sum(axis=0)
    return np.divide(total, present.sum(axis=0), out=np.full(total.shape, np.nan), where=present.any(axis=0))
