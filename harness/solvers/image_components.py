"""Principal components of images, computed exactly through the smaller of the two moment matrices.

With fewer images than pixel values the (n, n) matrix of inner products has the same non-zero
eigenvalues as the covariance (Turk and Pentland 1991, "eigenfaces"); float64 sums over blocks of
pixels bound the memory, and signs are fixed, so that the result depends on the images alone.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ..api import DataError, track

PIXEL_BLOCK_NUMBERS = 2**24
"""Images x pixel values turned into float64 at a time (128 MiB)."""

NEGLIGIBLE = 1e-10
"""Components whose variance is below this share of the first one's are rounding, not images."""


@dataclass(frozen=True, eq=False)
class ImageComponents:
    """Mean image (H, W, 3) and K orthonormal components (K, H * W * 3), float32, units of [0, 1]."""

    mean: np.ndarray
    components: np.ndarray

    @classmethod
    def fit(cls, images: np.ndarray, *, components: int) -> ImageComponents:
        """The first `components` of `images` (n, H, W, 3), uint8 or float in [0, 1]; at most n - 1."""
        images = _checked(images)
        n = len(images)
        flat = images.reshape(n, -1)
        width = flat.shape[1]
        mean = np.concatenate([_unit(flat[:, block]).mean(axis=0) for block in _blocks(n, width)])
        if width < n:
            moments = np.zeros((width, width))
            for start in track(range(0, n, 1024), "image components, blocks of images"):
                centred = _unit(flat[start : start + 1024]) - mean
                moments += centred.T @ centred
            values, vectors = _leading(moments, min(components, n - 1))
            axes = vectors.T
        else:
            moments = np.zeros((n, n))
            for block in track(_blocks(n, width), "image components, blocks of pixels"):
                centred = _unit(flat[:, block]) - mean[block]
                moments += centred @ centred.T
            values, vectors = _leading(moments, min(components, n - 1))
            projector = vectors.T / np.sqrt(values)[:, None]
            axes = np.concatenate(
                [projector @ (_unit(flat[:, block]) - mean[block]) for block in _blocks(n, width)], axis=1
            )
        if not len(axes):
            raise DataError(f"the {n} training images are all equal; image components need different ones")
        largest = np.take_along_axis(axes, np.abs(axes).argmax(axis=1)[:, None], axis=1)
        axes = axes * np.sign(largest)
        return cls(mean.reshape(images.shape[1:]).astype(np.float32), axes.astype(np.float32))

    def __len__(self) -> int:
        return len(self.components)

    def embed(self, images: np.ndarray) -> np.ndarray:
        """(n, K) float32 component scores of `images` (n, H, W, 3)."""
        images = _checked(images)
        if images.shape[1:] != self.mean.shape:
            raise DataError(
                f"images of {images.shape[1:]} given; the components were made from images of "
                f"{self.mean.shape}"
            )
        flat, mean = images.reshape(len(images), -1), self.mean.reshape(-1)
        step = max(1, PIXEL_BLOCK_NUMBERS // flat.shape[1])
        scores = np.empty((len(flat), len(self)), np.float32)
        for start in range(0, len(flat), step):
            scores[start : start + step] = (_unit(flat[start : start + step]) - mean) @ self.components.T
        return scores

    def render(self, scores: np.ndarray) -> np.ndarray:
        """(n, H, W, 3) uint8: mean plus components times `scores` (n, K), clipped to [0, 1]."""
        pixels = scores.astype(np.float64) @ self.components + self.mean.reshape(-1)
        return np.rint(np.clip(pixels, 0, 1) * 255).astype(np.uint8).reshape(-1, *self.mean.shape)

    def save(self, file: Path) -> None:
        """Write a ``.safetensors`` file."""
        from safetensors.numpy import save_file

        save_file({"mean": self.mean, "components": np.ascontiguousarray(self.components)}, file)

    @classmethod
    def load(cls, file: Path) -> ImageComponents:
        """Read what :meth:`save` wrote; a damaged file is a :class:`DataError`."""
        from safetensors import SafetensorError
        from safetensors.numpy import load_file

        try:
            return cls(**load_file(file))
        except (OSError, SafetensorError, TypeError) as problem:
            raise DataError(f"{file} holds no saved image components ({problem}); fit them again") from None


def _leading(moments: np.ndarray, count: int) -> tuple[np.ndarray, np.ndarray]:
    """The largest eigenvalues, descending, and their eigenvectors as columns."""
    from scipy.linalg import eigh

    size = len(moments)
    count = min(count, size)
    if count < 1:
        return np.zeros(0), np.zeros((size, 0))
    values, vectors = eigh(moments, subset_by_index=(size - count, size - 1))
    values, vectors = values[::-1], vectors[:, ::-1]
    keep = values > max(NEGLIGIBLE * values[0], 1e-20)
    return values[keep], vectors[:, keep]


def _unit(flat: np.ndarray) -> np.ndarray:
    return flat / 255.0 if flat.dtype == np.uint8 else flat.astype(np.float64)


def _blocks(n: int, width: int) -> list[slice]:
    size = max(1, PIXEL_BLOCK_NUMBERS // n)
    return [slice(start, min(start + size, width)) for start in range(0, width, size)]


def _checked(images: np.ndarray) -> np.ndarray:
    if images.ndim != 4 or images.shape[-1] != 3 or images.dtype.kind not in "uf":
        raise DataError(
            f"images have shape {images.shape} and type {images.dtype}; expected (n, H, W, 3) uint8, or "
            "float in [0, 1]"
        )
    return images
