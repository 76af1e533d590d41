"""The contrastive teacher of the low-level path: a convolutional network's tokens of two views.

At full size the teacher is VICRegL's ConvNeXt-XL on the 224-pixel stimulus, 7 x 7 tokens of 512; the
student are the low-level head's maps.  The public code augments anew in every step.  Here each image
has one augmented view, drawn from the seed and its place, so that both views can be kept with the other
targets instead of the network being run in every step.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache

import torch

Teacher = Callable[[torch.Tensor], torch.Tensor]
"""Images (B, 3, H, W) in [0, 1] -> tokens (B, P, D)."""


def augmented(images: torch.Tensor, *, seed: int) -> torch.Tensor:
    """One augmented view of each image (B, 3, H, W) in [0, 1].

    Colour jitter (0.4, 0.4, 0.2, 0.1) with probability 0.8, grey 0.1, solarised 0.1, and a square
    crop of 90 to 100 % of the area: the augmentations of the public training code.
    """
    change = _pipeline(tuple(images.shape[-2:]))
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return torch.stack([change(image) for image in images.cpu()]).to(images).clamp(0, 1)


@lru_cache(maxsize=4)
def _pipeline(size: tuple[int, int]):
    from torchvision.transforms import v2

    return v2.Compose(
        [
            v2.RandomApply([v2.ColorJitter(0.4, 0.4, 0.2, 0.1)], p=0.8),
            v2.RandomGrayscale(0.1),
            v2.RandomSolarize(0.5, p=0.1),
            v2.RandomResizedCrop(size, scale=(0.9, 1.0), ratio=(1.0, 1.0), antialias=True),
        ]
    )
