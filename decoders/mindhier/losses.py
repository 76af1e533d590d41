"""What both stages minimise: alignment of the hierarchy with its layers, cross-entropy of the codes.

Alignment is that of the released code (``brainencoder/train.py``): squared distance of flattened and
normalised token maps, and MindEye's soft contrastive loss in place of the paper's hard one-sided one.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F

from harness.nn.contrast import soft_clip_loss, unit_rows

from .scales import rows_of


def map_distance(predicted: torch.Tensor, true: torch.Tensor) -> torch.Tensor:
    """Mean over samples of the squared distance between normalised maps (paper, equation 1).

    The released code's 200,000 times the mean over 197,376 numbers is 1.013 times this.
    """
    return (unit_rows(predicted.float()) - unit_rows(true.float())).square().sum(1).mean()


def soft_contrast(predicted: torch.Tensor, true: torch.Tensor, *, temperature: float = 0.005) -> torch.Tensor:
    """SoftCLIP of MindEye between maps (B, tokens, width)."""
    return soft_clip_loss(unit_rows(predicted.float()), unit_rows(true.float()), temperature=temperature)


def code_loss(
    logits: torch.Tensor, codes: torch.Tensor, sides: Sequence[int], *, balanced: bool = False
) -> torch.Tensor:
    """Cross-entropy of logits (B, L, V) with codes (B, L): each token counts the same, as published, or each
    scale if `balanced`, without which a short training hardly learns the coarse ones."""
    per_token = F.cross_entropy(logits.float().transpose(1, 2), codes, reduction="none")
    if not balanced:
        return per_token.mean()
    return torch.stack([per_token[:, rows].mean() for rows in rows_of(sides)]).mean()
