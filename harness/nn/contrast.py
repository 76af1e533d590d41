"""Contrastive losses between predicted and true embeddings."""

from __future__ import annotations

import torch
import torch.nn.functional as F


def unit_rows(tokens: torch.Tensor) -> torch.Tensor:
    """(B, ...) -> (B, D), all tokens of a sample flattened into one vector of length one."""
    return F.normalize(tokens.flatten(1), dim=-1)


def both_ways(similarity: torch.Tensor, forward: torch.Tensor, backward: torch.Tensor) -> torch.Tensor:
    """Mean cross-entropy of rows and of columns against their own targets."""
    rows = -(similarity.log_softmax(-1) * forward).sum(-1).mean()
    columns = -(similarity.T.log_softmax(-1) * backward).sum(-1).mean()
    return (rows + columns) / 2


def soft_clip_loss(predicted: torch.Tensor, target: torch.Tensor, *, temperature: float) -> torch.Tensor:
    """Contrastive loss whose targets are the similarities among the true embeddings; unit rows (B, D)."""
    shares = (target @ target.T / temperature).softmax(-1)
    return both_ways(predicted @ target.T / temperature, shares, shares)
