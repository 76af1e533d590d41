"""``clip@tiny``: an image tower and a text tower in one space (Radford et al. 2021).

The image tower is a residual network with attention pooling, like the paper's own "RN" models; the text
tower is a small transformer over the words of scene captions.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, ClassVar

import numpy as np

from ...errors import PluginError
from .backbone import TinyBackbone

if TYPE_CHECKING:
    from torch import nn


class ClipTiny(TinyBackbone):
    """The backbone ``clip@tiny``."""

    name: ClassVar[str] = "clip@tiny"
    layers: ClassVar[tuple[str, ...]] = ("stage2", "stage3", "image")

    @staticmethod
    def network() -> nn.Module:
        """Of first weights."""
        from .networks.clip import SmallCLIP

        return SmallCLIP()

    def extract_text(self, captions: Sequence[str]) -> np.ndarray:
        """(n, 64) float32 of unit norm, comparable with the layer ``image``."""
        import torch

        from .networks.clip import word_numbers

        if self._network is None:
            raise PluginError(f"backbone '{self.name}' is not open; call open(device=...) first")
        with torch.inference_mode():
            numbers = torch.from_numpy(word_numbers(captions)).to(self._device)
            return self._network.text(numbers).cpu().numpy()
