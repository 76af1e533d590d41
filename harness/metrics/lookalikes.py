"""Identification among look-alikes: can a reconstruction be told from images of the same kind?

Two-way identification saturates at 1 - 1/(2K) for someone who knows only which of K equal kinds an
image is of (:mod:`.identification`).  Here the rivals are only the images of one's own kind, for
drawn scenes those of the same main category and background, so that knowing the kind gives 0.5.

An image without a look-alike in the pool is not scored, and a small pool has many such: 50 kinds
leave few pairs among 100 images.  On by default on simulated benchmarks only, as the other metrics of
the small networks are (:mod:`.networks`).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import ClassVar

import numpy as np

from ..api import DataError
from .identification import Chooser, two_way, two_way_with_rivalry

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
    rivalry: bool = False,
) -> np.ndarray:
    """(N,) two-way win rates of `result` (N, D) against the `target` (N, D) of equal `kind` (N,).

    NaN for an image that is alone of its kind; chance is 0.5 for every other.  With `rivalry`
    (2, N): below the rates, what each image does to those of its kind (:class:`.identification.Rivalry`).

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
    found = np.stack([np.full(len(result), np.nan), np.zeros(len(result))])
    for one in np.unique(kind):
        alike = np.flatnonzero(kind == one)
        if len(alike) > 1:
            sides = result[alike], target[alike]
            if rivalry:
                found[:, alike] = two_way_with_rivalry(*sides, choose=choose, strict=strict)
            else:
                found[0, alike] = two_way(*sides, choose=choose, strict=strict)
    return found if rivalry else found[0]


class _Lookalike:
    """Two-way identification of an image among the others of its kind."""

    version: ClassVar[str] = "1"
    inputs: ClassVar[str] = "embedding"
    targets: ClassVar[tuple[str, ...]] = ("stimulus", "measured")
    unit: ClassVar[str] = "image"
    pool: ClassVar[bool] = True
    rivalry: ClassVar[bool] = True
    controlled: ClassVar[bool] = False
    higher_is_better: ClassVar[bool] = True
    chance: ClassVar[float | None] = 0.5
    kind: ClassVar[tuple[str, ...]] = KIND
    default: ClassVar[bool | str] = "simulated"

    def score(
        self, result: np.ndarray, target: np.ndarray, *, kind: np.ndarray, rivalry: bool = False
    ) -> np.ndarray:
        """See :func:`lookalike_two_way`."""
        return lookalike_two_way(result, target, kind=kind, rivalry=rivalry)


class ClipLookalike(_Lookalike):
    """On the image embedding of the CLIP slot."""

    label = "CLIP tiny look-alikes"
    backbone: ClassVar[tuple[str, str] | None] = ("clip@tiny", "image")


class InceptionLookalike(_Lookalike):
    """On the last pooled layer of the Inception slot."""

    label = "Incep tiny look-alikes"
    backbone: ClassVar[tuple[str, str] | None] = ("inception@tiny", "avgpool")
