"""Units of responses: their names, and how numbers go from one to another.

NSD's betas are percent signal change times 300, as whole numbers.  Divided by 300 (``raw/300``) they are
``percent``; some evaluations divide them by 2000 (``raw/2000``: SynBrain, NeuroFlow), which makes a squared
error 44 times smaller.  Of ``raw`` numbers nobody says how large one percent is.  Z-scored responses go back
where the means and spreads that made them are known (:class:`Scaling`).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from .errors import ConfigError, SpaceMismatch, suggest

if TYPE_CHECKING:
    import numpy as np

PERCENT = {"percent": 1.0, "raw/300": 1.0, "raw/2000": 300 / 2000}
"""Units in which the size of one percent of signal change is known -> that size."""

ZSCORES = ("zscore", "zscore_session")

UNITS = ("raw", *PERCENT, *ZSCORES)

BROUGHT_TO = ("none", *ZSCORES, *PERCENT)
"""What ``normalise:`` of a benchmark takes: nothing is changed, z-scores, or units to which numbers are
brought."""


@dataclass(frozen=True, eq=False)
class Scaling:
    """What made responses z-scores: ``z * sd + mean`` are numbers in `units`.

    mean, sd : (V,) of training trials.  Of z-scores by session, those of a session as usual: the mean of the
    sessions' means and the root of the mean of their variances.
    """

    units: str
    mean: np.ndarray
    sd: np.ndarray


def factor(given: str, wanted: str) -> float | None:
    """By what numbers in units `given` are multiplied to be in units `wanted`; None where nobody knows."""
    if given == wanted:
        return 1.0
    return PERCENT[wanted] / PERCENT[given] if given in PERCENT and wanted in PERCENT else None


def converted(values: np.ndarray, given: str, wanted: str, space: Any, *, what: str) -> np.ndarray:
    """(..., V) float32: `values` in units `given` as numbers in units `wanted`.

    One of the two is that of `space`, a :class:`harness.data.VoxelSpace`, whose training statistics lead from
    or to z-scores; masked voxels stay at 0.

    Raises
    ------
    ConfigError
        One of them is no unit.
    SpaceMismatch
        Nothing is known that leads from the one to the other.
    """
    import numpy as np

    for name in (given, wanted):
        if name not in UNITS:
            raise ConfigError(suggest(name, UNITS, what="units of responses"))
    values = np.asarray(values)
    if given == wanted:
        return values.astype(np.float32)
    scale, scaling = factor(given, wanted), space.scaling
    if scale is not None:
        numbers = values.astype(np.float64) * scale
    elif scaling is not None and given == space.units and (scale := factor(scaling.units, wanted)):
        numbers = (values.astype(np.float64) * scaling.sd + scaling.mean) * scale
    elif scaling is not None and wanted == space.units and (scale := factor(given, scaling.units)):
        spread = np.where(space.valid, scaling.sd, 1.0)
        numbers = (values.astype(np.float64) * scale - scaling.mean) / spread
    else:
        raise SpaceMismatch(
            f"{what}: nothing known leads from units '{given}' to '{wanted}'; {_from_here(space)}"
        )
    return np.where(space.valid, numbers, 0).astype(np.float32)


def _from_here(space: Any) -> str:
    start = space.scaling.units if space.scaling is not None else space.units
    others = [name for name in UNITS if name != space.units and factor(start, name) is not None]
    if not others:
        return f"responses of {space.subject} are '{space.units}' as they come"
    return f"responses of {space.subject} are '{space.units}', which goes with {', '.join(others)}"
