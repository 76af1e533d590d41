"""Fitting ridge layers, backbone and prior: pretraining on several subjects, or a new one.

One step draws a batch of each subject, maps all to the shared space, and minimises the losses of
:mod:`.losses` on the schedule of :mod:`.schedule`.  Every draw of a step comes from hash(seed,
step), so that a run which is stopped and started again ends in the same weights to the last bit.
"""

from __future__ import annotations

import hashlib
import json
import logging
import pickle
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch

from harness.api import ConfigError, DataError, Split, track
from harness.nn.saved import replaced

from . import losses, mixing, schedule
from .model import MindEye2Network

logger = logging.getLogger(__name__)


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
class FitSettings:
    """How a network is fitted; the defaults are those of the released models on one device.

    epochs, batch : `batch` samples per subject and step; 24 to fine-tune, 6 to pretrain on seven.
    samples_per_epoch : trials drawn per epoch over all subjects, 750 times the number of sessions
        in the paper; 0 takes the number of trials.
    learning_rate, decay, mixco_share, drop : see :mod:`.schedule`, :mod:`.losses`, :mod:`.prior`.
    precision : ``bfloat16`` runs the networks under autocast (the authors used float16).
    checkpoint_every : steps between checkpoints; 0 for a 20th of the fit, but at most 1,000.
    faithful : keep the public code's slips (:mod:`.mixing`).
    """

    epochs: int = 150
    batch: int = 24
    samples_per_epoch: int = 0
    learning_rate: float = schedule.LEARNING_RATE
    decay: float = schedule.WEIGHT_DECAY
    mixco_share: float = schedule.MIXCO_SHARE
    drop: float = 0.2
    precision: str = "float32"
    checkpoint_every: int = 0
    faithful: bool = False
    weights: losses.LossWeights = field(default_factory=losses.LossWeights)

    def __post_init__(self) -> None:
        for name, least in (("epochs", 1), ("batch", 1), ("checkpoint_every", 0)):
            if getattr(self, name) < least:
                raise ConfigError(f"mindeye2 {name} is {getattr(self, name)}; it must be at least {least}")
        if self.precision not in ("float32", "bfloat16"):
            raise ConfigError(f"mindeye2 precision is {self.precision!r}; choose float32 or bfloat16")


@dataclass(frozen=True)
class EpochLosses:
    """Means over one epoch; `low_level` is 0 without that head."""

    epoch: int
    total: float
    prior: float
    retrieval: float
    low_level: float


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
    per_epoch, steps = epoch_steps(subjects, settings)
    network.to(device).train()
    optimizer = schedule.build_optimizer(network, learning_rate=settings.learning_rate, decay=settings.decay)
    rates = schedule.build_schedule(
        optimizer, steps=steps, epochs=settings.epochs, learning_rate=settings.learning_rate
    )
    interval = settings.checkpoint_every or max(1, min(RARELY, steps // CHECKPOINTS))
    kept = _Checkpoint(checkpoint_dir, _identity(network, subjects, settings, seed))
    start, history, sums = kept.restore(network, optimizer, rates, device=device)
    cuda = [torch.device(device)] if torch.device(device).type == "cuda" else []
    for step in track(range(start, steps), "fine-tuning, steps", done=start):
        epoch, place = divmod(step, per_epoch)
        temperature = schedule.soft_temperature(epoch, settings.epochs, share=settings.mixco_share)
        with torch.random.fork_rng(devices=cuda):
            torch.manual_seed(step_seed(seed, step))
            terms = training_losses(network, subjects, settings, temperature=temperature, device=device)
        if not torch.isfinite(terms[0]):
            raise DataError(
                f"the loss of mindeye2 is not finite at step {step}; check the responses for unmasked NaN, "
                "or lower learning_rate"
            )
        optimizer.zero_grad(set_to_none=True)
        terms[0].backward()
        optimizer.step()
        rates.step()
        sums = [a + b.item() for a, b in zip(sums, terms)]
        if place == per_epoch - 1:
            history.append(EpochLosses(epoch, *(value / per_epoch for value in sums)))
            sums = [0.0] * 4
            logger.info("mindeye2 epoch %d of %d: %s", epoch + 1, settings.epochs, history[-1])
        if (step + 1) % interval == 0 or step + 1 == steps:
            kept.write(step + 1, network, optimizer, rates, history, sums)
    network.eval()
    return history


def training_losses(
    network: MindEye2Network,
    subjects: Sequence[TrainingSet],
    settings: FitSettings,
    *,
    temperature: float | None,
    device: str,
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor, torch.Tensor]:
    """Total, prior, retrieval and low-level loss of one random batch per subject.

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

    half = settings.precision == "bfloat16"
    with torch.autocast(torch.device(device).type, dtype=torch.bfloat16, enabled=half):
        output = network(responses)
        prior, _ = network.diffusion_prior.loss(tokens, output.tokens, drop=settings.drop)
    predicted, target = losses.unit_rows(output.retrieval.float()), losses.unit_rows(tokens)
    if mixture is not None:
        retrieval = losses.bimixco_loss(predicted, target, mixture, faithful=settings.faithful)
    else:
        retrieval = losses.soft_clip_loss(predicted, target, temperature=temperature)
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


class _Checkpoint:
    """The last state of a run in one file, replaced whole."""

    def __init__(self, folder: Path | None, identity: str) -> None:
        self.file = None if folder is None else folder / "mindeye2.pt"
        self.identity = identity

    def restore(
        self, network: torch.nn.Module, optimizer: Any, rates: Any, *, device: str
    ) -> tuple[int, list[EpochLosses], list[float]]:
        """Steps done, losses of finished epochs, sums of the epoch under way."""
        nothing = (0, [], [0.0] * 4)
        if self.file is None or not self.file.exists():
            return nothing
        try:
            state = torch.load(self.file, map_location=device, weights_only=True)
            same = state["identity"] == self.identity
        except (OSError, RuntimeError, ValueError, EOFError, KeyError, TypeError, pickle.UnpicklingError):
            logger.warning("%s is damaged; training starts again", self.file)
            return nothing
        if not same:
            logger.warning("%s is of other settings or data; training starts again", self.file)
            return nothing
        network.load_state_dict(state["network"])
        optimizer.load_state_dict(state["optimizer"])
        rates.load_state_dict(state["rates"])
        return state["step"], [EpochLosses(*entry) for entry in state["history"]], list(state["sums"])

    def write(self, step, network, optimizer, rates, history, sums) -> None:
        if self.file is None:
            return
        state = {
            "identity": self.identity,
            "step": step,
            "network": network.state_dict(),
            "optimizer": optimizer.state_dict(),
            "rates": rates.state_dict(),
            "history": [tuple(asdict(entry).values()) for entry in history],
            "sums": sums,
        }
        with replaced(self.file) as partial:
            torch.save(state, partial)
