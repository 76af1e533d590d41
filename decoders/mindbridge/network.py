"""MindBridge's network (Wang et al. 2024, arXiv:2404.07850): subjects -> one space -> image and text tokens.

Written from the facts of the paper and the names and shapes of its checkpoints; the public code states no
licence, and none of it is here.  A subject's voxels are pooled to one size for all, pass an adapter that
starts as the identity and a linear embedder; a shared translator predicts both token sets.  A builder per
subject turns the shared space back into voxels: in training an embedding must survive being built into
another subject's voxels and embedded again.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import nn

from harness.api import ConfigError
from harness.nn.contrast import soft_clip_loss, unit_rows

from .settings import LossWeights, NetworkSettings, Pooling

TEMPERATURE = 0.005
"""Of the contrast; the public code adds 1e-10 to every logit besides, which no share depends on."""


def pool(voxels: torch.Tensor, size: int, *, kind: Pooling = "max") -> torch.Tensor:
    """(..., V) -> (..., size) by adaptive pooling or linear interpolation along the voxels' order.

    Each repetition is pooled before repetitions are averaged: the largest of means is not the mean of
    largest values.
    """
    flat = voxels.reshape(-1, 1, voxels.shape[-1])
    if kind == "max":
        pooled = F.adaptive_max_pool1d(flat, size)
    elif kind == "avg":
        pooled = F.adaptive_avg_pool1d(flat, size)
    elif kind == "resize":
        pooled = F.interpolate(flat, size=size, mode="linear", align_corners=False)
    else:
        raise ConfigError(f"mindbridge pooling is {kind!r}; choose max, avg or resize")
    return pooled.reshape(*voxels.shape[:-1], size)


class Adapter(nn.Module):
    """x + narrow perceptron of x; begins as the identity."""

    def __init__(self, width: int, bottleneck: int) -> None:
        super().__init__()
        self.down_proj = nn.Linear(width, bottleneck)
        self.up_proj = nn.Linear(bottleneck, width)
        for value in (self.up_proj.weight, self.down_proj.bias, self.up_proj.bias):
            nn.init.zeros_(value)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """(..., width) -> the same shape."""
        return x + self.up_proj(F.relu(self.down_proj(x)))


class Translator(nn.Module):
    """Residual perceptron of the shared space."""

    def __init__(self, hidden: int, blocks: int) -> None:
        super().__init__()
        self.mlp = nn.ModuleList(
            nn.Sequential(nn.Linear(hidden, hidden), nn.LayerNorm(hidden), nn.GELU(), nn.Dropout(0.15))
            for _ in range(blocks)
        )

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """(B, hidden) -> the same shape."""
        for block in self.mlp:
            x = block(x) + x
        return x


class BridgeOutput(NamedTuple):
    """What is predicted for B samples, flat."""

    image: torch.Tensor  # (B, image_tokens * token_dim)
    text: torch.Tensor  # (B, text_tokens * token_dim)
    shared: torch.Tensor  # (B, hidden)


class MindBridgeNetwork(nn.Module):
    """`subjects` are the numbers in the names of the weights, 1, 2, 5 and 7 in the released ones."""

    def __init__(self, subjects: Sequence[int], settings: NetworkSettings) -> None:
        super().__init__()
        s = self.settings = settings
        h, wide = s.hidden, s.pooled
        self.subjects = tuple(subjects)
        self.embedder = nn.ModuleDict(
            {
                str(k): nn.Sequential(
                    *(Adapter(wide, s.bottleneck), nn.Linear(wide, h), nn.LayerNorm(h)),
                    *(nn.GELU(), nn.Dropout(0.5)),
                )
                for k in subjects
            }
        )
        self.translator = Translator(h, s.blocks)
        self.head_image = nn.Linear(h, s.image_tokens * s.token_dim)
        self.head_text = nn.Linear(h, s.text_tokens * s.token_dim)
        self.builder = nn.ModuleDict(
            {
                str(k): nn.Sequential(
                    nn.Linear(h, wide), nn.LayerNorm(wide), nn.GELU(), Adapter(wide, s.bottleneck)
                )
                for k in subjects
            }
        )

    def embed(self, voxels: torch.Tensor, subject: int) -> torch.Tensor:
        """Pooled voxels (B, pooled) of `subject` -> the shared space (B, hidden)."""
        return self.embedder[str(subject)](voxels)

    def build(self, shared: torch.Tensor, subject: int) -> torch.Tensor:
        """The shared space -> pooled voxels of `subject`."""
        return self.builder[str(subject)](shared)

    def translate(self, shared: torch.Tensor) -> BridgeOutput:
        """The shared space -> both token sets."""
        x = self.translator(shared)
        return BridgeOutput(self.head_image(x), self.head_text(x), shared)

    def forward(self, voxels: torch.Tensor, subject: int) -> BridgeOutput:
        """Pooled voxels of one subject -> both token sets."""
        return self.translate(self.embed(voxels, subject))

    def cycle_loss(self, shared: torch.Tensor, other: int) -> torch.Tensor:
        """Squared error of an embedding after a detour through the voxels of subject `other`."""
        return F.mse_loss(shared, self.embed(self.build(shared, other), other))


def token_losses(output: BridgeOutput, image: torch.Tensor, text: torch.Tensor) -> dict[str, torch.Tensor]:
    """Contrastive and squared errors of both token sets, flattened to unit vectors."""
    losses = {}
    for name, predicted, target in (("image", output.image, image), ("text", output.text, text)):
        ours, theirs = unit_rows(predicted), unit_rows(target)
        losses[f"clip_{name}"] = soft_clip_loss(ours, theirs, temperature=TEMPERATURE)
        losses[f"mse_{name}"] = F.mse_loss(ours, theirs)
    return losses


def total_loss(terms: dict[str, torch.Tensor], weights: LossWeights) -> torch.Tensor:
    """The weighted sum that is minimised; ``reconstruction`` and ``cycle`` may be absent."""
    total = terms["clip_image"] + terms["clip_text"]
    total = total + weights.mse * (terms["mse_image"] + terms["mse_text"])
    for name, weight in (("reconstruction", weights.reconstruction), ("cycle", weights.cycle)):
        if name in terms:
            total = total + weight * terms[name]
    return total
