"""Responses by ridge from what images look like: what makes the rows of encoders that cheat."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from ..solvers.ridge import fit_ridge
from ..storage.content import save_array
from ..storage.references import Reference


def write_ridge(
    folder: Path,
    numbers: Sequence[Reference],
    ids: Sequence[str],
    contents: Sequence[str] | None,
    seed: int,
    penalties: Sequence[float],
) -> None:
    """Write (N, V) responses to N images, 0 in masked voxels.

    numbers : features (P, D) of images called `ids`, their responses (P, V), features (N, D) of the N images,
        valid voxels (V,).  contents : hashes of the P images, of which equal ones share a fold, or None.
    penalties : those that are tried.
    """
    ours, patterns, wanted, valid = (np.asarray(reference.load()) for reference in numbers)
    fitted = fit_ridge(ours, patterns[:, valid], ids=ids, contents=contents, seed=seed, penalties=penalties)
    responses = np.zeros((len(wanted), len(valid)), np.float32)
    responses[:, valid] = fitted.predict(wanted)
    save_array(folder, "responses", responses)
