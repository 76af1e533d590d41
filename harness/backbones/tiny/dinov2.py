"""``dinov2@tiny``: a self-supervised vision transformer for the slot of DINOv2 (Oquab et al. 2024).

Trained without labels by VICReg (Bardes et al. 2022), since self-distillation needs far longer.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from .backbone import TinyBackbone

if TYPE_CHECKING:
    from torch import nn


class Dinov2Tiny(TinyBackbone):
    """The backbone ``dinov2@tiny``."""

    name: ClassVar[str] = "dinov2@tiny"
    layers: ClassVar[tuple[str, ...]] = ("patches", "cls")

    @staticmethod
    def network() -> nn.Module:
        """Of first weights."""
        from .networks.dinov2 import SelfTransformer

        return SelfTransformer()
