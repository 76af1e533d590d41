"""What a layout's reader returns: one subject's trials, voxels and test sets, before any split."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from harness.api import DataError
from harness.reading.arrays import ArraySource
from harness.reading.prepared import Block, prepared_table
from harness.reading.volumes import Volume, open_volume

from ..assembly import VoxelFacts
from ..paired_images import Images
from ..paired_responses import ResponseTable
from ..paired_trials import SplitTrials


@dataclass(frozen=True)
class Recording:
    """One subject as a layout holds it.

    trials : every image that has a trial, with its trials, by id.
    units : of the numbers that `trials` gives; `normalised` says that whoever made the files z-scored them.
    test_sets : name -> ids of the images of that test set, those of them that were shown.
    training_sets : name of a test set -> ids of the images that train beside it, where whoever made the split
    lists them; elsewhere all others do.
    apart : name of a test set that was measured apart from `trials`, in a session of its own -> its trials.
    """

    trials: SplitTrials
    facts: VoxelFacts
    units: str
    test_sets: Mapping[str, Sequence[str]]
    mask: str = "all"
    normalised: bool = False
    training_sets: Mapping[str, Sequence[str]] = field(default_factory=dict)
    apart: Mapping[str, SplitTrials] = field(default_factory=dict)


@dataclass(frozen=True)
class ComputedRows:
    """An array (T, V) float32 whose rows are put together when they are read.

    rows : places (n,) -> (n, V).
    """

    shape: tuple[int, int]
    what: str
    rows: Callable[[np.ndarray], np.ndarray]
    dtype: ClassVar[np.dtype] = np.dtype(np.float32)

    def take(self, positions: np.ndarray, *, axis: int = 0) -> np.ndarray:
        """The entries `positions`, in their order, along `axis`."""
        return self.read()[:, positions] if axis else self.rows(np.asarray(positions, np.int64))

    def read(self) -> np.ndarray:
        """The whole array."""
        return self.rows(np.arange(self.shape[0]))


def trials_of(
    source: ArraySource,
    images: Images,
    names: Sequence[str],
    image_of_trial: np.ndarray,
    *,
    session: np.ndarray | None = None,
    labels: Mapping[str, Sequence[str]] | None = None,
) -> SplitTrials:
    """Trials in rows of `source`; only images that have one are kept.

    names : (M,) id of each of the M `images`; image_of_trial : (T,) place in these; labels : attribute ->
    (M,) of the images.
    """
    table = ResponseTable(source, "trials-first")
    if len(image_of_trial) != table.shape[0]:
        raise DataError(f"{source.what} has {table.shape[0]} trials and {len(image_of_trial)} are listed")
    if len(image_of_trial) and (image_of_trial.min() < 0 or image_of_trial.max() >= len(names)):
        raise DataError(
            f"trials of {source.what} show images {image_of_trial.min()} to {image_of_trial.max()}, counted "
            f"from 0; there are {len(names)}"
        )
    used, compact = np.unique(image_of_trial, return_inverse=True)
    return SplitTrials(
        tuple(names[k] for k in used),
        images,
        used,
        table,
        np.arange(table.shape[0]),
        compact,
        session,
        None,
        {label: np.array(values)[used] for label, values in (labels or {}).items()},
    )


def in_order_shown(shown: Sequence[str]) -> tuple[list[str], np.ndarray]:
    """Names in the order in which they were first shown, and (T,) the place of each trial's among them."""
    place = {name: k for k, name in enumerate(dict.fromkeys(shown))}
    return list(place), np.array([place[name] for name in shown])


def prepared(
    blocks: Sequence[Block], files: Sequence[Path], *, n_voxels: int, what: str, depends_on: Any
) -> ArraySource:
    """(T, V) of `blocks` as a table on disk, under the names, sizes and times of `files`."""
    sha = hashlib.sha256(repr(depends_on).encode())
    for file in files:
        state = file.stat()
        sha.update(f"|{file.resolve()}|{state.st_size}|{state.st_mtime_ns}".encode())
    return prepared_table(sha.hexdigest(), blocks, n_voxels=n_voxels, what=what)


def read_mask(path: Path) -> tuple[Volume, np.ndarray]:
    """The volume, and (X, Y, Z) bool: voxels above 0, since 0 is outside, too."""
    volume = open_volume(path)
    mask = volume.read() > 0
    if not mask.any():
        raise DataError(f"{path} has no voxel above 0")
    return volume, mask


def read_masked(path: Path, mask: np.ndarray) -> np.ndarray:
    """(trials, V), as stored, of a volume (X, Y, Z, trials) where `mask` (X, Y, Z) is true."""
    values = open_volume(path).read()
    if values.shape[:3] != mask.shape:
        raise DataError(f"{path} is {values.shape[:3]} voxels and the mask {mask.shape}")
    return values[mask].T


def masked_facts(
    mask: np.ndarray,
    affine: np.ndarray,
    rois: Mapping[str, np.ndarray],
    groups: Mapping[str, np.ndarray] | None = None,
    **others: Any,
) -> VoxelFacts:
    """Of the voxels of `mask` (X, Y, Z), which are told by their places in it, with their millimetres."""
    return VoxelFacts(
        rois,
        groups or {},
        coordinates=np.argwhere(mask) @ affine[:3, :3].T + affine[:3, 3],
        identity=np.flatnonzero(mask).astype("<i8").tobytes(),
        **others,
    )


def with_voxels(regions: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """The `regions`, name -> (V,) bool, that have a voxel."""
    return {name: members for name, members in regions.items() if members.any()}


def without_gaps(pairs: Sequence[tuple[Mapping[str, str], Path]], subject: str) -> list[Path]:
    """The files of sessions 1, 2, ..., the first of each; a gap is a :class:`DataError`: trials are told by
    their place."""
    files: dict[int, Path] = {}
    for values, path in pairs:
        files.setdefault(int(values["session"]), path)
    absent = sorted(set(range(1, max(files, default=1) + 1)) - set(files))
    if absent:
        later = f" and session {max(files)} is; get it, or remove the later ones" if files else ""
        raise DataError(f"session {absent[0]} of {subject} is not there{later}")
    return [files[number] for number in sorted(files)]
