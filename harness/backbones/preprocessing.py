"""What every pretrained network is given: sizes, resize filter, normalisation, each with its source.

The rows of :mod:`.catalogue` say which network is given what.  The same weights behind another resize are
another backbone, and so another metric; nothing here depends on a library's default.

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

    def normalised(self, x: torch.Tensor) -> torch.Tensor:
        """Planes (n, 3, H, W) in [0, 1], less the mean and divided by the standard deviation."""
        mean, sd = (x.new_tensor(values).view(3, 1, 1) for values in (self.mean, self.sd))
        return (x - mean) / sd


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

        if self.by == "pictures":
            x = planes(pictures(images, self.sides[-1], filter=self.filter)).to(device)
        else:
            x = planes(images).to(device)
            for side in self.sides:
                x = squared(x, side, filter=self.filter, antialias=self.antialias)
        return self.statistics.normalised(x)


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
