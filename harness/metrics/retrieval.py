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

One picture may be listed several times in a test set (``copies``: (N,) numbers that are equal for images of
equal content).  Its copies are no rivals of each other, galleries are of different pictures, and among the
candidates each other picture stands once, by its first copy: chance is 1 / the size of the gallery.

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


def top1(cosines: np.ndarray, *, copies: np.ndarray | None = None) -> np.ndarray:
    """(n,) share of the first place that candidate j has in row j of `cosines` (n, n).

    NaN without a rival: the only candidate is found by nobody.
    """
    own = np.diagonal(cosines)
    rivals = ~np.isnan(cosines)
    if copies is not None:
        present = np.flatnonzero(rivals.any(axis=0))
        first = present[np.unique(copies[present], return_index=True)[1]]
        rivals &= np.isin(np.arange(len(cosines)), first) & (copies[:, None] != copies)
    np.fill_diagonal(rivals, False)
    above = ((cosines > own[:, None] + TIE) & rivals).any(axis=1)
    level = 1 + ((cosines >= own[:, None] - TIE) & rivals).sum(axis=1)
    values = np.where(above, 0.0, 1.0 / level)
    return np.where(~np.isnan(own) & rivals.any(axis=1), values, np.nan)


def galleries(
    ids: Sequence[str], size: int = GALLERY, *, copies: np.ndarray | None = None
) -> list[np.ndarray]:
    """Positions of `ids` in disjoint galleries of `size` pictures, in an order that hashes give.

    One gallery of all with fewer than `size`; what is left over after the last full one is in none.
    """
    order = _by_hash(ids, "gallery", copies)
    if len(order) < size:
        return [np.concatenate([*order, np.empty(0, np.int64)])]
    starts = range(0, len(order) - size + 1, size)
    return [np.concatenate(order[start : start + size]) for start in starts]


def random_galleries(
    ids: Sequence[str], size: int = GALLERY, draws: int = DRAWS, *, copies: np.ndarray | None = None
) -> list[np.ndarray]:
    """Positions of `ids` in `draws` overlapping galleries of `size` pictures; none with fewer."""
    drawn = (_by_hash(ids, f"draw {draw}", copies)[:size] for draw in range(draws))
    return [np.concatenate(order) for order in drawn if len(order) == size]


def _by_hash(ids: Sequence[str], name: str, copies: np.ndarray | None) -> list[np.ndarray]:
    """Positions of each picture, in the order of the hashes of its first image's id."""
    pictures: dict[int, list[int]] = {}
    for position, picture in enumerate(range(len(ids)) if copies is None else copies.tolist()):
        pictures.setdefault(picture, []).append(position)
    positions = list(pictures.values())
    keys = [hashlib.sha256(f"retrieval|{name}|{ids[at[0]]}".encode()).digest() for at in positions]
    return [np.array(positions[k], np.int64) for k in sorted(range(len(keys)), key=keys.__getitem__)]


def retrieval(
    cosines: np.ndarray, *, ids: Sequence[str], given_image: bool, copies: np.ndarray | None = None
) -> np.ndarray:
    """(N,) top-1 in disjoint galleries, of the images `ids`.

    cosines : (N, N), decoded by true embedding.
    given_image : find the embedding that was decoded from an image's responses, in place of the image.
    copies : (N,) equal numbers for images of equal content, None where there are none.
    """
    asked = cosines.T if given_image else cosines
    values = np.full(len(asked), np.nan)
    for at in galleries(ids, copies=copies):
        values[at] = top1(asked[np.ix_(at, at)], copies=None if copies is None else copies[at])
    return values


def retrieval_drawn(
    cosines: np.ndarray, *, ids: Sequence[str], given_image: bool, copies: np.ndarray | None = None
) -> np.ndarray:
    """(N,) as :func:`retrieval` with the field's draws; NaN with fewer than 300 pictures.

    An image's value is its hits x N / (30 x 300), so that the mean over images is exactly the mean
    over draws; one that many draws hold has a value above 1.  A draw with copies holds more than 300
    images, which count that much less.
    """
    asked = cosines.T if given_image else cosines
    drawn = random_galleries(ids, copies=copies)
    if not drawn:
        return np.full(len(asked), np.nan)
    hits = np.zeros(len(asked))
    for at in drawn:
        values = top1(asked[np.ix_(at, at)], copies=None if copies is None else copies[at])
        hits[at] += values * (GALLERY / len(at))
    return hits * len(asked) / (DRAWS * GALLERY)
