"""A fitted CHASMBrain: both stages, the scales they work in, and prediction."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from harness.api import VoxelSpace

from ..common.training_data import VoxelScale
from .blocks import normal_like
from .clusters import Clusters
from .dataset import FeatureScale, VisualFeatures
from .params import ChasmParams, is_stochastic
from .stage1 import Coarse, Stage1
from .stage2 import Fine, Stage2

BLOCK = 64
"""Images predicted at a time."""


@dataclass(frozen=True, eq=False)
class FittedSubject:
    """A subject whose clusters and last maps are part of the model, under its number there."""

    space: VoxelSpace
    clusters: Clusters
    scale: VoxelScale


@dataclass(eq=False)
class ChasmModel:
    """Both stages in evaluation mode; predictions are standardised until the encoder restores units."""

    params: ChasmParams
    features: FeatureScale
    stage1: Stage1
    stage2: Stage2
    subjects: list[FittedSubject]
    device: str

    def blocks(self, visual: VisualFeatures) -> Iterator[tuple[slice, Tensor, Tensor]]:
        """(rows, cls, patches) of all images, :data:`BLOCK` at a time, standardised."""
        for start in range(0, len(visual.cls), BLOCK):
            rows = slice(start, min(start + BLOCK, len(visual.cls)))
            yield rows, *self.features(visual, np.arange(rows.start, rows.stop), self.device)

    def coarse(self, cls: Tensor, patches: Tensor, subject: int) -> Coarse:
        """Stage 1 with the intervention of the parameters."""
        return self.stage1(cls, patches, subject, intervention=self.params.intervention)

    def clusters(self, visual: VisualFeatures, subject: int) -> np.ndarray:
        """(N, R) coarse responses of all images."""
        self.stage1.eval()
        with torch.inference_mode():
            parts = [self.coarse(c, p, subject).clusters.cpu().numpy() for _, c, p in self.blocks(visual)]
        return np.concatenate(parts)

    def predict(self, visual: VisualFeatures, subject: int, seeds: np.ndarray) -> np.ndarray:
        """(N, S, V) standardised responses; `seeds` (N, S) matter only where something is drawn."""
        self.stage1.eval(), self.stage2.eval()
        voxels = len(self.subjects[subject].clusters.label)
        out = np.empty((*seeds.shape, voxels), np.float32)
        draws = seeds.shape[1] if self.stochastic else 1
        with torch.inference_mode():
            for rows, cls, patches in self.blocks(visual):
                responses = self.coarse(cls, patches, subject).clusters
                for k in range(draws):
                    drawn = self._drawn(visual_vector(cls, patches), responses, subject, seeds[rows, k])
                    out[rows, k] = drawn.cpu().numpy()
        out[:, draws:] = out[:, :1]
        return out

    def hidden(self, visual: VisualFeatures) -> Tensor:
        """(N, D + D2) subject-free features [fused; pooled tokens], for a head on a new subject.

        The tokens need some subject's clusters: those of every subject of the model, averaged.
        """
        self.stage1.eval(), self.stage2.eval()
        parts = []
        with torch.inference_mode():
            for _, cls, patches in self.blocks(visual):
                pooled, fused = [], []
                for subject in range(len(self.subjects)):
                    coarse = self.coarse(cls, patches, subject)
                    vector = visual_vector(cls, patches)
                    pooled.append(self.stage2(vector, coarse.clusters, subject).pooled)
                    fused.append(coarse.feature)
                parts.append(torch.cat([torch.stack(fused).mean(0), torch.stack(pooled).mean(0)], dim=-1))
        return torch.cat(parts).clone()

    @property
    def stochastic(self) -> bool:
        """Whether two samples of one image may differ."""
        return is_stochastic(self.params)

    def _drawn(self, vector: Tensor, responses: Tensor, subject: int, seeds: np.ndarray) -> Tensor:
        generators = [torch.Generator().manual_seed(int(seed) % 2**63) for seed in seeds]
        noise = None
        if self.params.latent_samples:
            noise = torch.stack([normal_like(g, self.params.latent) for g in generators]).to(self.device)
            noise = noise * self.params.sample_temperature
        fine: Fine = self.stage2(vector, responses, subject, noise=noise)
        if self.params.stage2_refiner != "dual_diff":
            return fine.voxels
        shape = (self.params.diffusion_steps, fine.voxels.shape[1])
        noise = torch.stack([normal_like(g, *shape) for g in generators]).to(self.device)
        return fine.voxels + self.stage2.diffusion.sample(fine.pooled, noise, subject)


def visual_vector(cls: Tensor, patches: Tensor) -> Tensor:
    """[CLS; mean patch] (B, D + D'), what Stage 2 sees of the image."""
    return torch.cat([cls, patches.mean(dim=1)], dim=-1)
