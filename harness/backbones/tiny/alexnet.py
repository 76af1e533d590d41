"""``alexnet@tiny``: five convolutions and two dense layers after AlexNet (Krizhevsky et al. 2012)."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from .backbone import TinyBackbone

if TYPE_CHECKING:
    from torch import nn


class AlexNetTiny(TinyBackbone):
    """The backbone ``alexnet@tiny``."""

    name: ClassVar[str] = "alexnet@tiny"
    layers: ClassVar[tuple[str, ...]] = ("conv1", "conv2", "conv3", "conv4", "conv5", "fc6")

    @staticmethod
    def network() -> nn.Module:
        """Of first weights."""
        from .networks.alexnet import SmallAlexNet

        return SmallAlexNet()
