"""What published encoders share: nothing is fitted, and the voxel space is theirs."""

from __future__ import annotations

import contextlib
import importlib.util
import io
import logging
from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, ClassVar, Self

import numpy as np

from harness.api import ConfigError, Features, Stimuli, SubjectData, VoxelSpace

logger = logging.getLogger(__name__)


class PretrainedEncoder(ABC):
    """Images -> responses of the voxels that others fitted a model of.

    name : of the plugin.  takes : the parameter that ``NAME:VALUE`` gives.
    """

    version: ClassVar[str] = "1"
    stochastic: ClassVar[bool] = False
    pretrained: ClassVar[bool] = True
    Params: ClassVar[type]
    name: ClassVar[str]
    takes: ClassVar[str]

    def __init__(self, params: Any) -> None:
        self.params = params
        self.device = "cpu"

    @abstractmethod
    def own_space(self) -> VoxelSpace:
        """The voxels that it predicts."""

    @abstractmethod
    def respond(self, stimuli: Stimuli, features: Features) -> np.ndarray:
        """(N, V) float32 responses of those voxels."""

    @staticmethod
    @abstractmethod
    def missing(params: Any, *, subject: str) -> tuple[str, ...]:
        """A line for what is not here: a package, weights, a licence."""

    def wants(self) -> Sequence[tuple[str, str]]:
        """No features."""
        return ()

    def require(self, stimuli: Stimuli) -> None:
        """Raise what is missing."""
        lines = self.missing(self.params, subject="")
        if lines:
            raise ConfigError(lines[0])

    def fit(
        self,
        subjects: Sequence[SubjectData],
        features: Features,
        *,
        seed: int,
        device: str,
        checkpoint_dir: Path,
    ) -> None:
        """Nothing is learned; a space of other voxels is refused."""
        for subject in subjects:
            self._check(subject.space)
        self.device = device

    def predict(
        self, stimuli: Stimuli, features: Features, *, space: VoxelSpace, seeds: np.ndarray
    ) -> np.ndarray:
        """(N, S, V) float32; the S samples are equal."""
        self._check(space)
        responses = np.asarray(self.respond(stimuli, features), np.float32)
        return np.repeat(responses[:, None], seeds.shape[1], axis=1)

    def _check(self, space: VoxelSpace) -> None:
        self.own_space().require(
            space,
            what=f"encoder '{self.name}' predicts its own voxels (harness predict {self.name}:"
            f"{getattr(self.params, self.takes)} images/ --out predictions.h5)",
        )

    def save(self, folder: Path) -> None:
        """The name; all else is in the published files."""
        (Path(folder) / "pretrained.txt").write_text(f"{self.name}\n")

    @classmethod
    def load(cls, folder: Path, params: Any, *, device: str) -> Self:
        """As it was published."""
        return cls.from_pretrained(params, None, device=device)

    @classmethod
    def from_pretrained(cls, params: Any, space: VoxelSpace | None, *, device: str) -> Self:
        """The same, without a fit."""
        encoder = cls(params)
        encoder.device = device
        return encoder


def package_folder(name: str) -> Path | None:
    """Where the package `name` lies, found without importing it; None where it is not installed."""
    spec = importlib.util.find_spec(name)
    places = [] if spec is None else list(spec.submodule_search_locations or ())
    return Path(places[0]) if places else None


@contextlib.contextmanager
def quietly(package: str) -> Iterator[None]:
    """What `package` prints meanwhile goes to the log."""
    printed = io.StringIO()
    with contextlib.redirect_stdout(printed):
        yield
    for line in printed.getvalue().splitlines():
        logger.info("%s: %s", package, line)


def centred_squares(images: np.ndarray) -> np.ndarray:
    """Images (n, H, W, 3) as uint8, cut to their centred square."""
    side = min(images.shape[1:3])
    top, left = ((length - side) // 2 for length in images.shape[1:3])
    square = images[:, top : top + side, left : left + side]
    if square.dtype == np.uint8:
        return square
    return np.round(np.clip(np.asarray(square, np.float32), 0, 1) * np.float32(255)).astype(np.uint8)
