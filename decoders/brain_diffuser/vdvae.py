"""A very deep variational autoencoder (Child 2021, arXiv:2011.10650); its first latents give layout, colour.

Names, layout and arithmetic are those of the public code (github.com/openai/vdvae, MIT), so that the weights
that Brain-Diffuser uses, ``imagenet64-iter-1600000-model-ema.th``, load strictly.  An encoder leaves one map
per resolution; a decoder walks from 1 x 1 to the whole image, and each of its blocks draws a latent from its
prior, or in training from a posterior that has seen the encoder's map.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import nn

from harness.api import ConfigError, DataError

from .mixture import MixtureHead

Noise = Callable[[tuple[int, ...]], torch.Tensor]
"""(block shape (B, zdim, h, w)) -> a draw of that shape, standard normal or, for the mean, zeros."""


@dataclass(frozen=True)
class VdvaeSettings:
    """Sizes; the defaults are those of the released ``imagenet64`` model.

    encoder, decoder : blocks, as ``RESOLUTIONxCOUNT``, ``RESOLUTIONdFACTOR`` (a block that then averages
        over FACTOR pixels) and ``RESOLUTIONmFROM`` (a block that first adds the map of resolution FROM).
    bottleneck : width of the inner layers of a block, as a share of `width`.
    mean, sd : of training pixels 0 to 255: what enters the encoder is (pixels - mean) / sd.
    """

    side: int = 64
    width: int = 512
    bottleneck: float = 0.25
    zdim: int = 16
    mixtures: int = 10
    encoder: str = "64x11,64d2,32x20,32d2,16x9,16d2,8x8,8d2,4x7,4d4,1x5"
    decoder: str = "1x2,4m1,4x3,8m4,8x7,16m8,16x15,32m16,32x31,64m32,64x12"
    bias_up_to: int = 64
    mean: float = 115.92961967
    sd: float = 69.37404

    def __post_init__(self) -> None:
        if self.decoder_blocks()[-1][0] != self.side:
            raise ConfigError(
                f"vdvae decoder ends at {self.decoder_blocks()[-1][0]} pixels and images have {self.side}; "
                "they must be equal"
            )

    @property
    def inner(self) -> int:
        """Width of the inner layers."""
        return int(self.width * self.bottleneck)

    def encoder_blocks(self) -> list[tuple[int, int]]:
        """(resolution, factor of averaging or 1) of every block."""
        return _blocks(self.encoder, "d", otherwise=1)

    def decoder_blocks(self) -> list[tuple[int, int]]:
        """(resolution, resolution mixed in or 0) of every block."""
        return _blocks(self.decoder, "m", otherwise=0)

    def latent_shapes(self) -> list[tuple[int, int, int]]:
        """(zdim, h, w) of every decoder block's latent."""
        return [(self.zdim, side, side) for side, _ in self.decoder_blocks()]


def _blocks(text: str, mark: str, *, otherwise: int) -> list[tuple[int, int]]:
    parsed: list[tuple[int, int]] = []
    for word in text.split(","):
        if mark in word:
            side, number = word.split(mark)
            parsed.append((int(side), int(number)))
        else:
            side, count = word.split("x")
            parsed += [(int(side), otherwise)] * int(count)
    return parsed


