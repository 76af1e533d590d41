"""Layers of the scale-wise transformer: norms, rotary positions, attention, feed-forward."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import nn

EPS = 1e-6


class RMSNorm(nn.Module):
    """Root-mean-square norm in float32 with a gain."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(width))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        y = x.float()
        y = y * torch.rsqrt(y.square().mean(-1, keepdim=True) + EPS)
        return y.to(x.dtype) * self.weight


def rotary(side: int, *, head: int, size: float, theta: float, device: torch.device) -> torch.Tensor:
    """(side^2, head / 2, 2) cosines and sines: every scale spans the same 0 .. `size` in both axes."""
    places = torch.arange(side * side, device=device)
    rates = theta ** (-torch.arange(0, head, 4, device=device)[: head // 4].float() / head)
    rates = rates * size / max(side - 1, 1)
    angles = torch.cat([torch.outer(places % side, rates), torch.outer(places // side, rates)], dim=1)
    return torch.stack([angles.cos(), angles.sin()], dim=-1)


def rotate(x: torch.Tensor, turns: torch.Tensor) -> torch.Tensor:
    """(B, heads, L, head) with neighbouring pairs turned by `turns` (L, head / 2, 2), in float32."""
    pairs = x.float().unflatten(-1, (-1, 2))
    cos, sin = turns.unbind(-1)
    even, odd = pairs.unbind(-1)
    turned = torch.stack([even * cos - odd * sin, even * sin + odd * cos], dim=-1)
    return turned.flatten(-2).to(x.dtype)


class SelfAttention(nn.Module):
    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.to_qkv = nn.Linear(width, 3 * width)
        self.proj = nn.Linear(width, width)

    def forward(self, x: torch.Tensor, turns: torch.Tensor, mask: torch.Tensor | None) -> torch.Tensor:
        q, k, v = self.to_qkv(x).chunk(3, dim=-1)
        q, k, v = (_split(t, self.heads) for t in (_qk_norm(q), _qk_norm(k), v))
        mixed = F.scaled_dot_product_attention(rotate(q, turns), rotate(k, turns), v, attn_mask=mask)
        return self.proj(_joined(mixed))


class CrossAttention(nn.Module):
    def __init__(self, width: int, heads: int, context: int) -> None:
        super().__init__()
        self.heads = heads
        self.to_q = nn.Linear(width, width)
        self.to_kv = nn.Linear(context, 2 * width)
        self.proj = nn.Linear(width, width)

    def keys_values(self, context: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Normed context (B, n, context) -> keys and values (B, heads, n, head)."""
        k, v = self.to_kv(context).chunk(2, dim=-1)
        return _split(_qk_norm(k), self.heads), _split(v, self.heads)

    def forward(
        self, x: torch.Tensor, kv: tuple[torch.Tensor, torch.Tensor], mask: torch.Tensor | None
    ) -> torch.Tensor:
        q = _split(_qk_norm(self.to_q(x)), self.heads)
        return self.proj(_joined(F.scaled_dot_product_attention(q, *kv, attn_mask=mask)))


class SwiGLU(nn.Module):
    def __init__(self, width: int) -> None:
        super().__init__()
        hidden = int(width * 8 / 3)
        self.up_proj = nn.Linear(width, hidden, bias=False)
        self.down_proj = nn.Linear(hidden, width, bias=False)
        self.gate_proj = nn.Linear(width, hidden, bias=False)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.down_proj(F.silu(self.gate_proj(x)) * self.up_proj(x))


class Block(nn.Module):
    """Self-attention, cross-attention, feed-forward, each between two norms."""

    def __init__(self, width: int, heads: int, context: int, *, crop: bool) -> None:
        super().__init__()
        self.attn = SelfAttention(width, heads)
        self.cross_attn = CrossAttention(width, heads, context)
        self.ffn = SwiGLU(width)
        self.self_attention_norm1, self.self_attention_norm2 = RMSNorm(width), RMSNorm(width)
        self.cross_attention_norm1, self.cross_attention_norm2 = RMSNorm(width), RMSNorm(width)
        self.ffn_norm1, self.ffn_norm2 = RMSNorm(width), RMSNorm(width)
        self.attention_y_norm = RMSNorm(context)
        self.ada_lin = nn.Sequential(nn.SiLU(), nn.Linear(width, 6 * width))
        if crop:
            self.crop_cond_scales = nn.Parameter(torch.zeros(1, width))

    def modulation(self, condition: torch.Tensor, crop: torch.Tensor | None) -> tuple[torch.Tensor, ...]:
        """Condition (B, width) -> gates, scales and shifts, six of (B, 1, width)."""
        if crop is not None:
            condition = condition + self.crop_cond_scales * crop
        return self.ada_lin(condition)[:, None].chunk(6, dim=-1)

    def keys_values(self, context: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Context (B, n, context_width) -> keys and values."""
        return self.cross_attn.keys_values(self.attention_y_norm(context))

    def forward(
        self,
        x: torch.Tensor,
        modulation: tuple[torch.Tensor, ...],
        kv: tuple[torch.Tensor, torch.Tensor],
        turns: torch.Tensor,
        *,
        self_mask: torch.Tensor | None = None,
        cross_mask: torch.Tensor | None = None,
    ) -> torch.Tensor:
        """x (B, L, width) of one scale, or of all with masks."""
        gate1, gate2, scale1, scale2, shift1, shift2 = modulation
        h = self.self_attention_norm1(x) * (1 + scale1) + shift1
        x = x + gate1 * self.self_attention_norm2(self.attn(h, turns, self_mask))
        h = self.cross_attn(self.cross_attention_norm1(x), kv, cross_mask)
        x = x + self.cross_attention_norm2(h)
        h = self.ffn_norm1(x) * (1 + scale2) + shift2
        return x + gate2 * self.ffn_norm2(self.ffn(h))


class HeadNorm(nn.Module):
    """LayerNorm without gain, scaled and shifted by the condition."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.ada_lin = nn.Sequential(nn.SiLU(), nn.Linear(width, 2 * width))

    def forward(self, x: torch.Tensor, condition: torch.Tensor) -> torch.Tensor:
        scale, shift = self.ada_lin(condition)[:, None].chunk(2, dim=-1)
        return _qk_norm(x) * (1 + scale) + shift


class FourierSizes(nn.Module):
    """(B, 4) numbers -> (B, 8 n): sines, then cosines, of fixed random frequencies, in float32."""

    def __init__(self, count: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.randn(count), requires_grad=False)

    def forward(self, sizes: torch.Tensor) -> torch.Tensor:
        angles = 2 * torch.pi * sizes.float()[..., None] * self.weight.float()
        return torch.cat([angles.sin(), angles.cos()], dim=-1).flatten(1)


def _split(x: torch.Tensor, heads: int) -> torch.Tensor:
    return x.unflatten(-1, (heads, -1)).transpose(1, 2)


def _joined(x: torch.Tensor) -> torch.Tensor:
    return x.transpose(1, 2).flatten(2)


def _qk_norm(x: torch.Tensor) -> torch.Tensor:
    """LayerNorm over the whole width without gain or shift."""
    return F.layer_norm(x, x.shape[-1:], eps=EPS)
