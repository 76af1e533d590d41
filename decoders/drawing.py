"""What decoders that draw have in common: targets of images, a generator per image, pictures as arrays."""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, ParamSpec, TypeVar

import numpy as np

from harness.api import Features, Stimuli
from harness.backbones.images import planes

if TYPE_CHECKING:
    import torch

Given, Result = ParamSpec("Given"), TypeVar("Result")

BATCH = 32
"""Images embedded at a time."""


def image_generators(seeds: Sequence[int] | np.ndarray) -> list[torch.Generator]:
    """One CPU generator per image; `seeds` (N,) uint64."""
    import torch

    return [torch.Generator().manual_seed(int(seed) & (2**63 - 1)) for seed in seeds]


def draws(generators: Sequence[torch.Generator], shape: tuple[int, ...]) -> torch.Tensor:
    """(N, *shape), one standard normal draw per image."""
    import torch

    return torch.stack([torch.randn(shape, generator=generator) for generator in generators])


def last_channel(pictures: torch.Tensor) -> np.ndarray:
    """(..., 3, H, W) -> (..., H, W, 3) float32, cut to [0, 1]."""
    return np.moveaxis(pictures.float().clamp(0, 1).cpu().numpy(), -3, -1)


def image_targets(
    features: Features,
    name: str,
    stimuli: Stimuli,
    compute: Callable[[torch.Tensor, int], torch.Tensor],
    *,
    device: str,
    identity: str,
) -> np.ndarray:
    """(N, ...) float16 of training images, kept by :meth:`harness.api.Features.computed` under `identity`.

    compute : (planes (n, 3, H, W) on `device`, place of the first) -> (n, ...).
    """
    import torch

    def values(images: np.ndarray, first: int) -> np.ndarray:
        with torch.no_grad():
            return compute(planes(images).to(device), first).cpu().numpy().astype(np.float16)

    return features.computed(name, values, stimuli, identity=identity, batch=BATCH)


def without_gradients(function: Callable[Given, Result]) -> Callable[Given, Result]:
    """`function` with torch's gradients off; torch is imported when it is called."""

    @functools.wraps(function)
    def called(*args: Given.args, **more: Given.kwargs) -> Result:
        import torch

        with torch.no_grad():
            return function(*args, **more)

    return called
