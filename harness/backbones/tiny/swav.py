"""``swav@tiny``: a residual network trained without labels by swapped assignments (Caron et al. 2020)."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from .backbone import TinyBackbone

if TYPE_CHECKING:
    from torch import nn


class SwavTiny(TinyBackbone):
    """The backbone ``swav@tiny``."""

    name: ClassVar[str] = "swav@tiny"
    layers: ClassVar[tuple[str, ...]] = ("stage3", "avgpool")

    @staticmethod
    def network() -> nn.Module:
        """Of first weights."""
        from .networks.swav import SmallResNet

        return SmallResNet()
