"""The decoder ``takagi`` (Takagi and Nishimoto, CVPR 2023): two ridges and Stable Diffusion 1.4.

Early areas give the latent of a small image, higher ones the words' embedding c.  The latent is decoded, cut
to 256 levels, enlarged, encoded again and redrawn for 40 of 50 steps under c.  The public scripts
(yu-takagi/StableDiffusionReconstruction, MIT) fit single trials, average the test responses, and fit no
intercept, so that c lacks its mean; `intercept` mends that.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import numpy as np

from harness.api import (
    ConfigError,
    DataError,
    Decoded,
    Features,
    Responses,
    SubjectData,
    VoxelSpace,
    check_ranges,
)
from harness.backbones.images import planes, resized
from harness.decoders.drawing import draws, image_generators
from harness.decoders.latent_diffusion.conditions import Conditions
from harness.decoders.latent_diffusion.decoder import CaptionBook, PaintedDecoder, PaintedParams, flat

from .regression import ScaledRidge

if TYPE_CHECKING:
    import torch

PENALTIES = tuple(10.0**power for power in range(-6, 1))
"""Of the CVPR scripts; with these on 25,000 standardised rows the fit is ordinary least squares."""


@dataclass(frozen=True, kw_only=True)
class TakagiParams(PaintedParams):
    """What is regressed on what, and how pictures are drawn.

    latent_areas, word_areas : ROIs or cortical groups of the voxel space whose voxels are joined.
    penalties : of both ridges, one chosen for each target.
    intercept : centre voxels and targets, which the public scripts do not.
    side : pixels a side of the image whose latent is predicted; 0 for the generator's own.
    sampler, steps, guidance, strength : of the generator.
    candidates : pictures drawn per image; five in the paper.
    """

    latent_areas: tuple[str, ...] = ("early",)
    word_areas: tuple[str, ...] = ("ventral",)
    penalties: tuple[float, ...] = PENALTIES
    intercept: bool = False
    side: int = 320
    sampler: Literal["ddim", "unipc"] = "ddim"
    steps: int = 50
    guidance: float = 5.0
    strength: float = 0.8

    def __post_init__(self) -> None:
        super().__post_init__()
        check_ranges(self, {"side": (0, 4096)}, section="decoder")
        if not self.penalties or min(self.penalties) <= 0:
            raise ConfigError(
                f"decoder.penalties is {list(self.penalties)}; expected positive numbers, like [0.1, 1]"
            )


class TakagiDecoder(PaintedDecoder):
    """Mean response of an image -> picture; fitted on single trials."""

    version = "1"
    repeats = "inputs"
    trains_on = "trials"
    Params = TakagiParams
    label = "takagi"
    generator = "stable"

    def __init__(self, params: TakagiParams) -> None:
        super().__init__(params)
        self._areas: tuple[np.ndarray, np.ndarray] | None = None
        self._latents: ScaledRidge | None = None
        self._words: ScaledRidge | None = None
        self._book: CaptionBook | None = None

    def fit(
        self, subject: SubjectData, features: Features, *, seed: int, device: str, checkpoint_dir: Path
    ) -> None:
        """Both ridges; latents are draws of the VAE's posterior, as there."""
        self._begin(subject, device)
        space, p = subject.space, self.params
        areas = (
            area_mask(space, p.latent_areas, "latent_areas"),
            area_mask(space, p.word_areas, "word_areas"),
        )
        stimuli, responses = subject.train.stimuli, subject.train.responses
        latents = self._computed(
            features,
            "latents",
            stimuli,
            lambda x, first: self._true_latents(x, self._latent_noise(len(x), first, seed, "latents")),
            more=f"{seed}|{p.side}",
        )
        words = self._word_targets(features, stimuli)
        trials, at = responses.trials(), responses.image_index
        how = {"penalties": p.penalties, "intercept": p.intercept, "at": at}
        self._latents = ScaledRidge.fit(trials[:, areas[0]], flat(latents), **how)
        self._words = ScaledRidge.fit(trials[:, areas[1]], flat(words), **how)
        self._book = CaptionBook.of(self.painter, stimuli.captions)
        self.space, self._areas = space, areas

    def decode(self, responses: Responses, *, seeds: np.ndarray) -> Decoded:
        """Pictures; the embedding is the predicted latent, `low_level` what it decodes to."""
        import torch

        self.open(responses.space, device=self.device)
        patterns = responses.mean()
        latents = self._latents.predict(patterns[:, self._areas[0]])
        words = self._words.predict(patterns[:, self._areas[1]])
        words = words.reshape(len(words), -1, self._word_shape()[1])
        return self._redrawn(latents, torch.from_numpy(words), image_generators(seeds))

    def generate(self, images: np.ndarray, *, seeds: np.ndarray) -> Decoded:
        """The generator ceiling: true latents, and the words of the nearest training caption."""
        sized = planes(images).to(self.device)
        words = self.painter.word_tokens(self._book.nearest(self.painter, sized))
        return self._redrawn(self.embed(images), words, image_generators(seeds))

    def embed(self, images: np.ndarray) -> np.ndarray:
        """(n, C * h * w) latents of `images` (n, H, W, 3), means of the posterior."""
        import torch

        parts = [self._true_latents(part.to(self.device)).flatten(1) for part in planes(images).split(32)]
        return torch.cat(parts).cpu().numpy()

    def _true_latents(self, images: torch.Tensor, noise: torch.Tensor | None = None) -> torch.Tensor:
        side, painter = self._side(), self.painter
        if noise is not None:  # latents of a smaller image are fewer
            noise = noise[..., : self._latent_shape()[1], : self._latent_shape()[2]]
        return painter.encode(images, noise=noise, picture=side)

    def _side(self) -> int:
        return self.params.side or self.painter.picture

    def _latent_shape(self) -> tuple[int, int, int]:
        channels, whole, _ = self.painter.latent_shape
        side = self._side() * whole // self.painter.picture
        return channels, side, side

    def _word_shape(self) -> tuple[int, int]:
        return tuple(self.painter.word_tokens([""]).shape[1:])

    def _redrawn(
        self, latents: np.ndarray, words: torch.Tensor, generators: Sequence[torch.Generator]
    ) -> Decoded:
        import torch

        painter = self.painter
        with torch.no_grad():
            shaped = torch.from_numpy(np.asarray(latents, np.float32)).reshape(-1, *self._latent_shape())
            first = (painter.decode(shaped.to(self.device)) * 255).floor() / 255
        enlarged = resized(first, painter.picture)

        def start() -> torch.Tensor:
            return painter.encode(enlarged, noise=draws(generators, painter.latent_shape))

        conditions = Conditions(words=words.float().to(self.device))
        return self._drawn(
            conditions, generators, start=start, embedding=np.asarray(latents, np.float32), low_level=enlarged
        )

    def _keep(self, folder: Path) -> None:
        np.save(folder / "areas.npy", np.stack(self._areas), allow_pickle=False)
        self._latents.save(folder / "latents.safetensors")
        self._words.save(folder / "words.safetensors")
        self._book.save(folder)

    def _take(self, folder: Path) -> None:
        self._areas = tuple(self._array(folder / "areas.npy", mapped=False))
        self._latents = ScaledRidge.load(folder / "latents.safetensors")
        self._words = ScaledRidge.load(folder / "words.safetensors")
        self._book = CaptionBook.load(folder)


def area_mask(space: VoxelSpace, areas: Sequence[str], name: str) -> np.ndarray:
    """(V,) bool of the valid voxels of `areas`, ROIs or cortical groups."""
    tables = {**space.groups, **space.rois}
    if unknown := [area for area in areas if area not in tables]:
        raise ConfigError(
            f"decoder.{name} has '{unknown[0]}', which {space.subject} has not; choose of "
            f"{', '.join(tables) or 'none: its voxel space has no areas'}: --set decoder.{name}=[NAME]"
        )
    mask = np.any([tables[area] for area in areas], axis=0) & space.valid if areas else np.zeros(0, bool)
    if not mask.any():
        raise DataError(
            f"no valid voxel of {space.subject} lies in {', '.join(areas) or 'no area'}; name others with "
            f"--set decoder.{name}=[NAME]"
        )
    return mask
