"""What decoders that draw have in common: a generator of random numbers per image, and pictures as arrays."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch


def image_generators(seeds: Sequence[int] | np.ndarray) -> list[torch.Generator]:
    """One CPU generator per image; `seeds` (N,) uint64."""
    return [torch.Generator().manual_seed(int(seed) & (2**63 - 1)) for seed in seeds]


def draws(generators: Sequence[torch.Generator], shape: tuple[int, ...]) -> torch.Tensor:
    """(N, *shape), one standard normal draw per image."""
    return torch.stack([torch.randn(shape, generator=generator) for generator in generators])


def last_channel(pictures: torch.Tensor) -> np.ndarray:
    """(..., 3, H, W) -> (..., H, W, 3) float32, cut to [0, 1]."""
    return np.moveaxis(pictures.float().clamp(0, 1).cpu().numpy(), -3, -1)
