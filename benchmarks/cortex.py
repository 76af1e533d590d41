"""A simulated visual cortex whose truth is known: from an image and its content to every voxel.

Early areas (V1, V2) take a compressed energy through Gaussian population receptive fields (Dumoulin &
Wandell 2008; Kay et al. 2013).  Middle areas (V3, hV4) mix compressed energies with both signs, rectify
and saturate.  Higher areas see the content of a scene, not its pixels: which objects are there, how
large and where, their colours and the background, mixed sparsely, with conjunctions.  No feature of
a network or backbone enters, so no encoder is given the generator.

A voxel's signal is standardised over reference scenes that are neither training nor test scenes.  A
trial is ``sqrt(s) signal + sqrt(1 - s) noise`` with noise of unit variance: single trials have
variance 1, as betas that were z-scored by session, and ncsnr = sqrt(s / (1 - s)) by construction
(Allen et al. 2022).  There are no gains or offsets by session, so that this holds in each of them.
"""

from __future__ import annotations

import hashlib
import logging
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache

import numpy as np

from harness.api import VoxelSpace

from .energy import GRID, N_CHANNELS, SIDE, energy
from .scenes import Scene, describe, draw
from .sheet import SPACING, normal_scores, patch, smooth_fields, white
from .tuning import content, early_weights, higher_tuning, middle_weights, receptive_fields
from .words import normals, uniforms, words

logger = logging.getLogger(__name__)

REFERENCE = "reference"
N_REFERENCE = 2000
CHUNK = 250
"""Images whose maps are held in memory at a time."""
NOISE_RANK = 12
NOISE_CORRELATION = 0.35
"""Share of the noise variance that neighbouring voxels have in common."""
_NOISE_LENGTH = 7.0  # mm
_SPREAD = 0.76  # SD of log ncsnr within an area
_LIMIT = 2.0  # SDs; beyond it a ceiling is so low that its ratio to r^2 is mostly chance
_MIDDLE_BIAS = 0.3  # SDs above the mean mixture at which a middle unit rests
_GAP = 2  # empty columns between areas on the sheet


@dataclass(frozen=True)
class Area:
    """One ROI: its cortical group, its share of a subject's voxels, and its median noise ceiling
    (explainable variance of the mean of three repeats)."""

    name: str
    group: str
    share: float
    ceiling: float

    @property
    def ncsnr(self) -> float:
        """Median ncsnr: NC = ncsnr^2 / (ncsnr^2 + 1/3)."""
        return math.sqrt(self.ceiling / (3 * (1 - self.ceiling)))


AREAS = (
    Area("V1", "early", 0.200, 0.50),
    Area("V2", "early", 0.175, 0.45),
    Area("V3", "middle", 0.120, 0.40),
    Area("hV4", "middle", 0.095, 0.35),
    Area("LO", "higher", 0.130, 0.29),
    Area("EBA", "higher", 0.075, 0.26),
    Area("FFA", "higher", 0.075, 0.25),
    Area("PPA", "higher", 0.075, 0.24),
    Area("VWFA", "higher", 0.055, 0.20),
)
"""In their order on the sheet.  Ceilings fall along the hierarchy as in NSD, where medians are about
37 % in V1, 31 % in V2, 26 % in hV4 and 10 % in inferior temporal cortex."""


@dataclass(frozen=True)
class Person:
    """What differs between simulated subjects besides their layout, which follows from the name."""

    n_voxels: int
    ncsnr_scale: float


SUBJECTS = {
    "subj01": Person(1500, 1.0),
    "subj02": Person(1900, 0.95),
    "subj03": Person(1200, 1.05),
    "subj04": Person(2600, 0.90),
}


@dataclass(frozen=True)
class _Standard:
    """Mean and SD of signals over the reference scenes."""

    mean: np.ndarray
    sd: np.ndarray

    @classmethod
    def of(cls, values: np.ndarray, *, axis: int) -> _Standard:
        return cls(values.mean(axis=axis, keepdims=True), values.std(axis=axis, keepdims=True))

    def apply(self, values: np.ndarray) -> np.ndarray:
        return (values - self.mean) / self.sd


