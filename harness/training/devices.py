"""One device, or one process for each of several.

A training is one process on one device unless it was started as several, with ``accelerate launch`` or
``torchrun``: then every process trains on its share of every batch, and gradients are averaged before
each step.  Only then is accelerate imported.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    import torch
    from torch import Tensor, nn


def local_device(device: str) -> str:
    """`device`, or this process's own where several were started and `device` is ``cuda``."""
    if device == "cuda" and world_size() > 1:
        return f"cuda:{os.environ.get('LOCAL_RANK', '0')}"
    return device


@contextlib.contextmanager
def half_precision(device: torch.device, *, enabled: bool) -> Iterator[None]:
    """Matrix products in bfloat16 on `device`, where `enabled`."""
    import torch

    from ..nn.halving import half_products

    with half_products(device, torch.bfloat16 if enabled else torch.float32):
        yield


def world_size() -> int:
    """Processes that train together, 1 unless several were started."""
    text = os.environ.get("WORLD_SIZE", "1")
    return int(text) if text.isdigit() else 1


class Processes(Protocol):
    """The processes of one training."""

    rank: int
    world: int

    def start_equal(self, module: nn.Module) -> None:
        """Give every process the first one's weights."""

    def average(self, parameters: Sequence[nn.Parameter]) -> None:
        """Replace gradients by their mean over all processes."""

    def mean(self, value: float) -> float:
        """Mean of a number over all processes."""

    def gathered(self, state: dict[str, Tensor]) -> list[dict[str, Tensor]]:
        """What every process holds, by rank."""


class OneProcess:
    """A training in this process alone."""

    rank, world = 0, 1

    def start_equal(self, module: nn.Module) -> None:
        """Nothing to do."""

    def average(self, parameters: Sequence[nn.Parameter]) -> None:
        """Nothing to do."""

    def mean(self, value: float) -> float:
        """The number itself."""
        return value

    def gathered(self, state: dict[str, Tensor]) -> list[dict[str, Tensor]]:
        """The one state."""
        return [state]


class SeveralProcesses:
    """One of the processes that ``accelerate launch`` or ``torchrun`` started."""

    def __init__(self, device: str) -> None:
        import torch
        from accelerate import Accelerator

        self._accelerator: Any = Accelerator(cpu=torch.device(device).type == "cpu")
        self.rank, self.world = self._accelerator.process_index, self._accelerator.num_processes

    def start_equal(self, module: nn.Module) -> None:
        """See :class:`Processes`."""
        import torch
        from accelerate.utils import broadcast

        with torch.no_grad():
            for value in module.state_dict().values():
                value.copy_(broadcast(value.clone(), from_process=0))

    def average(self, parameters: Sequence[nn.Parameter]) -> None:
        """See :class:`Processes`; processes share each batch, so that all reach the same parameters."""
        for parameter in parameters:
            if parameter.grad is not None:
                parameter.grad = self._accelerator.reduce(parameter.grad, reduction="mean")

    def mean(self, value: float) -> float:
        """See :class:`Processes`."""
        import torch

        held = torch.tensor(value, dtype=torch.float64, device=self._accelerator.device)
        return float(self._accelerator.reduce(held, reduction="mean"))

    def gathered(self, state: dict[str, Tensor]) -> list[dict[str, Tensor]]:
        """See :class:`Processes`."""
        from accelerate.utils import gather_object

        return gather_object([state])


def open_processes(device: str) -> Processes:
    """The processes of this training: one, unless several were started."""
    return SeveralProcesses(device) if world_size() > 1 else OneProcess()
