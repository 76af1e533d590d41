"""``inception@tiny``: modules of parallel convolutions after GoogLeNet (Szegedy et al. 2015)."""

from __future__ import annotations

import torch
from torch import nn

from ..blocks import ConvNorm

UNITS = 160


class Mixed(nn.Module):
    """1 x 1, 3 x 3, two 3 x 3 and pooled paths side by side; `width` channels, a quarter each."""

    def __init__(self, given: int, width: int) -> None:
        super().__init__()
        path, narrow = width // 4, width // 6
        self.point = ConvNorm(given, path, size=1)
        self.three = nn.Sequential(ConvNorm(given, narrow, size=1), ConvNorm(narrow, path))
        self.five = nn.Sequential(
            ConvNorm(given, narrow, size=1), ConvNorm(narrow, narrow), ConvNorm(narrow, path)
        )
        self.pooled = nn.Sequential(nn.AvgPool2d(3, 1, 1), ConvNorm(given, path, size=1))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """(n, given, h, w) -> (n, width, h, w)."""
        return torch.cat([self.point(x), self.three(x), self.five(x), self.pooled(x)], dim=1)


class SmallInception(nn.Module):
    """x (n, 3, 64, 64) -> ``mixed1`` (n, 96, 16, 16), ``mixed3`` (n, 160, 8, 8), ``avgpool`` (n, 160)."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Sequential(ConvNorm(3, 32, stride=2), ConvNorm(32, 64, stride=2))
        self.mixed1 = Mixed(64, 96)
        self.pool = nn.MaxPool2d(2)
        self.mixed2 = Mixed(96, 128)
        self.mixed3 = Mixed(128, UNITS)
        self.mixed4 = Mixed(UNITS, UNITS)

    def forward(self, x: torch.Tensor) -> dict[str, torch.Tensor]:
        """All layers, by name."""
        first = self.mixed1(self.stem(x))
        third = self.mixed3(self.mixed2(self.pool(first)))
        last = self.mixed4(self.pool(third))
        return {"mixed1": first, "mixed3": third, "avgpool": last.mean((2, 3))}
