"""Feature-weighted receptive fields as a plugin."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from math import isqrt, log
from pathlib import Path

import numpy as np

from harness.api import ConfigError, Features, Stimuli, SubjectData

from ..common.params import check_numbers
from ..common.solved import SolvedEncoder
from ..common.training_data import VoxelScale
from .fields import candidates
from .search import FittedFields, search
from .search import respond as predict_fields

logger = logging.getLogger(__name__)


@dataclass(frozen=True, eq=False)
class FwrfModel:
    """Fields of the valid voxels; of each layer the places of the maps that they see; the voxels' scale."""

    fields: FittedFields
    kept: list[np.ndarray]
    scale: VoxelScale


class FwrfEncoder(SolvedEncoder[FwrfModel]):
    """Feature maps -> responses; a voxel sees all maps through one Gaussian field."""

    name = "fwrf"

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

    def solve(self, subject: SubjectData, features: Features, *, seed: int) -> FwrfModel:
        """The search, on mean responses of SD 1."""
        p, space = self.params, subject.space
        responses = subject.train.responses.mean()[:, space.valid]
        scale = VoxelScale.of(responses)
        maps = self._maps(subject.train.stimuli, features)
        kept = [_most_variable(layer, p.maps) for layer in maps]
        order = np.random.default_rng(seed).permutation(len(responses))
        _, models = candidates(
            sizes=p.sizes, smallest=p.smallest, largest=p.largest, spacing=p.spacing, aperture=p.aperture
        )
        fields = search(
            [layer[:, own][order] for layer, own in zip(maps, kept, strict=True)],
            scale.standardised(responses).numpy()[order],
            models,
            penalties=p.penalties,
            holdout=max(1, round(p.holdout * len(responses))),
            nonlinear=p.nonlinear,
        )
        logger.info("fwrf of %s: %d candidates, %d voxels", space.subject, len(models), space.n_valid)
        return FwrfModel(fields, kept, scale)

    def respond(self, model: FwrfModel, stimuli: Stimuli, features: Features) -> np.ndarray:
        """(N, V), each voxel through its field."""
        maps = zip(self._maps(stimuli, features), model.kept, strict=True)
        chosen = [layer[:, own] for layer, own in maps]
        return model.scale.restored(predict_fields(model.fields, chosen, nonlinear=self.params.nonlinear))

    def write(self, model: FwrfModel, folder: Path) -> None:
        """``fields.safetensors`` and ``maps.npz``."""
        model.fields.save(folder / "fields.safetensors")
        np.savez(folder / "maps.npz", *model.kept, mean=model.scale.mean, sd=model.scale.sd)

    def read(self, folder: Path) -> FwrfModel:
        """What :meth:`write` kept."""
        with np.load(folder / "maps.npz", allow_pickle=False) as file:
            kept = [file[f"arr_{k}"] for k in range(len(self.params.layers))]
            scale = VoxelScale(file["mean"], file["sd"])
        return FwrfModel(FittedFields.load(folder / "fields.safetensors"), kept, scale)

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
