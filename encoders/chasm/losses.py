"""The terms of both objectives (eq. 3 and 10)."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor


def correlation(a: Tensor, b: Tensor, *, dim: int = -1) -> Tensor:
    """Pearson correlation along `dim`; 0 where either side is constant."""
    a, b = a - a.mean(dim=dim, keepdim=True), b - b.mean(dim=dim, keepdim=True)
    return F.cosine_similarity(a, b, dim=dim, eps=1e-8)


def contrast(images: Tensor, responses: Tensor, *, temperature: float) -> Tensor:
    """Symmetric InfoNCE of unit vectors (B, D); the other items of the batch are the negatives."""
    logits = images @ responses.T / temperature
    own = torch.arange(len(images), device=images.device)
    return (F.cross_entropy(logits, own) + F.cross_entropy(logits.T, own)) / 2


def divergence(mean: Tensor, log_variance: Tensor) -> Tensor:
    """KL of N(mean, exp(log_variance)) from N(0, 1), averaged over the batch and the dimensions."""
    return ((mean**2 + log_variance.exp() - 1 - log_variance) / 2).mean()


def warm_up(epoch: int, epochs: int) -> float:
    """Weight of the divergence in `epoch` 0, 1, ...: linear up to 1 at `epochs`."""
    return min(1.0, (epoch + 1) / epochs) if epochs > 0 else 1.0
