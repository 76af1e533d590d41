"""``bigg@tiny``: an image-text model whose patch tokens decoders predict and generators draw from.

It stands where OpenCLIP's ViT-bigG stands at full size: a vision transformer trained against captions
(Radford et al. 2021), read at its patch tokens after the last norm.  No metric looks through it.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, ClassVar

import numpy as np

from ...errors import PluginError
from .backbone import TinyBackbone

if TYPE_CHECKING:
    from torch import nn


class BigGTiny(TinyBackbone):
    """The backbone ``bigg@tiny``."""

    name: ClassVar[str] = "bigg@tiny"
    layers: ClassVar[tuple[str, ...]] = ("block1", "block2", "block3", "block4", "tokens", "image")

    @staticmethod
    def network() -> nn.Module:
        """Of first weights."""
        from .networks.bigg import BigG

        return BigG()

    def extract_text(self, captions: Sequence[str]) -> np.ndarray:
        """(n, 64) float32 of unit norm, comparable with the layer ``image``."""
        import torch

        from .networks.clip import word_numbers

        if self._network is None:
            raise PluginError(f"backbone '{self.name}' is not open; call open(device=...) first")
        with torch.inference_mode():
            numbers = torch.from_numpy(word_numbers(captions)).to(self._device)
            return self._network.text(numbers).cpu().numpy()
