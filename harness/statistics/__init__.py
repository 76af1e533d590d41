"""Intervals, paired tests, tie groups and variance components, with images as the unit.

Trials, samples and voxels are averaged before; subjects are held fixed and share each draw of images.
"""

from .bootstrap import Interval, bootstrap_weights, mean_interval, mean_intervals
from .components import Components, variance_components
from .drawn import drawn_differences, drawn_interval, drawn_intervals
from .groups import tie_groups, tie_letters
from .paired import (
    PairedDifference,
    holm,
    paired_difference,
    paired_differences,
    sign_flip_p,
    sign_flip_ps,
)
from .pairs import pair_interval, pair_resamples

__all__ = [
    "Components",
    "Interval",
    "PairedDifference",
    "bootstrap_weights",
    "drawn_differences",
    "drawn_interval",
    "drawn_intervals",
    "holm",
    "mean_interval",
    "mean_intervals",
    "pair_interval",
    "pair_resamples",
    "paired_difference",
    "paired_differences",
    "sign_flip_p",
    "sign_flip_ps",
    "tie_groups",
    "tie_letters",
    "variance_components",
]
