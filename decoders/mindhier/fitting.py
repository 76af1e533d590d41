"""Both stages: the fMRI encoder learns the hierarchy, then the transformer learns to draw from it.

Stage 1 (paper, equations 1 and 2; ``brainencoder/train.py``) aligns levels, image and text embedding.
Stage 2 (``MindHier/trainer.py``) freezes the encoder and minimises the cross-entropy of the true codes, the
encoder run on zero voxels standing in for a share of the patterns.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from harness.api import ConfigError, DataError
from harness.decoders.latent_diffusion.fitting import adamw
from harness.training import Losses, Step, Task, TrainingSettings, WarmUpCosine, local_device, train

from .encoder import EncoderOutput, HierarchicalEncoder
from .losses import code_loss, map_distance, soft_contrast
from .quantizer import MultiScaleQuantizer
from .settings import FitSettings, Order, StageSettings
from .transformer import ScaleTransformer


@dataclass(frozen=True)
class TrainingSet:
    """Trials (T, V), their images, and what is aligned with the N images.

    levels : (N, M, tokens, width) true hierarchy, perhaps larger than memory.
    words : (N, text tokens, width), or None without captions.
    codes : image numbers -> (n, L) true codes.
    """

    responses: np.ndarray
    image_index: np.ndarray
    levels: Any
    words: Any | None
    codes: Callable[[np.ndarray], torch.Tensor]


def context_of(output: EncoderOutput, *, order: Order, single: bool, training: bool) -> list[torch.Tensor]:
    """Levels in the order in which scales meet them.

    ``coarse-first`` is the paper: e_M for the first scales, e_1 for the last.  ``inverted`` is its ablation,
    e_1 first.  ``as-released`` trains with e_1 first and draws with e_M first, as the published code does.
    """
    if single:
        return [output.levels[-1]]
    fine_first = order == "inverted" or (order == "as-released" and training)
    return list(output.levels) if fine_first else output.levels[::-1]


class _Trials(Task):
    """Batches of trials, every epoch in a new order."""

    def __init__(self, data: TrainingSet, stage: StageSettings, device: str) -> None:
        self.data, self.stage, self.device = data, stage, device
        self.size = min(stage.batch, len(data.responses))
        self.steps_per_epoch = max(1, len(data.responses) // self.size)

    def schedule(self, step: int) -> dict[str, float]:
        """Warm-up and half a cosine."""
        own = self.stage
        return WarmUpCosine(own.rate, min(own.last_rate, own.rate), own.warmup, own.steps)(step)

    def batches(self, epoch: int) -> list[np.ndarray]:
        """Trial numbers."""
        order = torch.randperm(len(self.data.responses)).numpy()
        return [np.sort(order[k * self.size : (k + 1) * self.size]) for k in range(self.steps_per_epoch)]

    def part(self, batch: np.ndarray, *, rank: int, world: int) -> np.ndarray:
        """Every `world`-th trial."""
        return batch[rank::world]

    def patterns(self, batch: np.ndarray) -> torch.Tensor:
        """(B, V) of trial numbers."""
        return torch.from_numpy(self.data.responses[batch]).to(self.device)


class AlignTask(_Trials):
    """Stage 1."""

    def __init__(
        self, module: HierarchicalEncoder, data: TrainingSet, settings: FitSettings, device: str
    ) -> None:
        super().__init__(data, settings.encoder, device)
        self.module, self.settings = module, settings

    def optimizer(self) -> torch.optim.Optimizer:
        """AdamW; biases do not decay."""
        return adamw(self.module, rate=self.stage.rate, decay=0.01)

    def loss(self, batch: np.ndarray, step: Step) -> Losses:
        """Alignment of levels, image and text."""
        images, how = self.data.image_index[batch], self.settings
        true = _rows(self.data.levels, images).to(self.device).unbind(1)
        output = self.module(self.patterns(batch))
        terms = {
            "image": map_distance(output.image, true[-1]),
            "image contrast": soft_contrast(output.image, true[-1], temperature=how.temperature),
        }
        if not how.final_only:
            terms["levels"] = sum(map_distance(e, v) for e, v in zip(output.levels, true))
        if self.data.words is not None and output.text is not None:
            words = _rows(self.data.words, images).to(self.device)
            terms["text"] = how.text_weight * map_distance(output.text, words)
            terms["text contrast"] = soft_contrast(output.text, words, temperature=how.temperature)
        return Losses.summed(terms)


class DrawTask(_Trials):
    """Stage 2."""

    def __init__(
        self,
        module: ScaleTransformer,
        encoder: HierarchicalEncoder,
        quantizer: MultiScaleQuantizer,
        data: TrainingSet,
        settings: FitSettings,
        device: str,
    ) -> None:
        super().__init__(data, settings.transformer, device)
        self.module, self.encoder, self.quantizer, self.settings = module, encoder, quantizer, settings

    def optimizer(self) -> torch.optim.Optimizer:
        """AdamW without decay."""
        return torch.optim.AdamW(
            self.module.parameters(), lr=self.stage.rate, betas=(0.9, 0.95), weight_decay=0.0
        )

    def loss(self, batch: np.ndarray, step: Step) -> Losses:
        """Cross-entropy of the codes of the trials' images."""
        patterns, how = self.patterns(batch), self.settings
        zero = torch.rand(len(batch)) < how.drop
        patterns = patterns.masked_fill(zero[:, None].to(patterns.device), 0.0)
        codes = self.data.codes(self.data.image_index[batch]).to(self.device)
        with torch.no_grad():
            output = self.encoder(patterns, text=False)
            inputs = self.quantizer.next_inputs(codes)
        context = context_of(output, order=how.order, single=how.single, training=True)
        logits = self.module(inputs, output.start(), context)
        return Losses(code_loss(logits, codes, self.module.settings.sides, balanced=how.balanced))


