"""A simulated visual cortex whose truth is known: from an image and its content to every voxel.

Early areas (V1, V2) take a compressed energy through Gaussian population receptive fields (Dumoulin &
Wandell 2008; Kay et al. 2013).  Middle areas (V3, hV4) mix compressed energies with both signs, rectify
and saturate.  Higher areas see the content of a scene, not its pixels.  No feature of a network or
backbone enters, so no encoder is given the generator.  Two versions (:mod:`.recipes`), measured
over the subjects' standardised signals:

=================================================  =====================  =====================
N = 6,000 training and 1,000 test scenes           version 1              version 2
=================================================  =====================  =====================
share of the explainable variance of higher areas  .98 in each of the     .50 to .52 of subj01
that a linear read-out of the 54 content numbers   four subjects          to subj04
reaches; with main object and category x color     .98 to .99             .56 to .59
median noise ceiling of three repeats, subj01:     .50 .45 .35            .37 .31 .26
V1, V2, hV4 (NSD .37 .31 .26)
of higher areas (NSD .10)                          .20 to .29             .10
share of voxels with a ceiling above .8, subj01    .110                   .006
=================================================  =====================  =====================

A voxel's signal is standardised over reference scenes that are neither training nor test scenes.  A
trial is ``sqrt(s) signal + sqrt(1 - s) noise`` with noise of unit variance: single trials have
variance 1, as betas that were z-scored by session, and ncsnr = sqrt(s / (1 - s)) by construction
(Allen et al. 2022).  There are no gains or offsets by session, so that this holds in each of them.
"""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache

import numpy as np

from harness.api import VoxelSpace

from .energy import GRID, N_CHANNELS, SIDE, energy, normalised
from .noise import NOISE_RANK, drift, white_noise
from .objects import ObjectTuning, SeenObjects, object_tuning
from .recipes import RECIPES, Area, Recipe
from .scenes import Scene, describe, draw
from .sheet import SPACING, normal_scores, patch, smooth_fields, white
from .tuning import (
    HigherTuning,
    content,
    early_weights,
    higher_tuning,
    liking,
    middle_weights,
    receptive_fields,
)
from .words import uniforms, words

logger = logging.getLogger(__name__)

