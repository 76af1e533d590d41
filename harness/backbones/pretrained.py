"""What all pretrained networks have in common as backbones: weights, preprocessing, extraction."""

from __future__ import annotations

import hashlib
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, ClassVar

import numpy as np

from ..errors import PluginError, WeightsMissing
from . import weights
from .extraction import check_layers, extract_layers
from .preprocessing import Preprocessing

if TYPE_CHECKING:
    import torch


class Pretrained(ABC):
    """A network behind one preprocessing: images -> named layers.

    A subclass says its layers, builds the network and runs it.

    name : of the backbone; weights : a key of :data:`harness.backbones.weights.WEIGHTS`.
    """

    version: ClassVar[str] = "1"
    layers: ClassVar[tuple[str, ...]]
    chunk: ClassVar[int] = 16
    """Images in the network at a time."""

    def __init__(self, *, name: str, weights: str, preprocessing: Preprocessing) -> None:
        self.name, self.weights, self.preprocessing = name, weights, preprocessing
        self._network: torch.nn.Module | None = None
        self._device = "cpu"

    def identity(self) -> str:
        """Hash of weights and preprocessing; :class:`WeightsMissing` without the weights."""
        words = f"{self.name}|{self.version}|{self.preprocessing}|{self.weights_sha()}"
        return hashlib.sha256(words.encode()).hexdigest()

    def weights_sha(self) -> str:
        """SHA-256 of the weights: equal for backbones that differ in preprocessing only."""
        return weights.stored_sha(self.weights)

    def state(self) -> dict[str, torch.Tensor]:
        """The network's parameters, as stored."""
        return weights.load_state(self.weights)

    @abstractmethod
    def build(self, state: dict[str, torch.Tensor]) -> torch.nn.Module:
        """The network with `state` in it, on the CPU; RuntimeError for the state of another network."""

    @abstractmethod
    def forward(
        self, network: torch.nn.Module, x: torch.Tensor, layers: Sequence[str]
    ) -> dict[str, torch.Tensor]:
        """Network input (n, 3, side, side) -> layer -> (n, ...)."""

    def open(self, *, device: str) -> None:
        """Build the network on `device`, in evaluation mode."""
        self._device = device
        self._network = built(self.build, self.state(), self.weights).to(device)

    def extract(self, images: np.ndarray, layers: Sequence[str]) -> dict[str, np.ndarray]:
        """Images (n, H, W, 3) uint8 or float in [0, 1] -> layer -> (n, ...) float32.

        Raises
        ------
        ConfigError : a layer that the network does not have.
        DataError : images of another shape or type.
        PluginError : :meth:`open` was not called.
        """
        check_layers(layers, self.layers, backbone=self.name)
        network = self._network
        if network is None:
            raise PluginError(f"backbone '{self.name}' is not open; call open(device=...) first")

        def forward(some: np.ndarray) -> dict[str, torch.Tensor]:
            return self.forward(network, self.preprocessing.apply(some, device=self._device), layers)

        return extract_layers(images, layers, forward, chunk=self.chunk)


def built(
    build: Callable[[dict[str, torch.Tensor]], torch.nn.Module], state: dict[str, torch.Tensor], name: str
) -> torch.nn.Module:
    """``build(state)`` for inference; :class:`WeightsMissing` where weights `name` are another network's."""
    try:
        network = build(state)
    except RuntimeError as problem:
        reason = " ".join(str(problem).split())[:200]
        raise WeightsMissing(
            f"the weights {weights.locate(name)} are those of another network ({reason}). "
            f"Delete the file and type: harness prefetch {name}"
        ) from None
    return network.eval().requires_grad_(False)


def filled(network: torch.nn.Module, state: dict[str, torch.Tensor]) -> torch.nn.Module:
    """`network`, built on the meta device, with exactly `state`; RuntimeError for any other keys."""
    network.load_state_dict(state, assign=True)
    return network
