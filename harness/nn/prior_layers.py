"""Layers of the diffusion prior's transformer, after dalle2-pytorch (github.com/lucidrains).

Gain-only LayerNorm, multi-query attention with cosine similarity and a null key, T5 relative
position bias, rotary embedding of part of each head, SwiGLU feed-forward.  Key names are those of
that package.
"""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import nn

COSINE_SCALE = 16.0
"""Attention logits are this times the cosine of query and key."""


class GainNorm(nn.Module):
    """LayerNorm with a gain and no bias; ``stable`` first divides by the largest entry.

    The half-precision epsilon is that of the package; it matters only under autocast.
    """

    def __init__(self, size: int, *, stable: bool = False) -> None:
        super().__init__()
        self.stable = stable
        self.g = nn.Parameter(torch.ones(size))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """(..., size) -> the same shape."""
        epsilon = 1e-5 if x.dtype == torch.float32 else 1e-3
        if self.stable:
            x = x / x.amax(dim=-1, keepdim=True).detach()
        if self.training:
            return F.layer_norm(x, x.shape[-1:], self.g, eps=epsilon)
        # Two calls, not var_mean: its rounding differs, and 100 sampling steps amplify that a hundredfold.
        variance = torch.var(x, dim=-1, correction=0, keepdim=True)
        mean = torch.mean(x, dim=-1, keepdim=True)
        return (x - mean) * torch.rsqrt(variance + epsilon) * self.g


