"""Data that travel between the parts: voxel spaces, stimuli, responses, subjects.

Shapes: N images, T trials, V voxels, S samples, C candidates, R repeats, H x W pixels.
Arrays are aligned **by id, never by position**: whatever has an image axis carries the ids.
Plugins import these through :mod:`harness.api`.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from .errors import DataError, SpaceMismatch
from .image_sets import ImageSet, Stimuli, digest_of, image_sha
from .units import Scaling

__all__ = [
    "CeilingSource",
    "Decoded",
    "ImageSet",
    "Responses",
    "Scaling",
    "Split",
    "Stimuli",
    "SubjectData",
    "VoxelSpace",
    "image_sha",
]


@dataclass(frozen=True)
class CeilingSource:
    """Which trials a noise ceiling comes from, and how sure it is.

    trials : in words.  within, between : degrees of freedom of the noise and of the signal variance, 0 where
    nobody said.
    """

    trials: str
    within: int = 0
    between: int = 0

    def __str__(self) -> str:
        if not self.within:
            return self.trials
        freedom = f"{self.within} degrees of freedom within images, {self.between} between them"
        return f"{self.trials} ({freedom})"


@dataclass(frozen=True, eq=False)
class VoxelSpace:
    """What the entries of a response vector mean.  Every fMRI array travels with one.

    Attributes
    ----------
    dataset, subject, mask : names, for example ``"nsd"``, ``"subj01"``, ``"nsdgeneral"``.
    n_voxels : length V of a response vector, masked voxels included.
    units : ``"zscore_session"``, ``"zscore"``, ``"percent"``, ``"raw/300"``, ``"raw/2000"`` or ``"raw"``
        (:mod:`harness.units`).
    voxels_sha : hash of the ordered voxel identities (indices, coordinates or vertices).
    rois : name -> (V,) bool, a voxel may be in several.
    groups : cortical groups (``early``, ``middle``, ``higher`` ...): name -> (V,) bool.
    ncsnr : (V,) noise-ceiling signal-to-noise ratio, SD of signal over SD of a single trial's
        noise, or None when unknown (Allen et al. 2022, Methods).
    ncsnr_source : where that is from, if not from whoever made the benchmark.
    coordinates : (V, 3) voxel coordinates or (V, 2) sheet positions, or None.
    valid : (V,) bool; a False voxel is masked: its responses are held at 0 and every score
        leaves it out.
    vertices : (V,) numbers of the vertices of fsaverage that the entries are, 0 to 163,841 of the left half
        and from 163,842 on of the right one, or None.
    template : ``mni152`` where coordinates are millimetres of that template; "" for the subject's own.
    scaling : of z-scored responses, what made them z-scores, or None.
    """

    dataset: str
    subject: str
    mask: str
    n_voxels: int
    units: str
    voxels_sha: str
    rois: Mapping[str, np.ndarray] = field(default_factory=dict)
    groups: Mapping[str, np.ndarray] = field(default_factory=dict)
    ncsnr: np.ndarray | None = None
    coordinates: np.ndarray | None = None
    valid: np.ndarray | None = None
    ncsnr_source: CeilingSource | None = None
    vertices: np.ndarray | None = None
    template: str = ""
    scaling: Scaling | None = None

    def __post_init__(self) -> None:
        valid = np.ones(self.n_voxels, bool) if self.valid is None else np.asarray(self.valid, bool)
        object.__setattr__(self, "valid", valid)
        for kind, table in (("ROI", self.rois), ("cortical group", self.groups)):
            for name, members in table.items():
                if np.shape(members) != (self.n_voxels,):
                    raise DataError(
                        f"{kind} '{name}' of {self.subject} has shape {np.shape(members)}; expected "
                        f"({self.n_voxels},), one entry per voxel"
                    )
        for name in ("valid", "ncsnr", "vertices"):
            value = getattr(self, name)
            if value is not None and np.shape(value) != (self.n_voxels,):
                raise DataError(
                    f"{name} of {self.subject} has shape {np.shape(value)}; expected ({self.n_voxels},)"
                )

    @property
    def sha(self) -> str:
        """Identity of the space: two arrays may be combined only when this is equal."""
        names = "|".join((self.dataset, self.subject, self.mask, self.units, self.voxels_sha))
        return digest_of(names.encode(), self.valid.tobytes())

    @property
    def n_valid(self) -> int:
        """Number of voxels that scores use."""
        return int(self.valid.sum())

    def noise_ceiling(self, counts: np.ndarray) -> np.ndarray | None:
        """(V,) share of explainable variance of images averaged over `counts` (N,) repeats.

        ncsnr^2 / (ncsnr^2 + mean(1/counts)): Allen et al. 2022; for unequal repeats the mean of
        1/n, as Algonauts 2023 does.
        """
        if self.ncsnr is None:
            return None
        signal = np.asarray(self.ncsnr, np.float64) ** 2
        return signal / (signal + np.mean(1.0 / np.asarray(counts, np.float64)))

    def require(self, other: VoxelSpace, *, what: str) -> None:
        """Raise :class:`SpaceMismatch` unless `other` is this very space."""
        if self.sha == other.sha:
            return
        for name in ("dataset", "subject", "mask", "units", "n_voxels"):
            mine, theirs = getattr(self, name), getattr(other, name)
            if mine != theirs:
                raise SpaceMismatch(f"{what}: {name} is {theirs!r}, expected {mine!r}")
        raise SpaceMismatch(f"{what}: same names, but other voxels, another order or another valid mask")


class Responses:
    """Measured or synthetic responses, trial-major, read lazily.

    Parameters
    ----------
    space : what the V columns mean.
    ids : N unique image ids.
    data : (T, V) array, memory map or HDF5 data set of float32.
    image_index : (T,) position in `ids` of the image shown in each trial.
    session : (T,) session number of each trial; zeros when unknown.
    sha : content hash of `data`, if already known.
    trial_number : (T,) place of each trial in the order in which the data came, kept when some are chosen.
    """

    def __init__(
        self,
        space: VoxelSpace,
        ids: Sequence[str],
        data: Any,
        image_index: np.ndarray,
        *,
        session: np.ndarray | None = None,
        sha: str | None = None,
        trial_number: np.ndarray | None = None,
    ) -> None:
        self.space = space
        self.ids = tuple(str(i) for i in ids)
        self.data = data
        self.image_index = np.asarray(image_index, np.int64)
        trials = len(self.image_index)
        self.session = np.zeros(trials, np.int64) if session is None else np.asarray(session, np.int64)
        self.trial_number = np.arange(trials) if trial_number is None else np.asarray(trial_number, np.int64)
        self._sha = sha
        if len(set(self.ids)) != len(self.ids):
            raise DataError(f"responses of {space.subject}: an image id occurs more than once")
        if tuple(data.shape) != (trials, space.n_voxels):
            raise SpaceMismatch(
                f"responses of {space.subject} have shape {tuple(data.shape)}; expected "
                f"({trials} trials, {space.n_voxels} voxels)"
            )
        if len(self.session) != trials:
            raise DataError(f"{len(self.session)} session numbers for {trials} trials")
        if trials and (self.image_index.min() < 0 or self.image_index.max() >= len(self.ids)):
            raise DataError(f"image_index of {space.subject} points outside its {len(self.ids)} image ids")
        empty = np.flatnonzero(self.counts() == 0)
        if len(empty):
            raise DataError(f"image '{self.ids[empty[0]]}' of {space.subject} has no trial")

    @classmethod
    def single(cls, space: VoxelSpace, ids: Sequence[str], patterns: np.ndarray) -> Responses:
        """One pattern (N, V) per image."""
        return cls(space, ids, np.asarray(patterns, np.float32), np.arange(len(ids)))

    @property
    def n_trials(self) -> int:
        return len(self.image_index)

    def counts(self) -> np.ndarray:
        """(N,) number of trials of each image."""
        return np.bincount(self.image_index, minlength=len(self.ids))

    def trials(self) -> np.ndarray:
        """(T, V) float32, in trial order."""
        return np.asarray(self.data[:], np.float32)

    def spread(self) -> tuple[np.ndarray, np.ndarray]:
        """(V,) float64 mean and population SD over single trials, block by block."""
        mean, squares = np.zeros(self.space.n_voxels), np.zeros(self.space.n_voxels)
        for start in range(0, self.n_trials, 1024):
            mean += np.asarray(self.data[start : start + 1024], np.float64).sum(axis=0)
        mean /= max(1, self.n_trials)
        for start in range(0, self.n_trials, 1024):
            squares += ((np.asarray(self.data[start : start + 1024], np.float64) - mean) ** 2).sum(axis=0)
        return mean, np.sqrt(squares / max(1, self.n_trials))

    def mean(self) -> np.ndarray:
        """(N, V) float32 mean over the trials of each image, summed in float64 block by block."""
        order, counts = np.argsort(self.image_index, kind="stable"), self.counts()
        ends = np.cumsum(counts)
        out = np.empty((len(self.ids), self.space.n_voxels), np.float32)
        for first in range(0, len(self.ids), 512):
            last = min(first + 512, len(self.ids))
            begin = ends[first] - counts[first]
            at = order[begin : ends[last - 1]]
            increasing = np.sort(at)  # HDF5 reads sorted positions only
            one_piece = len(at) == increasing[-1] + 1 - increasing[0]  # read by a slice, without a copy
            place = slice(increasing[0], increasing[-1] + 1) if one_piece else increasing
            trials = np.asarray(self.data[place], np.float64)
            if not np.array_equal(at, increasing):
                trials = trials[np.searchsorted(increasing, at)]
            out[first:last] = _sums(trials, counts[first:last]) / counts[first:last, None]
        return out

    def repeats(self) -> np.ndarray:
        """(N, R, V) float32 trials by image, in trial order; NaN where an image has fewer than R."""
        counts, trials = self.counts(), self.trials()
        out = np.full((len(self.ids), int(counts.max()), self.space.n_voxels), np.nan, np.float32)
        seen = np.zeros(len(self.ids), np.int64)
        for trial, image in enumerate(self.image_index):
            out[image, seen[image]] = trials[trial]
            seen[image] += 1
        return out

    def select(self, ids: Sequence[str]) -> Responses:
        """Only the trials of `ids`; images in that order, trials in their own order within each."""
        position = {name: k for k, name in enumerate(self.ids)}
        missing = [i for i in ids if i not in position]
        if missing:
            raise DataError(f"no response has the image id '{missing[0]}' ({len(missing)} such)")
        order = np.argsort(self.image_index, kind="stable")
        ends = np.cumsum(self.counts())
        parts = [order[ends[position[i]] - self.counts()[position[i]] : ends[position[i]]] for i in ids]
        at = np.concatenate(parts) if parts else np.zeros(0, np.int64)
        increasing, back = np.unique(at, return_inverse=True)  # HDF5 reads sorted positions only
        data = np.asarray(self.data[increasing], np.float32)[back]
        index = np.repeat(np.arange(len(ids)), [len(p) for p in parts])
        numbers = self.trial_number[at]
        return Responses(self.space, ids, data, index, session=self.session[at], trial_number=numbers)

    def renamed(self, ids: Sequence[str]) -> Responses:
        """The same trials of the same images under other `ids`."""
        more = {"session": self.session, "sha": self._sha, "trial_number": self.trial_number}
        return Responses(self.space, ids, self.data, self.image_index, **more)

    def data_sha(self) -> str:
        """Content hash of the (T, V) numbers as float32, computed once."""
        if self._sha is None:
            sha = hashlib.sha256()
            for start in range(0, self.n_trials, 1024):
                sha.update(np.ascontiguousarray(self.data[start : start + 1024], np.float32).tobytes())
            self._sha = sha.hexdigest()
        return self._sha

    @property
    def sha(self) -> str:
        """Content hash: space, ids, trial order, sessions and data."""
        ids = "\n".join(self.ids).encode()
        parts = (self.data_sha().encode(), self.space.sha.encode(), ids)
        return digest_of(*parts, self.image_index.tobytes(), self.session.tobytes())


IN_SEQUENCE = 8
"""Rows up to which numpy's sum of a group is its first row plus the others, added one after the other."""