class Cortex:
    """One subject's simulated cortex.

    Attributes
    ----------
    space : its :class:`VoxelSpace`, with ROIs, groups, sheet coordinates (mm) and exact ncsnr.
    signal_share : (V,) s, the share of signal in the variance of one trial.
    """

    def __init__(self, subject: str) -> None:
        self.subject = subject
        person = SUBJECTS[subject]
        counts = _voxel_counts(subject, person.n_voxels)
        patches = [patch(count) for count in counts]
        starts = np.cumsum([0] + [cells[:, 0].max() + 1 + _GAP for cells in patches[:-1]])
        placed = [cells + np.array([start, 0]) for cells, start in zip(patches, starts)]
        coordinates = np.concatenate(placed) * SPACING
        bounds = np.concatenate([[0], np.cumsum(counts)])
        self._areas = {area.name: slice(*bounds[k : k + 2]) for k, area in enumerate(AREAS)}
        ncsnr = np.concatenate(
            [
                area.ncsnr
                * person.ncsnr_scale
                * np.exp(_SPREAD * _quality(subject, area.name, coordinates[at]))
                for area, at in zip(AREAS, self._areas.values())
            ]
        )
        self.signal_share = ncsnr**2 / (1 + ncsnr**2)
        self._early, self._middle, self._higher = self._tune(patches)
        loadings = smooth_fields(coordinates, NOISE_RANK, length=_NOISE_LENGTH, name=f"{subject}|noise")
        self._loadings = loadings / np.linalg.norm(loadings, axis=1, keepdims=True)
        self.space = _space(subject, self._areas, coordinates, ncsnr)

    def _tune(self, patches: Sequence[np.ndarray]) -> tuple:
        early, middle, higher = [], [], []
        for area, cells in zip(AREAS, patches):
            name = f"{self.subject}|{area.name}"
            if area.group == "higher":
                higher.append(higher_tuning(area.name, cells, name=name))
                continue
            fields = receptive_fields(area.name, cells, name=name)
            if area.group == "early":
                early.append(early_weights(area.name, fields, cells, name=name))
            else:
                middle.append(middle_weights(area.name, fields, cells, name=name))
        return np.concatenate(early), np.concatenate(middle, axis=1), tuple(higher)

    def _drives(self, maps: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Early signals (n, Ve) and the two mixtures of the middle areas (2, n, Vm), from energies."""
        flat = (maps / _channel_scale()[:, None]).reshape(len(maps), N_CHANNELS * GRID * GRID)
        compressed = np.sqrt(flat)
        return np.sqrt(flat @ self._early.T), np.stack([compressed @ w.T for w in self._middle])

    @cached_property
    def _standards(self) -> tuple[_Standard, _Standard]:
        """Mean and SD over the reference scenes: of the middle areas' mixtures, then of all signals."""
        images, scenes = _reference()
        early, mixtures = zip(*(self._drives(energy(images[part])) for part in _chunks(len(images))))
        mixture = _Standard.of(np.concatenate(mixtures, axis=1), axis=1)
        raw = self._signals(np.concatenate(early), mixture.apply(np.concatenate(mixtures, axis=1)), scenes)
        return mixture, _Standard.of(raw, axis=0)

    def _signals(self, early: np.ndarray, mixtures: np.ndarray, scenes: Sequence[Scene]) -> np.ndarray:
        """(n, V) signals in the order of the areas, not yet of unit variance."""
        first, second = np.tanh(np.maximum(mixtures + _MIDDLE_BIAS, 0.0))
        middle = first - 0.6 * second + 0.5 * first * second
        seen = content(scenes)
        return np.concatenate([early, middle, *(area.respond(seen) for area in self._higher)], axis=1)

    def signal(self, images: np.ndarray, scenes: Sequence[Scene]) -> np.ndarray:
        """Noise-free responses (n, V) float64 to `images` (n, 64, 64, 3) of `scenes`.

        In the units of a trial: variance `signal_share` over the population of scenes.
        """
        of_mixtures, of_signals = self._standards
        out = np.empty((len(images), self.space.n_voxels))
        for part in _chunks(len(images)):
            early, mixtures = self._drives(energy(images[part]))
            signals = self._signals(early, of_mixtures.apply(mixtures), scenes[part])
            out[part] = of_signals.apply(signals)
        return out * np.sqrt(self.signal_share)

    def noise(self, indices: Sequence[int], repeat: int, *, series: str) -> np.ndarray:
        """Noise (n, V) float64 of one repeat of the images `indices`, of variance 1 - s.

        A pure function of (subject, `series`, index, repeat), up to the last bits of a
        matrix product: any subset draws the same trials.
        """
        n_voxels = self.space.n_voxels
        count = NOISE_RANK + n_voxels + n_voxels % 2
        name = f"{self.subject}|trials|{series}"
        raw = np.stack([words(name, int(index), count, stream=repeat) for index in indices])
        values = normals(raw)
        shared = values[:, :NOISE_RANK] @ self._loadings.T
        private = values[:, NOISE_RANK : NOISE_RANK + n_voxels]
        mixed = math.sqrt(NOISE_CORRELATION) * shared + math.sqrt(1 - NOISE_CORRELATION) * private
        return mixed * np.sqrt(1 - self.signal_share)


def _voxel_counts(subject: str, n_voxels: int) -> list[int]:
    """Voxels of each area: its share, 15 % more or less, so that they sum to `n_voxels`."""
    vary = 0.85 + 0.3 * uniforms(words(f"{subject}|sizes", 0, len(AREAS)))
    shares = np.array([area.share for area in AREAS]) * vary
    ends = np.rint(np.cumsum(shares) / shares.sum() * n_voxels).astype(int)
    return np.diff(ends, prepend=0).tolist()


def _quality(subject: str, area: str, coordinates: np.ndarray) -> np.ndarray:
    """(V,) standard normal scores of signal quality: a smooth field and a grain."""
    name = f"{subject}|{area}|quality"
    smooth = smooth_fields(coordinates, 1, length=6.0, name=name)[:, 0]
    grain = white(len(coordinates), 1, name=f"{name}|grain")[:, 0]
    return np.clip(normal_scores(0.8 * smooth + 0.6 * grain), -_LIMIT, _LIMIT)


def _space(subject: str, areas: dict[str, slice], coordinates: np.ndarray, ncsnr: np.ndarray) -> VoxelSpace:
    groups: dict[str, np.ndarray] = {}
    rois: dict[str, np.ndarray] = {}
    for area in AREAS:
        member = np.zeros(len(ncsnr), bool)
        member[areas[area.name]] = True
        rois[area.name] = member
        groups[area.group] = groups.get(area.group, np.zeros_like(member)) | member
    named = "|".join(f"{area.name}:{areas[area.name]}" for area in AREAS)
    sha = hashlib.sha256(f"embedded 1|{subject}|{named}".encode()).hexdigest()
    return VoxelSpace(
        dataset="embedded",
        subject=subject,
        mask="visual",
        n_voxels=len(ncsnr),
        units="zscore_session",
        voxels_sha=sha,
        rois=rois,
        groups=groups,
        ncsnr=ncsnr,
        coordinates=coordinates,
    )


def _chunks(count: int) -> Iterator[slice]:
    return (slice(start, min(start + CHUNK, count)) for start in range(0, count, CHUNK))


@lru_cache(maxsize=1)
def _reference() -> tuple[np.ndarray, list[Scene]]:
    """The scenes that fix every voxel's mean and scale."""
    logger.debug("drawing %d reference scenes of %d pixels", N_REFERENCE, SIDE)
    return draw(REFERENCE, range(N_REFERENCE)), describe(REFERENCE, range(N_REFERENCE))


@lru_cache(maxsize=1)
def _channel_scale() -> np.ndarray:
    """(channels,) mean energy of each channel, so that tuning weights compare."""
    images, _ = _reference()
    return energy(images[:CHUNK]).mean(axis=(0, 2))
