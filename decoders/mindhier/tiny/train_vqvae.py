"""Train the small VQ-VAE on scenes of namespace ``tiny-mindhier``.

Its convolutional halves begin as MindEye2's small VAE, which has the same structure (:func:`halves_of`), and
the encoding half stays so.  First the quantiser learns to describe its features, which are computed once;
then the decoding half learns to draw from what the quantiser gives.  Codebooks of this kind collapse at the
coarsest scales when they are left alone, so codes that are hardly used are drawn anew from vectors that are
to be described, those of each scale as often as any other's.
"""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F

from harness import training
from harness.backbones.tiny.backbone import read_weights
from harness.backbones.tiny.train_data import DrawnScenes
from harness.backbones.tiny.train_loop import Settings, Task, main

from ...mindeye2.tiny.small import GENERATOR
from ..quantizer import MultiScaleQuantizer, Quantized
from ..scales import rows_of
from ..vqvae import VQVAE
from .sizes import VQVAE_SIZES

logger = logging.getLogger(__name__)

FOLDER = Path(__file__).resolve().parent
SETTINGS = Settings(
    "vqvae", "tiny-mindhier", seed=211, scenes=10_000, steps=260, batch=16, rate=7e-4, decay=0.0, warmup=30,
    channels_last=False, held_out=500,
)  # fmt: skip
ABSOLUTE = 0.2
"""Weight of the absolute error of pixels beside the squared one."""
QUANTIZER_STEPS, QUANTIZER_BATCH, QUANTIZER_RATE = 2_400, 64, 3e-3
RESTART, UNUSED = 0.1, 0.05
"""Chance per step that an unused code is drawn anew; unused is below this share of the mean use."""
LAST_RESTART = 0.7
"""Share of the steps after which codes are left alone."""
FORGET = 0.95
"""Per step, of the count of uses."""


def pictures(drawn: DrawnScenes, chosen: np.ndarray) -> torch.Tensor:
    """(n, 3, 64, 64) in [-1, 1]."""
    images = torch.from_numpy(np.ascontiguousarray(drawn.images[chosen].transpose(0, 3, 1, 2)))
    return images.float() / 127.5 - 1


class QuantizerTask(training.Task):
    """Describe features (n, C, h, w) by codes."""

    def __init__(self, quantizer: MultiScaleQuantizer, features: np.ndarray, *, seed: int) -> None:
        self.module, self.features, self.seed_ = quantizer, features, seed
        self.steps_per_epoch = len(features) // QUANTIZER_BATCH

    def optimizer(self) -> torch.optim.Optimizer:
        """Adam without decay."""
        return torch.optim.Adam(self.module.parameters(), lr=QUANTIZER_RATE, betas=(0.9, 0.95))

    def schedule(self, step: int) -> dict[str, float]:
        """Half a cosine."""
        return training.WarmUpCosine(QUANTIZER_RATE, QUANTIZER_RATE / 50, 50, QUANTIZER_STEPS)(step)

    def batches(self, epoch: int) -> list[np.ndarray]:
        """Every epoch is a new order."""
        order = np.random.default_rng((self.seed_, epoch)).permutation(len(self.features))
        return [
            np.sort(order[k * QUANTIZER_BATCH : (k + 1) * QUANTIZER_BATCH])
            for k in range(self.steps_per_epoch)
        ]

    def loss(self, batch: np.ndarray, step: training.Step) -> training.Losses:
        """The quantiser's own loss, and the last sum's error once more."""
        features = torch.from_numpy(self.features[batch])
        if step.number < LAST_RESTART * step.total:
            self._renew(features)
        result = self.module(features)
        self._count(result)
        return training.Losses(result.loss + F.mse_loss(result.running[-1], features))

    @torch.no_grad()
    def _count(self, result: Quantized) -> None:
        hits = self.module.ema_vocab_hit_SV
        for row, rows in zip(hits, rows_of(self.module.sides)):
            used = torch.bincount(result.codes[:, rows].flatten(), minlength=len(row))
            row.mul_(FORGET).add_(used * (1 - FORGET))

    @torch.no_grad()
    def _renew(self, features: torch.Tensor) -> None:
        """Codes without use become vectors of what the scales before leave over; at first all of them."""
        quantizer = self.module
        hits, scales = quantizer.ema_vocab_hit_SV, len(quantizer.sides)
        use = hits.sum(0)
        first = not use.any()
        wanted = (torch.rand(use.shape) < (1.0 if first else RESTART)) & ((use < UNUSED * use.mean()) | first)
        count = int(wanted.sum())
        if not count:
            return
        if first:  # nothing is described yet: shrunk features, smaller at finer scales, stand in
            offered = [quantizer.shrunk(features, k) / (1 + k) for k in range(scales)]
        else:
            before = [torch.zeros_like(features), *quantizer(features).running[:-1]]
            offered = [quantizer.shrunk(features - total, k) for k, total in enumerate(before)]
        offered = [vectors.flatten(0, 1) for vectors in offered]
        chosen = zip(torch.randint(scales, (count,)).tolist(), torch.rand(count).tolist())
        quantizer.embedding.weight[wanted] = torch.stack(
            [offered[k][int(place * len(offered[k]))] for k, place in chosen]
        )
        hits[:, wanted] = float(use.mean()) / scales


