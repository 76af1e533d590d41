"""Agreement in words: do two pictures show the same kind of object, and evoke the same captions?

Both put images into the space of an image-text model (Radford et al. 2021) together with the captions
of the test images, so they need stimuli that have captions, and a backbone with ``extract_text``.

* ``category-agreement``: the category of each picture is read off as zero-shot classification does, by
  the class whose captions' mean embedding is nearest, and compared between result and target.  Chance
  is what the two sets' own frequencies give, so that a decoder which always draws the commonest
  category gets nothing: per image (a - e) / (1 - e), with a = 1 where the categories are equal and
  e = sum_c p_result(c) p_target(c); the mean over images is Cohen's kappa (Cohen 1960).
* ``caption-agreement``: each picture's profile of similarities to all captions, less the pool's mean
  profile; per image, the correlation of the two profiles.

Against the measured reconstructions they are decoded agreement at the level of objects and of captions;
a stimulus that both show is part of it (:mod:`.agreement`).  On by default on simulated benchmarks only,
as everything that the small networks judge.
"""

from __future__ import annotations

import numpy as np

from .agreement import agreement


def categories(features: np.ndarray, captions: np.ndarray, kind: np.ndarray) -> np.ndarray:
    """(N,) the kind whose captions lie nearest to each of `features` (N, D); -1 for a row with NaN.

    captions (M, D) and kind (M,) belong together; a kind lies at the mean of its captions' directions.
    """
    directions = _directions(captions)
    kinds = np.unique(kind)
    prototypes = _directions(np.stack([directions[kind == label].mean(axis=0) for label in kinds]))
    rows = np.asarray(features, np.float64)
    complete = np.isfinite(rows).all(axis=1)
    nearest = np.argmax(np.where(complete[:, None], rows, 0) @ prototypes.T, axis=1)
    return np.where(complete, kinds[nearest], -1)


def category_agreement(
    result: np.ndarray, target: np.ndarray, *, captions: np.ndarray, kind: np.ndarray
) -> np.ndarray:
    """(N,) values whose mean is Cohen's kappa of the categories of `result` and `target` (N, D).

    NaN for a row with NaN, and for all where both sets show one and the same category.
    """
    first, second = (categories(rows, captions, kind) for rows in (result, target))
    scored = (first >= 0) & (second >= 0)
    values = np.full(len(first), np.nan)
    if scored.any():
        first, second = first[scored], second[scored]
        expected = sum((first == label).mean() * (second == label).mean() for label in np.unique(kind))
        if expected < 1:
            values[scored] = ((first == second) - expected) / (1 - expected)
    return values


def caption_agreement(result: np.ndarray, target: np.ndarray, *, captions: np.ndarray) -> np.ndarray:
    """(N,) correlation of the caption profiles of `result` and `target` (N, D), each less its pool's mean."""
    directions = _directions(captions)
    return agreement(*(_directions(rows) @ directions.T for rows in (result, target)))


def _directions(rows: np.ndarray) -> np.ndarray:
    """Rows of unit norm, in float64; a zero row stays."""
    rows = np.asarray(rows, np.float64)
    norms = np.linalg.norm(rows, axis=1, keepdims=True)
    return np.divide(rows, norms, out=np.zeros_like(rows), where=norms != 0)
