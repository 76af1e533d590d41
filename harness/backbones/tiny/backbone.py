"""What all small networks have in common as backbones: their weights file, preprocessing, extraction."""

from __future__ import annotations

import hashlib
from abc import ABC, abstractmethod
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

import numpy as np

from ...errors import PluginError, WeightsMissing
from ..extraction import check_layers, extract_layers
from ..images import RESIZE, planes, resized

if TYPE_CHECKING:
    import torch

FOLDER = Path(__file__).resolve().parent
SIDE = 64
MEAN, SD = 0.5, 0.25

CHUNK = 64
"""Images in the network at a time."""


def normalised(images: np.ndarray) -> torch.Tensor:
    """Images (n, H, W, 3) uint8 or float in [0, 1] -> network input (n, 3, 64, 64) float32."""
    return (resized(planes(images), SIDE) - MEAN) / SD


def read_weights(file: Path) -> dict[str, torch.Tensor]:
    """Float32 state of an fp16 safetensors file; :class:`WeightsMissing` when absent or torn."""
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    again = "reinstall fmri-harness, or train it again with the train_ script beside it"
    if not file.is_file():
        raise WeightsMissing(f"the weights {file} are not there; {again}")
    try:
        stored = load_file(file)
    except (SafetensorError, OSError, ValueError) as problem:
        raise WeightsMissing(f"the weights {file} cannot be read ({problem}); {again}") from None
    return {k: v.float() if v.is_floating_point() else v for k, v in stored.items()}


class TinyBackbone(ABC):
    """A trained small network: images -> named layers.

    :meth:`network` builds the module; its ``forward(x (n, 3, 64, 64))`` returns layer -> (n, ...).
    """

    version: ClassVar[str] = "1"
    name: ClassVar[str]
    layers: ClassVar[tuple[str, ...]]

    def __init__(self) -> None:
        self._network: torch.nn.Module | None = None
        self._device = "cpu"

    @staticmethod
    @abstractmethod
    def network() -> torch.nn.Module:
        """Of first weights; what it is made of is imported here, since an identity needs none of it."""

    @classmethod
    def weights_file(cls) -> Path:
        """``NAME.safetensors`` in this folder."""
        return FOLDER / f"{cls.name.partition('@')[0]}.safetensors"

    def identity(self) -> str:
        """Hash of weights and preprocessing; :class:`WeightsMissing` without the weights."""
        file = self.weights_file()
        if not file.is_file():
            read_weights(file)
        weights = hashlib.sha256(file.read_bytes()).hexdigest()
        words = f"{self.name}|{self.version}|{RESIZE}|{SIDE}|{MEAN}|{SD}|{weights}"
        return hashlib.sha256(words.encode()).hexdigest()

    def open(self, *, device: str) -> None:
        """Build the network on `device`, in evaluation mode."""
        import torch

        with torch.random.fork_rng(devices=[]):  # initial weights are drawn, and read over
            network = self.network()
        try:
            network.load_state_dict(read_weights(self.weights_file()))
        except RuntimeError as problem:
            line = str(problem).partition("\n")[0]
            raise WeightsMissing(
                f"the weights {self.weights_file()} are those of another network ({line}); "
                "reinstall fmri-harness"
            ) from None
        self._device = device
        self._network = network.eval().requires_grad_(False).to(device)

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
        forward = lambda some: network(normalised(some).to(self._device))  # noqa: E731
        return extract_layers(images, layers, forward, chunk=CHUNK)
