"""``alexnet@tiny``: five convolutions and two dense layers after AlexNet (Krizhevsky et al. 2012)."""

from __future__ import annotations

import torch
from torch import nn

from ..blocks import ConvNorm

WIDTHS = (32, 64, 96, 96, 96)
UNITS = 128


class SmallAlexNet(nn.Module):
    """x (n, 3, 64, 64) -> ``conv1`` (n, 32, 32, 32), ``conv2`` (n, 64, 16, 16), ``conv3`` to ``conv5``
    (n, 96, 8, 8), ``fc6`` (n, 128), all after their ReLU."""

    def __init__(self) -> None:
        super().__init__()
        n1, n2, n3, n4, n5 = WIDTHS
        self.conv1 = ConvNorm(3, n1, size=7, stride=2)
        self.conv2 = ConvNorm(n1, n2, size=5)
        self.conv3 = ConvNorm(n2, n3)
        self.conv4 = ConvNorm(n3, n4)
        self.conv5 = ConvNorm(n4, n5)
        self.pool = nn.MaxPool2d(2)
        self.fc6 = nn.Sequential(nn.Flatten(), nn.Linear(n5 * 16, UNITS), nn.ReLU())

    def forward(self, x: torch.Tensor) -> dict[str, torch.Tensor]:
        """All layers, by name."""
        outputs = {"conv1": self.conv1(x)}
        outputs["conv2"] = self.conv2(self.pool(outputs["conv1"]))
        outputs["conv3"] = self.conv3(self.pool(outputs["conv2"]))
        outputs["conv4"] = self.conv4(outputs["conv3"])
        outputs["conv5"] = self.conv5(outputs["conv4"])
        outputs["fc6"] = self.fc6(self.pool(outputs["conv5"]))
        return outputs
