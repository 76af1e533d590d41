"""AlexNet (Krizhevsky 2014, arXiv:1404.5997) as torchvision builds it, with ImageNet or random weights.

Layers carry torchvision's node names: ``features.4`` and ``features.11``, the ReLUs after the second
and fifth convolution, are the "Alex(2)" and "Alex(5)" of reconstruction papers.  torchvision's
ReLUs work in place, so its own feature extractor gives ``features.0`` *after* the ReLU that follows;
here every layer is what its node computes.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from functools import lru_cache
from typing import TYPE_CHECKING, ClassVar

from .pretrained import Pretrained, filled

if TYPE_CHECKING:
    import torch

RANDOM_SEED = 0


class AlexNet(Pretrained):
    """AlexNet with the ImageNet weights that ``harness prefetch alexnet`` stores."""

    layers: ClassVar[tuple[str, ...]] = (
        *(f"features.{k}" for k in range(13)),
        "classifier.1",
        "classifier.4",
        "classifier.6",
    )
    chunk: ClassVar[int] = 32  # about 100 MB

    def build(self, state: dict[str, torch.Tensor]) -> torch.nn.Module:
        """See :class:`Pretrained`."""
        import torch
        from torchvision.models import AlexNet as Network

        with torch.device("meta"):
            network = Network()
        for module in network.modules():
            if isinstance(module, torch.nn.ReLU):
                module.inplace = False
        return filled(network, state)

    def forward(
        self, network: torch.nn.Module, x: torch.Tensor, layers: Sequence[str]
    ) -> dict[str, torch.Tensor]:
        """Layers (n, C, h, w) or (n, units); nothing is computed beyond the last one wanted."""
        wanted, outputs = set(layers), {}
        for name, module in _nodes(network):
            x = module(x)
            if name in wanted:
                outputs[name] = x
                if len(outputs) == len(wanted):
                    break
        return outputs


class AlexNetRandom(AlexNet):
    """The same network before any training: torchvision's initialisation from a fixed seed."""

    def weights_sha(self) -> str:
        """SHA-256 of the random weights, so that another generator of numbers is another backbone."""
        return _random_sha()

    def state(self) -> dict[str, torch.Tensor]:
        """Parameters drawn from seed 0."""
        return _random_state()


def _nodes(network: torch.nn.Module) -> list[tuple[str, torch.nn.Module]]:
    """(name, module) in the order of computation."""
    import torch

    return [
        *((f"features.{name}", module) for name, module in network.features.named_children()),
        ("avgpool", network.avgpool),
        ("flatten", torch.nn.Flatten(1)),
        *((f"classifier.{name}", module) for name, module in network.classifier.named_children()),
    ]


def _random_state() -> dict[str, torch.Tensor]:
    import torch
    from torchvision.models import AlexNet as Network

    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(RANDOM_SEED)
        return Network().state_dict()


@lru_cache(maxsize=1)
def _random_sha() -> str:
    sha = hashlib.sha256()
    for name, value in sorted(_random_state().items()):
        sha.update(f"{name}|{tuple(value.shape)}|".encode())
        sha.update(memoryview(value.contiguous().numpy()).cast("B"))
    return sha.hexdigest()
