"""The field's network metrics on pretrained networks, in frozen families.

================  =================================================================================
``mindeye2-v1``   MindEye2's ``final_evaluations.ipynb`` (Scotti et al. 2024), after Ozcelik &
                  VanRullen 2023: names without a suffix
``v2``            the same with antialiased resizing: names that end in ``-v2``
brain-diffuser    :mod:`.brain_diffuser`
================  =================================================================================

Two-way identification on AlexNet's second and fifth ReLU, Inception's pooled layer and CLIP's image
embedding; correlation distance, lower is better, on EfficientNet-B1's and SwAV's pooled layers.  What each
network is given stands in :mod:`harness.backbones.preprocessing`.

Not in the notebook, and declared here: CLIP and DINOv2 cosines, two-way identification on DINOv2's class
token, 100-way identification on CLIP, since two-way saturates.  DINOv2's preprocessing is antialiased in
every family, so it has no second name.

The notebook counts a tie in two-way identification as lost, here it counts half; its own way is in
:mod:`.strict`.  Its CLIP runs in half precision on a GPU, here everything is float32.

On by default on measured data: these networks judge photographs, and nobody wants to wait for ViT-L/14 on
drawn scenes.  Weights come with ``harness prefetch metrics``; without them a run leaves these metrics out
and says so.
"""

from __future__ import annotations

from typing import ClassVar

from .networks import _Cosine, _Distance, _TwoWay


class _Real:
    default: ClassVar[bool | str] = "real"


class _Off:
    default: ClassVar[bool | str] = False


class AlexNet2(_Real, _TwoWay):
    """Two-way identification on AlexNet's second convolution."""

    label = "Alex(2)"
    backbone: ClassVar[tuple[str, str] | None] = ("alexnet-v1", "features.4")


class AlexNet5(_Real, _TwoWay):
    """Two-way identification on AlexNet's fifth convolution."""

    label = "Alex(5)"
    backbone: ClassVar[tuple[str, str] | None] = ("alexnet-v1", "features.11")


class Inception(_Real, _TwoWay):
    """Two-way identification on Inception v3."""

    label = "Incep"
    backbone: ClassVar[tuple[str, str] | None] = ("inception-v1", "avgpool")


class Clip(_Real, _TwoWay):
    """Two-way identification on CLIP ViT-L/14."""

    label = "CLIP"
    backbone: ClassVar[tuple[str, str] | None] = ("clip-v1", "image")


class Clip100Way(Clip):
    """100-way identification on CLIP ViT-L/14; NaN with fewer than 100 images."""

    label = "CLIP 100-way"
    candidates = 100
    chance: ClassVar[float | None] = 0.01


class ClipCosine(_Real, _Cosine):
    """Cosine similarity of CLIP ViT-L/14 embeddings."""

    label = "CLIP cosine"
    backbone: ClassVar[tuple[str, str] | None] = ("clip-v1", "image")


class EfficientNet(_Real, _Distance):
    """Correlation distance on EfficientNet-B1."""

    label = "Eff"
    backbone: ClassVar[tuple[str, str] | None] = ("efficientnet-v1", "avgpool")


class SwAV(_Real, _Distance):
    """Correlation distance on SwAV's ResNet-50."""

    label = "SwAV"
    backbone: ClassVar[tuple[str, str] | None] = ("swav-v1", "avgpool")


class DINOv2(_Real, _TwoWay):
    """Two-way identification on DINOv2's class token."""

    label = "DINO"
    backbone: ClassVar[tuple[str, str] | None] = ("dinov2", "cls")


class DINOv2Cosine(_Real, _Cosine):
    """Cosine similarity of DINOv2's class tokens."""

    label = "DINO cosine"
    backbone: ClassVar[tuple[str, str] | None] = ("dinov2", "cls")


class AlexNet2V2(_Off, AlexNet2):
    """Family ``v2``."""

    label = "Alex(2) (v2)"
    backbone: ClassVar[tuple[str, str] | None] = ("alexnet-v2", "features.4")


class AlexNet5V2(_Off, AlexNet5):
    """Family ``v2``."""

    label = "Alex(5) (v2)"
    backbone: ClassVar[tuple[str, str] | None] = ("alexnet-v2", "features.11")


class InceptionV2(_Off, Inception):
    """Family ``v2``."""

    label = "Incep (v2)"
    backbone: ClassVar[tuple[str, str] | None] = ("inception-v2", "avgpool")


class ClipV2(_Off, Clip):
    """Family ``v2``."""

    label = "CLIP (v2)"
    backbone: ClassVar[tuple[str, str] | None] = ("clip-v2", "image")


class Clip100WayV2(_Off, Clip100Way):
    """Family ``v2``."""

    label = "CLIP 100-way (v2)"
    backbone: ClassVar[tuple[str, str] | None] = ("clip-v2", "image")


class ClipCosineV2(_Off, ClipCosine):
    """Family ``v2``."""

    label = "CLIP cosine (v2)"
    backbone: ClassVar[tuple[str, str] | None] = ("clip-v2", "image")


class EfficientNetV2(_Off, EfficientNet):
    """Family ``v2``."""

    label = "Eff (v2)"
    backbone: ClassVar[tuple[str, str] | None] = ("efficientnet-v2", "avgpool")


class SwAVV2(_Off, SwAV):
    """Family ``v2``."""

    label = "SwAV (v2)"
    backbone: ClassVar[tuple[str, str] | None] = ("swav-v2", "avgpool")
