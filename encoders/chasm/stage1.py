"""Stage 1: CLS and patch tokens -> the response of every cluster of voxels.

Two streams of Mamba-2 blocks, a gate between them, and a contrastive head that ties the fused
feature to the cluster responses.  The streams are shared among subjects; what depends on a subject's
clusters (last linear maps, bias, first map of the response head) exists once for each.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from harness.api import ConfigError

from .blocks import AttentionBlock, MambaStack, positions, two_layers
from .losses import contrast, correlation
from .params import ChasmParams

CHUNKS = 16
"""Tokens of ``cls_sequence=chunk16``."""


@dataclass(frozen=True)
class Coarse:
    """Stage 1's answer: clusters (B, R), fused feature (B, D), gate (B, 2, 1 or R), or None."""

    clusters: Tensor
    feature: Tensor
    gate: Tensor | None = None


class GlobalBranch(nn.Module):
    """CLS (B, D_cls) -> feature (B, D); one linear map per subject -> clusters (B, R)."""

    def __init__(self, params: ChasmParams, cls_dim: int, clusters: Sequence[int]) -> None:
        super().__init__()
        self.sequence = params.cls_sequence
        tokens = {"single": 1, "chunk16": CHUNKS, "scalar": cls_dim}[params.cls_sequence]
        inner = 1 if params.cls_sequence == "scalar" else cls_dim
        outer = params.width * (CHUNKS if params.cls_sequence == "chunk16" else 1)
        self.project = nn.Linear(inner, outer)
        self.position = positions(tokens, params.width) if tokens > 1 else None
        self.stack = MambaStack(params.width, params.global_depth, params)
        self.heads = nn.ModuleList(nn.Linear(params.width, count, bias=False) for count in clusters)

    def forward(self, cls: Tensor) -> Tensor:
        """(B, D_cls) -> (B, D)."""
        if self.sequence == "scalar":
            cls = cls[..., None]
        tokens = self.project(cls)
        if self.sequence == "single":
            return self.stack(tokens[:, None])[:, 0]
        if self.sequence == "chunk16":
            tokens = tokens.unflatten(1, (CHUNKS, -1))
        return self.stack(tokens + self.position).mean(dim=1)


class LocalBranch(nn.Module):
    """Patches (B, P, D_patch) -> feature (B, D); a two-layer MLP -> clusters (B, R)."""

    def __init__(self, params: ChasmParams, patch_dim: int, patches: int, clusters: Sequence[int]) -> None:
        super().__init__()
        self.project = nn.Linear(patch_dim, params.width)
        self.position = positions(patches, params.width, sd=params.position_sd)
        self.norm = nn.LayerNorm(params.width)
        self.dropout = nn.Dropout(params.dropout)
        bidirectional = params.scan == "bidirectional"
        self.stack = MambaStack(params.width, params.local_depth, params, bidirectional=bidirectional)
        self.hidden = nn.Linear(params.width, params.width)
        self.heads = nn.ModuleList(nn.Linear(params.width, count, bias=False) for count in clusters)

    def forward(self, patches: Tensor) -> Tensor:
        """(B, P, D_patch) -> (B, D), the mean over tokens."""
        tokens = self.norm(self.project(patches) + self.position)
        return self.stack(self.dropout(tokens)).mean(dim=1)

    def predict(self, feature: Tensor, subject: int) -> Tensor:
        """(B, D) -> (B, R)."""
        return self.heads[subject](self.dropout(F.gelu(self.hidden(feature))))


class SingleStream(nn.Module):
    """One stack over [CLS; patches]: the baselines ``single_mamba`` and ``transformer``."""

    def __init__(
        self, params: ChasmParams, cls_dim: int, patch_dim: int, patches: int, clusters: Sequence[int]
    ) -> None:
        super().__init__()
        self.cls, self.project = nn.Linear(cls_dim, params.width), nn.Linear(patch_dim, params.width)
        self.position = positions(1 + patches, params.width, sd=params.position_sd)
        self.norm = nn.LayerNorm(params.width)
        if params.stage1_arch == "transformer":
            blocks = [AttentionBlock(params.width, params) for _ in range(params.local_depth)]
            self.stack = nn.Sequential(*blocks, nn.LayerNorm(params.width))
        else:
            self.stack = MambaStack(params.width, params.local_depth, params)
        self.hidden = nn.Linear(params.width, params.width)
        self.heads = nn.ModuleList(nn.Linear(params.width, count, bias=False) for count in clusters)

    def forward(self, cls: Tensor, patches: Tensor) -> Tensor:
        """-> (B, D), the mean over tokens."""
        tokens = torch.cat([self.cls(cls)[:, None], self.project(patches)], dim=1)
        return self.stack(self.norm(tokens + self.position)).mean(dim=1)

    def predict(self, feature: Tensor, subject: int) -> Tensor:
        """(B, D) -> (B, R)."""
        return self.heads[subject](F.gelu(self.hidden(feature)))


