"""``efficientnet@tiny``: inverted bottlenecks with squeeze-and-excitation (Tan & Le 2019)."""

from __future__ import annotations

import torch
from torch import nn

from ..blocks import ConvNorm

UNITS = 192


class Gate(nn.Module):
    """Squeeze-and-excitation (Hu et al. 2018)."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.squeeze = nn.Linear(width, max(8, width // 8))
        self.excite = nn.Linear(max(8, width // 8), width)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """(n, width, h, w), each channel weighted."""
        weights = torch.sigmoid(self.excite(nn.functional.silu(self.squeeze(x.mean((2, 3))))))
        return x * weights[:, :, None, None]


class Bottleneck(nn.Module):
    """Widen, filter each channel by itself, gate, narrow; a shortcut where shapes agree."""

    def __init__(self, given: int, width: int, *, stride: int = 1, expand: int = 3, size: int = 3) -> None:
        super().__init__()
        inner = expand * given
        self.body = nn.Sequential(
            ConvNorm(given, inner, size=1, activation=nn.SiLU),
            ConvNorm(inner, inner, size=size, stride=stride, groups=inner, activation=nn.SiLU),
            Gate(inner),
            ConvNorm(inner, width, size=1, activation=nn.Identity),
        )
        self.same = stride == 1 and given == width

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """(n, given, h, w) -> (n, width, h / stride, w / stride)."""
        return x + self.body(x) if self.same else self.body(x)


class SmallEfficientNet(nn.Module):
    """x (n, 3, 64, 64) -> ``stage2`` (n, 48, 8, 8), ``avgpool`` (n, 192)."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = ConvNorm(3, 24, stride=2, activation=nn.SiLU)
        self.stage1 = nn.Sequential(Bottleneck(24, 32, stride=2), Bottleneck(32, 32))
        self.stage2 = nn.Sequential(Bottleneck(32, 48, stride=2, size=5), Bottleneck(48, 48))
        self.stage3 = nn.Sequential(Bottleneck(48, 80, stride=2, size=5), Bottleneck(80, 80))
        self.head = ConvNorm(80, UNITS, size=1, activation=nn.SiLU)

    def forward(self, x: torch.Tensor) -> dict[str, torch.Tensor]:
        """All layers, by name."""
        middle = self.stage2(self.stage1(self.stem(x)))
        return {"stage2": middle, "avgpool": self.head(self.stage3(middle)).mean((2, 3))}