def _sums(rows: np.ndarray, counts: np.ndarray) -> np.ndarray:
    """(n, V) sums of n groups of rows (T, V) that follow each other, `counts` (n,) rows in each.

    The same numbers as ``np.add.reduceat`` gives, and several times as fast where all groups are of one size.
    """
    size = int(counts[0])
    if size > IN_SEQUENCE or (counts != size).any():
        return np.add.reduceat(rows, np.cumsum(counts) - counts, axis=0)
    groups = rows.reshape(len(counts), size, -1)
    others = sum((groups[:, k] for k in range(2, size)), groups[:, 1]) if size > 1 else None
    return groups[:, 0] if others is None else groups[:, 0] + others


@dataclass(frozen=True)
class Split:
    """Images and the responses to them; both have the same ids in the same order."""

    stimuli: Stimuli
    responses: Responses

    def __post_init__(self) -> None:
        if self.stimuli.ids != self.responses.ids:
            ids = set(self.stimuli.ids) ^ set(self.responses.ids)
            what = f"'{min(ids)}' is in one only" if ids else "their order differs"
            raise DataError(f"ids of images and responses differ: {what}")

    def __len__(self) -> int:
        return len(self.stimuli)

    def select(self, ids: Sequence[str]) -> Split:
        return Split(self.stimuli.select(ids), self.responses.select(ids))