class Gate(nn.Module):
    """Both features (B, D) -> softmax weights (global, local), (B, 2, 1) or (B, 2, R)."""

    def __init__(self, params: ChasmParams, clusters: Sequence[int]) -> None:
        super().__init__()
        self.hidden = nn.Linear(2 * params.width, params.width)
        counts = [1] if params.gate == "image" else clusters
        self.heads = nn.ModuleList(nn.Linear(params.width, 2 * count) for count in counts)
        self.per_image = params.gate == "image"

    def forward(self, h_global: Tensor, h_local: Tensor, subject: int) -> Tensor:
        """Weights that sum to 1 over dim 1."""
        hidden = F.gelu(self.hidden(torch.cat([h_global, h_local], dim=-1)))
        logits = self.heads[0 if self.per_image else subject](hidden)
        return logits.unflatten(-1, (2, -1)).softmax(dim=1)


class ContrastHeads(nn.Module):
    """Fused feature (B, D) and responses (B, R) -> unit vectors in one space."""

    def __init__(self, params: ChasmParams, clusters: Sequence[int]) -> None:
        super().__init__()
        width, outer = params.width, params.contrastive_width
        self.image = nn.Sequential(two_layers(width, width, outer), nn.LayerNorm(outer))
        self.responses = nn.ModuleList(nn.Linear(count, width) for count in clusters)
        self.shared = nn.Sequential(nn.GELU(), nn.Linear(width, outer), nn.LayerNorm(outer))

    def forward(self, feature: Tensor, responses: Tensor, subject: int) -> tuple[Tensor, Tensor]:
        """Both (B, contrastive_width)."""
        image = F.normalize(self.image(feature), dim=-1)
        return image, F.normalize(self.shared(self.responses[subject](responses)), dim=-1)


class Stage1(nn.Module):
    """The coarse model.  Its direct children are the parts that a parameter table counts.

    cls_dim, patch_dim, patches : shape of the features.
    biases : for each subject (R,) mean of its training targets, where the learned bias begins.
    """

    def __init__(
        self,
        params: ChasmParams,
        *,
        cls_dim: int,
        patch_dim: int,
        patches: int,
        biases: Sequence[Tensor],
    ) -> None:
        super().__init__()
        self.params, self.patches = params, patches
        counts = [len(bias) for bias in biases]
        self.dual = params.stage1_arch == "dual_mamba"
        if self.dual:
            self.global_branch = GlobalBranch(params, cls_dim, counts)
            self.local_branch = LocalBranch(params, patch_dim, patches, counts)
            self.gate = Gate(params, counts)
        else:
            self.single_stream = SingleStream(params, cls_dim, patch_dim, patches, counts)
        self.contrast = ContrastHeads(params, counts)
        self.bias = nn.ParameterList(nn.Parameter(bias.clone()) for bias in biases)

    def forward(
        self, cls: Tensor, patches: Tensor, subject: int = 0, *, intervention: str = "both"
    ) -> Coarse:
        """CLS (B, D_cls) and patches (B, P, D_patch) -> cluster responses of `subject`."""
        if not self.dual:
            feature = self.single_stream(cls, patches)
            return Coarse(self.single_stream.predict(feature, subject) + self.bias[subject], feature)
        cls, patches = _intervened(cls, patches, intervention)
        h_global, h_local = self.global_branch(cls), self.local_branch(patches)
        weights = self.gate(h_global, h_local, subject)
        if intervention in ("where", "what"):
            forced = torch.tensor([0.0, 1.0] if intervention == "where" else [1.0, 0.0])
            weights = forced.to(weights)[:, None].expand_as(weights)
        w_global, w_local = weights.unbind(dim=1)  # (B, 1) or (B, R)
        clusters = w_global * self.global_branch.heads[subject](h_global)
        clusters = clusters + w_local * self.local_branch.predict(h_local, subject)
        shares = [w.mean(dim=-1, keepdim=True) for w in (w_global, w_local)]
        feature = shares[0] * h_global + shares[1] * h_local
        return Coarse(clusters + self.bias[subject], feature, weights)

    def loss(self, coarse: Coarse, targets: Tensor, subject: int = 0) -> Mapping[str, Tensor]:
        """The three terms of eq. 3, weighted; their sum is the objective."""
        p = self.params
        axis = -1 if p.pearson_axis == "sample" else 0
        vectors = self.contrast(coarse.feature, targets, subject)
        return {
            "mse": F.mse_loss(coarse.clusters, targets),
            "pearson": p.pearson_weight * (1 - correlation(coarse.clusters, targets, dim=axis).mean()),
            "contrast": p.contrastive_weight * contrast(*vectors, temperature=p.temperature),
        }


def _intervened(cls: Tensor, patches: Tensor, intervention: str) -> tuple[Tensor, Tensor]:
    if intervention == "swap":
        if cls.shape[-1] != patches.shape[-1]:
            raise ConfigError(
                f"encoder.intervention=swap needs CLS and patches of one width; the backbone has "
                f"{cls.shape[-1]} and {patches.shape[-1]}"
            )
        return patches.mean(dim=1), cls[:, None].expand_as(patches)
    if intervention == "shuffled":
        order = torch.randperm(patches.shape[1], generator=torch.Generator().manual_seed(0))
        return cls, patches[:, order.to(patches.device)]
    return cls, patches