class Block(nn.Module):
    """Four convolutions, a GELU before each; the two in the middle see neighbours above 2 x 2."""

    def __init__(
        self, width: int, inner: int, out: int, *, side: int, residual: bool = False, factor: int = 1
    ) -> None:
        super().__init__()
        self.residual, self.factor = residual, factor
        size = 3 if side > 2 else 1
        self.c1 = nn.Conv2d(width, inner, 1)
        self.c2 = nn.Conv2d(inner, inner, size, padding=size // 2)
        self.c3 = nn.Conv2d(inner, inner, size, padding=size // 2)
        self.c4 = nn.Conv2d(inner, out, 1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """(B, width, h, w) -> (B, out, h / factor, w / factor)."""
        change = x
        for convolution in (self.c1, self.c2, self.c3, self.c4):
            change = convolution(F.gelu(change))
        out = x + change if self.residual else change
        return out if self.factor == 1 else F.avg_pool2d(out, self.factor)


class Encoder(nn.Module):
    """Image -> the last map of every resolution."""

    def __init__(self, s: VdvaeSettings) -> None:
        super().__init__()
        self.in_conv = nn.Conv2d(3, s.width, 3, padding=1)
        blocks = s.encoder_blocks()
        self.enc_blocks = nn.ModuleList(
            Block(s.width, s.inner, s.width, side=side, residual=True, factor=factor)
            for side, factor in blocks
        )
        for block in self.enc_blocks:
            nn.init.constant_(block.c4.bias, 0)
            block.c4.weight.data *= len(blocks) ** -0.5

    def forward(self, x: torch.Tensor) -> dict[int, torch.Tensor]:
        """(B, 3, side, side), normalised -> resolution -> (B, width, resolution, resolution)."""
        x = self.in_conv(x)
        maps = {x.shape[2]: x}
        for block in self.enc_blocks:
            x = block(x)
            maps[x.shape[2]] = x
        return maps


class DecoderBlock(nn.Module):
    """One latent: prior, posterior, and what the latent changes in the map."""

    def __init__(self, s: VdvaeSettings, side: int, mixed: int, *, blocks: int) -> None:
        super().__init__()
        self.side, self.mixed, self.zdim = side, mixed, s.zdim
        self.enc = Block(2 * s.width, s.inner, 2 * s.zdim, side=side)
        self.prior = Block(s.width, s.inner, 2 * s.zdim + s.width, side=side)
        self.z_proj = nn.Conv2d(s.zdim, s.width, 1)
        self.resnet = Block(s.width, s.inner, s.width, side=side, residual=True)
        nn.init.zeros_(self.prior.c4.weight)
        self.z_proj.weight.data *= blocks**-0.5
        self.resnet.c4.weight.data *= blocks**-0.5

    def start(self, maps: dict[int, torch.Tensor], like: torch.Tensor) -> torch.Tensor:
        """The map (B, width, side, side) that this block changes; `like` gives B and the device."""
        x = maps.get(self.side)
        if x is None:
            x = like.new_zeros(1, like.shape[1], self.side, self.side)
        x = x.expand(len(like), -1, -1, -1)
        if self.mixed:
            x = x + F.interpolate(maps[self.mixed], scale_factor=self.side // self.mixed)
        return x

    def priors(self, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """Mean and log SD of the latent, and the map without it."""
        mean, log_sd, change = self.prior(x).split([self.zdim, self.zdim, x.shape[1]], dim=1)
        return mean, log_sd, x + change

    def finish(self, x: torch.Tensor, z: torch.Tensor) -> torch.Tensor:
        """The map with latent `z` in it."""
        return self.resnet(x + self.z_proj(z))


class Decoder(nn.Module):
    """Latents from coarse to fine -> features of the image."""

    def __init__(self, s: VdvaeSettings) -> None:
        super().__init__()
        blocks = s.decoder_blocks()
        self.dec_blocks = nn.ModuleList(DecoderBlock(s, *block, blocks=len(blocks)) for block in blocks)
        sides = sorted({side for side, _ in blocks if side <= s.bias_up_to})
        self.bias_xs = nn.ParameterList(torch.zeros(1, s.width, side, side) for side in sides)
        self.out_net = MixtureHead(s.width, s.mixtures)
        self.gain = nn.Parameter(torch.ones(1, s.width, 1, 1))
        self.bias = nn.Parameter(torch.zeros(1, s.width, 1, 1))

    def finish(self, maps: dict[int, torch.Tensor]) -> torch.Tensor:
        """Features (B, width, side, side) that :attr:`out_net` reads."""
        return maps[max(maps)] * self.gain + self.bias

    def starts(self) -> dict[int, torch.Tensor]:
        """The learned maps that decoding begins with."""
        return {value.shape[2]: value for value in self.bias_xs}


class Vdvae(nn.Module):
    """Images -> latents, latents -> images, and the bound that training minimises."""

    def __init__(self, settings: VdvaeSettings) -> None:
        super().__init__()
        self.settings = settings
        self.encoder = Encoder(settings)
        self.decoder = Decoder(settings)

    def normalised(self, images: torch.Tensor) -> torch.Tensor:
        """Images in [0, 1] -> what the encoder takes."""
        return (255 * images - self.settings.mean) / self.settings.sd

    def posterior(
        self, x: torch.Tensor, noise: Noise
    ) -> tuple[list[torch.Tensor], torch.Tensor, torch.Tensor]:
        """Normalised images (B, 3, side, side) -> latents of all blocks, divergence (B, blocks), features.

        Divergences are in nats.
        """
        latents, divergences, maps = self._seen(x, noise, len(self.decoder.dec_blocks))
        return latents, torch.stack(divergences, 1), self.decoder.finish(maps)

    def latents(self, x: torch.Tensor, noise: Noise, *, blocks: int) -> list[torch.Tensor]:
        """Latents of the first `blocks` blocks: mean + SD * noise, as the targets of Brain-Diffuser are."""
        return self._seen(x, noise, blocks)[0]

    def _seen(self, x: torch.Tensor, noise: Noise, blocks: int):
        """Latents and divergences of the first `blocks` blocks, and the maps after them."""
        seen = self.encoder(x)
        maps, latents, divergences = self.decoder.starts(), [], []
        for block in self.decoder.dec_blocks[:blocks]:
            start = block.start(maps, seen[block.side])
            mean, log_sd = block.enc(torch.cat([start, seen[block.side]], 1)).chunk(2, 1)
            prior_mean, prior_log_sd, moved = block.priors(start)
            z = mean + log_sd.exp() * noise(tuple(mean.shape))
            divergences.append(_divergence(mean, log_sd, prior_mean, prior_log_sd).sum((1, 2, 3)))
            maps[block.side] = block.finish(moved, z)
            latents.append(z)
        return latents, divergences, maps

    def decode(self, latents: Sequence[torch.Tensor], noise: Noise) -> torch.Tensor:
        """Latents of the first blocks -> features (B, width, side, side); the others are of the prior."""
        maps, like = self.decoder.starts(), latents[0].new_empty(len(latents[0]), self.settings.width, 0, 0)
        for number, block in enumerate(self.decoder.dec_blocks):
            mean, log_sd, moved = block.priors(block.start(maps, like))
            given = number < len(latents)
            z = latents[number] if given else mean + log_sd.exp() * noise(tuple(mean.shape))
            maps[block.side] = block.finish(moved, z)
        return self.decoder.finish(maps)

    def bound(
        self, x: torch.Tensor, target: torch.Tensor, noise: Noise
    ) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """Evidence bound and its parts, distortion and rate, each a mean over images, nats per number.

        `target` (B, side, side, 3) in [-1, 1].
        """
        _, divergence, features = self.posterior(x, noise)
        distortion = self.decoder.out_net.negative_log_likelihood(features, target).mean()
        rate = divergence.sum(1).mean() / target[0].numel()
        return distortion + rate, distortion, rate

    def split(self, flat: torch.Tensor) -> list[torch.Tensor]:
        """Flat latents (B, n) -> those of the first blocks, each (B, zdim, h, w)."""
        shapes, parts, start = self.settings.latent_shapes(), [], 0
        while start < flat.shape[1] and len(parts) < len(shapes):
            shape = shapes[len(parts)]
            size = shape[0] * shape[1] * shape[2]
            parts.append(flat[:, start : start + size])
            start += size
        if start != flat.shape[1]:
            raise DataError(
                f"{flat.shape[1]} latent numbers are not those of whole blocks; the first {len(parts)} "
                f"have {start}"
            )
        return [part.reshape(len(flat), *shape) for part, shape in zip(parts, shapes)]


def joined(latents: Sequence[torch.Tensor]) -> torch.Tensor:
    """Latents of blocks -> (B, n): channel, row, column within a block, blocks one after another."""
    return torch.cat([z.flatten(1) for z in latents], 1)


def _divergence(mean, log_sd, other_mean, other_log_sd) -> torch.Tensor:
    """Kullback-Leibler divergence of two normal distributions, entry by entry."""
    ratio = (log_sd.exp() ** 2 + (mean - other_mean) ** 2) / other_log_sd.exp() ** 2
    return -0.5 + other_log_sd - log_sd + 0.5 * ratio
