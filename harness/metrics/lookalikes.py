"""Identification among look-alikes: can a reconstruction be told from images of the same kind?

Two-way identification saturates at 1 - 1/(2K) for someone who knows only which of K equal kinds an
image is of (:mod:`.identification`).  Here the rivals are only the images of one's own kind, for
drawn scenes those of the same main category and background, so that knowing the kind gives 0.5.

An image without a look-alike in the pool is not scored, and a small pool has many such: 50 kinds
leave few pairs among 100 images.  On by default on simulated benchmarks only, as the other metrics of
the small networks are (:mod:`.networks`).

Images of a kind are scored against each other and share what makes the kind easy or hard, so the kind is
the unit of intervals (:func:`kind_rivalry`), as a cluster is where clusters are sampled.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from ..api import DataError
from .identification import Chooser, two_way, two_way_with_rivalry

FEWEST = 10
"""Kinds that are a sample of kinds.  In simulations a 95 % interval over 4 kinds covered 83 to 86 %, over
10 kinds of five 92 %, over 60 of them 95 %; fewer are held fixed, and the interval speaks of other images
of these kinds."""


def kinds(labels: Mapping[str, np.ndarray], names: Sequence[str]) -> np.ndarray | None:
    """(N,) number of each image's kind from `labels` attribute -> (N,); None where one is missing.

    Raises
    ------
    DataError
        Attributes of different lengths.
    """
    if any(name not in labels for name in names):
        return None
    columns = [np.asarray(labels[name]) for name in names]
    if len({len(column) for column in columns}) > 1:
        lengths = ", ".join(f"{name}: {len(column)}" for name, column in zip(names, columns))
        raise DataError(f"labels of different lengths ({lengths}); expected one value per image of each")
    numbers = np.stack([np.unique(column, return_inverse=True)[1] for column in columns], axis=1)
    return np.unique(numbers, axis=0, return_inverse=True)[1].reshape(-1)


def lookalike_two_way(
    result: np.ndarray,
    target: np.ndarray,
    *,
    kind: np.ndarray,
    choose: Chooser = "target",
    strict: bool = False,
    copies: np.ndarray | None = None,
    rivalry: bool = False,
) -> np.ndarray:
    """(N,) two-way win rates of `result` (N, D) against the `target` (N, D) of equal `kind` (N,).

    NaN for a picture that is alone of its kind; chance is 0.5 for every other.  copies : (N,) equal numbers
    for images of equal content, which are no look-alikes of each other.  With `rivalry` (2, N): below the
    rates, the rest of each image's part in the spread (:func:`kind_rivalry`).

    Raises
    ------
    DataError
        Another number of kinds than of images.
    """
    if not len(result) == len(target) == len(kind):
        raise DataError(
            f"{len(result)} reconstructions, {len(target)} targets and {len(kind)} kinds; "
            "expected equal numbers"
        )
    values = np.stack([np.full(len(result), np.nan), np.zeros(len(result))])
    for category in np.unique(kind):
        alike = np.flatnonzero(kind == category)
        if len(alike) > 1:
            sides = result[alike], target[alike]
            how = {"choose": choose, "strict": strict, "copies": None if copies is None else copies[alike]}
            if rivalry:
                values[:, alike] = two_way_with_rivalry(*sides, **how)
            else:
                values[0, alike] = two_way(*sides, **how)
    return np.stack([values[0], kind_rivalry(*values, kind=kind)]) if rivalry else values[0]


def kind_rivalry(values: np.ndarray, within: np.ndarray, *, kind: np.ndarray) -> np.ndarray:
    """(N,) what `values` (N,) lack so that a bootstrap over images has the spread of one over kinds.

    With U the mean and S_g the sum of v_i - U over the m_g scored images of kind g, of G kinds, the mean
    of kinds drawn whole has the variance G / (G - 1) sum_g S_g^2 / N^2, and resamples of images whose
    value is U + d_i have sum_i d_i^2 / N^2 (cluster and simple sampling: Cochran 1977, Sampling
    Techniques, ch. 9A and 2).  These are equal for d_i = S_g / sqrt(m_g) sqrt(G / (G - 1)), each image
    standing for its share of a kind that comes and goes whole; so d_i - (v_i - U) is returned, less its
    mean over what is scored.  It is linear in the values, hence right for means over samples and for
    differences on the same images.

    With fewer than :data:`FEWEST` kinds, images of kinds of three or more are units, and `within` (N,),
    their rivalry inside the kind (:class:`.identification.Rivalry`), is left as it is.  The two images
    of a pair are never units: without the one there is no score of the other.  Of a single pair nothing
    is known of its spread.
    """
    scored = np.isfinite(values)
    rivalry = np.zeros(len(values))
    if not scored.any():
        return rivalry
    deviations = values[scored] - values[scored].mean()
    of = np.unique(kind[scored], return_inverse=True)[1].reshape(-1)
    sizes = np.bincount(of)
    kinds_scored = len(sizes)
    shares = np.bincount(of, deviations) / np.sqrt(sizes * (1 - 1 / max(kinds_scored, 2)))
    drawn_whole = (kinds_scored >= FEWEST) | ((sizes < 3) & (kinds_scored > 1))
    rivalry[scored] = np.where(drawn_whole[of], shares[of] - deviations, within[scored])
    rivalry[scored] -= rivalry[scored].mean()
    return rivalry
