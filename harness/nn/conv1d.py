"""One-dimensional residual convolutions over an ordered list of voxels: ways down and up of an autoencoder.

The layout of Rombach et al. 2022's autoencoder in one dimension, as SynBrain and NeuroFlow have it; names of
parameters are theirs.  All signals are (B, channels, length).
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn


def group_norm(channels: int) -> nn.GroupNorm:
    """32 groups, or one for each of fewer channels."""
    return nn.GroupNorm(min(32, channels), channels, eps=1e-6)


class ResnetBlock(nn.Module):
    """Norm, swish, convolution, twice, beside a shortcut that fits the channels."""

    def __init__(self, channels: int, out: int) -> None:
        super().__init__()
        self.norm1, self.conv1 = group_norm(channels), nn.Conv1d(channels, out, 3, padding=1)
        self.norm2, self.conv2 = group_norm(out), nn.Conv1d(out, out, 3, padding=1)
        if channels != out:
            self.nin_shortcut = nn.Conv1d(channels, out, 1)

    def forward(self, x: Tensor) -> Tensor:
        h = self.conv1(F.silu(self.norm1(x)))
        h = self.conv2(F.silu(self.norm2(h)))
        return h + (self.nin_shortcut(x) if hasattr(self, "nin_shortcut") else x)


class AttentionBlock(nn.Module):
    """Single-head attention over positions, with a residual."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.norm = group_norm(channels)
        self.q, self.k, self.v, self.proj_out = (nn.Conv1d(channels, channels, 1) for _ in range(4))

    def forward(self, x: Tensor) -> Tensor:
        h = self.norm(x)
        q, k, v = (layer(h).transpose(1, 2) for layer in (self.q, self.k, self.v))
        return x + self.proj_out(F.scaled_dot_product_attention(q, k, v).transpose(1, 2))


class Middle(nn.Module):
    """A residual block on either side of attention."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.block_1, self.block_2 = ResnetBlock(channels, channels), ResnetBlock(channels, channels)
        self.attn_1 = AttentionBlock(channels)

    def forward(self, x: Tensor) -> Tensor:
        return self.block_2(self.attn_1(self.block_1(x)))


class Halving(nn.Module):
    """Half the length."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.conv = nn.Conv1d(channels, channels, 7, stride=2, padding=3)

    def forward(self, x: Tensor) -> Tensor:
        return self.conv(x)


class Doubling(nn.Module):
    """Twice the length."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.trans_conv = nn.ConvTranspose1d(channels, channels, 7, stride=2, padding=3, output_padding=1)

    def forward(self, x: Tensor) -> Tensor:
        return self.trans_conv(x)


class DownPath(nn.Module):
    """Levels of residual blocks, of which the first `halvings` halve the length; then the middle.

    channels : of the signal given; multiples : of `channels` after each level.
    """

    def __init__(self, channels: int, multiples: Sequence[int], *, blocks: int, halvings: int) -> None:
        super().__init__()
        self.down = nn.ModuleList()
        width = channels
        for number, multiple in enumerate(multiples):
            level = nn.Module()
            level.block = nn.ModuleList()
            for _ in range(blocks):
                level.block.append(ResnetBlock(width, channels * multiple))
                width = channels * multiple
            if number < halvings:
                level.downsample = Halving(width)
            self.down.append(level)
        self.mid = Middle(width)
        self.norm_out = group_norm(width)
        self.width = width

    def descend(self, x: Tensor) -> Tensor:
        """(B, channels, L) -> (B, width, L / 2^halvings), normalised and through swish."""
        for level in self.down:
            for block in level.block:
                x = block(x)
            if hasattr(level, "downsample"):
                x = level.downsample(x)
        return F.silu(self.norm_out(self.mid(x)))


class UpPath(nn.Module):
    """The middle, then levels of residual blocks from the last to the first; the last `doublings` double."""

    def __init__(self, channels: int, multiples: Sequence[int], *, blocks: int, doublings: int) -> None:
        super().__init__()
        width = self.width = channels * multiples[-1]
        self.mid = Middle(width)
        levels = []
        for number in reversed(range(len(multiples))):
            level = nn.Module()
            level.block = nn.ModuleList()
            for _ in range(blocks + 1):
                level.block.append(ResnetBlock(width, channels * multiples[number]))
                width = channels * multiples[number]
            if number >= len(multiples) - doublings:
                level.upsample = Doubling(width)
            levels.insert(0, level)
        self.up = nn.ModuleList(levels)
        self.out_width = width

    def ascend(self, x: Tensor) -> Tensor:
        """(B, width, L) -> (B, out_width, L * 2^doublings)."""
        x = self.mid(x)
        for level in reversed(self.up):
            for block in level.block:
                x = block(x)
            if hasattr(level, "upsample"):
                x = level.upsample(x)
        return x


def token_mlp(given: int, inner: int, out: int) -> nn.Sequential:
    """Norm, GELU, linear, three times."""
    sizes = ((given, inner), (inner, inner), (inner, out))
    return nn.Sequential(
        *(layer for a, b in sizes for layer in (nn.LayerNorm(a), nn.GELU(), nn.Linear(a, b)))
    )


def gaussian_kl(mean: Tensor, log_variance: Tensor) -> Tensor:
    """Divergence from a standard normal, summed over all but the batch and averaged over it."""
    return 0.5 * torch.sum(mean**2 + log_variance.exp() - 1.0 - log_variance) / len(mean)


def gaussian_draw(mean: Tensor, log_variance: Tensor) -> Tensor:
    """A sample of the normal that an encoder names, from torch's generator."""
    return mean + torch.exp(0.5 * log_variance) * torch.randn_like(mean)
