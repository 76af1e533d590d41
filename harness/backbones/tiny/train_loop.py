"""How the small networks are trained: seeded, resumable, logged.

``python -m harness.backbones.tiny.train_NAME [--steps N] [--out FOLDER] [--cache FOLDER]``

Batches, augmentation and learning rate are functions of (seed, step) alone, so a training that
:mod:`harness.training` resumes goes on as if it had not been interrupted.  Convolutions and
matrix products run in bfloat16 unless a script says otherwise, everything else in float32.
"""

from __future__ import annotations

import argparse
import hashlib
import itertools
import json
import logging
import math
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import save_file
from torch import nn

from ... import training
from ...progress import Lines, listening
from .backbone import FOLDER, MEAN, SD
from .train_data import HELD_OUT, DrawnScenes, training_scenes

logger = logging.getLogger(__name__)

CHECKPOINT_EVERY = 200


@dataclass(frozen=True)
class Settings:
    """How one network is trained.

    namespace, scenes : training scenes 0 .. scenes - 1 of that namespace.
    bfloat16 : False where a network trains faster without (depthwise convolutions).
    channels_last : False where a network trains faster without (few channels).
    """

    name: str
    namespace: str
    seed: int
    scenes: int
    steps: int
    batch: int = 128
    rate: float = 2e-3
    decay: float = 0.02
    warmup: int = 60
    held_out: int = 2000
    bfloat16: bool = True
    channels_last: bool = True


class Task(nn.Module):
    """A network with what only its training needs; subclasses give `loss` and `scores`.

    network : what is kept.
    """

    network: nn.Module

    def prepare(self, drawn: DrawnScenes, *, cache: Path) -> None:
        """Called once before training, for what is computed once per scene."""

    def loss(self, drawn: DrawnScenes, chosen: np.ndarray, generator: torch.Generator) -> torch.Tensor:
        """Training loss of the scenes at positions `chosen`."""
        raise TypeError(f"{type(self).__name__} has no loss")

    def scores(self, held_out: DrawnScenes) -> Mapping[str, float]:
        """Scores on scenes that were not trained on."""
        raise TypeError(f"{type(self).__name__} has no scores")


def planes_of(drawn: DrawnScenes, chosen: np.ndarray) -> torch.Tensor:
    """(n, 3, 64, 64) network input of the scenes at positions `chosen`."""
    images = torch.from_numpy(np.ascontiguousarray(drawn.images[chosen].transpose(0, 3, 1, 2)))
    return (images.float() / 255 - MEAN) / SD


def main(settings: Settings, build: Callable[[], Task], *, folder: Path = FOLDER) -> Path:
    """Command line of a training script; `folder` is where the weights belong, what is returned is where
    they went."""
    parser = argparse.ArgumentParser(description=f"train {settings.name}@tiny")
    parser.add_argument("--steps", type=int, default=settings.steps, help="fewer for a reduced re-run")
    parser.add_argument("--scenes", type=int, default=settings.scenes)
    parser.add_argument("--out", type=Path, default=folder)
    parser.add_argument("--cache", type=Path, default=Path("tiny-cache"), help="drawn scenes, checkpoints")
    given = parser.parse_args()
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s")
    changed = {**asdict(settings), "steps": given.steps, "scenes": given.scenes}
    given.out.mkdir(parents=True, exist_ok=True)
    with listening(Lines(logger.info)):
        train(Settings(**changed), build, out=given.out, cache=given.cache)
    return given.out


def train(settings: Settings, build: Callable[[], Task], *, out: Path, cache: Path) -> dict[str, object]:
    """Train or go on, write ``NAME.safetensors`` and ``NAME.json`` into `out`; returns the log."""
    torch.set_num_threads(1)
    torch.manual_seed(settings.seed)
    drawn = training_scenes(settings.namespace, settings.scenes, cache=cache)
    held_out = training_scenes(settings.namespace, settings.held_out, cache=cache, first=HELD_OUT)
    task = build()
    if settings.channels_last:
        task = task.to(memory_format=torch.channels_last)
    task.prepare(drawn, cache=cache)
    trained = training.train(
        _SceneTask(task, drawn, settings),
        training.TrainingSettings(
            settings.name,
            settings.steps,
            seed=settings.seed,
            reseeded="step",
            clip=2.0,
            precision="bfloat16" if settings.bfloat16 else "float32",
            checkpoint_every=CHECKPOINT_EVERY,
        ),
        checkpoint=cache / f"{settings.name}-{_digest(asdict(settings))[:12]}.safetensors",
        identity=_digest(asdict(settings)),
    )
    return _finish(settings, task, held_out, drawn, trained.losses, trained.seconds, out)