class RotaryEmbedding(nn.Module):
    """Rotation of the first ``size`` entries of a head in interleaved pairs (Su et al. 2021)."""

    def __init__(self, size: int, *, theta: float = 1e4) -> None:
        super().__init__()
        exponents = torch.arange(0, size, 2, device="cpu")[: size // 2].float() / size
        self.register_buffer("freqs", 1.0 / theta**exponents)  # a key of the public checkpoints

    def rotate(self, x: torch.Tensor) -> torch.Tensor:
        """(B, ..., n, d) with d at least ``size``; position is the index on the axis before the last."""
        size = 2 * len(self.freqs)
        positions = torch.arange(x.shape[-2], device=x.device, dtype=self.freqs.dtype)
        angles = torch.outer(positions, self.freqs).to(x.dtype)
        turned = _turned_as_complex if self.training and x.dtype == torch.float32 else _turned
        pairs = turned(x[..., :size], angles.cos(), angles.sin())
        return pairs if size == x.shape[-1] else torch.cat((pairs, x[..., size:]), dim=-1)


def _turned(x: torch.Tensor, cos: torch.Tensor, sin: torch.Tensor) -> torch.Tensor:
    even, odd = x[..., 0::2], x[..., 1::2]
    return torch.stack((even * cos - odd * sin, odd * cos + even * sin), dim=-1).flatten(-2)


def _turned_as_complex(x: torch.Tensor, cos: torch.Tensor, sin: torch.Tensor) -> torch.Tensor:
    """The same in a quarter of the time.

    The same bits too, but for what fills no whole register, which is rounded once less.  So it is not for
    sampling, whose 100 steps amplify that.
    """
    pairs = torch.view_as_complex(x.unflatten(-1, (-1, 2)).contiguous())
    return torch.view_as_real(pairs * torch.complex(cos, sin)).flatten(-2)


class RelativePositionBias(nn.Module):
    """One-directional T5 bias (Raffel et al. 2020): all keys ahead of the query share a bucket."""

    def __init__(self, heads: int, *, buckets: int = 32, max_distance: int = 128) -> None:
        super().__init__()
        self.buckets, self.max_distance = buckets, max_distance
        self.relative_attention_bias = nn.Embedding(buckets, heads)

    def forward(self, queries: int, keys: int) -> torch.Tensor:
        """(heads, queries, keys) bias; query i and key i are at the same position."""
        device = self.relative_attention_bias.weight.device
        behind = torch.arange(queries, device=device)[:, None] - torch.arange(keys, device=device)
        behind = behind.clamp(min=0)
        exact = self.buckets // 2
        far = torch.log(behind.clamp(min=1).float() / exact) / math.log(self.max_distance / exact)
        far = (exact + (far * (self.buckets - exact)).long()).clamp(max=self.buckets - 1)
        bucket = torch.where(behind < exact, behind, far)
        return self.relative_attention_bias(bucket).permute(2, 0, 1)


class Attention(nn.Module):
    """Many query heads, one shared key and value head, and a learned null key at position 0."""

    def __init__(self, size: int, *, heads: int, head_size: int, rotary: RotaryEmbedding) -> None:
        super().__init__()
        self.heads = heads
        self.norm = GainNorm(size)
        self.null_kv = nn.Parameter(torch.randn(2, head_size))
        self.to_q = nn.Linear(size, heads * head_size, bias=False)
        self.to_kv = nn.Linear(size, 2 * head_size, bias=False)
        self.rotary_emb = rotary
        self.to_out = nn.Sequential(nn.Linear(heads * head_size, size, bias=False), GainNorm(size))

    def forward(self, x: torch.Tensor, bias: torch.Tensor) -> torch.Tensor:
        """(B, n, size) with bias (heads, n, n + 1) -> (B, n, size)."""
        x = self.norm(x)
        query = self.to_q(x).unflatten(-1, (self.heads, -1)).transpose(1, 2) * COSINE_SCALE  # (B, h, n, d)
        key, value = self.to_kv(x).chunk(2, dim=-1)  # (B, n, d)
        query, key = self.rotary_emb.rotate(query), self.rotary_emb.rotate(key)
        null_key, null_value = (null.expand(len(x), 1, -1) for null in self.null_kv)
        key, value = torch.cat((null_key, key), dim=1), torch.cat((null_value, value), dim=1)
        query, key = (F.normalize(part, dim=-1) * math.sqrt(COSINE_SCALE) for part in (query, key))
        logits = torch.einsum("bhid,bjd->bhij", query, key) + bias
        weights = logits.softmax(dim=-1, dtype=torch.float32).to(logits.dtype)
        mixed = torch.einsum("bhij,bjd->bhid", weights, value)
        return self.to_out(mixed.transpose(1, 2).flatten(2))


class SwiGLU(nn.Module):
    """x * silu(gate), the two halves of the last axis (Shazeer 2020)."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        value, gate = x.chunk(2, dim=-1)
        return value * F.silu(gate)


def feed_forward(size: int, *, multiple: int = 4) -> nn.Sequential:
    """Norm, widen, SwiGLU, narrow; the two identities keep the public key numbers."""
    inner = multiple * size
    return nn.Sequential(
        *(GainNorm(size), nn.Linear(size, 2 * inner, bias=False), SwiGLU()),
        *(nn.Identity(), nn.Identity(), nn.Linear(inner, size, bias=False)),
    )


class PriorTransformer(nn.Module):
    """Pre-norm transformer without a causal mask, a stable final norm and an output projection."""

    def __init__(self, size: int, *, depth: int, heads: int, head_size: int) -> None:
        super().__init__()
        self.rel_pos_bias = RelativePositionBias(heads)
        rotary = RotaryEmbedding(min(32, head_size))
        self.layers = nn.ModuleList(
            nn.ModuleList(
                [Attention(size, heads=heads, head_size=head_size, rotary=rotary), feed_forward(size)]
            )
            for _ in range(depth)
        )
        self.norm = GainNorm(size, stable=True)
        self.project_out = nn.Linear(size, size, bias=False)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """(B, n, size) -> (B, n, size)."""
        bias = self.rel_pos_bias(x.shape[1], x.shape[1] + 1)
        for attention, widen in self.layers:
            x = attention(x, bias) + x
            x = widen(x) + x
        return self.project_out(self.norm(x))


class TimeEmbedding(nn.Module):
    """Sinusoids of the time step (sine, then cosine) through a two-layer perceptron."""

    class _Perceptron(nn.Module):
        def __init__(self, size: int) -> None:
            super().__init__()
            self.net = nn.Sequential(
                nn.Sequential(nn.Linear(size, 2 * size), nn.SiLU()),
                nn.Sequential(nn.Linear(2 * size, 2 * size), nn.SiLU()),
                nn.Linear(2 * size, size),
            )

    def __init__(self, size: int) -> None:
        super().__init__()
        self.size = size
        # The nesting gives the public key names to_time_embeds.0.1.net.
        self.add_module("0", nn.Sequential(nn.Identity(), self._Perceptron(size)))

    def forward(self, time: torch.Tensor, *, dtype: torch.dtype) -> torch.Tensor:
        """Steps (B,) -> (B, 1, size)."""
        half = self.size // 2
        scale = math.log(1e4) / (half - 1)
        rates = torch.exp(-scale * torch.arange(half, device=time.device, dtype=torch.float32))
        angles = (time.float()[:, None] * rates).to(dtype)
        waves = torch.cat((angles.sin(), angles.cos()), dim=-1)
        return self.get_submodule("0")[1].net(waves)[:, None]
