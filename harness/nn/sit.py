"""SiT, a transformer of tokens and a time whose norms are modulated by the time (adaLN-Zero).

Peebles & Xie 2023 (DiT), Ma et al. 2024 (SiT); without patches and classes, as the authors of SynBrain and of
NeuroFlow use it between image tokens and fMRI tokens of one shape.  Names of parameters are theirs.
"""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

FREQUENCIES = 256
"""Width of the sinusoidal embedding of the time."""


class TimeEmbedder(nn.Module):
    """Time (B,), as it is, -> (B, width): cosines, then sines, and two linear maps."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.mlp = nn.Sequential(nn.Linear(FREQUENCIES, width), nn.SiLU(), nn.Linear(width, width))

    def forward(self, time: Tensor) -> Tensor:
        half = FREQUENCIES // 2
        rates = torch.exp(-math.log(1e4) * torch.arange(half, dtype=torch.float32, device=time.device) / half)
        angles = time[:, None].float() * rates
        return self.mlp(torch.cat([angles.cos(), angles.sin()], dim=-1).to(self.mlp[0].weight.dtype))


class SelfAttention(nn.Module):
    """Multi-head self-attention; `qk_norm` normalises queries and keys of each head."""

    def __init__(self, width: int, heads: int, *, qk_norm: bool) -> None:
        super().__init__()
        self.heads = heads
        self.qkv = nn.Linear(width, 3 * width)
        self.q_norm = nn.LayerNorm(width // heads) if qk_norm else nn.Identity()
        self.k_norm = nn.LayerNorm(width // heads) if qk_norm else nn.Identity()
        self.proj = nn.Linear(width, width)

    def forward(self, x: Tensor) -> Tensor:
        """(B, N, D) -> (B, N, D)."""
        q, k, v = self.qkv(x).unflatten(-1, (3, self.heads, -1)).permute(2, 0, 3, 1, 4)  # (B, heads, N, d)
        mixed = F.scaled_dot_product_attention(self.q_norm(q), self.k_norm(k), v)
        return self.proj(mixed.transpose(1, 2).flatten(2))


class FeedForward(nn.Module):
    """Two linear maps around a GELU (tanh form)."""

    def __init__(self, width: int, inner: int) -> None:
        super().__init__()
        self.fc1, self.fc2 = nn.Linear(width, inner), nn.Linear(inner, width)

    def forward(self, x: Tensor) -> Tensor:
        """(..., D) -> (..., D)."""
        return self.fc2(F.gelu(self.fc1(x), approximate="tanh"))


class Block(nn.Module):
    """Attention and feed-forward, each shifted, scaled and gated by the time; a new one is the identity."""

    def __init__(self, width: int, heads: int, *, ratio: float, qk_norm: bool) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(width, elementwise_affine=False, eps=1e-6)
        self.attn = SelfAttention(width, heads, qk_norm=qk_norm)
        self.mlp = FeedForward(width, int(width * ratio))
        self.adaLN_modulation = nn.Sequential(nn.SiLU(), nn.Linear(width, 6 * width))

    def forward(self, x: Tensor, time: Tensor) -> Tensor:
        """(B, N, D) and the time's embedding (B, D) -> (B, N, D)."""
        shift1, scale1, gate1, shift2, scale2, gate2 = self.adaLN_modulation(time)[:, None].chunk(6, dim=-1)
        x = x + gate1 * self.attn(self.norm(x) * (1 + scale1) + shift1)
        return x + gate2 * self.mlp(self.norm(x) * (1 + scale2) + shift2)


class FinalLayer(nn.Module):
    """A modulated norm and a linear map that starts at zero."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.norm_final = nn.LayerNorm(width, elementwise_affine=False, eps=1e-6)
        self.linear = nn.Linear(width, width)
        self.adaLN_modulation = nn.Sequential(nn.SiLU(), nn.Linear(width, 2 * width))

    def forward(self, x: Tensor, time: Tensor) -> Tensor:
        """(B, N, D) and the time's embedding (B, D) -> (B, N, D)."""
        shift, scale = self.adaLN_modulation(time)[:, None].chunk(2, dim=-1)
        return self.linear(self.norm_final(x) * (1 + scale) + shift)


class SiT(nn.Module):
    """(B, tokens, width) at a time (B,) -> (B, tokens, width); zero before it is trained.

    pos_embed : a table of sines and cosines that is saved and not trained.
    """

    def __init__(
        self, *, tokens: int, width: int, depth: int, heads: int, ratio: float = 4.0, qk_norm: bool = False
    ) -> None:
        super().__init__()
        self.pos_embed = nn.Parameter(sine_table(tokens, width)[None], requires_grad=False)
        self.t_embedder = TimeEmbedder(width)
        self.blocks = nn.ModuleList(Block(width, heads, ratio=ratio, qk_norm=qk_norm) for _ in range(depth))
        self.final_layer = FinalLayer(width)
        self._initialise()

    def forward(self, x: Tensor, time: Tensor) -> Tensor:
        x, condition = x + self.pos_embed, self.t_embedder(time)
        for block in self.blocks:
            x = block(x, condition)
        return self.final_layer(x, condition)

    def _initialise(self) -> None:
        for module in self.modules():
            if isinstance(module, nn.Linear):
                nn.init.xavier_uniform_(module.weight)
                nn.init.zeros_(module.bias)
        for layer in (self.t_embedder.mlp[0], self.t_embedder.mlp[2]):
            nn.init.normal_(layer.weight, std=0.02)
        last = [part.adaLN_modulation[1] for part in (*self.blocks, self.final_layer)]
        for layer in (*last, self.final_layer.linear):
            nn.init.zeros_(layer.weight)


def sine_table(tokens: int, width: int) -> Tensor:
    """(tokens, width): sines of position over 10,000^(k / (width / 2)), then cosines."""
    half = width // 2
    rates = 1e4 ** -(torch.arange(half, dtype=torch.float64, device="cpu") / half)
    angles = torch.outer(torch.arange(tokens, dtype=torch.float64, device="cpu"), rates)
    return torch.cat([angles.sin(), angles.cos()], dim=1).float()
