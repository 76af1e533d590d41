"""``scenes@tiny``: a vision transformer with a convolutional stem, the backbone for encoders.

Class token and an 8 x 8 grid of patch tokens as in Dosovitskiy et al. 2021; four strided convolutions
in place of the linear patch embedding, which learns far more in few steps (Xiao et al. 2021).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from .backbone import TinyBackbone

if TYPE_CHECKING:
    from torch import nn


class Scenes(TinyBackbone):
    """The backbone ``scenes@tiny``."""

    name: ClassVar[str] = "scenes@tiny"
    layers: ClassVar[tuple[str, ...]] = ("stem", "block1", "block2", "block3", "block4", "cls", "patches")

    @staticmethod
    def network() -> nn.Module:
        """Of first weights."""
        from .networks.scenes import SceneTransformer

        return SceneTransformer()
