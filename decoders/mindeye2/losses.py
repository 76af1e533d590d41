"""The losses of MindEye2 and their weights.

Total = 30 prior + retrieval + 0.5 (L1 of latents + 0.1 contrastive): the public code's weights; the
paper prints the same divided by 30.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F

from harness.nn.contrast import both_ways

from .mixing import Mixture, targets
from .settings import LossWeights

MIXCO_TEMPERATURE = 0.006
CONTRAST_TEMPERATURE = 0.2


def bimixco_loss(
    predicted: torch.Tensor,
    target: torch.Tensor,
    mixture: Mixture,
    *,
    temperature: float = MIXCO_TEMPERATURE,
    faithful: bool = False,
) -> torch.Tensor:
    """Contrastive loss of mixed samples in both directions; unit rows (B, D) each.

    The targets of columns are the transposed targets of rows, whose sums need not be one.
    """
    shares = targets(mixture, faithful=faithful).to(predicted)
    return both_ways(predicted @ target.T / temperature, shares, shares.T)


def soft_contrastive_loss(
    student: torch.Tensor,
    teacher: torch.Tensor,
    keys: torch.Tensor,
    *,
    temperature: float = CONTRAST_TEMPERATURE,
) -> torch.Tensor:
    """Student tokens imitate the teacher's similarities to the tokens of augmented images.

    All (B, P, D), normalised here; the pool is all B * P tokens.
    """
    student, teacher, keys = (F.normalize(part.flatten(0, 1), dim=-1) for part in (student, teacher, keys))
    forward, backward = teacher @ keys.T / temperature, keys @ teacher.T / temperature
    return both_ways(student @ keys.T / temperature, forward.softmax(-1), backward.softmax(-1))


def low_level_loss(
    latents: torch.Tensor,
    true_latents: torch.Tensor,
    *,
    contrast: torch.Tensor | None = None,
    weights: LossWeights | None = None,
) -> torch.Tensor:
    """L1 between scaled VAE latents, plus the weighted contrastive term where there is a teacher.

    In the MixCo phase the public code mixes the target latents after taking this loss: the targets
    are those of the sample's own image.
    """
    weights = weights or LossWeights()
    loss = F.l1_loss(latents, true_latents)
    return loss if contrast is None else loss + weights.contrast * contrast


def total_loss(
    prior: torch.Tensor,
    retrieval: torch.Tensor,
    low_level: torch.Tensor | None = None,
    *,
    weights: LossWeights | None = None,
) -> torch.Tensor:
    """The weighted sum that is minimised."""
    weights = weights or LossWeights()
    loss = weights.prior * prior + weights.retrieval * retrieval
    return loss if low_level is None else loss + weights.low_level * low_level
