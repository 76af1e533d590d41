"""Training of both stages, one after the other, on one or several subjects."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from harness.api import Features, SubjectData
from harness.training import Progress, local_device, seeded

from ..common.training_data import TrainingSet, fingerprint, training_set, validation_images
from .clusters import Clusters, ClusterTargets, make_clusters
from .dataset import FeatureScale, VisualFeatures
from .model import BLOCK, ChasmModel, FittedSubject, visual_vector
from .params import ChasmParams
from .stage1 import Stage1
from .stage2 import Stage2
from .training import Problem, Schedule, fit

logger = logging.getLogger(__name__)


@dataclass(frozen=True, eq=False)
class Fitted:
    """A model, the weights of the last epochs ("stage1.", "stage2."), and what happened."""

    model: ChasmModel
    last: dict[str, Tensor]
    history: dict[str, list[dict[str, float]]]


def fit_model(
    subjects: Sequence[SubjectData],
    features: Features,
    params: ChasmParams,
    *,
    seed: int,
    device: str,
    checkpoint_dir: Path,
) -> Fitted:
    """Both stages from nothing, or from the checkpoints of the same training."""
    device = local_device(device)
    visuals = [VisualFeatures.read(params, features, subject.train.stimuli) for subject in subjects]
    held_out = validation_images(subjects, params.validation, seed=seed)
    sets = [training_set(s, train_on=params.train_on, held_out=held_out) for s in subjects]
    clusters = [make_clusters(subject.space, params, seed=seed) for subject in subjects]
    targets = [_targets(s, c, d, params) for s, c, d in zip(sets, clusters, subjects)]
    biases = [each.mean(dim=0) for each in targets]
    scale = FeatureScale.of(visuals)
    shape = {"cls_dim": visuals[0].cls.shape[1], "patch_dim": visuals[0].patches.shape[2]}
    with seeded(seed, "initial"):
        stage1 = Stage1(params, **shape, patches=visuals[0].patches.shape[1], biases=biases).to(device)
        stage2 = Stage2(params, visual=sum(shape.values()), clusters=clusters, biases=biases).to(device)
    fitted = [FittedSubject(d.space, c, s.scale) for d, c, s in zip(subjects, clusters, sets)]
    model = ChasmModel(params, scale, stage1, stage2, fitted, device)
    words = fingerprint(params, subjects, seed=seed)
    done1 = fit(
        stage1,
        _coarse_problem(model, visuals, sets, targets),
        schedule(params, "stage1"),
        seed=seed,
        device=device,
        checkpoint=checkpoint_dir / "stage1.safetensors",
        fingerprint=words,
    )
    last = _finished("stage1", stage1, done1, params)
    done2 = fit(
        stage2,
        _fine_problem(model, visuals, sets),
        schedule(params, "stage2"),
        seed=seed,
        device=device,
        checkpoint=checkpoint_dir / "stage2.safetensors",
        fingerprint=words,
    )
    last |= _finished("stage2", stage2, done2, params)
    return Fitted(model, last, {"stage1": done1.history, "stage2": done2.history})


def schedule(params: ChasmParams, stage: str) -> Schedule:
    """The schedule of ``stage1``, ``stage2`` or ``transfer``."""
    epochs, rate = getattr(params, f"{stage}_epochs"), getattr(params, f"{stage}_rate")
    return Schedule(
        epochs=epochs,
        batch=params.stage1_batch if stage == "transfer" else getattr(params, f"{stage}_batch"),
        rate=rate,
        final_rate=min(params.final_rate, rate),
        warmup_epochs=min(params.warmup_epochs, epochs - 1),
        weight_decay=params.weight_decay,
        clip=params.clip,
        patience=params.patience,
        precision=params.precision,
    )


def _targets(data: TrainingSet, clusters: Clusters, subject: SubjectData, params: ChasmParams) -> Tensor:
    """(T, R) cluster targets of all items."""
    space = subject.space
    ncsnr = None if space.ncsnr is None else np.asarray(space.ncsnr)[space.valid]
    aggregate = ClusterTargets(clusters, topk=params.topk, mode=params.topk_mode, ncsnr=ncsnr)
    return torch.cat([aggregate(part) for part in data.voxels.split(BLOCK)])


def _coarse_problem(
    model: ChasmModel,
    visuals: Sequence[VisualFeatures],
    sets: Sequence[TrainingSet],
    targets: Sequence[Tensor],
) -> Problem:
    stage1, device = model.stage1, model.device

    def terms(subject: int, items: Tensor) -> Mapping[str, Tensor]:
        images = sets[subject].image[items.numpy()]
        cls, patches = model.features(visuals[subject], images, device)
        coarse = stage1(cls, patches, subject)
        return stage1.loss(coarse, targets[subject][items].to(device), subject)

    def validate() -> float:
        # The contrast depends on who else is in the batch, so it takes no part in stopping.
        return _held_out(sets, lambda subject, items: {**terms(subject, items), "contrast": torch.zeros(())})

    return Problem([each.train for each in sets], lambda s, i, epoch: terms(s, i), validate)


def _fine_problem(
    model: ChasmModel, visuals: Sequence[VisualFeatures], sets: Sequence[TrainingSet]
) -> Problem:
    """Stage 2 on what the frozen Stage 1 predicts, also in training: never on measured clusters."""
    from .losses import warm_up

    params, stage2, device = model.params, model.stage2, model.device
    inputs = [_stage2_inputs(model, visual, subject) for subject, visual in enumerate(visuals)]

    def terms(subject: int, items: Tensor, *, epoch: int, training: bool) -> Mapping[str, Tensor]:
        images = torch.from_numpy(sets[subject].image)[items]
        vector, responses = (values[images].to(device) for values in inputs[subject])
        voxels = sets[subject].voxels[items].to(device)
        draws = training and params.stage2_refiner == "dual_vae"
        noise = torch.randn(len(items), params.latent, device=device) if draws else None
        fine = stage2(vector, responses, subject, noise=noise)
        losses = dict(stage2.loss(fine, voxels, warmth=warm_up(epoch, params.kl_warmup)))
        if training and params.stage2_refiner == "dual_diff":
            residual = (voxels - fine.voxels).detach()
            losses["diffusion"] = stage2.diffusion.loss(residual, fine.pooled.detach(), subject)
        return losses

    def validate() -> float:
        def reconstruction(subject: int, items: Tensor) -> Mapping[str, Tensor]:
            losses = dict(terms(subject, items, epoch=0, training=False))
            losses.pop("kl", None)  # its weight changes with the epoch; only the fit decides
            return losses

        return _held_out(sets, reconstruction)

    return Problem(
        [each.train for each in sets],
        lambda subject, items, epoch: terms(subject, items, epoch=epoch, training=True),
        validate,
    )


def _stage2_inputs(model: ChasmModel, visual: VisualFeatures, subject: int) -> tuple[Tensor, Tensor]:
    """[CLS; mean patch] (N, D + D') and coarse responses (N, R) of all images, on the CPU."""
    vectors, responses = [], []
    model.stage1.eval()
    with torch.no_grad():
        for _, cls, patches in model.blocks(visual):
            vectors.append(visual_vector(cls, patches).cpu())
            responses.append(model.stage1(cls, patches, subject).clusters.cpu())
    return torch.cat(vectors), torch.cat(responses)


def _held_out(sets: Sequence[TrainingSet], terms: Any) -> float:
    """Mean over subjects of the summed terms on validation items."""
    values = []
    for subject, data in enumerate(sets):
        parts = torch.from_numpy(data.validation).split(4 * BLOCK)
        sums = [len(part) * float(sum(terms(subject, part).values())) for part in parts]
        values.append(sum(sums) / len(data.validation))
    return float(np.mean(values))


def _finished(name: str, stage: nn.Module, done: Progress, params: ChasmParams) -> dict[str, Tensor]:
    """Put the weights in place that prediction uses; returns those of the last epoch, prefixed."""
    last = {f"{name}.{k}": v.detach().cpu().clone() for k, v in stage.state_dict().items()}
    if params.weights == "best":
        stage.load_state_dict(done.best)
    stage.eval().requires_grad_(False)
    logger.info(
        "chasm %s: %d epochs, best validation %.4f at epoch %d",
        name,
        done.epochs,
        done.best_value,
        done.best_epoch + 1,
    )
    return last
