"""The low-level variant: MindEye2's blurry image beside MindHier's picture.

The published scores marked with a dagger are of 0.55 times the picture plus 0.45 times the blurry image that
MindEye2's low-level head predicts.  Beside the small parts that head is fitted on the same subject; beside
the public files it is the published one's (:mod:`.published_low_level`).  Scoring mixes the two.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from harness.api import Features, Responses, SubjectData, VoxelSpace
from harness.backbones.images import planes, resized
from harness.decoders.drawing import last_channel, without_gradients

from ..mindeye2 import MindEye2Decoder
from ..mindeye2.params import MindEye2Params

if TYPE_CHECKING:
    import torch

SMALL = {"weights": "tiny", "hidden": 224, "epochs": 4, "batch": 32, "learning_rate": 1e-3, "steps": 12}
"""MindEye2's settings on the embedded benchmark."""


class BlurryImages:
    """MindEye2 without its generator."""

    def __init__(self) -> None:
        self.decoder = MindEye2Decoder(MindEye2Params(**SMALL, guidance=2.0))

    def identity(self) -> str:
        """Of MindEye2's weights."""
        return self.decoder.identity()

    def fit(
        self, subject: SubjectData, features: Features, *, seed: int, device: str, checkpoint_dir: Path
    ) -> None:
        """As MindEye2 is fitted."""
        checkpoint_dir.mkdir(parents=True, exist_ok=True)
        self.decoder.fit(subject, features, seed=seed, device=device, checkpoint_dir=checkpoint_dir)

    def open(self, space: VoxelSpace, *, device: str) -> None:
        """Make ready for responses of `space`."""
        self.decoder.open(space, device=device)

    @without_gradients
    def images(self, responses: Responses) -> np.ndarray:
        """(N, H, W, 3) in [0, 1] of the mean pattern of each image."""
        import torch

        decoder = self.decoder
        patterns = torch.from_numpy(np.ascontiguousarray(responses.mean()[:, decoder.space.valid])).float()
        network = decoder.network
        latents = network.backbone(network.ridge(patterns.to(decoder.device))).latents
        return self._shown(latents)

    @without_gradients
    def true(self, images: np.ndarray) -> np.ndarray:
        """(N, H, W, 3) of the true latents of `images`."""
        from ..mindeye2 import low_level

        parts = self.decoder.parts
        side = parts.settings.backbone.latent_side * low_level.pixels_per_latent(parts.vae)
        sized = resized(planes(images), side).to(self.decoder.device)
        return self._shown(low_level.low_level_targets(parts.vae, sized, scale=parts.latent_scale))

    def save(self, folder: Path) -> None:
        """As MindEye2 is saved."""
        folder.mkdir(parents=True, exist_ok=True)
        self.decoder.save(folder)

    def restore(self, folder: Path, *, device: str) -> None:
        """Take up what :meth:`save` wrote."""
        self.decoder.restore(folder, device=device)

    def _shown(self, latents: torch.Tensor) -> np.ndarray:
        from ..mindeye2 import low_level

        parts = self.decoder.parts
        blurry = low_level.decode_low_level(parts.vae, latents, scale=parts.latent_scale)
        return last_channel(blurry)
