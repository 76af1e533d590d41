"""Fitting ridge layers, backbone and prior: pretraining on several subjects, or a new one.

One step draws a batch of each subject, maps all to the shared space, and minimises the losses of
:mod:`.losses` on the schedule of :mod:`.schedule`.  Every draw of a step comes from hash(seed,
step), so that a run which is stopped and started again ends in the same weights to the last bit.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import numpy as np
import torch

from harness.api import DataError, Split
from harness.nn.contrast import soft_clip_loss, unit_rows
from harness.training import Losses, Step, Task, TrainingSettings, local_device, train

from . import losses, mixing, schedule
from .model import MindEye2Network
from .settings import FitSettings


@dataclass(frozen=True)
class TrainingSet:
    """What one subject trains on; all but the trials is aligned with the images.

    responses : (T, V) float32 trials.
    image_index : (T,) image of each trial.
    tokens : (N, tokens, dim) true image tokens, an array or memory map.
    latents : (N, C, h, w) scaled VAE latents, where the network has a low-level head.
    views : the contrastive teacher's tokens of clean and of augmented images, (N, P, D) each.
    """

    responses: np.ndarray
    image_index: np.ndarray
    tokens: np.ndarray
    latents: np.ndarray | None = None
    views: tuple[np.ndarray, np.ndarray] | None = None

    def __post_init__(self) -> None:
        if len(self.responses) != len(self.image_index):
            raise DataError(
                f"{len(self.responses)} trials and {len(self.image_index)} image numbers; they must be equal"
            )
        if len(self.image_index) and int(np.max(self.image_index)) >= len(self.tokens):
            raise DataError(f"image_index points outside the {len(self.tokens)} images that have tokens")
        if self.latents is not None and len(self.latents) != len(self.tokens):
            raise DataError(f"{len(self.latents)} images have latents, {len(self.tokens)} tokens")

    @classmethod
    def of(
        cls,
        split: Split,
        tokens: np.ndarray,
        *,
        latents: np.ndarray | None = None,
        views: tuple[np.ndarray, np.ndarray] | None = None,
    ) -> TrainingSet:
        """A subject's training split, its masked voxels left out; `tokens` in the split's order."""
        if len(tokens) != len(split):
            raise DataError(f"{len(tokens)} images have tokens, the training split has {len(split)}")
        responses = split.responses
        trials = responses.trials()[:, responses.space.valid]
        return cls(trials, responses.image_index, tokens, latents, views)

    @property
    def n_images(self) -> int:
        """Images that have a trial."""
        return len(np.unique(self.image_index))


CHECKPOINTS, RARELY = 20, 1000
"""Checkpoints of a fit at least, and steps between two of them at most: at full size one is gigabytes."""


@dataclass(frozen=True)
class EpochLosses:
    """Means over one epoch; `low_level` is 0 without that head."""

    epoch: int
    total: float
    prior: float
    retrieval: float
    low_level: float


class NetworkTask(Task):
    """A network and the subjects that it is fitted on; a step's batches are drawn as it is taken."""

    def __init__(
        self,
        network: MindEye2Network,
        subjects: Sequence[TrainingSet],
        settings: FitSettings,
        *,
        seed: int,
        device: str,
    ) -> None:
        self.module, self.subjects, self.settings = network, subjects, settings
        self.run_seed, self.device = seed, device
        self.steps_per_epoch, self.steps = epoch_steps(subjects, settings)
        self.schedule = schedule.rates(
            steps=self.steps, epochs=settings.epochs, learning_rate=settings.learning_rate
        )

    def optimizer(self) -> torch.optim.Optimizer:
        """AdamW in the public groups."""
        how = self.settings
        return schedule.build_optimizer(self.module, learning_rate=how.learning_rate, decay=how.decay)

    def batches(self, epoch: int) -> Sequence[int]:
        """The size of each batch, per subject."""
        return [self.settings.batch] * self.steps_per_epoch

    def part(self, batch: int, *, rank: int, world: int) -> int:
        """A process draws its share of a batch; the contrast then is among the images of one process."""
        return max(batch // world, 2)

    def seed(self, count: int) -> int:
        """Seed of all draws of a step."""
        return step_seed(self.run_seed, count)

    def loss(self, batch: int, step: Step) -> Losses:
        """Of a random batch per subject, on the phase's retrieval loss."""
        how = self.settings
        temperature = schedule.soft_temperature(step.epoch, how.epochs, share=how.mixco_share)
        total, *terms = training_losses(
            self.module, self.subjects, replace(how, batch=batch), temperature=temperature, device=self.device
        )
        return Losses(total, dict(zip(("prior", "retrieval", "low_level"), terms)))


def fit_network(
    network: MindEye2Network,
    subjects: Sequence[TrainingSet],
    settings: FitSettings,
    *,
    seed: int,
    device: str = "cpu",
    checkpoint_dir: Path | None = None,
) -> list[EpochLosses]:
    """Train all of `network`, one ridge layer per subject, and return the losses of every epoch.

    With `checkpoint_dir` the state is kept there and a later call with the same arguments goes on
    from it.
    """
    _check(network, subjects, settings)
    device = local_device(device)
    task = NetworkTask(network.to(device), subjects, settings, seed=seed, device=device)
    trained = train(
        task,
        TrainingSettings(
            "fine-tuning",
            task.steps,
            seed=seed,
            reseeded="step",
            precision=settings.precision,
            checkpoint_every=settings.checkpoint_every or max(1, min(RARELY, task.steps // CHECKPOINTS)),
            remedy="check the responses for unmasked NaN, or lower the learning rate: "
            f"--set decoder.learning_rate={settings.learning_rate / 10:g}",
        ),
        device=device,
        checkpoint=None if checkpoint_dir is None else checkpoint_dir / "mindeye2.safetensors",
        identity=_identity(network, subjects, settings, seed),
    )
    return [
        EpochLosses(r["epoch"] - 1, r["loss"], r["prior"], r["retrieval"], r["low_level"])
        for r in trained.history
    ]


def training_losses(
    network: MindEye2Network,
    subjects: Sequence[TrainingSet],
    settings: FitSettings,
    *,
    temperature: float | None,
    device: str,
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor, torch.Tensor]:
    """Total, prior, retrieval and low-level loss of one random batch per subject; the networks alone run
    under the caller's autocast, the losses never do.

    `temperature` None is the MixCo phase.  Draws come from the global generators.
    """
    batches = [draw_batch(data, settings.batch) for data in subjects]
    responses = [_rows(d.responses, t).to(device) for d, t in zip(subjects, batches)]
    images = [d.image_index[t] for d, t in zip(subjects, batches)]
    tokens = torch.cat([_rows(d.tokens, i) for d, i in zip(subjects, images)]).to(device)
    mixture = None
    if temperature is None:
        parts = [mixing.draw_mixture(len(batch)).to(device) for batch in batches]
        responses = [mixing.mix(batch, part) for batch, part in zip(responses, parts)]
        mixture = mixing.join(parts, faithful=settings.faithful)

    output = network(responses)
    prior, _ = network.diffusion_prior.loss(tokens, output.tokens, drop=settings.drop)
    with torch.autocast(torch.device(device).type, enabled=False):
        predicted, target = unit_rows(output.retrieval.float()), unit_rows(tokens)
        if mixture is not None:
            retrieval = losses.bimixco_loss(predicted, target, mixture, faithful=settings.faithful)
        else:
            retrieval = soft_clip_loss(predicted, target, temperature=temperature)
        low_level = None
        if output.latents is not None:
            latents = torch.cat([_rows(d.latents, i) for d, i in zip(subjects, images)]).to(device)
            contrast = _contrast(output.auxiliary, subjects, images)
            low_level = losses.low_level_loss(
                output.latents.float(), latents, contrast=contrast, weights=settings.weights
            )
        total = losses.total_loss(prior, retrieval, low_level, weights=settings.weights)
    shown = torch.zeros(()) if low_level is None else low_level.detach()
    return total, prior.detach(), retrieval.detach(), shown


def _contrast(
    auxiliary: torch.Tensor, subjects: Sequence[TrainingSet], images: Sequence[np.ndarray]
) -> torch.Tensor | None:
    """The contrastive term over the subjects' joined batches, where all have a teacher."""
    if any(data.views is None for data in subjects):
        return None
    clean, augmented = zip(*((_rows(v, at) for v in data.views) for data, at in zip(subjects, images)))
    student = auxiliary.float()
    return losses.soft_contrastive_loss(
        student, torch.cat(clean).to(student), torch.cat(augmented).to(student)
    )


def draw_batch(data: TrainingSet, size: int) -> np.ndarray:
    """`size` random trials of distinct images, drawn from the global CPU generator.

    The public loader draws trials and skips batches in which an image comes twice.
    """
    order = torch.randperm(len(data.image_index)).numpy()
    _, first = np.unique(data.image_index[order], return_index=True)
    return order[np.sort(first)[:size]]


def step_seed(seed: int, step: int) -> int:
    """Seed of all draws of a step."""
    digest = hashlib.sha256(f"mindeye2|{seed}|{step}".encode()).digest()
    return int.from_bytes(digest[:8], "little") >> 1


def epoch_steps(subjects: Sequence[TrainingSet], settings: FitSettings) -> tuple[int, int]:
    """Steps per epoch and in all."""
    samples = settings.samples_per_epoch or sum(len(data.responses) for data in subjects)
    per_epoch = max(1, samples // (settings.batch * len(subjects)))
    return per_epoch, per_epoch * settings.epochs


def _rows(values: np.ndarray, at: np.ndarray) -> torch.Tensor:
    return torch.from_numpy(np.ascontiguousarray(values[at], dtype=np.float32))


def _check(network: MindEye2Network, subjects: Sequence[TrainingSet], settings: FitSettings) -> None:
    s, layers = network.settings.backbone, network.ridge.linears
    if len(subjects) != len(layers):
        raise DataError(f"{len(subjects)} subjects for {len(layers)} ridge layers; they must be equal")
    for number, (data, layer) in enumerate(zip(subjects, layers)):
        who = f"subject {number + 1} of {len(subjects)}"
        if data.responses.shape[1] != layer.in_features:
            raise DataError(
                f"{who} has {data.responses.shape[1]} voxels, its ridge layer takes {layer.in_features}"
            )
        if tuple(data.tokens.shape[1:]) != (s.tokens, s.token_dim):
            raise DataError(
                f"{who} has tokens of shape {tuple(data.tokens.shape[1:])}, the network predicts "
                f"{(s.tokens, s.token_dim)}"
            )
        if s.low_level and data.latents is None:
            raise DataError(
                f"{who} has no latents, which the low-level head learns; give them or build the network "
                "with low_level: false"
            )
        if data.n_images < settings.batch:
            raise DataError(
                f"{who} has {data.n_images} images, fewer than a batch of {settings.batch}; lower batch"
            )


def _identity(
    network: MindEye2Network, subjects: Sequence[TrainingSet], settings: FitSettings, seed: int
) -> str:
    """What must be equal for a checkpoint to be continued."""
    shapes = [(data.responses.shape, data.tokens.shape, data.latents is not None) for data in subjects]
    parts = (asdict(network.settings), asdict(settings), shapes, seed)
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()
