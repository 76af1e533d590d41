"""Feature-weighted receptive fields as a plugin."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from math import isqrt, log
from pathlib import Path

import numpy as np

from harness.api import ConfigError, DataError, Features, SpaceMismatch, Stimuli, SubjectData, VoxelSpace
from harness.toolkit import load_space, save_space

from ..common.params import check_numbers
from ..common.training_data import VoxelScale
from .fields import candidates
from .search import FittedFields, respond, search

logger = logging.getLogger(__name__)


class FwrfEncoder:
    """Feature maps -> responses; a voxel sees all maps through one Gaussian field."""

    version = "1"
    stochastic = False

    @dataclass(frozen=True, kw_only=True)
    class Params:
        """The grid, and the maps.

        layers : tokens (N, D) of a square grid; `skip` first tokens are left out.
        maps : most maps of a layer, those of the largest variance.
        sizes, smallest, largest, spacing, aperture : of the candidates; the image is 1 wide.
        penalties : grid, chosen with the field by the error on the last `holdout` share of images.
        nonlinear : log(1 + |x|) tanh(x) of pooled features.
        """

        backbone: str = "dinov2"
        layers: tuple[str, ...] = ("block3", "block6", "block9", "block12")
        skip: int = 1
        maps: int = 512
        sizes: int = 8
        smallest: float = 0.04
        largest: float = 0.4
        spacing: float = 1.4
        aperture: float = 1.1
        penalties: tuple[float, ...] = (1e3, 3.2e3, 1e4, 3.2e4, 1e5, 3.2e5, 1e6, 3.2e6, 1e7)
        holdout: float = 0.06
        nonlinear: bool = False

        def __post_init__(self) -> None:
            check_numbers(self, {})
            if not 0 < self.smallest <= self.largest or log(self.largest / self.smallest) > 50:
                raise ConfigError(
                    f"encoder.smallest is {self.smallest} and encoder.largest {self.largest}; expected "
                    "numbers above 0, the smallest first, for example 0.04 and 0.4"
                )
            if not self.penalties or min(self.penalties) <= 0:
                raise ConfigError(f"encoder.penalties is {self.penalties}; expected one or more above 0")
            if self.sizes < 1 or self.spacing <= 0 or not 0 < self.holdout < 1 or self.maps < 1:
                raise ConfigError(
                    "encoder.sizes and encoder.maps must be at least 1, encoder.spacing above 0, "
                    "encoder.holdout between 0 and 1"
                )

    def __init__(self, params: Params) -> None:
        self.params = params
        self._models: dict[str, tuple[VoxelSpace, FittedFields, list[np.ndarray], VoxelScale]] = {}

    def wants(self) -> tuple[tuple[str, str], ...]:
        """The layers of the backbone."""
        return tuple((self.params.backbone, layer) for layer in self.params.layers)

    def fit(
        self,
        subjects: Sequence[SubjectData],
        features: Features,
        *,
        seed: int,
        device: str,
        checkpoint_dir: Path,
    ) -> None:
        """A search for each subject."""
        self._models = {}
        for subject in subjects:
            self.adapt(subject, features, seed=seed, device=device, checkpoint_dir=checkpoint_dir)

    def adapt(
        self,
        subject: SubjectData,
        features: Features,
        *,
        seed: int,
        device: str,
        checkpoint_dir: Path,
    ) -> None:
        """Add one more subject; the others stay as they are."""
        p, space = self.params, subject.space
        responses = subject.train.responses.mean()[:, space.valid]
        scale = VoxelScale.of(responses)
        maps = self._maps(subject.train.stimuli, features)
        kept = [_most_variable(layer, p.maps) for layer in maps]
        order = np.random.default_rng(seed).permutation(len(responses))
        _, models = candidates(
            sizes=p.sizes, smallest=p.smallest, largest=p.largest, spacing=p.spacing, aperture=p.aperture
        )
        fitted = search(
            [layer[:, own][order] for layer, own in zip(maps, kept, strict=True)],
            scale.standardised(responses).numpy()[order],
            models,
            penalties=p.penalties,
            holdout=max(1, round(p.holdout * len(responses))),
            nonlinear=p.nonlinear,
        )
        self._models[space.sha] = (space, fitted, kept, scale)
        logger.info("fwrf of %s: %d candidates, %d voxels", space.subject, len(models), space.n_valid)

    def predict(
        self, stimuli: Stimuli, features: Features, *, space: VoxelSpace, seeds: np.ndarray
    ) -> np.ndarray:
        """(N, S, V) float32; the S samples are equal, masked voxels are 0."""
        if space.sha not in self._models:
            names = ", ".join(own.subject for own, *_ in self._models.values()) or "no subject"
            raise SpaceMismatch(
                f"fwrf encoder: fitted on {names}, asked for other voxels of {space.subject}; fit it on them"
            )
        _, fitted, kept, scale = self._models[space.sha]
        maps = self._maps(stimuli, features)
        chosen = [layer[:, own] for layer, own in zip(maps, kept, strict=True)]
        responses = scale.restored(respond(fitted, chosen, nonlinear=self.params.nonlinear))
        out = np.zeros((*seeds.shape, space.n_voxels), np.float32)
        out[:, :, space.valid] = responses[:, None]
        return out

    def save(self, folder: Path) -> None:
        """One sub-folder per subject."""
        for number, (space, fitted, kept, scale) in enumerate(self._models.values()):
            place = folder / f"subject-{number:03d}"
            place.mkdir(parents=True)
            save_space(place, space)
            fitted.save(place / "fields.safetensors")
            np.savez(place / "maps.npz", *kept, mean=scale.mean, sd=scale.sd)

    @classmethod
    def load(cls, folder: Path, params: Params, *, device: str) -> FwrfEncoder:
        """Read what :meth:`save` wrote."""
        encoder = cls(params)
        for place in sorted(folder.glob("subject-*")):
            space = load_space(place)
            with np.load(place / "maps.npz", allow_pickle=False) as file:
                kept = [file[f"arr_{k}"] for k in range(len(params.layers))]
                scale = VoxelScale(file["mean"], file["sd"])
            fitted = FittedFields.load(place / "fields.safetensors")
            encoder._models[space.sha] = (space, fitted, kept, scale)
        if not encoder._models:
            raise DataError(f"{folder} holds no fwrf encoder; fit it again")
        return encoder

    def _maps(self, stimuli: Stimuli, features: Features) -> list[np.ndarray]:
        """(N, D, side, side) of each layer."""
        out = []
        for backbone, layer in self.wants():
            tokens = np.asarray(features.layer(backbone, layer, stimuli), np.float32)
            places = tokens.shape[1] - self.params.skip
            if tokens.ndim != 3 or places < 1 or isqrt(places) ** 2 != places:
                raise ConfigError(
                    f"layer '{layer}' of backbone '{backbone}' has shape {tokens.shape}; expected tokens of "
                    f"a square grid after the first {self.params.skip} (--set encoder.skip=N)"
                )
            side = isqrt(places)
            grid = tokens[:, self.params.skip :].reshape(len(tokens), side, side, -1)
            out.append(np.moveaxis(grid, -1, 1))
        return out


def _most_variable(layer: np.ndarray, count: int) -> np.ndarray:
    """Places of the `count` maps of (N, k, side, side) with the largest variance over space and images.

    Variance is the mean square less the square of the mean, as the authors take it.
    """
    variance = np.square(layer, dtype=np.float64).mean(axis=(0, 2, 3)) - layer.mean(axis=(0, 2, 3)) ** 2
    return np.sort(np.argsort(-variance, kind="stable")[:count])