class _SceneTask(training.Task):
    """A task on the scenes that were drawn for it."""

    def __init__(self, task: Task, drawn: DrawnScenes, settings: Settings) -> None:
        self.module, self.drawn, self.settings = task, drawn, settings
        self.steps_per_epoch = settings.scenes // settings.batch

    def optimizer(self) -> torch.optim.Optimizer:
        """AdamW; vectors do not decay."""
        own = self.settings
        return torch.optim.AdamW(_groups(self.module, own.decay), lr=own.rate, betas=(0.9, 0.98))

    def schedule(self, step: int) -> dict[str, float]:
        """Warm-up and half a cosine."""
        return {"lr": self.settings.rate * _schedule(step, self.settings)}

    def batches(self, epoch: int) -> list[np.ndarray]:
        """Sorted positions; every epoch is a new order."""
        own = self.settings
        order = np.random.default_rng((own.seed, epoch)).permutation(own.scenes)
        return [np.sort(order[k * own.batch : (k + 1) * own.batch]) for k in range(self.steps_per_epoch)]

    def loss(self, batch: np.ndarray, step: training.Step) -> training.Losses:
        """Of the scenes at the positions `batch`; augmentation has a generator of its own."""
        generator = torch.Generator().manual_seed(self.settings.seed * 1_000_003 + step.number)
        return training.Losses(self.module.loss(self.drawn, batch, generator))


def _finish(
    settings: Settings,
    task: Task,
    held_out: DrawnScenes,
    drawn: DrawnScenes,
    losses: list[float],
    seconds: float,
    out: Path,
) -> dict[str, object]:
    # Scores are those of the rounded weights that are shipped.
    state = {k: v.half() if v.is_floating_point() else v for k, v in task.network.state_dict().items()}
    task.network.load_state_dict(state)
    task.eval()
    with torch.inference_mode():
        scores = {name: round(float(value), 4) for name, value in task.scores(held_out).items()}
    file = out / f"{settings.name}.safetensors"
    save_file({name: value.contiguous() for name, value in state.items()}, file)
    tenth = max(1, len(losses) // 10)
    log = {
        **asdict(settings),
        "parameters": sum(p.numel() for p in task.network.parameters()),
        "weights_sha256": hashlib.sha256(file.read_bytes()).hexdigest(),
        "training_images_sha256": drawn.sha,
        "held_out_images_sha256": held_out.sha,
        "torch": torch.__version__,
        "wall_seconds": round(seconds),
        "loss_by_tenth": [
            round(float(np.mean(losses[at : at + tenth])), 4) for at in range(0, len(losses), tenth)
        ],
        "held_out_scores": scores,
    }
    (out / f"{settings.name}.json").write_text(json.dumps(log, indent=1) + "\n")
    logger.info("%s: %s", settings.name, scores)
    return log


def _groups(task: nn.Module, decay: float) -> list[dict[str, object]]:
    """Matrices and kernels decay; vectors (norms, biases) do not.  Groups keep the order of the parameters,
    in which their gradients' norm is summed."""
    own = [p for p in task.parameters() if p.requires_grad]
    parts = itertools.groupby(own, key=lambda p: p.ndim > 1)
    return [{"params": list(part), "weight_decay": decay if matrices else 0.0} for matrices, part in parts]


def _schedule(step: int, settings: Settings) -> float:
    """Linear warm-up, then a half cosine to a hundredth."""
    warmup = min(settings.warmup, settings.steps // 5 + 1)
    if step < warmup:
        return (step + 1) / warmup
    share = (step - warmup) / max(1, settings.steps - warmup)
    return 0.01 + 0.99 * 0.5 * (1 + math.cos(math.pi * share))


def _digest(values: Mapping[str, object]) -> str:
    return hashlib.sha256(json.dumps(values, sort_keys=True).encode()).hexdigest()
