"""Correlations of :mod:`.correlations` as torch operations, for identification on a card.

Everything is in float64, which neither TF32 nor the order of summation touches at 1e-9: where the processor
decides in float32 first and in float64 what is near, a card has the arithmetic to do all of it at once.

Features come from the store as arrays, and those of 1,000 images (0.7 GB) are never whole on the card: they
cross the bus once for their moments and once for the products, a block at a time.  The correlations of all
pairs come back, 8 MB for 1,000 images: ranks are counted by the code that counts them for numpy.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from .correlations import Rows, slices

if TYPE_CHECKING:
    import torch

HELD = 1 << 24  # numbers of a block, 128 MB in float64


def rows_on(values: np.ndarray, device: str) -> Rows:
    """:meth:`Rows.of`, its moments computed on `device`."""
    import torch

    mean, norm = np.empty((2, len(values)))
    for part in slices(len(values), HELD // max(1, values.shape[1])):
        exact = torch.from_numpy(np.array(values[part])).to(device).double()
        average = exact.mean(dim=1, keepdim=True)
        exact -= average
        mean[part] = average[:, 0].cpu().numpy()
        norm[part] = exact.square_().sum(dim=1).sqrt_().cpu().numpy()
    return Rows.from_moments(values, mean, norm)


def correlations_on(
    first: Rows, second: Rows, *, device: str, at: tuple[np.ndarray | slice, np.ndarray | slice]
) -> np.ndarray:
    """(n, m) float64 correlations of rows ``at[0]`` of `first` and ``at[1]`` of `second`."""
    import torch

    shape = [len(side.mean[rows]) for side, rows in zip((first, second), at)]
    total = torch.zeros(*shape, dtype=torch.float64, device=device)
    for features in slices(first.values.shape[1], HELD // max(1, *shape)):
        total += _standard(first, at[0], features, device) @ _standard(second, at[1], features, device).T
    return total.cpu().numpy()


def correlations_of_rows_on(result: np.ndarray, target: np.ndarray, *, device: str) -> np.ndarray:
    """(N,) float64 correlation of row k of `result` (N, D) with row k of `target` (N, D)."""
    first, second = rows_on(result, device), rows_on(target, device)
    values = np.empty(len(result))
    for part in slices(len(result), HELD // max(1, result.shape[1])):
        sides = [_standard(side, part, slice(None), device) for side in (first, second)]
        values[part] = (sides[0] * sides[1]).sum(dim=1).cpu().numpy()
    return values


def _standard(rows: Rows, at: np.ndarray | slice, features: slice, device: str) -> torch.Tensor:
    """(n, d) float64 features of the rows `at`, of mean 0 and norm 1 over all features."""
    import torch

    part = torch.from_numpy(np.array(rows.values[at, features])).to(device).double()
    mean, scale = (
        torch.from_numpy(statistic[at]).to(device)[:, None] for statistic in (rows.mean, rows.scale)
    )
    return part.sub_(mean).mul_(scale)
