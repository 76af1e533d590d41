"""Retrieval in the decoder's own embedding: is what was decoded nearest to the right image?

Let ``cosines[j, i]`` be the cosine of the embedding decoded from the responses to image j and the
decoder's embedding of the true image i, both flattened.  Top-1 among the images of a gallery:

* ``image-retrieval``: given the brain, find the image; the share of j for which
  ``cosines[j, j]`` is the largest of its row;
* ``brain-retrieval``: given the image, find the brain; the largest of its column.

These are the definitions in words of MindEye (Scotti et al. 2023) and MindEye2 (Scotti et al. 2024).
Beware of their tables: the public notebook transposes the similarities, so a number published as
image retrieval is the brain retrieval of this module, and the other way round.

Galleries.  The field draws 300 of the test images 30 times and takes an interval over the draws,
which overlap and so say nothing of other images.  Here galleries of 300 are disjoint and fixed by
the hashes of ids, each image is sought once, and intervals are over images.  With fewer than 300
images all are one gallery; from 300 on, those left over when galleries are full are not scored.
``image-retrieval-300x30`` and ``brain-retrieval-300x30`` are the field's definition, the draws fixed
by the hashes of ids too; both are off unless asked for by name.

n candidates that tie for the first place count 1/n each, where a first-come argmax would favour
whoever made the ties: float16 cosines tie in up to a fifth of the rows.  Cosines closer than 1e-12
are ties.  An embedding with NaN is not scored, and is nobody's rival.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

import numpy as np

GALLERY = 300
DRAWS = 30
TIE = 1e-12


def top1(cosines: np.ndarray) -> np.ndarray:
    """(n,) share of the first place that candidate j has in row j of `cosines` (n, n); NaN for n = 1."""
    if len(cosines) < 2:
        return np.full(len(cosines), np.nan)  # the only candidate is found by nobody
    own = np.diagonal(cosines)
    above = (cosines > own[:, None] + TIE).any(axis=1)
    level = (cosines >= own[:, None] - TIE).sum(axis=1)  # one's own among them
    values = np.where(above, 0.0, 1.0 / np.maximum(level, 1))
    return np.where(np.isnan(own), np.nan, values)


def galleries(ids: Sequence[str], size: int = GALLERY) -> list[np.ndarray]:
    """Positions of `ids` in disjoint galleries of `size`, in an order that hashes give.

    One gallery of all with fewer than `size`; what is left over after the last full one is in none.
    """
    order = _by_hash(ids, "gallery")
    if len(order) < size:
        return [order]
    return [order[start : start + size] for start in range(0, len(order) - size + 1, size)]


def random_galleries(ids: Sequence[str], size: int = GALLERY, draws: int = DRAWS) -> list[np.ndarray]:
    """Positions of `ids` in `draws` overlapping galleries of `size`; none with fewer than `size`."""
    if len(ids) < size:
        return []
    return [_by_hash(ids, f"draw {draw}")[:size] for draw in range(draws)]


def _by_hash(ids: Sequence[str], name: str) -> np.ndarray:
    keys = [hashlib.sha256(f"retrieval|{name}|{one}".encode()).digest() for one in ids]
    return np.array(sorted(range(len(ids)), key=keys.__getitem__), np.int64)


def retrieval(cosines: np.ndarray, *, ids: Sequence[str], given_image: bool) -> np.ndarray:
    """(N,) top-1 in disjoint galleries, of the images `ids`.

    cosines : (N, N), decoded by true embedding.
    given_image : find the embedding that was decoded from an image's responses, in place of the image.
    """
    asked = cosines.T if given_image else cosines
    values = np.full(len(asked), np.nan)
    for at in galleries(ids):
        values[at] = top1(asked[np.ix_(at, at)])
    return values


def retrieval_drawn(cosines: np.ndarray, *, ids: Sequence[str], given_image: bool) -> np.ndarray:
    """(N,) as :func:`retrieval` with the field's draws; NaN with fewer than 300 images.

    An image's value is its hits x N / (30 x 300), so that the mean over images is exactly the mean
    over draws; one that many draws hold has a value above 1.
    """
    asked = cosines.T if given_image else cosines
    drawn = random_galleries(ids)
    if not drawn:
        return np.full(len(asked), np.nan)
    hits = np.zeros(len(asked))
    for at in drawn:
        hits[at] += top1(asked[np.ix_(at, at)])
    return hits * len(asked) / (DRAWS * GALLERY)