class VqVaeTask(Task):
    """Draw from what the quantiser gives."""

    def __init__(self) -> None:
        super().__init__()
        self.network = VQVAE(VQVAE_SIZES)
        own = self.network.state_dict()
        start = read_weights(GENERATOR / "vae.safetensors")
        own.update(halves_of(start, levels=len(VQVAE_SIZES.multipliers)))
        self.network.load_state_dict(own)
        rounded(self.network)
        for part in (self.network.encoder, self.network.quant_conv, self.network.quantize):
            part.requires_grad_(False)
        self._features = np.empty(0)

    def prepare(self, drawn: DrawnScenes, *, cache: Path) -> None:
        """Features of all scenes, kept in `cache`, and the quantiser trained on them."""
        self._features = true_features(self.network, drawn, cache=cache)
        quantizer = self.network.quantize.requires_grad_(True)
        task = QuantizerTask(quantizer, self._features, seed=SETTINGS.seed)
        settings = training.TrainingSettings(
            "quantizer", QUANTIZER_STEPS, seed=SETTINGS.seed, reseeded="step", clip=5.0, checkpoint_every=600
        )
        training.train(task, settings, checkpoint=cache / "quantizer.safetensors", identity=drawn.sha)
        rounded(quantizer).requires_grad_(False)

    def loss(self, drawn: DrawnScenes, chosen: np.ndarray, generator: torch.Generator) -> torch.Tensor:
        """Errors of the picture."""
        x = pictures(drawn, chosen)
        with torch.no_grad():
            total = self.network.quantize(torch.from_numpy(self._features[chosen])).running[-1]
        decoded = self.network.decoder(self.network.post_quant_conv(total)).float()
        return F.mse_loss(decoded, x) + ABSOLUTE * F.l1_loss(decoded, x)

    def scores(self, held_out: DrawnScenes) -> dict[str, float]:
        """PSNR in dB of decoded pictures, after each scale too, and how many codes each scale uses."""
        quantizer, table = self.network.quantize, {}
        errors: list[list[torch.Tensor]] = [[] for _ in VQVAE_SIZES.sides]
        codes = []
        for start in range(0, len(held_out), 100):
            x = pictures(held_out, np.arange(start, min(start + 100, len(held_out))))
            result = quantizer(self.network.features(x))
            codes.append(result.codes)
            for kept, total in zip(errors, result.running):
                kept.append(((self.network.picture(total) - x) / 2).square().flatten(1).mean(1))
        for number, kept in enumerate(errors, 1):
            table[f"psnr_db_{number}_scales"] = (-10 * torch.cat(kept).log10()).mean()
        codes = torch.cat(codes)
        for number, rows in enumerate(rows_of(VQVAE_SIZES.sides), 1):
            table[f"codes_used_scale_{number}"] = len(codes[:, rows].unique())
        return {**table, "codes_used": len(codes.unique()), "codes": VQVAE_SIZES.codes}


def rounded(network: torch.nn.Module) -> torch.nn.Module:
    """With weights as float16 holds them: codes are then those of the weights that are shipped."""
    with torch.no_grad():
        for value in network.state_dict().values():
            value.copy_(value.half())
    return network


