"""Intervals, paired tests, tie groups and variance components, with images as the unit.

Trials, samples and voxels are averaged before; subjects are held fixed and share each image.
"""

from .bootstrap import bootstrap_weights
from .components import Components, variance_components
from .contributed import contributed_differences, contributed_interval, contributed_intervals
from .effects import Effect, paired_effects
from .groups import tie_groups, tie_letters
from .intervals import (
    FEW,
    FEW_IMAGES,
    NEARLY_ALIKE,
    Estimate,
    Interval,
    doubt,
    mean_interval,
    mean_intervals,
    share_limits,
)
from .over_subjects import subjects_interval
from .paired import (
    PairedDifference,
    holm,
    paired_difference,
    paired_differences,
    sign_flip_p,
    sign_flip_ps,
)
from .pairs import pair_resamples
from .pairwise import pairwise_ps, told_apart
from .ratios import ratio_of_means
from .replicates import SeedSpread, mean_over_seeds, seed_spread

__all__ = [
    "FEW",
    "FEW_IMAGES",
    "NEARLY_ALIKE",
    "Components",
    "Effect",
    "Estimate",
    "Interval",
    "PairedDifference",
    "SeedSpread",
    "bootstrap_weights",
    "contributed_differences",
    "contributed_interval",
    "contributed_intervals",
    "doubt",
    "holm",
    "mean_interval",
    "mean_intervals",
    "mean_over_seeds",
    "pair_resamples",
    "paired_difference",
    "paired_differences",
    "paired_effects",
    "pairwise_ps",
    "ratio_of_means",
    "seed_spread",
    "share_limits",
    "sign_flip_p",
    "sign_flip_ps",
    "subjects_interval",
    "tie_groups",
    "tie_letters",
    "told_apart",
    "variance_components",
]
