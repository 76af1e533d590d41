"""Decoded agreement: do predicted and measured responses decode to the same images?

A decoded score against the stimulus cannot tell a good encoder from one that feeds the decoder what
it wants: the pseudo-inverse of the decoder predicts no brain and reconstructs perfectly.  What such
an encoder cannot know is how a brain's response *departs* from the stimulus, so that is compared.

Let P, M, S (N, D) be features of the reconstructions from predicted and from measured responses and
of the stimuli, each less its mean over the pool.

* ``decoded-agreement``: per image, the correlation of its rows of P and M across features.  Mostly
  the stimulus, which both contain.
* ``decoded-agreement-controlled``: with S = U L V' the principal components of the stimuli, U_K the
  leading K columns, the regression of every feature on them leaves E_P = (I - U_K U_K') P and E_M;
  per image, the cosine of its rows of E_P and E_M.  If P is any linear function of S then E_P = 0
  and so is the agreement; if E_P is independent of E_M it is 0 in expectation.  A residual set with
  less than 1e-6 of its set's variance is rounding and counts as no agreement.

Ordinary least squares in sample is unbiased here only if all of S is removed, and N images can give
no more than N - 1 components.  Where K = 2N/3 is short of S's rank, what is left of the stimulus is
shared by P and M and looks like agreement.  Measured on drawn scenes (D = 192, a linear decoder, a
cheat that is its pseudo-inverse, a ridge encoder on the same pixels; 100 images, means of 25 pools):
with K = N/2 and all features the cheat had 0.07 and the pixels 0.08, which would pass for a third
of the noise-free truth's 0.33.  Held-out folds with a ridge do not help, since the penalty leaves
the same components in both.  So with K short of the rank the comparison is confined to the N/4
leading stimulus components, where the stimulus's own share is removed exactly and the rest leaks in
only through the decoder's mixing: cheat 0.03, pixels 0.03, truth 0.32.  From 288 images on (D = 192)
none of this is needed: 0.03, 0.01, 0.32 with 500.  Images with flatter spectra need more.

Residuals of N images have N - 1 - K degrees of freedom, hence repeated pools scatter by
sqrt(N / (N - 1 - K)) more than the spread of the values says.  The values are stretched about their
mean by that factor; the mean is untouched, intervals over images become right, and a single value
may leave [-1, 1].

A decoder that draws with noise shares it between all reconstructions of one image and sample, which
makes differences between rows paired and is no agreement about the brain: on the simulated cortex with
the small MindEye2 a response of 0 "agreed" with 0.16 and a re-measurement with 0.81.  So M is drawn
again with other noise (0.03 and 0.38 then, 100 images).  And what such a decoder makes of the true
stimulus is no linear function of it: with R its generator's images of the true embeddings and E_R their
residual, E_P and E_M are each less their projection on E_R, one coefficient for all images and
features.  An encoder that gives the decoder just that has E_P = 0.

Caveats.  Nonlinear functions of the stimulus that encoder and decoder share otherwise (clipping at black
and white, detail finer than the features) are not removed.  With a linear decoder they stay visible as
a few hundredths: on the simulated cortex inversions of it, with and without a penalty on their norm, had
-0.03 to 0.01, a ridge on pixels 0.13, one on CLS 0.05 to 0.12, the noise-free truth 0.63 to 0.69 (pools
of 100 of 1,000 images).  Against the small MindEye2 a plain inversion had 0.06, a norm-penalised one 0.20
[0.06, 0.33] and a ridge on pixels 0.16 (100 images), where the truth has 0.37; another norm-penalised one
had -0.04 [-0.20, 0.12] and the row ``cheat-inverse``'s way -0.02 [-0.19, 0.15] (96 images): read the score
beside such rows (:mod:`harness.stages.cheats`).  Residuals of ridges cross-fitted over ten folds of images on
the stimulus and the rendered images kept these two at -0.01 and 0.01, no better than here, and told the truth
from a ridge on CLS no better (0.39 and 0.34, with a tenfold penalty 0.50 and 0.42; here 0.39 and 0.29).

The score separates bad encoders from good ones but does not order the good ones,
and means little alone: the same score of a re-measurement says how far noise on both sides lets two
measurements agree; the noise-free truth, with noise on one side only, agrees more.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from .identification import standardise

SMALLEST_POOL = 8
NOTHING = 1e-6  # share of a set's variance below which a residual is rounding
COMPONENTS = (2, 3)  # stimulus components removed, as a share of N
COMPARED = (1, 4)  # components compared where not all could be removed, as a share of N


def agreement(result: np.ndarray, target: np.ndarray) -> np.ndarray:
    """(N,) correlation across features of `result` and `target` (N, D), each less its pool mean.

    0 for a row without any departure from the mean; NaN for a row with NaN or where N < 2.
    """
    return _over_complete(_agreement, 2, result, target)


def controlled_agreement(
    result: np.ndarray, target: np.ndarray, stimulus: np.ndarray, rendered: np.ndarray | None = None
) -> np.ndarray:
    """(N,) agreement of what `stimulus` (N, D) does not explain of `result` and `target` (N, D).

    rendered : (N, D), what the decoder makes of the true stimuli; does not explain it either.

    The mean is the score; single values are stretched about it as the module explains.  NaN for a
    row with NaN, where N < 8, and where the stimuli do not differ.
    """
    controls = (stimulus,) if rendered is None else (stimulus, rendered)
    return _over_complete(_controlled, SMALLEST_POOL, result, target, *controls)


def _over_complete(score: Callable[..., np.ndarray], smallest: int, *sets: np.ndarray) -> np.ndarray:
    """Apply `score` to the images that are finite in all sets; the others get NaN."""
    sets = [np.asarray(rows, np.float64).reshape(len(rows), -1) for rows in sets]
    complete = np.logical_and.reduce([np.isfinite(rows).all(axis=1) for rows in sets])
    values = np.full(len(sets[0]), np.nan)
    if complete.sum() >= smallest:
        values[complete] = score(*(rows[complete] for rows in sets))
    return values


def _agreement(result: np.ndarray, target: np.ndarray) -> np.ndarray:
    first, second = (standardise(_departures(rows)) for rows in (result, target))
    return np.einsum("nd,nd->n", first, second)


def _controlled(
    result: np.ndarray, target: np.ndarray, stimulus: np.ndarray, rendered: np.ndarray | None = None
) -> np.ndarray:
    n = len(stimulus)
    images, sizes, features = np.linalg.svd(_departures(stimulus), full_matrices=False)
    rank = int((sizes > NOTHING * sizes[0]).sum())
    if rank == 0:
        return np.full(n, np.nan)
    removed = min(rank, n * COMPONENTS[0] // COMPONENTS[1])
    leading = images[:, :removed]

    def left(rows: np.ndarray) -> np.ndarray | None:
        """(N, .) what the stimulus does not explain; None for rounding."""
        centred = _departures(rows)
        if removed < rank:
            centred = centred @ features[: n * COMPARED[0] // COMPARED[1]].T
        residual = centred - leading @ (leading.T @ centred)
        return None if (residual**2).sum() <= NOTHING * (centred**2).sum() else residual

    residuals = [left(result), left(target)]
    own = None if rendered is None else left(rendered)
    if any(residual is None for residual in residuals):
        return np.zeros(n)
    if own is not None:
        shares = [residual - own * ((residual * own).sum() / (own**2).sum()) for residual in residuals]
        if any((s**2).sum() <= NOTHING * (residual**2).sum() for s, residual in zip(shares, residuals)):
            return np.zeros(n)
        residuals = shares
    first, second = residuals
    norms = np.linalg.norm(first, axis=1) * np.linalg.norm(second, axis=1)
    products = np.einsum("nd,nd->n", first, second)
    cosines = np.divide(products, norms, out=np.zeros(n), where=norms > 0)
    return cosines.mean() + (cosines - cosines.mean()) * np.sqrt(n / (n - 1 - removed))


def _departures(rows: np.ndarray) -> np.ndarray:
    """Rows less their mean; exactly 0 where what is left of a row is rounding."""
    centred = rows - rows.mean(axis=0)
    centred[np.linalg.norm(centred, axis=1) <= NOTHING * np.linalg.norm(rows, axis=1)] = 0.0
    return centred
