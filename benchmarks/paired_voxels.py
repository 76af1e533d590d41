"""What is known of each voxel: regions of interest, cortical groups, values such as ncsnr."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from harness.api import CeilingSource, DataError, suggest
from harness.reading.arrays import ArraySource, as_integers, as_vector

from .paired_params import Params

Masks = dict[str, np.ndarray]

LARGEST_NCSNR = 10.0
"""Ratios of standard deviations beyond it were no ratios: 99 % of a single trial would be signal."""

LARGEST_SHARE = 1 - 1e-6
"""A ceiling of 100 % would make ncsnr infinite."""


def read_regions(
    params: Params, open_source: Callable[[str], ArraySource], *, n_voxels: int
) -> tuple[Masks, Masks]:
    """ROIs and cortical groups, each name -> (V,) bool."""
    rois: Masks = {}
    for name, key in params.rois.items():
        values = as_vector(open_source(key))
        _require_length(len(values), n_voxels, what=f"ROI '{name}' ({key})")
        if not np.isin(values, (0, 1)).all():
            raise DataError(
                f"ROI '{name}' ({key}) holds other values than 0 and 1; a vector of ROI numbers goes under "
                "roi_labels, with roi_names"
            )
        rois[name] = values.astype(bool)
    if params.roi_labels:
        numbers = as_integers(open_source(params.roi_labels))
        _require_length(len(numbers), n_voxels, what=f"roi_labels ({params.roi_labels})")
        for name, number in params.roi_names.items():
            if name in rois:
                raise DataError(f"ROI '{name}' is under rois and under roi_names; keep one of them")
            rois[name] = numbers == number
    for name, members in rois.items():
        if not members.any():
            held = f"; {params.roi_labels} holds {_listed(numbers)}" if name in params.roi_names else ""
            raise DataError(f"ROI '{name}' has no voxel{held}")
    groups = {}
    for group, members in params.groups.items():
        absent = [roi for roi in members if roi not in rois]
        if absent:
            raise DataError(suggest(absent[0], rois, what=f"ROI of group '{group}'"))
        groups[group] = np.any([rois[roi] for roi in members], axis=0)
    return rois, groups


def read_voxel_values(source: ArraySource, n_voxels: int, *, columns: tuple[int, ...] = ()) -> np.ndarray:
    """(V,) float64 values, or (V, k) for k in `columns`."""
    if source.dtype.kind == "U":
        raise DataError(f"{source.what} holds text; expected numbers")
    if not columns:
        values = as_vector(source)
        _require_length(len(values), n_voxels, what=source.what)
    else:
        values = source.read()
        if values.ndim != 2 or values.shape[0] != n_voxels or values.shape[1] not in columns:
            expected = " or ".join(f"({n_voxels}, {k})" for k in columns)
            raise DataError(f"{source.what} has shape {values.shape}; expected {expected}, a row per voxel")
    return values.astype(np.float64)


def read_ncsnr(
    params: Params, open_source: Callable[[str], ArraySource], n_voxels: int
) -> tuple[np.ndarray | None, CeilingSource | None]:
    """(V,) noise-ceiling SNR as the user gave it or its ceiling, NaN where unknown; None without either."""
    if params.ncsnr:
        ncsnr = read_voxel_values(open_source(params.ncsnr), n_voxels)
        _require_range(ncsnr, LARGEST_NCSNR, what=f"ncsnr ({params.ncsnr})", hint=_ceiling_hint(params.ncsnr))
        return ncsnr, CeilingSource(f"ncsnr of the user ({params.ncsnr})")
    if not params.noise_ceiling:
        return None, None
    white, n = params.noise_ceiling_max, params.noise_ceiling_trials
    ceiling = read_voxel_values(open_source(params.noise_ceiling), n_voxels)
    what = f"noise_ceiling ({params.noise_ceiling})"
    _require_range(ceiling, white, what=what, hint="; if these are percent, type noise_ceiling_max: 100")
    if white == 100 and np.nanmax(ceiling, initial=0) <= 1:
        raise DataError(
            f"{what} holds no value above 1; for shares of 1 in place of percent type noise_ceiling_max: 1"
        )
    source = CeilingSource(f"noise ceilings of the user for means of {n} trials ({params.noise_ceiling})")
    return ncsnr_of(ceiling / white, n), source


def ncsnr_of(share: np.ndarray, n_trials: int) -> np.ndarray:
    """(V,) noise-ceiling SNR, from the `share` of variance that is signal in means of `n_trials`.

    sqrt(nc / (1 - nc) / n), since nc = ncsnr^2 / (ncsnr^2 + 1 / n) (Allen et al. 2022).
    """
    share = np.clip(share, 0, LARGEST_SHARE)
    return np.sqrt(share / (1 - share) / n_trials)


def _ceiling_hint(key: str) -> str:
    return (
        f"; if these are noise ceilings in percent, type noise_ceiling: {key}, noise_ceiling_max: 100 and "
        "noise_ceiling_trials: N, of as many trials as they were computed for, in place of ncsnr"
    )


def _require_range(values: np.ndarray, highest: float, *, what: str, hint: str) -> None:
    """Raise :class:`DataError` unless all `values` that are known are from 0 to `highest`."""
    finite = values[np.isfinite(values)]
    if len(finite) and finite.min() < 0:
        raise DataError(f"{what} is negative in {(finite < 0).sum()} voxels (lowest: {finite.min():.3g})")
    if len(finite) and finite.max() > highest:
        raise DataError(f"{what} holds values up to {finite.max():.3g}; expected 0 to {highest:g}{hint}")


def _require_length(length: int, n_voxels: int, *, what: str) -> None:
    if length != n_voxels:
        raise DataError(f"{what} has {length} entries; expected one for each of {n_voxels} voxels")


def _listed(numbers: np.ndarray) -> str:
    return ", ".join(map(str, np.unique(numbers)[:12]))
