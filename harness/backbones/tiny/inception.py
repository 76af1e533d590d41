"""``inception@tiny``: modules of parallel convolutions after GoogLeNet (Szegedy et al. 2015)."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from .backbone import TinyBackbone

if TYPE_CHECKING:
    from torch import nn


class InceptionTiny(TinyBackbone):
    """The backbone ``inception@tiny``."""

    name: ClassVar[str] = "inception@tiny"
    layers: ClassVar[tuple[str, ...]] = ("mixed1", "mixed3", "avgpool")

    @staticmethod
    def network() -> nn.Module:
        """Of first weights."""
        from .networks.inception import SmallInception

        return SmallInception()
