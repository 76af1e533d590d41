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
from typing import TYPE_CHECKING

import numpy as np

from ..errors import PluginError
from . import weights
from .images import RESIZE, check_layers, planes, resized

if TYPE_CHECKING:
    import torch

SIDE = 224
MEAN = (0.485, 0.456, 0.406)
SD = (0.229, 0.224, 0.225)
"""torchvision's ImageNet preprocessing, but the whole image at 224 x 224 where theirs crops the
centre: a subject saw the whole image."""

CHUNK = 32
"""Images in the network at a time; 32 need about 100 MB."""

RANDOM_SEED = 0


class AlexNet:
    """AlexNet with the ImageNet weights that ``harness prefetch alexnet`` stores."""

    version = "1"
    layers = (*(f"features.{k}" for k in range(13)), "classifier.1", "classifier.4", "classifier.6")
    name = "alexnet"

    def __init__(self) -> None:
        self._network: torch.nn.Module | None = None
        self._device = "cpu"

    def identity(self) -> str:
        """Hash of weights and preprocessing; :class:`WeightsMissing` without the weights."""
        return _identity(self.version, self.weights_sha())

    def weights_sha(self) -> str:
        """SHA-256 of the weights."""
        return weights.stored_sha(self.name)

    def state(self) -> dict[str, torch.Tensor]:
        """The network's parameters."""
        return weights.load_state(self.name)

    def open(self, *, device: str) -> None:
        """Build the network on `device`, in evaluation mode."""
        import torch
        from torchvision.models import AlexNet as Network

        with torch.device("meta"):
            network = Network()
        network.load_state_dict(self.state(), assign=True)
        for module in network.modules():
            if isinstance(module, torch.nn.ReLU):
                module.inplace = False
        self._device = device
        self._network = network.eval().requires_grad_(False).to(device)

    def extract(self, images: np.ndarray, layers: Sequence[str]) -> dict[str, np.ndarray]:
        """Images (n, H, W, 3) uint8 or float in [0, 1] -> layer -> (n, C, h, w) or (n, units) float32."""
        check_layers(layers, self.layers, backbone=self.name)
        if self._network is None:
            raise PluginError(f"backbone '{self.name}' is not open; call open(device=...) first")
        found: dict[str, list[np.ndarray]] = {layer: [] for layer in layers}
        for start in range(0, max(len(images), 1), CHUNK):
            for layer, values in self._forward(images[start : start + CHUNK], layers).items():
                found[layer].append(values)
        return {layer: np.concatenate(parts) for layer, parts in found.items()}

    def _forward(self, images: np.ndarray, layers: Sequence[str]) -> dict[str, np.ndarray]:
        import torch

        mean, sd = (torch.tensor(v, device=self._device).view(3, 1, 1) for v in (MEAN, SD))
        # TF32 and convolutions chosen by timing would make features depend on the card and its load.
        exact = torch.backends.cudnn.flags(
            enabled=True, benchmark=False, deterministic=True, allow_tf32=False
        )
        wanted, found = set(layers), {}
        with torch.inference_mode(), exact:
            x = (resized(planes(images).to(self._device), SIDE) - mean) / sd
            for name, module in _nodes(self._network):
                x = module(x)
                if name in wanted:
                    found[name] = x.cpu().numpy()
                    if len(found) == len(wanted):
                        break
        return found


class AlexNetRandom(AlexNet):
    """The same network before any training: torchvision's initialisation from a fixed seed."""

    name = "alexnet@random"

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


def _identity(version: str, weights_sha: str) -> str:
    words = f"alexnet|{version}|{RESIZE}|{SIDE}|{MEAN}|{SD}|{weights_sha}"
    return hashlib.sha256(words.encode()).hexdigest()
