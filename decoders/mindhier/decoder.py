"""The decoder ``mindhier``: fMRI -> hierarchy of tokens -> codes, scale by scale -> picture.

What it computes is in :mod:`.core`; this chooses its parts: the public files, or this project's small ones.
"""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np

from harness.api import Decoded, Features, Responses, SubjectData, VoxelSpace
from harness.nn.costs import DecodingCosts

from .core import MindHierCore
from .given_files import pretrained_files
from .low_level import BlurryImages
from .params import MindHierParams
from .published_low_level import PublishedImages


class MindHierDecoder(MindHierCore):
    """Fitted per subject; draws one picture per image by default.

    Candidates are the engine's to choose among: the first unless ``selection`` says otherwise, and the choice
    by the true stimulus, which the published scores use, is flagged there.
    """

    version = "1"
    Params = MindHierParams

    def __init__(self, params: MindHierParams) -> None:
        self.params = params
        super().__init__(
            lambda: _source(params).parts(params),
            params.fitting(),
            params.sampling(),
            candidates=params.candidates,
        )
        self.blurry = _blurry(params)
        self.blend = params.blend if self.blurry is not None else 0.0

    def identity(self) -> str:
        """Of the weights that it is made of."""
        own = _source(self.params).fingerprint(self.params)
        return own if self.blurry is None else f"{own}|{self.blurry.identity()}"

    @staticmethod
    def pretrained(params: MindHierParams) -> bool:
        """Whether fitted weights are given, which decode without a fit."""
        return bool(params.pretrained)

    @classmethod
    def from_pretrained(cls, params: MindHierParams, space: VoxelSpace, *, device: str) -> MindHierDecoder:
        """Fitted weights in the layout of the released code, for the voxels of `space`."""
        from .checkpoints import read_weights

        decoder = cls(params)
        encoder, transformer = (read_weights(file) for file in pretrained_files(params.pretrained))
        decoder.take_up(encoder, transformer, space)
        decoder.open(space, device=device)
        return decoder

    @staticmethod
    def missing(params: MindHierParams, *, subject: str) -> list[str]:
        """A line for each file of weights that is not there."""
        blurry = _blurry(params)
        beside = blurry.missing(subject) if isinstance(blurry, PublishedImages) else []
        return _source(params).missing(params) + beside

    @staticmethod
    def costs(params: MindHierParams, *, images: int) -> DecodingCosts | None:
        """What drawing `images` images at once takes at the released sizes; None of the small parts."""
        if params.weights == "tiny":
            return None
        from . import counts

        return counts.decoding(params, images=images)

    def networks(self) -> tuple[str, ...]:
        """Backbones of the harness that it looks through: CLIP ViT-L/14, both halves of which also score."""
        return ("bigg@tiny",) if self.params.weights == "tiny" else ("clip", "clip-l14-text")

    def fit(
        self, subject: SubjectData, features: Features, *, seed: int, device: str, checkpoint_dir: Path
    ) -> None:
        """See the core; MindEye2's low-level part beside, where it is asked for."""
        more = {"seed": seed, "device": device}
        super().fit(subject, features, checkpoint_dir=checkpoint_dir, **more)
        if self.blurry is not None:
            self.blurry.fit(subject, features, checkpoint_dir=checkpoint_dir / "low-level", **more)

    def open(self, space: VoxelSpace, *, device: str) -> None:
        """Refuse any space but the one that it was fitted in."""
        super().open(space, device=device)
        if self.blurry is not None:
            self.blurry.open(space, device=device)

    def decode(self, responses: Responses, *, seeds: np.ndarray) -> Decoded:
        """Reconstructions, and the blurry image where it is asked for."""
        decoded = super().decode(responses, seeds=seeds)
        if self.blurry is None:
            return decoded
        return dataclasses.replace(decoded, low_level=self.blurry.images(responses))

    def generate(self, images: np.ndarray, *, seeds: np.ndarray) -> Decoded:
        """The generator ceiling, with the blurry image of the true latents where it is asked for."""
        decoded = super().generate(images, seeds=seeds)
        if self.blurry is None:
            return decoded
        return dataclasses.replace(decoded, low_level=self.blurry.true(images))

    def _keep(self, folder: Path) -> None:
        super()._keep(folder)
        if self.blurry is not None:
            self.blurry.save(folder / "low-level")

    def _take(self, folder: Path) -> None:
        super()._take(folder)
        if self.blurry is not None:
            self.blurry.restore(folder / "low-level", device=self.device)


def _blurry(params: MindHierParams) -> BlurryImages | PublishedImages | None:
    """What predicts the blurry image, where it is asked for."""
    if params.low_level == "none":
        return None
    return BlurryImages() if params.weights == "tiny" else PublishedImages(params.weights)


def _source(params: MindHierParams):
    """The module that has the parts which ``params.weights`` names."""
    if params.weights == "tiny":
        from .tiny import small as source
    else:
        from . import public as source
    return source
