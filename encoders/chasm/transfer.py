"""Transfer to one more subject: a linear head on the frozen model's features."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from harness.api import Features, SubjectData, VoxelSpace
from harness.training import seeded

from ..common.training_data import VoxelScale, fingerprint, training_set, validation_images
from .dataset import VisualFeatures
from .fitting import schedule
from .model import BLOCK, ChasmModel
from .training import Problem, fit


@dataclass(frozen=True, eq=False)
class TransferredSubject:
    """A subject that has nothing of its own but a map from hidden features to its V voxels."""

    space: VoxelSpace
    scale: VoxelScale
    head: nn.Linear


def fit_transfer(
    model: ChasmModel,
    subject: SubjectData,
    features: Features,
    *,
    seed: int,
    checkpoint_dir: Path,
) -> TransferredSubject:
    """The head of `subject` on [fused feature; pooled tokens], by least squares with early stopping."""
    params = model.params
    visual = VisualFeatures.read(params, features, subject.train.stimuli)
    held_out = validation_images([subject], params.validation, seed=seed)
    data = training_set(subject, train_on=params.train_on, held_out=held_out)
    hidden = model.hidden(visual)
    with seeded(seed, "transfer", subject.space.sha):
        head = nn.Linear(hidden.shape[1], data.voxels.shape[1]).to(model.device)

    def terms(items: Tensor) -> Mapping[str, Tensor]:
        images = torch.from_numpy(data.image)[items].to(hidden.device)
        return {"mse": F.mse_loss(head(hidden[images]), data.voxels[items].to(model.device))}

    def validate() -> float:
        parts = torch.from_numpy(data.validation).split(4 * BLOCK)
        return sum(len(p) * float(terms(p)["mse"]) for p in parts) / len(data.validation)

    done = fit(
        head,
        Problem([data.train], lambda number, items, epoch: terms(items), validate),
        schedule(params, "transfer"),
        seed=seed,
        device=model.device,
        checkpoint=checkpoint_dir / f"transfer-{subject.space.sha[:16]}.safetensors",
        fingerprint=fingerprint(params, [subject], seed=seed, sources=[s.space.sha for s in model.subjects]),
    )
    if params.weights == "best":
        head.load_state_dict(done.best)
    return TransferredSubject(subject.space, data.scale, head.eval().requires_grad_(False))
