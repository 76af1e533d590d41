"""Checkpoints of one training, written whole or not at all."""

from __future__ import annotations

import json
import logging
from dataclasses import asdict, dataclass, field
from pathlib import Path

import torch
from torch import Tensor, nn

from harness.nn.saved import replaced

logger = logging.getLogger(__name__)


@dataclass
class Progress:
    """How far a training is.

    epoch : next epoch to run.
    best_epoch, best_value : of the validation; -1 and infinity before the first.
    best : weights of that epoch, on the CPU.
    history : one record per epoch.
    """

    epoch: int = 0
    best_epoch: int = -1
    best_value: float = float("inf")
    history: list[dict[str, float]] = field(default_factory=list)
    best: dict[str, Tensor] = field(default_factory=dict)


class Checkpoint:
    """One file that holds weights, best weights, optimiser and progress.

    fingerprint : what is being trained on what; a file of another training is left aside.
    """

    def __init__(self, file: Path, *, fingerprint: str) -> None:
        self.file, self.fingerprint = file, fingerprint

    def save(self, progress: Progress, module: nn.Module, optimizer: torch.optim.Optimizer) -> None:
        """Replace the file by the present state."""
        from safetensors.torch import save_file

        tensors = {f"module.{name}": value for name, value in module.state_dict().items()}
        tensors |= {f"best.{name}": value for name, value in progress.best.items()}
        for number, state in optimizer.state_dict()["state"].items():
            tensors |= {f"optimizer.{number}.{name}": value for name, value in state.items()}
        words = asdict(Progress(**{**vars(progress), "best": {}})) | {"fingerprint": self.fingerprint}
        held = {name: value.detach().cpu().contiguous().clone() for name, value in tensors.items()}
        with replaced(self.file) as partial:
            save_file(held, partial, metadata={"progress": json.dumps(words)})

    def restore(self, module: nn.Module, optimizer: torch.optim.Optimizer) -> Progress:
        """Put the saved state into `module` and `optimizer`; a fresh start without a usable file."""
        from safetensors import SafetensorError, safe_open

        if not self.file.is_file():
            return Progress()
        try:
            with safe_open(self.file, framework="pt") as stored:
                words = json.loads(stored.metadata()["progress"])
                tensors = {name: stored.get_tensor(name) for name in stored.keys()}  # noqa: SIM118
            if words.pop("fingerprint") != self.fingerprint:
                logger.warning("%s belongs to another training; starting from the first epoch", self.file)
                return Progress()
            progress = Progress(**words | {"best": _under("best", tensors)})
        except (SafetensorError, OSError, ValueError, KeyError, TypeError) as problem:
            logger.warning("%s cannot be read (%s); starting from the first epoch", self.file, problem)
            return Progress()
        module.load_state_dict(_under("module", tensors))
        layout, states = optimizer.state_dict(), {}
        for name, value in _under("optimizer", tensors).items():
            number, _, key = name.partition(".")
            states.setdefault(int(number), {})[key] = value
        optimizer.load_state_dict(layout | {"state": states})
        logger.info("resuming %s at epoch %d", self.file.stem, progress.epoch + 1)
        return progress


def _under(prefix: str, tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    start = f"{prefix}."
    return {name.removeprefix(start): value for name, value in tensors.items() if name.startswith(start)}
