"""SynBrain as a plugin."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from harness.api import Features, SubjectData

from ..common.network import Batch, FittedSubject, Stage
from ..common.tokens import LatentTraining, TokenEncoder, autoencoder_stage

if TYPE_CHECKING:
    from torch import Tensor, nn


class SynBrainEncoder(TokenEncoder):
    """Image tokens -> latent tokens of a response -> voxels; one network for all subjects of a fit.

    The networks hold no number of voxels: responses are pooled to a fixed length and stretched back.
    """

    name = "synbrain"

    @dataclass(frozen=True, kw_only=True)
    class Params(LatentTraining):
        """Sizes and training of both networks; the defaults are the published ones.

        layer : image tokens, whose shape the latent has
        channels, multiples, blocks, halvings, length, inner : of the autoencoder (:class:`.network.BrainVAE`)
        spread : SD of a voxel as the autoencoder sees it; .23 is that of the authors' units
        """

        channels: int = 128
        multiples: tuple[int, ...] = (2, 4, 4)
        blocks: int = 2
        halvings: int = 1
        length: int = 8192
        inner: int = 2048
        spread: float = 0.23

    def adapt(
        self,
        subject: SubjectData,
        features: Features,
        *,
        seed: int,
        device: str,
        checkpoint_dir: Path,
    ) -> None:
        """Few-shot, as the authors do it: the autoencoder is tuned as a whole, of the map the MLPs alone.

        The network of those it was fitted on stays as it is.
        """
        how = {"seed": seed, "device": device, "checkpoint_dir": Path(checkpoint_dir)}
        self._add([subject], features, **how, start=self.models[0])

    def network(self, shapes: Mapping[str, tuple[int, ...]], subjects: Sequence[FittedSubject]) -> nn.Module:
        """``vae`` and ``s2n``."""
        from torch import nn

        from harness.nn.sit import SiT

        from .network import BrainVAE

        p, (tokens, width) = self.params, shapes["tokens"]
        network = nn.Module()
        network.vae = BrainVAE(
            channels=p.channels,
            multiples=p.multiples,
            blocks=p.blocks,
            halvings=p.halvings,
            length=p.length,
            inner=p.inner,
            tokens=tokens,
            token_dim=width,
        )
        network.s2n = SiT(tokens=tokens, width=width, depth=p.depth, heads=p.heads)
        return network

    def stages(self, network: nn.Module, subjects: Sequence[FittedSubject]) -> Sequence[Stage]:
        """Autoencoder; then the map to its latent of the same trial."""
        import torch
        import torch.nn.functional as F

        p, vae = self.params, network.vae
        if self.models:  # one was fitted on others before
            for name, parameter in network.s2n.named_parameters():
                parameter.requires_grad_(".mlp." in name)
        weights = {"reconstruction": 1.0, "kl": p.kl, "contrast": p.contrast}

        def autoencoder(batch: Batch) -> Mapping[str, Tensor]:
            voxels = p.spread * batch.voxels[:, None]
            terms, _ = vae.terms(voxels, batch.images["tokens"], sample=batch.training)
            return {name: weights[name] * value for name, value in terms.items()}

        def mapping(batch: Batch) -> Mapping[str, Tensor]:
            with torch.no_grad():
                target, _ = vae.encode(p.spread * batch.voxels[:, None])
            return {"mse": F.mse_loss(self._latent(network, batch.images["tokens"]), target)}

        return [
            autoencoder_stage(p, vae, autoencoder, batch=p.batch),
            Stage.of(p, "s2n", network.s2n, mapping, ema=p.ema, keep="average"),
        ]

    def respond(self, model: Any, images: Mapping[str, Tensor], subject: int, seeds: np.ndarray) -> Tensor:
        """One pass through both; nothing is drawn, as in the authors' scripts."""
        latent = self._latent(model.network, images["tokens"])
        voxels = model.subjects[subject].voxels
        return model.network.vae.decode(latent, voxels)[:, 0] / self.params.spread

    def _latent(self, network: nn.Module, tokens: Tensor) -> Tensor:
        import torch

        return network.s2n(tokens, torch.zeros(len(tokens), device=tokens.device))
