"""Identification among look-alikes: can a reconstruction be told from images of the same kind?

Two-way identification saturates at 1 - 1/(2K) for someone who knows only which of K equal kinds an
image is of (:mod:`.identification`).  Here the rivals are only the images of one's own kind, for
drawn scenes those of the same main category and background, so that knowing the kind gives 0.5.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from ..api import DataError
from .identification import Chooser, two_way

KIND = ("category", "background")
"""Labels that two look-alikes share."""


def kinds(labels: Mapping[str, np.ndarray], names: Sequence[str] = KIND) -> np.ndarray | None:
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
) -> np.ndarray:
    """(N,) two-way win rates of `result` (N, D) against the `target` (N, D) of equal `kind` (N,).

    NaN for an image that is alone of its kind; chance is 0.5 for every other.

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
    values = np.full(len(result), np.nan)
    for one in np.unique(kind):
        alike = np.flatnonzero(kind == one)
        if len(alike) > 1:
            values[alike] = two_way(result[alike], target[alike], choose=choose, strict=strict)
    return values
