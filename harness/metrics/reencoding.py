"""Back from images to responses: does a reconstruction evoke, in an encoder, the response it was made from?

An encoder that had no part in the reconstruction predicts responses of the subject's voxels to it, and
these are correlated, across the voxels of a region, with the mean measured response to the test image.
This is "brain correlation" of Kneeland et al. (2023) and of MindEye2 (Scotti et al. 2024, Table 1), whose
encoder is GNet (:mod:`harness.backbones.gnet`).

Nothing here is 1 for a perfect reconstruction: the row ``stimulus``, the test images themselves, is the
ceiling of this encoder and these responses.  A voxel's mean response counts too, so that any picture at
all has a value above 0; the shuffled control and ``flat-grey`` say how large that is.

MindEye2 fills images of fewer than three repeats up to three, which weighs some repeats twice; here
every repeat counts once.
"""

from __future__ import annotations

import numpy as np

from ..backbones.gnet import NSDGENERAL
from ..data import VoxelSpace
from .correlations import Rows, correlations, correlations_of_pairs

UNITS = ("zscore_session", "zscore")
"""GNet was trained on betas z-scored within sessions; other scales weigh voxels otherwise."""


def lacks_gnet(space: VoxelSpace) -> str:
    """Why responses of `space` cannot be compared with GNet's, or ``""``."""
    voxels = NSDGENERAL.get(space.subject)
    if (space.dataset, space.mask) != ("nsd", "nsdgeneral") or voxels is None:
        return (
            "GNet predicts the nsdgeneral voxels of NSD subjects subj01 to subj08; these are "
            f"{space.mask} of {space.subject} of {space.dataset}"
        )
    if space.n_voxels != voxels:
        return f"GNet predicts {voxels} nsdgeneral voxels of {space.subject}; these are {space.n_voxels}"
    if space.units not in UNITS:
        return f"GNet predicts z-scored responses; these are in units '{space.units}'"
    return ""


def brain_correlation(predicted: np.ndarray, measured: np.ndarray) -> np.ndarray:
    """(N,) correlation across voxels of each row pair of (N, V), in float64; 0 for a constant row."""
    every = np.arange(len(predicted))
    return correlations_of_pairs(Rows.of(predicted), Rows.of(measured), every, every)


def brain_correlation_deranged(predicted: np.ndarray, measured: np.ndarray, orders: np.ndarray) -> np.ndarray:
    """(N,) mean over the re-pairings ``predicted[orders[k]]``, `orders` (K, N)."""
    every = correlations(Rows.of(predicted), Rows.of(measured), dtype=np.float64)
    return every[orders, np.arange(len(measured))].mean(axis=0)
