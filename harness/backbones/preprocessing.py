"""What every pretrained network is given: sizes, resize filter, normalisation, each with its source.

One row per backbone name.  The same weights behind another resize are another backbone, and so another
metric; nothing here depends on a library's default.

===================  ==============================================================================
suffix               path
===================  ==============================================================================
none                 the whole image at the network's own size, antialiased: for encoders, which must
                     not lose the border that a subject saw to a central crop
``-v1``              MindEye2's notebook: all images to 256 x 256, then on, antialias off
``-v2``              the same path with antialiasing
``-brain-diffuser``  Brain-Diffuser's scripts: 8-bit pictures straight to 224 x 224 by Pillow
===================  ==============================================================================

Antialiasing is the point of difference that moves published numbers most: torchvision's ``Resize`` left
it off for tensors until 0.16 and has it on since 0.17.

Bilinear planes are resized by :mod:`harness.nn.resize`, as they are for the pixel metrics: the same bits with
any number of threads and any instruction set of torch's, and torchvision's ``Resize`` to the rounding of
coordinates that its own kernels differ by (stated there; divided by the SD of `Statistics` here).  Bicubic
planes are resized by torch: the same with any number of threads, up to 3e-6 apart between its instruction
sets.  Pictures are resized by Pillow, in integers.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import numpy as np

from ..nn.resize import resize_planes
from .images import planes

if TYPE_CHECKING:
    import torch


@dataclass(frozen=True)
class Statistics:
    """Mean and standard deviation per channel, on the scale [0, 1]."""

    mean: tuple[float, float, float]
    sd: tuple[float, float, float]
    source: str


@dataclass(frozen=True)
class Preprocessing:
    """Resized through `sides` in turn to a square, aspect ratio not kept and nothing cropped.

    by : ``planes`` resizes float planes as torchvision's ``Resize`` does tensors; ``pictures`` rounds
        to 8 bit first and resizes with Pillow, which always antialiases and rounds again.
    """

    sides: tuple[int, ...]
    filter: Literal["bilinear", "bicubic"]
    antialias: bool
    statistics: Statistics
    source: str
    by: Literal["planes", "pictures"] = "planes"

    def __str__(self) -> str:
        """All fields, and whose filter resizes: what the identity of a backbone is made of."""
        own = self.by == "planes" and self.filter == "bilinear"
        return f"{self!r}|{OWN_FILTER}" if own else repr(self)

    def apply(self, images: np.ndarray, *, device: str = "cpu") -> torch.Tensor:
        """Images (n, H, W, 3), uint8 or float in [0, 1] -> network input (n, 3, side, side) float32."""
        import torch

        if self.by == "pictures":
            x = planes(pictures(images, self.sides[-1], filter=self.filter)).to(device)
        else:
            x = planes(images).to(device)
            for side in self.sides:
                x = squared(x, side, filter=self.filter, antialias=self.antialias)
        mean, sd = (
            torch.tensor(v, device=device).view(3, 1, 1) for v in (self.statistics.mean, self.statistics.sd)
        )
        return (x - mean) / sd


OWN_FILTER = "harness.nn.resize 1"
"""Changes where its numbers do."""

IMAGENET = Statistics(
    mean=(0.485, 0.456, 0.406), sd=(0.229, 0.224, 0.225), source="torchvision ImageClassification"
)
CLIP = Statistics(
    mean=(0.48145466, 0.4578275, 0.40821073),
    sd=(0.26862954, 0.26130258, 0.27577711),
    source="openai/CLIP clip.py; preprocessor_config.json of openai/clip-vit-large-patch14",
)

_TORCHVISION = "torchvision's published transform of these weights without its central crop"
_SWAV = "facebookresearch/swav eval_linear.py without its central crop"
_OPENAI = "openai/CLIP clip.py; a square image loses nothing to its crop"
_DINO = "preprocessor_config.json of facebook/dinov2-base, the whole image in place of its crop"
_NOTEBOOK = "MindEyeV2 c184718 src/final_evaluations.ipynb, torchvision 0.16"
_ANTIALIASED = "MindEyeV2's path with antialias on"
_SCRIPTS = "brain-diffuser 31d52c0 scripts/eval_extract_features.py"


def _v1(side: int, statistics: Statistics = IMAGENET) -> Preprocessing:
    return Preprocessing(_through(side), "bilinear", False, statistics, _NOTEBOOK)


def _v2(side: int, statistics: Statistics = IMAGENET) -> Preprocessing:
    return Preprocessing(_through(side), "bilinear", True, statistics, _ANTIALIASED)


def _scripts(statistics: Statistics = IMAGENET) -> Preprocessing:
    return Preprocessing((224,), "bilinear", True, statistics, _SCRIPTS, by="pictures")


def _through(side: int) -> tuple[int, ...]:
    return (256,) if side == 256 else (256, side)


PREPROCESSING: dict[str, Preprocessing] = {
    # whole image, own size                    sides   filter      antialias
    "alexnet":                     Preprocessing((224,), "bilinear", True, IMAGENET, _TORCHVISION),
    "inception":                   Preprocessing((299,), "bilinear", True, IMAGENET, _TORCHVISION),
    "efficientnet":                Preprocessing((240,), "bilinear", True, IMAGENET, _TORCHVISION),
    "swav":                        Preprocessing((224,), "bilinear", True, IMAGENET, _SWAV),
    "clip":                        Preprocessing((224,), "bicubic", True, CLIP, _OPENAI),
    "dinov2":                      Preprocessing((224,), "bicubic", True, IMAGENET, _DINO),
    # MindEye2's notebook, and the same with antialiasing
    "alexnet-v1":                  _v1(256),
    "inception-v1":                _v1(342),
    "efficientnet-v1":             _v1(255),
    "swav-v1":                     _v1(224),
    "clip-v1":                     _v1(224, CLIP),
    "alexnet-v2":                  _v2(256),
    "inception-v2":                _v2(342),
    "efficientnet-v2":             _v2(255),
    "swav-v2":                     _v2(224),
    "clip-v2":                     _v2(224, CLIP),
    # Brain-Diffuser's scripts: every network at 224
    "alexnet-brain-diffuser":      _scripts(),
    "inception-brain-diffuser":    _scripts(),
    "efficientnet-brain-diffuser": _scripts(),
    "swav-brain-diffuser":         _scripts(),
    "clip-brain-diffuser":         _scripts(CLIP),
}  # fmt: skip
"""Backbone name -> what its network is given."""


def squared(x: torch.Tensor, side: int, *, filter: str, antialias: bool) -> torch.Tensor:
    """Planes (n, C, H, W) in [0, 1] -> (n, C, side, side), the same where they have that size already.

    Bicubic weights reach below 0: values outside [0, 1] are cut, as they are where pictures are resized.
    """
    from torch.nn.functional import interpolate

    if filter == "bilinear" or tuple(x.shape[-2:]) == (side, side):
        return resize_planes(x, (side, side), antialias=antialias)
    return interpolate(x, (side, side), mode=filter, align_corners=False, antialias=antialias).clamp(0, 1)


def pictures(images: np.ndarray, side: int, *, filter: str) -> np.ndarray:
    """Images (n, H, W, 3) -> (n, side, side, 3) uint8, resized by Pillow after rounding to 8 bit."""
    from PIL import Image

    how = {"bilinear": Image.Resampling.BILINEAR, "bicubic": Image.Resampling.BICUBIC}[filter]
    out = np.empty((len(images), side, side, 3), np.uint8)
    for k, image in enumerate(eight_bit(images)):
        out[k] = np.asarray(Image.fromarray(image).resize((side, side), how))
    return out


def eight_bit(images: np.ndarray) -> np.ndarray:
    """Images (n, H, W, 3), uint8 or float in [0, 1] -> uint8, floats rounded to the nearest level."""
    images = np.asarray(images)
    if images.dtype == np.uint8 and images.ndim == 4:
        return images
    unit = planes(images).numpy().transpose(0, 2, 3, 1)
    return np.round(unit * np.float32(255)).astype(np.uint8)