def fit_encoder(
    encoder: HierarchicalEncoder,
    data: TrainingSet,
    settings: FitSettings,
    *,
    seed: int,
    device: str,
    checkpoint_dir: Path | None,
) -> list[dict[str, float]]:
    """Stage 1 in place; a record per epoch."""
    _check(encoder, data)
    device = local_device(device)
    task = AlignTask(encoder.to(device), data, settings, device)
    return _carried_out("alignment", task, settings, seed, device, checkpoint_dir, clip=0.0)


def fit_transformer(
    transformer: ScaleTransformer,
    encoder: HierarchicalEncoder,
    quantizer: MultiScaleQuantizer,
    data: TrainingSet,
    settings: FitSettings,
    *,
    seed: int,
    device: str,
    checkpoint_dir: Path | None,
) -> list[dict[str, float]]:
    """Stage 2 in place, with a frozen encoder; a record per epoch."""
    device = local_device(device)
    encoder.to(device).eval().requires_grad_(False)
    task = DrawTask(transformer.to(device), encoder, quantizer, data, settings, device)
    return _carried_out("drawing", task, settings, seed, device, checkpoint_dir, clip=1.0)


def _carried_out(
    name: str,
    task: _Trials,
    settings: FitSettings,
    seed: int,
    device: str,
    folder: Path | None,
    *,
    clip: float,
) -> list[dict[str, float]]:
    rate = task.stage.rate / 10
    field = "encoder_rate" if name == "alignment" else "transformer_rate"
    shapes = (task.data.responses.shape, task.data.levels.shape, task.data.words is not None)
    words = json.dumps([asdict(settings), shapes, _frozen_sha(task)], sort_keys=True)
    progress = train(
        task,
        TrainingSettings(
            name,
            task.stage.steps,
            seed=seed,
            reseeded="step",
            clip=clip,
            precision=settings.precision,
            checkpoint_every=max(1, min(1000, task.stage.steps // 10)),
            remedy=f"check the responses for unmasked NaN, or --set decoder.{field}={rate:g}",
        ),
        device=device,
        checkpoint=None if folder is None else folder / f"{name}.safetensors",
        identity=hashlib.sha256(words.encode()).hexdigest(),
    )
    return progress.history


def _frozen_sha(task: _Trials) -> str:
    """Of the frozen encoder that stage 2 reads, so that another one's checkpoint is left aside."""
    frozen: nn.Module | None = getattr(task, "encoder", None)
    if frozen is None:
        return ""
    total = hashlib.sha256()
    for value in frozen.state_dict().values():
        total.update(value.double().sum().cpu().numpy().tobytes())
    return total.hexdigest()


def _check(encoder: HierarchicalEncoder, data: TrainingSet) -> None:
    s = encoder.settings
    if (wanted := (s.levels, s.image_tokens, s.width)) != tuple(data.levels.shape[1:]):
        raise ConfigError(
            f"mindhier predicts a hierarchy of shape {wanted} and its image network gives "
            f"{tuple(data.levels.shape[1:])}; give parts of one size"
        )
    if data.responses.shape[1] != encoder.voxels:
        raise DataError(
            f"the responses have {data.responses.shape[1]} voxels, the encoder takes {encoder.voxels}"
        )


def _rows(values: Any, at: Sequence[int]) -> torch.Tensor:
    return torch.from_numpy(np.ascontiguousarray(values[np.asarray(at)], dtype=np.float32))