REFERENCE = "reference"
N_REFERENCE = 2000
CHUNK = 250
"""Images whose maps are held in memory at a time."""
_NOISE_LENGTH = 7.0  # mm
_LIMIT = 2.0  # SDs; beyond it a ceiling is so low that its ratio to r^2 is mostly chance
_MIDDLE_BIAS = 0.3  # SDs above the mean mixture at which a middle unit rests
_GAP = 2  # empty columns between areas on the sheet


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
    """One subject's simulated cortex, as a version of :data:`.recipes.RECIPES` has it.

    Attributes
    ----------
    space : its :class:`VoxelSpace`, with ROIs, groups, sheet coordinates (mm) and exact ncsnr.
    signal_share : (V,) s, the share of signal in the variance of one trial.
    """

    def __init__(self, subject: str, *, version: str = "1") -> None:
        self.subject, self.recipe = subject, RECIPES[version]
        areas = self.recipe.areas
        person = SUBJECTS[subject]
        counts = _voxel_counts(subject, person.n_voxels, areas)
        patches = [patch(count) for count in counts]
        starts = np.cumsum([0] + [cells[:, 0].max() + 1 + _GAP for cells in patches[:-1]])
        placed = [cells + np.array([start, 0]) for cells, start in zip(patches, starts)]
        coordinates = np.concatenate(placed) * SPACING
        bounds = np.concatenate([[0], np.cumsum(counts)])
        self._areas = {area.name: slice(*bounds[k : k + 2]) for k, area in enumerate(areas)}
        ncsnr = np.concatenate(
            [
                area.ncsnr
                * person.ncsnr_scale
                * np.exp(self.recipe.spread * _quality(subject, area.name, coordinates[at]))
                for area, at in zip(areas, self._areas.values())
            ]
        )
        self.signal_share = ncsnr**2 / (1 + ncsnr**2)
        self._early, self._middle, self._higher = self._tune(patches)
        loadings = smooth_fields(coordinates, NOISE_RANK, length=_NOISE_LENGTH, name=f"{subject}|noise")
        self._loadings = loadings / np.linalg.norm(loadings, axis=1, keepdims=True)
        self.space = _space(subject, self.recipe, self._areas, coordinates, ncsnr)

    def _tune(self, patches: Sequence[np.ndarray]) -> tuple:
        early, middle, higher = [], [], []
        for area, cells in zip(self.recipe.areas, patches):
            name = f"{self.subject}|{area.name}"
            if area.group == "higher":
                higher.append(self._higher_tuning(area.name, cells, name))
                continue
            fields = receptive_fields(area.name, cells, name=name)
            if area.group == "early":
                early.append(early_weights(area.name, fields, cells, name=name))
            else:
                middle.append(middle_weights(area.name, fields, cells, name=name))
        return np.concatenate(early), np.concatenate(middle, axis=1), tuple(higher)

    def _higher_tuning(self, area: str, cells: np.ndarray, name: str) -> HigherTuning | ObjectTuning:
        if self.recipe.higher == "objects":
            return object_tuning(liking(area), cells, name=name)
        return higher_tuning(area, cells, name=name)

    def _drives(self, maps: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Early signals (n, Ve) and the two mixtures of the middle areas (2, n, Vm), from energies."""
        maps = maps / _channel_scale()[:, None]
        if self.recipe.surround:
            maps = normalised(maps)
        flat = maps.reshape(len(maps), N_CHANNELS * GRID * GRID)
        compressed = np.sqrt(flat)
        return np.sqrt(flat @ self._early.T), np.stack([compressed @ w.T for w in self._middle])

    @cached_property
    def _standards(self) -> tuple[_Standard, _Standard]:
        """Mean and SD over the reference scenes: of the middle areas' mixtures, then of all signals."""
        maps, scenes = _reference()
        early, mixtures = zip(*(self._drives(maps[part]) for part in _chunks(len(maps))))
        mixture = _Standard.of(np.concatenate(mixtures, axis=1), axis=1)
        raw = self._signals(np.concatenate(early), mixture.apply(np.concatenate(mixtures, axis=1)), scenes)
        return mixture, _Standard.of(raw, axis=0)

    def _signals(self, early: np.ndarray, mixtures: np.ndarray, scenes: Sequence[Scene]) -> np.ndarray:
        """(n, V) signals in the order of the areas, not yet of unit variance."""
        first, second = np.tanh(np.maximum(mixtures + _MIDDLE_BIAS, 0.0))
        middle = first - 0.6 * second + 0.5 * first * second
        seen = SeenObjects.of(scenes) if self.recipe.higher == "objects" else content(scenes)
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
        name = f"{self.subject}|trials|{series}"
        share = self.recipe.drift
        mixed = white_noise(name, indices, repeat, self._loadings, carry=self.recipe.serial)
        if share:
            mixed = np.sqrt(1 - share) * mixed + np.sqrt(share) * drift(name, indices, repeat, self._loadings)
        return mixed * np.sqrt(1 - self.signal_share)


def _voxel_counts(subject: str, n_voxels: int, areas: Sequence[Area]) -> list[int]:
    """Voxels of each area: its share, 15 % more or less, so that they sum to `n_voxels`."""
    vary = 0.85 + 0.3 * uniforms(words(f"{subject}|sizes", 0, len(areas)))
    shares = np.array([area.share for area in areas]) * vary
    ends = np.rint(np.cumsum(shares) / shares.sum() * n_voxels).astype(int)
    return np.diff(ends, prepend=0).tolist()


def _quality(subject: str, area: str, coordinates: np.ndarray) -> np.ndarray:
    """(V,) standard normal scores of signal quality: a smooth field and a grain."""
    name = f"{subject}|{area}|quality"
    smooth = smooth_fields(coordinates, 1, length=6.0, name=name)[:, 0]
    grain = white(len(coordinates), 1, name=f"{name}|grain")[:, 0]
    return np.clip(normal_scores(0.8 * smooth + 0.6 * grain), -_LIMIT, _LIMIT)


def _space(
    subject: str, recipe: Recipe, areas: dict[str, slice], coordinates: np.ndarray, ncsnr: np.ndarray
) -> VoxelSpace:
    groups: dict[str, np.ndarray] = {}
    rois: dict[str, np.ndarray] = {}
    for area in recipe.areas:
        member = np.zeros(len(ncsnr), bool)
        member[areas[area.name]] = True
        rois[area.name] = member
        groups[area.group] = groups.get(area.group, np.zeros_like(member)) | member
    named = "|".join(f"{area.name}:{areas[area.name]}" for area in recipe.areas)
    sha = hashlib.sha256(f"embedded {recipe.version}|{subject}|{named}".encode()).hexdigest()
    return VoxelSpace(
        dataset=recipe.dataset,
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
    """Energies (n, channels, 256) and contents of the scenes that fix every voxel's mean and scale.

    They take seconds and are those of every subject and version.
    """
    logger.debug("drawing %d reference scenes of %d pixels", N_REFERENCE, SIDE)
    images = draw(REFERENCE, range(N_REFERENCE))
    return energy(images), describe(REFERENCE, range(N_REFERENCE))


@lru_cache(maxsize=1)
def _channel_scale() -> np.ndarray:
    """(channels,) mean energy of each channel, so that tuning weights compare."""
    maps, _ = _reference()
    return maps[:CHUNK].mean(axis=(0, 2))
