"""Learning without labels: two views of each scene, and the losses of VICReg and SwAV."""

from __future__ import annotations

import math

import numpy as np
import torch
from torch import nn
from torch.nn import functional

from .train_attributes import BATCH, degraded, linear_probe
from .train_data import DrawnScenes
from .train_loop import Task, planes_of


class TwoViewTask(Task):
    """A network whose global layer, projected, should agree over two views of a scene."""

    def __init__(self, network: nn.Module, width: int, out: int, *, layer: str, hidden: int = 512) -> None:
        super().__init__()
        self.network, self.layer = network, layer
        self.project = nn.Sequential(
            nn.Linear(width, hidden), nn.BatchNorm1d(hidden), nn.ReLU(), nn.Linear(hidden, out)
        )

    def agreement(self, first: torch.Tensor, second: torch.Tensor) -> torch.Tensor:
        """Loss of the projections (n, out) of both views."""
        raise TypeError(f"{type(self).__name__} has no agreement")

    def loss(self, drawn: DrawnScenes, chosen: np.ndarray, generator: torch.Generator) -> torch.Tensor:
        """Both views go through the network together."""
        x = planes_of(drawn, chosen)
        x = torch.cat([view(x, generator), view(x, generator)])
        features = self.network(x.contiguous(memory_format=torch.channels_last))[self.layer]
        first, second = self.project(features).float().chunk(2)
        return self.agreement(first, second)

    def scores(self, held_out: DrawnScenes) -> dict[str, float]:
        """A linear probe of the global layer."""
        features = [
            self.network(planes_of(held_out, np.arange(k, min(k + BATCH, len(held_out)))))[self.layer]
            for k in range(0, len(held_out), BATCH)
        ]
        return linear_probe(np.concatenate(features), held_out)


class VICRegTask(TwoViewTask):
    """Invariance, variance and covariance terms, weighted 25 : 25 : 1 (Bardes et al. 2022)."""

    def agreement(self, first: torch.Tensor, second: torch.Tensor) -> torch.Tensor:
        """Alike across views, spread and uncorrelated within each."""
        total = 25 * functional.mse_loss(first, second)
        for view in (first, second):
            centred = view - view.mean(0)
            spread = (centred.var(0) + 1e-4).sqrt()
            covariance = centred.T @ centred / (len(view) - 1)
            off = covariance.pow(2).sum() - covariance.diagonal().pow(2).sum()
            total = total + 12.5 * functional.relu(1 - spread).mean() + off / view.shape[1]
        return total


class SwAVTask(TwoViewTask):
    """Each view predicts the other's balanced assignment to prototypes (Caron et al. 2020)."""

    temperature = 0.1

    def __init__(self, network: nn.Module, width: int, out: int, *, layer: str, prototypes: int) -> None:
        super().__init__(network, width, out, layer=layer)
        self.prototypes = nn.Parameter(functional.normalize(torch.randn(prototypes, out), dim=1))

    def agreement(self, first: torch.Tensor, second: torch.Tensor) -> torch.Tensor:
        """Mean cross-entropy of the two swapped predictions."""
        prototypes = functional.normalize(self.prototypes, dim=1)
        left, right = (functional.normalize(view, dim=1) @ prototypes.T for view in (first, second))
        total = torch.zeros(())
        for assigned, other in ((left, right), (right, left)):
            with torch.no_grad():
                wanted = balanced(other)
            total = total - (wanted * (assigned / self.temperature).log_softmax(1)).sum(1).mean() / 2
        return total


def balanced(scores: torch.Tensor, *, sharpness: float = 0.05, rounds: int = 3) -> torch.Tensor:
    """(n, K) soft assignments, rows summing to 1 and columns about equal (Sinkhorn & Knopp)."""
    shares = (scores / sharpness).exp()
    for _ in range(rounds):
        shares = shares / shares.sum(0, keepdim=True) / shares.shape[1]
        shares = shares / shares.sum(1, keepdim=True) / shares.shape[0]
    return shares * shares.shape[0]


def view(x: torch.Tensor, generator: torch.Generator) -> torch.Tensor:
    """A random view of each image (n, 3, 64, 64): crop, mirror, colour, sometimes blur and noise."""
    n = len(x)

    def uniform(low: float, high: float) -> torch.Tensor:
        return low + (high - low) * torch.rand(n, generator=generator)

    side = uniform(0.35, 1.0).sqrt()
    shape = (uniform(-0.25, 0.25) * math.log(2)).exp()
    width, height = (side * shape).clamp(max=1), (side / shape).clamp(max=1)
    mirror = torch.where(uniform(0, 1) < 0.5, -1.0, 1.0)
    zero = torch.zeros(n)
    rows = [
        torch.stack([width * mirror, zero, uniform(-1, 1) * (1 - width)], dim=1),
        torch.stack([zero, height, uniform(-1, 1) * (1 - height)], dim=1),
    ]
    grid = functional.affine_grid(torch.stack(rows, dim=1), x.shape, align_corners=False)
    x = functional.grid_sample(x, grid, padding_mode="border", align_corners=False)
    gain = uniform(0.6, 1.4)[:, None, None, None]
    channels = 1 + 0.2 * torch.randn(n, 3, 1, 1, generator=generator)
    x = x * gain * channels + uniform(-0.3, 0.3)[:, None, None, None]
    return degraded(x, 0.3, generator)
