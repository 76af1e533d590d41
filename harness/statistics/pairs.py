"""Identification is a statistic of pairs: how its intervals follow.

Let W_ij be 1 where image j wins against its rival i, a tie 1/2, else 0.  The two-way score is the mean
U of W_ij over ordered pairs i != j, a U-statistic.  An image of a resample is a rival as often as it
is drawn, and never its own, so a resample with weights w (copies per image, N in all) has

    U* = sum_{i != j} w_i w_j W_ij / sum_{i != j} w_i w_j,          (:func:`pair_resamples`)

the recomputed matrix of the resampled images less the pairs of copies of one image (bootstrap of
U-statistics: Bickel & Freedman 1981; Arcones & Gine 1992).  With w = 1 + e, sum(e) = 0, c_j the win
rate of j and b_i the rate at which the others win against i,

    U* = U + 1/N sum_i e_i [(c_i - U) + (b_i - U)] + O(1/N):

to first order (Hajek projection; van der Vaart 1998, ch. 12) the bootstrap of a mean whose value for
image i is c_i + (b_i - U).  The first term alone, the bootstrap of win rates, is wrong in both
directions: images that are hard to tell apart have both c and b low, and the interval is too narrow
(100 images of kinds of unequal size: SD 0.015 for a true 0.023); images that win because they resemble
everything are also hard to beat, and it is too wide (0.029 for 0.006).

So a metric that knows its pairs returns, beside the values c_i, the *rivalry* of each image, b_i - U
with the terms of order 1/N that complete c_i to the jackknife's pseudo-value
U + (N - 1) / (N - 2) [(c_i - U) + (b_i - U)].  It needs N numbers and no matrix, adds over samples,
trials and differences, and generalises to n-way identification
(:class:`harness.metrics.identification.Rivalry`).  Tables keep it in the column ``rivalry``.

Where rivals are only the images of one's own kind, as few as one, the expansion fails: the pair is one
observation, and leaving out an image leaves no score of the other.  There kinds are drawn whole, and the
rivalry is what gives a bootstrap over images the spread of one over kinds
(:func:`harness.metrics.lookalikes.kind_rivalry`); nothing else need know of kinds.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from .bootstrap import DRAWS, bootstrap_weights


def pair_resamples(wins: np.ndarray, *, draws: int = DRAWS, seed: int = 0) -> np.ndarray:
    """(draws,) U* of `wins` (N, N), where [i, j] says how j fares against i; the diagonal is ignored.

    Exact, for whoever holds the matrix: N^2 products per draw.  NaN where a resample is one image only.
    """
    wins = np.array(wins, np.float64)
    np.fill_diagonal(wins, 0.0)
    return np.concatenate([*_blocks(wins, draws, seed), np.empty(0)])


def _blocks(wins: np.ndarray, draws: int, seed: int) -> Iterator[np.ndarray]:
    n = len(wins)
    weights = bootstrap_weights(n, draws=draws, seed=seed)
    for start in range(0, draws, 1024):
        part = weights[start : start + 1024].astype(np.float64)
        pairs = n**2 - (part**2).sum(axis=1)
        won = ((part @ wins) * part).sum(axis=1)
        yield np.divide(won, pairs, out=np.full(len(part), np.nan), where=pairs > 0)
