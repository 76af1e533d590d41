"""``efficientnet@tiny``: inverted bottlenecks with squeeze-and-excitation (Tan & Le 2019)."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from .backbone import TinyBackbone

if TYPE_CHECKING:
    from torch import nn


class EfficientNetTiny(TinyBackbone):
    """The backbone ``efficientnet@tiny``."""

    name: ClassVar[str] = "efficientnet@tiny"
    layers: ClassVar[tuple[str, ...]] = ("stage2", "avgpool")

    @staticmethod
    def network() -> nn.Module:
        """Of first weights."""
        from .networks.efficientnet import SmallEfficientNet

        return SmallEfficientNet()