@torch.inference_mode()
def true_features(network: VQVAE, drawn: DrawnScenes, *, cache: Path) -> np.ndarray:
    """(n, C, h, w) float32 of all scenes before they are quantised, kept in `cache`."""
    total = hashlib.sha256(drawn.sha.encode())
    for part in (network.encoder, network.quant_conv):
        for name, value in part.state_dict().items():
            total.update(name.encode() + value.numpy().tobytes())
    file = cache / f"features-{total.hexdigest()[:12]}.npy"
    if not file.is_file():
        parts = [
            network.features(pictures(drawn, np.arange(start, min(start + 100, len(drawn))))).numpy()
            for start in range(0, len(drawn), 100)
        ]
        np.save(file, np.concatenate(parts), allow_pickle=False)
    return np.load(file, mmap_mode="r", allow_pickle=False)


def halves_of(vae: Mapping[str, torch.Tensor], *, levels: int) -> dict[str, torch.Tensor]:
    """A diffusers ``AutoencoderKL``'s weights under the names of the VQ-VAE.

    Latents are the means; a 1 x 1 convolution becomes the middle of a 3 x 3 one.  What the VQ-VAE
    has besides, attention at the lowest level, is put to nothing by its last layer.
    """
    named = {}
    for name, value in vae.items():
        own = _own_name(name, levels)
        if own:
            named[own] = value
    latents = len(vae["post_quant_conv.weight"])
    # The layer after conv_out mixes means with log-variances; both together are one convolution.
    mix = vae["quant_conv.weight"][:latents, :, 0, 0]
    named["encoder.conv_out.weight"] = torch.einsum("ab,bcij->acij", mix, vae["encoder.conv_out.weight"])
    named["encoder.conv_out.bias"] = mix @ vae["encoder.conv_out.bias"] + vae["quant_conv.bias"][:latents]
    named["quant_conv.weight"] = F.pad(torch.eye(latents)[..., None, None], (1, 1, 1, 1))
    named["quant_conv.bias"] = torch.zeros(latents)
    named["post_quant_conv.weight"] = F.pad(vae["post_quant_conv.weight"], (1, 1, 1, 1))
    named["post_quant_conv.bias"] = vae["post_quant_conv.bias"]
    for half in ("encoder", "decoder"):
        old = f"{half}.mid_block.attentions.0"
        for kind in ("weight", "bias"):
            parts = [vae[f"{old}.to_{letter}.{kind}"] for letter in "qkv"]
            last = vae[f"{old}.to_out.0.{kind}"]
            shape = (lambda x: x[..., None, None]) if kind == "weight" else (lambda x: x)
            named[f"{half}.mid.attn_1.qkv.{kind}"] = shape(torch.cat(parts))
            named[f"{half}.mid.attn_1.proj_out.{kind}"] = shape(last)
            named[f"{half}.mid.attn_1.norm.{kind}"] = vae[f"{old}.group_norm.{kind}"]
    width = len(vae["encoder.conv_norm_out.weight"])
    for place, count in (("encoder.down", 1), ("decoder.up", 2)):
        for k in range(count):
            last = f"{place}.{levels - 1}.attn.{k}.proj_out"
            named[f"{last}.weight"] = torch.zeros(width, width, 1, 1)
            named[f"{last}.bias"] = torch.zeros(width)
    return named


def _own_name(name: str, levels: int) -> str:
    """The VQ-VAE's name of a weight of a residual block, a resize or an outer layer; "" for others."""
    half, _, rest = name.partition(".")
    words = rest.split(".")
    kind = words[-1]
    if half not in ("encoder", "decoder") or (words[0] == "conv_out" and half == "encoder"):
        return ""
    if words[0] in ("conv_in", "conv_out"):
        return name
    if words[0] == "conv_norm_out":
        return f"{half}.norm_out.{kind}"
    if words[:2] == ["mid_block", "resnets"]:
        return f"{half}.mid.block_{int(words[2]) + 1}.{words[3]}.{kind}"
    if words[0] in ("down_blocks", "up_blocks"):
        up = words[0] == "up_blocks"
        place = f"{half}.up.{levels - 1 - int(words[1])}" if up else f"{half}.down.{words[1]}"
        if words[2] in ("upsamplers", "downsamplers"):
            return f"{place}.{words[2].removesuffix('rs')}.conv.{kind}"
        return f"{place}.block.{words[3]}.{words[4].replace('conv_shortcut', 'nin_shortcut')}.{kind}"
    return ""


def build() -> VqVaeTask:
    """The network to train."""
    return VqVaeTask()


if __name__ == "__main__":
    main(SETTINGS, build, folder=FOLDER)
