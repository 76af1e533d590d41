"""The decoder ``brain-diffuser`` (Ozcelik and VanRullen 2023, arXiv:2303.05334): ridges, two generators.

A VDVAE's first latents give a small picture, from which Versatile Diffusion draws under predicted image and
word tokens.  Predictions of such strong penalties hardly move and are given the spread of the training
targets: by that of held-out training rows here (``brain-diffuser``), by that of the whole test set in the
public scripts, which ``brain-diffuser-transductive`` follows and is flagged for.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import numpy as np

from harness.api import Decoded, Features, Responses, SubjectData, check_ranges
from harness.backbones.images import planes, resized
from harness.decoders.drawing import draws, image_generators
from harness.decoders.latent_diffusion.conditions import Conditions
from harness.decoders.latent_diffusion.decoder import CaptionBook, PaintedDecoder, PaintedParams, flat
from harness.training import purpose_seed

from .regression import RescaledRidge

if TYPE_CHECKING:
    import torch

    from .vdvae import Vdvae

PUBLIC_BLOCKS = 31
"""Blocks of the released VDVAE whose latents are predicted: 91,168 numbers."""


@dataclass(frozen=True, kw_only=True)
class BrainDiffuserParams(PaintedParams):
    """What is regressed, and how pictures are drawn.

    latent_penalty, word_penalty, image_penalty : of the three ridges.
    folds : training folds whose held-out predictions give the spread that is undone.
    words : share of the words in what is drawn; the paper mixes 0.6 towards the image.
    sampler, steps, guidance, strength : of the generator; 37 of 50 steps are done.
    candidates : pictures drawn per image.
    """

    latent_penalty: float = 50_000.0
    word_penalty: float = 100_000.0
    image_penalty: float = 60_000.0
    folds: int = 5
    words: float = 0.4
    sampler: Literal["ddim", "unipc"] = "ddim"
    steps: int = 50
    guidance: float = 7.5
    strength: float = 0.75

    def __post_init__(self) -> None:
        penalties = dict.fromkeys(("latent_penalty", "word_penalty", "image_penalty"), (1e-9, 1e15))
        ranges = {**penalties, "folds": (2, 100)}
        super().__post_init__()
        check_ranges(self, ranges, section="decoder")


class BrainDiffuserDecoder(PaintedDecoder):
    """Mean response of an image -> picture; `low_level` is the VDVAE's."""

    version = "1"
    repeats = "inputs"
    trains_on = "means"
    Params = BrainDiffuserParams
    label = "brain-diffuser"
    null = "empty"

    def __init__(self, params: BrainDiffuserParams) -> None:
        super().__init__(params)
        self._ridges: dict[str, RescaledRidge] = {}
        self._shapes: dict[str, tuple[int, int]] = {}
        self._book: CaptionBook | None = None

    @cached_property
    def vdvae(self) -> Vdvae:
        """The generator of the first picture."""
        import torch

        with torch.random.fork_rng(devices=[]):
            if self.params.weights == "tiny":
                from .tiny.small import vdvae
            else:
                from .public import vdvae
            return vdvae()

    @property
    def blocks(self) -> int:
        """Blocks whose latents are predicted."""
        if self.params.weights == "tiny":
            from .tiny.sizes import BLOCKS

            return BLOCKS
        return PUBLIC_BLOCKS

    def identity(self) -> str:
        """Of all weights."""
        if self.params.weights == "tiny":
            from .tiny.small import fingerprint
        else:
            from .public import fingerprint
        return f"{super().identity()}|{fingerprint()}"

    @classmethod
    def missing(cls, params: BrainDiffuserParams, *, subject: str) -> list[str]:
        """A line for each file of weights that is not there."""
        lines = super().missing(params, subject=subject)
        if params.weights == "public":
            from .public import missing

            lines += missing()
        return lines

    def fit(
        self, subject: SubjectData, features: Features, *, seed: int, device: str, checkpoint_dir: Path
    ) -> None:
        """Three ridges; the VDVAE's targets are draws of its posterior, as there."""
        self._begin(subject, device)
        p, space, stimuli = self.params, subject.space, subject.train.stimuli
        voxels = subject.train.responses.mean()[:, space.valid]

        def latents(images: torch.Tensor, first: int) -> torch.Tensor:
            generators = [_generator(seed, "vdvae", first + k) for k in range(len(images))]
            return self._true_latents(images, generators)

        targets = {
            "latents": (
                self._computed(features, "vdvae", stimuli, latents, more=str(seed)),
                p.latent_penalty,
            ),
            "words": (self._word_targets(features, stimuli), p.word_penalty),
            "image": (
                self._computed(features, "tokens", stimuli, lambda x, _: self.painter.image_tokens(x)),
                p.image_penalty,
            ),
        }
        for name, (values, penalty) in targets.items():
            self._shapes[name] = tuple(values.shape[1:])
            self._ridges[name] = RescaledRidge.fit(
                voxels, flat(values), penalty=penalty, folds=p.folds, seed=seed
            )
        self._book = CaptionBook.of(self.painter, stimuli.captions)
        self.space = space

    def decode(self, responses: Responses, *, seeds: np.ndarray) -> Decoded:
        """Pictures; the embedding is the predicted image tokens."""
        import torch

        self.open(responses.space, device=self.device)
        voxels, tensors = responses.mean()[:, self.space.valid], {}
        for name, ridge in self._ridges.items():
            values = ridge.predict(voxels).astype(np.float32)
            tensors[name] = torch.from_numpy(values).reshape(len(values), *self._shapes[name])
        conditions = Conditions(tensors["image"].to(self.device), tensors["words"].to(self.device))
        generators = image_generators(seeds)
        first = self._first_picture(tensors["latents"].to(self.device), generators)
        return self._redrawn(conditions, first, generators)

    def generate(self, images: np.ndarray, *, seeds: np.ndarray) -> Decoded:
        """The generator ceiling: true tokens and latents, words of the nearest training caption."""
        import torch

        generators, sized = image_generators(seeds), planes(images).to(self.device)
        words = self.painter.word_tokens(self._book.nearest(self.painter, sized))
        with torch.no_grad():
            first = self._first_picture(self._true_latents(sized, generators), generators)
        return self._redrawn(Conditions(self._true_tokens(images), words), first, generators)

    def _true_latents(self, images: torch.Tensor, generators: Sequence[torch.Generator]) -> torch.Tensor:
        from .vdvae import joined

        network = self.vdvae
        x = network.normalised(resized(images, network.settings.side))
        return joined(network.latents(x, _noise(generators, x), blocks=self.blocks))

    def _first_picture(self, latents: torch.Tensor, generators: Sequence[torch.Generator]) -> torch.Tensor:
        """(B, 3, h, w) in [0, 1]: later latents are of the prior and pixels of the mixture, both drawn."""
        import torch

        from .mixture import to_uint8

        network = self.vdvae
        s = network.settings
        with torch.no_grad():
            features = network.decode(network.split(latents), _noise(generators, latents))
            draw = network.decoder.out_net.sample(
                features,
                *(_uniform(generators, (s.side, s.side, n)).to(latents) for n in (s.mixtures, 3)),
            )
        return to_uint8(draw).permute(0, 3, 1, 2).float() / 255

    def _redrawn(
        self, conditions: Conditions, first: torch.Tensor, generators: Sequence[torch.Generator]
    ) -> Decoded:
        import torch

        painter = self.painter
        enlarged = torch.nn.functional.interpolate(first, (painter.picture,) * 2, mode="bicubic").clamp(0, 1)

        def start() -> torch.Tensor:
            return painter.encode(enlarged, noise=draws(generators, painter.latent_shape))

        embedding = conditions.image.float().cpu().numpy()
        return self._drawn(conditions, generators, start=start, embedding=embedding, low_level=enlarged)

    def _move(self, device: str) -> None:
        super()._move(device)
        self.vdvae.to(device)

    def _keep(self, folder: Path) -> None:
        for name, ridge in self._ridges.items():
            ridge.save(folder / f"{name}.safetensors", shape=self._shapes[name])
        self._book.save(folder)

    def _take(self, folder: Path) -> None:
        for name in ("latents", "words", "image"):
            self._ridges[name], self._shapes[name] = RescaledRidge.load(folder / f"{name}.safetensors")
        self._book = CaptionBook.load(folder)


class TransductiveBrainDiffuser(BrainDiffuserDecoder):
    """As published: predictions are standardised over all test responses of a row at once."""

    transductive = True

    def calibrate(self, responses: Responses) -> None:
        """Take the spread of the predictions of all test inputs."""
        voxels = responses.mean()[:, self.space.valid]
        self._ridges = {name: ridge.calibrated(voxels) for name, ridge in self._ridges.items()}


def _generator(seed: int, *purpose: object) -> torch.Generator:
    import torch

    return torch.Generator().manual_seed(purpose_seed(seed, *purpose))


def _noise(generators: Sequence[torch.Generator], like: torch.Tensor):
    return lambda shape: draws(generators, tuple(shape[1:])).to(like)


def _uniform(generators: Sequence[torch.Generator], shape: tuple[int, ...]) -> torch.Tensor:
    import torch

    from .mixture import MARGIN

    drawn = torch.stack([torch.rand(shape, generator=generator) for generator in generators])
    return MARGIN + (1 - 2 * MARGIN) * drawn
