"""Parts on the device one after another: each comes when it is used and leaves when another needs its place.

At full size the parts together are larger than the memory of a 24 GB card, and none is needed while another
works.  A part that has room stays, so that a larger card moves nothing twice.
"""

from __future__ import annotations

import contextlib
import logging
import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import torch
    from torch import nn

logger = logging.getLogger(__name__)

WORK = 0.4
"""Share of the device's memory that is left for what parts need while they work."""


@dataclass(frozen=True)
class Later:
    """A part that is built when it is first used: `build` reads it."""

    build: Callable[[], Any]

    def __call__(self) -> Any:
        return self.build()


class Room:
    """What is on `device` of the parts that are used through it.

    Parameters
    ----------
    limit : bytes that weights may take at once, what a part needs while it works left out; a part that
        is larger than that alone comes all the same.
    """

    def __init__(self, device: str = "cpu", *, limit: float = math.inf) -> None:
        self._device, self.limit = device, limit
        self._present: dict[int, nn.Module] = {}  # the longest unused first

    @property
    def device(self) -> torch.device:
        """Where parts work."""
        import torch

        return torch.device(self._device)

    @classmethod
    def on(cls, device: str, *, memory: float = 0.0) -> Room:
        """A room that leaves :data:`WORK` of `memory` (GB; 0: what is free on a CUDA device) for the work."""
        free = memory * 1e9
        if not memory and _on_cuda(device):
            import torch

            free = torch.cuda.mem_get_info(torch.device(device))[0]
        return cls(device, limit=free * (1 - WORK) if free else math.inf)

    @contextlib.contextmanager
    def use(self, *parts: Any) -> Iterator[None]:
        """`parts` on the device; what is no module needs no place."""
        import torch
        from torch import nn

        from harness.nn.counting import weight_bytes

        modules = [part for part in parts if isinstance(part, nn.Module)]
        for module in modules:
            self._present.pop(id(module), None)
        needed = weight_bytes(*modules)
        while self._present and needed + weight_bytes(*self._present.values()) > self.limit:
            self._leave(next(iter(self._present)))
        for module in modules:
            module.to(self._device)
            if _on_cuda(self._device):  # convolutions are faster with channels last there
                module.to(memory_format=torch.channels_last)
            self._present[id(module)] = module
        yield

    def clear(self) -> None:
        """Send every part away."""
        for key in list(self._present):
            self._leave(key)

    def _leave(self, key: int) -> None:
        module = self._present.pop(key)
        if self._device != "cpu":
            module.to("cpu")
        logger.debug("%s leaves %s", type(module).__name__, self._device)


def _on_cuda(device: str) -> bool:
    return device.partition(":")[0] == "cuda"
