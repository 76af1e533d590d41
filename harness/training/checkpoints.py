"""Checkpoints of one training, written whole or not at all, as tensors and JSON: nothing in one can run."""

from __future__ import annotations

import json
import logging
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..solvers.saved import replaced

if TYPE_CHECKING:
    import torch
    from torch import Tensor, nn

logger = logging.getLogger(__name__)

FORMAT = 1


@dataclass
class Progress:
    """How far a training is, and what it has given.

    step : optimiser steps that are done.
    history : one record per finished epoch: ``epoch`` from 1, ``lr``, means of ``loss`` and of every term,
        and ``validation`` where there is one.
    sums : of the terms in the epoch under way.
    losses : the loss of every step.
    best_epoch, best_value : of the validation; -1 and infinity before the first.
    best : weights of that epoch, on the CPU; empty without a validation.
    averaged : moving average of the weights, where one is kept.
    random : state of the generators of every process, within an epoch that one seed governs.
    seconds : of all calls together, for logs.
    """

    step: int = 0
    history: list[dict[str, float]] = field(default_factory=list)
    sums: dict[str, float] = field(default_factory=dict)
    losses: list[float] = field(default_factory=list)
    best_epoch: int = -1
    best_value: float = float("inf")
    best: dict[str, Tensor] = field(default_factory=dict)
    averaged: dict[str, Tensor] = field(default_factory=dict)
    random: dict[str, Tensor] = field(default_factory=dict)
    seconds: float = 0.0

    @property
    def epochs(self) -> int:
        """Epochs that are finished."""
        return len(self.history)


_TENSORS = ("best", "averaged", "random")
_WORDS = ("step", "history", "sums", "best_epoch", "best_value", "seconds")


class Checkpoint:
    """One file that holds weights, optimiser and progress.

    file : None keeps nothing.
    identity : what is being trained on what and how; a file of another training is left aside.
    """

    def __init__(self, file: Path | None, *, identity: str) -> None:
        self.file, self.identity = file, identity

    def save(self, progress: Progress, module: nn.Module, optimizer: torch.optim.Optimizer) -> None:
        """Replace the file by the present state, and the curves beside it."""
        import torch
        from safetensors.torch import save_file
        from torch import Tensor

        if self.file is None:
            return
        tensors = {f"module.{name}": value for name, value in module.state_dict().items()}
        for part in _TENSORS:
            tensors |= {f"{part}.{name}": value for name, value in getattr(progress, part).items()}
        tensors["losses"] = torch.tensor(progress.losses, dtype=torch.float64)
        plain: dict[str, dict[str, Any]] = {}
        for number, state in optimizer.state_dict()["state"].items():
            for name, value in state.items():
                if isinstance(value, Tensor):
                    tensors[f"optimizer.{number}.{name}"] = value
                else:
                    plain.setdefault(str(number), {})[name] = value
        words = {name: getattr(progress, name) for name in _WORDS}
        words |= {"format": FORMAT, "identity": self.identity, "optimizer": plain}
        whole = {name: value.detach().to("cpu", copy=True).contiguous() for name, value in tensors.items()}
        with replaced(self.file) as partial:
            save_file(whole, partial, metadata={"progress": json.dumps(words)})
        write_curves(self.file.with_name(f"{self.file.stem}-curves.json"), progress.history)

    def restore(self, module: nn.Module, optimizer: torch.optim.Optimizer) -> Progress:
        """Put the saved state into `module` and `optimizer`; a fresh start without a usable file."""
        from safetensors import SafetensorError, safe_open

        if self.file is None or not self.file.is_file():
            return Progress()
        try:
            with safe_open(self.file, framework="pt") as stored:
                words = json.loads(stored.metadata()["progress"])
                tensors = {name: stored.get_tensor(name) for name in stored.keys()}  # noqa: SIM118
            if (words.pop("format"), words.pop("identity")) != (FORMAT, self.identity):
                logger.warning("%s belongs to another training; it starts from the first step", self.file)
                return Progress()
            plain = words.pop("optimizer")
            parts = {part: _under(part, tensors) for part in _TENSORS}
            progress = Progress(**words, **parts, losses=tensors["losses"].tolist())
        except (SafetensorError, OSError, ValueError, KeyError, TypeError) as problem:
            logger.warning("%s cannot be read (%s); it starts from the first step", self.file, problem)
            return Progress()
        module.load_state_dict(_under("module", tensors))
        _restore_optimizer(optimizer, _under("optimizer", tensors), plain)
        logger.info("resuming %s after step %d", self.file.stem, progress.step)
        return progress


def _restore_optimizer(
    optimizer: torch.optim.Optimizer, tensors: Mapping[str, Tensor], plain: Mapping[str, Mapping[str, Any]]
) -> None:
    import torch

    parameters = [p for group in optimizer.param_groups for p in group["params"]]
    states: dict[int, dict[str, Any]] = {int(number): dict(values) for number, values in plain.items()}
    for name, value in tensors.items():
        number, _, key = name.partition(".")
        own = parameters[int(number)]
        if value.shape == own.shape:
            # Laid out as the parameter is: other strides may round differently in the last bit.
            value = torch.empty_like(own, dtype=value.dtype).copy_(value)
        states.setdefault(int(number), {})[key] = value
    optimizer.load_state_dict(optimizer.state_dict() | {"state": states})


def write_curves(file: Path, curves: object) -> None:
    """Records of epochs as JSON, one to a line."""
    with replaced(file) as partial:
        partial.write_text(json.dumps(curves, indent=1) + "\n")


def _under(prefix: str, tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    start = f"{prefix}."
    return {name.removeprefix(start): value for name, value in tensors.items() if name.startswith(start)}
