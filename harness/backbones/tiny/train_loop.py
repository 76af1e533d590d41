"""The one training loop of the small networks: seeded, resumable, logged.

``python -m harness.backbones.tiny.train_NAME [--steps N] [--out FOLDER] [--cache FOLDER]``

Batches, augmentation and learning rate are functions of (seed, step) alone, and a checkpoint holds
parameters and optimiser, so an interrupted training goes on as if it had not been.  Convolutions and
matrix products run in bfloat16 unless a script says otherwise, everything else in float32.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import logging
import math
import time
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import save_file
from torch import nn

from ...progress import Lines, listening, track
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

    def after_step(self, progress: float) -> None:
        """Called after each optimiser step with the share of steps done."""

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
    optimiser = torch.optim.AdamW(_groups(task, settings.decay), lr=settings.rate, betas=(0.9, 0.98))
    checkpoint = cache / f"{settings.name}-{_digest(asdict(settings))[:12]}.pt"
    task.prepare(drawn, cache=cache)
    start, seconds, losses = _resume(checkpoint, task, optimiser)
    began = time.monotonic() - seconds
    for step in track(range(start, settings.steps), f"{settings.name}, steps", done=start):
        task.train()
        for group in optimiser.param_groups:
            group["lr"] = settings.rate * _schedule(step, settings)
        generator = torch.Generator().manual_seed(settings.seed * 1_000_003 + step)
        with torch.autocast("cpu", torch.bfloat16, enabled=settings.bfloat16):
            loss = task.loss(drawn, _batch(step, settings), generator)
        optimiser.zero_grad(set_to_none=True)
        loss.backward()
        nn.utils.clip_grad_norm_(task.parameters(), 2.0)
        optimiser.step()
        done = step + 1
        task.after_step(done / settings.steps)
        losses.append(loss.item())
        if done % CHECKPOINT_EVERY == 0 or done == settings.steps:
            recent = float(np.mean(losses[-CHECKPOINT_EVERY:]))
            logger.info("%s step %d of %d: loss %.4f", settings.name, done, settings.steps, recent)
            _save(checkpoint, task, optimiser, done, time.monotonic() - began, losses)
    return _finish(settings, task, held_out, drawn, losses, time.monotonic() - began, out)


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
    """Matrices and kernels decay; vectors (norms, biases) do not."""
    own = [p for p in task.parameters() if p.requires_grad]
    return [
        {"params": [p for p in own if p.ndim > 1], "weight_decay": decay},
        {"params": [p for p in own if p.ndim <= 1], "weight_decay": 0.0},
    ]


def _schedule(step: int, settings: Settings) -> float:
    """Linear warm-up, then a half cosine to a hundredth."""
    warmup = min(settings.warmup, settings.steps // 5 + 1)
    if step < warmup:
        return (step + 1) / warmup
    share = (step - warmup) / max(1, settings.steps - warmup)
    return 0.01 + 0.99 * 0.5 * (1 + math.cos(math.pi * share))


def _batch(step: int, settings: Settings) -> np.ndarray:
    """Sorted positions of one batch; every epoch is a new order."""
    per_epoch = settings.scenes // settings.batch
    epoch, at = divmod(step, per_epoch)
    order = np.random.default_rng((settings.seed, epoch)).permutation(settings.scenes)
    return np.sort(order[at * settings.batch : (at + 1) * settings.batch])


def _digest(values: Mapping[str, object]) -> str:
    return hashlib.sha256(json.dumps(values, sort_keys=True).encode()).hexdigest()


def _resume(file: Path, task: nn.Module, optimiser: torch.optim.Optimizer) -> tuple[int, float, list[float]]:
    if not file.is_file():
        return 0, 0.0, []
    state = torch.load(file, weights_only=True)
    task.load_state_dict(state["task"])
    optimiser.load_state_dict(state["optimiser"])
    logger.info("going on after step %d", state["step"])
    return state["step"], state["seconds"], list(state["losses"])


def _save(
    file: Path,
    task: nn.Module,
    optimiser: torch.optim.Optimizer,
    step: int,
    seconds: float,
    losses: list[float],
) -> None:
    part = file.with_suffix(".part")
    state = {"task": task.state_dict(), "optimiser": optimiser.state_dict()}
    torch.save({**state, "step": step, "seconds": seconds, "losses": losses}, part)
    part.replace(file)
