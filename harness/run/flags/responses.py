"""Flags of responses: other units, ceilings that rest on little."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from ...data import CeilingSource, SubjectData
from ...metrics.encoding import variance_ratio, voxel_r
from ...nn.constancy import constant_columns
from ...notices import Flag

OTHER_UNITS = 10.0
"""Ratio of spreads, either way, that no encoder in the same units has."""

FEW = 10
"""Degrees of freedom below which a variance is known to 45 % at best, sqrt(2 / df)."""


def other_units(data: SubjectData, predicted: np.ndarray | None) -> Iterator[Flag]:
    """Predicted responses that spread ten times as far as measured ones, or ten times less than they ought.

    A regression spreads less the less it predicts, about r times as far; so the lower bound is on the ratio
    of spreads over r, and asked only where r is beyond chance.
    """
    if predicted is None or len(predicted) < 3:
        return
    valid = data.space.valid
    sides = predicted[:, valid], data.test.responses.mean()[:, valid]
    varied = ~constant_columns(sides[0]) & ~constant_columns(sides[1])
    if not varied.any():
        return
    sides = tuple(side[:, varied] for side in sides)
    ratio, r = variance_ratio(*sides), voxel_r(*sides)
    told = r > 3 / np.sqrt(len(predicted))
    spread = float(np.median(ratio))
    slope = float(np.median(ratio[told] / r[told])) if told.any() else 1.0
    if spread > OTHER_UNITS:
        yield Flag(
            "predictions-in-other-units",
            "warning",
            f"predicted responses spread {spread:.3g} times as far as measured ones (median over voxels): "
            f"are they in other units than {data.space.units}? Divide them by about {max(1, slope):.3g}",
        )
    elif slope < 1 / OTHER_UNITS:
        yield Flag(
            "predictions-in-other-units",
            "warning",
            f"predicted responses spread {spread:.3g} times as far as measured ones (median over voxels), "
            f"far less than their correlation with them calls for: are they in other units than "
            f"{data.space.units}? Multiply them by about {1 / slope:.3g}",
        )


def weak_ceiling(source: CeilingSource | None) -> Iterator[Flag]:
    """Noise ceilings from few repeats."""
    if source is not None and source.within and min(source.within, source.between) < FEW:
        yield Flag(
            "weak-noise-ceiling",
            "warning",
            f"noise ceilings rest on {source}: they are known to within a factor of about "
            f"{1 + np.sqrt(2 / min(source.within, source.between)):.1f}, and so is what is divided by them",
        )
