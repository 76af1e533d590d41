"""The blurry image by MindEye2's published model of the subject, as the released scores take it.

Files lie beside MindHier's own, in the folder ``mindeye2`` of ``decoder.weights``; nothing is fitted.
MindEye2 decodes every trial and averages its latents; here the mean response is decoded, which MindHier gets.
"""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from harness.api import Responses, VoxelSpace, WeightsMissing
from harness.backbones.images import planes
from harness.decoders import files
from harness.decoders.drawing import last_channel, without_gradients

from ..mindeye2.given_files import missing_checkpoint

if TYPE_CHECKING:
    import torch

FOLDER = "mindeye2"
VAE = "sd_image_var_autoenc.pth"
MODEL = "train_logs/final_{}_pretrained_40sess_24bs/last.pth"
WITHOUT = "--set decoder.low_level=none"


class PublishedImages:
    """A published MindEye2 without its generator; it comes to the device to work, and leaves."""

    def __init__(self, weights: str) -> None:
        self.folder = Path(weights).expanduser() / FOLDER
        self.device = "cpu"
        self.space: VoxelSpace | None = None
        self.network: Any = None
        self._vae: Any = None

    def missing(self, subject: str) -> list[str]:
        """A line for each file that is not there."""
        lines = files.absent([self._vae_file])
        return lines + missing_checkpoint(self._model(subject), WITHOUT)

    def identity(self) -> str:
        """Of the VAE and of every published model there."""
        total = hashlib.sha256()
        files.add_samples(total, [self._vae_file(), *sorted(self.folder.glob(MODEL.format("*")))])
        return total.hexdigest()

    def fit(self, *_: Any, **__: Any) -> None:
        """Nothing is fitted."""

    def save(self, folder: Path) -> None:
        """The published files are not copied."""

    def restore(self, folder: Path, *, device: str) -> None:
        """They are read when it is opened."""

    def open(self, space: VoxelSpace, *, device: str) -> None:
        """Read the model of the subject of `space`; DataError for another's."""
        from ..mindeye2.checkpoints import load_network, read_weights
        from ..mindeye2.published import subject_weights

        self.device = device
        if self.space is not None and self.space.sha == space.sha:
            return
        file = self._model(space.subject)
        if lines := missing_checkpoint(file, WITHOUT):
            raise WeightsMissing(lines[0])
        self.network = load_network(subject_weights(read_weights(file), space, file=file))
        self.network.requires_grad_(False)
        self.space = space

    @without_gradients
    def images(self, responses: Responses) -> np.ndarray:
        """(N, H, W, 3) in [0, 1] of the mean pattern of each image."""
        import torch

        valid, means = self.space.valid, responses.mean()
        takes = self.network.ridge.linears[0].in_features
        patterns = means[:, valid] if takes == self.space.n_valid else np.where(valid, means, np.float32(0))
        network = self.network.to(self.device)
        try:
            given = torch.from_numpy(np.ascontiguousarray(patterns)).float().to(self.device)
            latents = network.backbone(network.ridge(given)).latents
        finally:
            network.to("cpu")
        return self._shown(latents)

    @without_gradients
    def true(self, images: np.ndarray) -> np.ndarray:
        """(N, H, W, 3) of the true latents of `images`."""
        from harness.backbones.images import resized

        from ..mindeye2 import low_level

        side = self.network.settings.backbone.latent_side * low_level.pixels_per_latent(self.vae)
        sized = resized(planes(images), side).to(self.device)
        return self._shown(low_level.low_level_targets(self.vae.to(self.device), sized))

    @property
    def vae(self) -> torch.nn.Module:
        """Stable Diffusion's, of the low-level latents."""
        from ..mindeye2.checkpoints import read_weights
        from ..mindeye2.generator import load_vae
        from ..mindeye2.public import PublicSizes

        if self._vae is None:
            self._vae = load_vae(read_weights(self._vae_file()), PublicSizes().vae)
        return self._vae

    def _shown(self, latents: torch.Tensor) -> np.ndarray:
        from ..mindeye2 import low_level

        return last_channel(low_level.decode_low_level(self.vae.to(self.device), latents))

    def _vae_file(self) -> Path:
        return files.needed(self.folder / VAE, "pscotti/mindeyev2", WITHOUT)

    def _model(self, subject: str) -> Path:
        return self.folder / MODEL.format(subject)
