"""Train the small VDVAE on scenes of namespace ``tiny-vdvae``, 32 pixels a side.

``python -m harness.decoders.brain_diffuser.tiny.train_vdvae``: the evidence bound of Child (2021).
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch

from harness.backbones.images import resized
from harness.backbones.tiny.train_data import DrawnScenes
from harness.backbones.tiny.train_loop import Settings, Task, main, planes_of

from ..mixture import to_uint8
from ..vdvae import Vdvae
from .sizes import BLOCKS, VDVAE

FOLDER = Path(__file__).resolve().parent
SETTINGS = Settings(
    "vdvae", "tiny-vdvae", seed=109, scenes=16_000, steps=1_400, batch=32, rate=1.5e-3, decay=0.01,
    warmup=100, held_out=300, bfloat16=False, channels_last=False,
)  # fmt: skip


def pictures(drawn: DrawnScenes, chosen: np.ndarray) -> torch.Tensor:
    """(n, 3, 32, 32) in [0, 1], of 256 levels."""
    small = resized(planes_of(drawn, chosen) * 0.25 + 0.5, VDVAE.side)
    return (small.clamp(0, 1) * 255).round() / 255


class VdvaeTask(Task):
    """The evidence bound."""

    def __init__(self) -> None:
        super().__init__()
        self.network = Vdvae(VDVAE)

    def loss(self, drawn: DrawnScenes, chosen: np.ndarray, generator: torch.Generator) -> torch.Tensor:
        """Nats per number."""
        x = pictures(drawn, chosen)

        def noise(shape: tuple[int, ...]) -> torch.Tensor:
            return torch.randn(shape, generator=generator)

        network = self.network
        return network.bound(network.normalised(x), 2 * x.permute(0, 2, 3, 1) - 1, noise)[0]

    def scores(self, held_out: DrawnScenes) -> dict[str, float]:
        """Bound, and PSNR in dB of pictures from the mean latents of the first blocks and of all."""
        x, network = pictures(held_out, np.arange(len(held_out))), self.network
        normalised, target = network.normalised(x), 2 * x.permute(0, 2, 3, 1) - 1
        bound, distortion, rate = network.bound(normalised, target, torch.randn)
        scores = {"bound": bound, "distortion": distortion, "rate": rate}
        latents, divergence, _ = network.posterior(normalised, torch.zeros)
        for name, first in (("first", latents[:BLOCKS]), ("all", latents)):
            features = network.decode(first, torch.zeros)
            uniform = torch.full((len(x), VDVAE.side, VDVAE.side, VDVAE.mixtures), 0.5)
            drawn = network.decoder.out_net.sample(features, uniform, uniform[..., :3])
            generated = to_uint8(drawn).permute(0, 3, 1, 2) / 255
            scores[f"psnr_db_{name}"] = (-10 * (generated - x).square().mean((1, 2, 3)).log10()).mean()
        scores["share_of_rate_in_first"] = divergence[:, :BLOCKS].sum() / divergence.sum()
        return scores


def build() -> VdvaeTask:
    """The network to train."""
    return VdvaeTask()


if __name__ == "__main__":
    main(SETTINGS, build, folder=FOLDER)