@dataclass(frozen=True)
class SubjectData:
    """One subject: its voxel space, training split and test split.

    ``test`` is None in what an encoder or decoder is fitted on.  Simulated data also give
    ``truth``, the noise-free test responses, and ``remeasured``, as many fresh trials of each test
    image; real data may give ``remeasured`` from another session.
    ``source``, of the engine, loads the subject again in another process.
    """

    space: VoxelSpace
    train: Split
    test: Split | None
    truth: Responses | None = None
    remeasured: Responses | None = None
    source: Any = field(default=None, repr=False, compare=False)

    @property
    def subject(self) -> str:
        return self.space.subject

    @property
    def measured(self) -> bool:
        """Whether there is any voxel; without, the stimuli alone are known."""
        return self.space.n_voxels > 0

    def training(self) -> SubjectData:
        """What a plugin may be fitted on: no test image, no test response."""
        return replace(self, test=None, truth=None, remeasured=None, source=None)


@dataclass(frozen=True)
class Decoded:
    """What a decoder made of N images' responses.

    images : (N, C, H, W, 3) uint8, or float in [0, 1]; C candidates.  float16 is kept so, here and below.
    embedding : (N, D) or (N, tokens, D) predicted embedding, or None.
    caption : N strings, or None.
    low_level : (N, H, W, 3) blurry image that is not mixed into `images`, or None.
    """

    images: np.ndarray
    embedding: np.ndarray | None = None
    caption: tuple[str, ...] | None = None
    low_level: np.ndarray | None = None
