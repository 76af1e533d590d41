"""Cosines between what was decoded and the decoder's own embedding of true images: what makes them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np

from ..storage.content import save_array
from ..storage.references import Filed

BLOCK_NUMBERS = 1 << 23
"""Numbers of each side turned into float64 at a time (64 MiB)."""


def write_cosines(folder: Path, decoded: Sequence[str], true: Sequence[str], at: np.ndarray) -> None:
    """Write ``cosines`` (N, N) of what lies in the files `decoded` and, at positions `at`, in `true`.

    0 where one is zero, NaN where one is not finite.  Block by block, so that a thousand embeddings of
    256 x 1,664 tokens need not lie in memory.
    """
    with np.errstate(invalid="ignore"):
        products = np.zeros((len(at), len(at)))
        squares = np.zeros((2, len(at)))
        for ours, theirs in _blocks(decoded, true, len(at)):
            theirs = theirs[at]
            products += ours @ theirs.T
            squares += np.stack([(ours**2).sum(axis=1), (theirs**2).sum(axis=1)])
        norms = np.sqrt(squares[0])[:, None] * np.sqrt(squares[1])
        cosines = np.divide(products, norms, out=np.zeros_like(products), where=norms > 0)
    cosines[~np.isfinite(squares[0])] = np.nan
    cosines[:, ~np.isfinite(squares[1])] = np.nan
    save_array(folder, "cosines", cosines)


def _blocks(
    decoded: Sequence[str], true: Sequence[str], images: int
) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Columns of both sides, float64, a block at a time."""
    opened = [[Filed(file).load() for file in files] for files in (decoded, true)]
    sides = [[array.reshape(len(array), -1) for array in side] for side in opened]
    step = max(1, BLOCK_NUMBERS // max(images, 1))
    for start in range(0, sides[0][0].shape[1], step):
        part = slice(start, start + step)
        yield tuple(np.concatenate([rows[:, part] for rows in side]).astype(np.float64) for side in sides)
