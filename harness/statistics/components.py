"""Where the spread of scores comes from: images, trials, samples.

The model of value y of image i, trial t and sample s is random throughout:

    y = mean + image_i + trial_it + sample_is + rest_its

Trials (repeats of the measurement) and samples (draws of a stochastic encoder or decoder) are nested
in images, since every image has trials and seeds of its own; samples cross trials, whose draws share
seeds.  What does not vary in the data has no component: with one trial per image the variance of
trials is part of the images', and with one value per image everything is.

Components are estimated by Henderson's method I (Henderson 1953, Biometrics 9, 226-252; Searle,
Casella & McCulloch 1992, ch. 5): for a grouping f of the values into levels a, the quantity
T_f = sum_a y_a.^2 / n_a less the same of one single group has, whatever the distribution, the
expectation sum_g var_g [k(f, g) - k(1, g)] with k(f, g) = sum_ab n_ab^2 / n_a; as many equations as
components are solved.  Unbiased also where images have unequal numbers of trials and samples, and
equal to the analysis of variance where they are equal.  An estimate of a variance near 0 may be negative.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

PARTS = ("images", "trials", "samples", "rest")


@dataclass(frozen=True)
class Components:
    """Unbiased variances of one value; NaN: does not vary in these data, or cannot be told apart.

    rest : trials by samples and whatever else; NaN where trials or samples alone vary, since their
        component then holds it.
    n : images; values : how many values of them.
    """

    mean: float
    images: float
    trials: float
    samples: float
    rest: float
    n: int
    values: int

    def shares(self) -> dict[str, float]:
        """Part -> share of the total variance, a negative estimate counting as 0."""
        parts = {part: getattr(self, part) for part in PARTS}
        kept = {part: max(value, 0.0) for part, value in parts.items() if np.isfinite(value)}
        total = sum(kept.values())
        return {part: kept[part] / total if part in kept and total > 0 else float("nan") for part in PARTS}


def variance_components(
    values: np.ndarray,
    image: Sequence[object] | np.ndarray,
    trial: Sequence[object] | np.ndarray,
    sample: Sequence[object] | np.ndarray,
) -> Components:
    """Components of `values` (n,) with their image, trial and sample; NaN values are left out."""
    values = np.asarray(values, np.float64)
    finite = np.isfinite(values)
    y = values[finite]
    labels = [np.unique(np.asarray(side)[finite], return_inverse=True)[1] for side in (image, trial, sample)]
    images = labels[0]
    n = len(np.unique(images))
    nothing = dict.fromkeys(PARTS, float("nan"))
    if n < 2:
        return Components(float(y.mean()) if n else float("nan"), **nothing, n=n, values=len(y))
    centre = y.mean()
    groupings = _groupings(*labels)
    variances = _henderson(y - centre, groupings)
    return Components(float(centre), **{**nothing, **variances}, n=n, values=len(y))


def _groupings(image: np.ndarray, trial: np.ndarray, sample: np.ndarray) -> dict[str, np.ndarray]:
    """Part -> level of each value; the finest one, whose levels are the values, comes last."""
    levels_of = {"images": image}
    for part, other in (("trials", trial), ("samples", sample)):
        levels = np.unique(np.stack([image, other]), axis=1, return_inverse=True)[1].reshape(-1)
        if levels.max() > image.max():  # some image has several
            levels_of[part] = levels
    single = [part for part, levels in levels_of.items() if levels.max() + 1 == len(image)]
    if single:  # its levels are the values themselves, so it takes the rest's place
        return {part: levels for part, levels in levels_of.items() if part not in single} | {
            single[-1]: np.arange(len(image))
        }
    return levels_of | {"rest": np.arange(len(image))}


def _henderson(y: np.ndarray, groupings: dict[str, np.ndarray]) -> dict[str, float]:
    parts = list(groupings)
    single_group = np.zeros(len(y), np.int64)
    left = np.array(
        [[_k(groupings[f], groupings[g]) - _k(single_group, groupings[g]) for g in parts] for f in parts]
    )
    right = np.array([_t(y, groupings[f]) - _t(y, single_group) for f in parts])
    if np.linalg.matrix_rank(left, tol=1e-9 * len(y)) < len(parts):
        return {}
    return dict(zip(parts, np.linalg.solve(left, right).tolist(), strict=True))


def _t(y: np.ndarray, levels: np.ndarray) -> float:
    return float((np.bincount(levels, y) ** 2 / np.bincount(levels)).sum())


def _k(f: np.ndarray, g: np.ndarray) -> float:
    """sum over levels a of f and b of g of n_ab^2 / n_a."""
    (a, _), counts = np.unique(np.stack([f, g]), axis=1, return_counts=True)
    return float((counts**2 / np.bincount(f)[a]).sum())
