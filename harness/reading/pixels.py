"""Numbers as pixels: which value is white, what lies beyond it, and images that are as good as black.

Arrays of stimuli and of reconstructions and the pixels of image files pass through :class:`Scale`, and
every set of images through :func:`checked_hashes`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from ..data import image_sha
from ..errors import ConfigError, DataError

ROUNDING = 1e-3
"""How far beyond black and white, in units of white, floats are clipped without a word, as half precision
and interpolation leave them."""

OVERSHOOT = 0.2
"""How far beyond black and white, in units of white, a value may be the overshoot of a sharp resize filter
(bicubic and Lanczos have negative lobes); beyond it another scale is meant."""

BLACK = 1.02 / 255
"""A set without a pixel above this share of white is black: 0 and 1 in uint8, or divided by 255 twice."""

_BLOCK = 64
_SAMPLED = 2048
_DEPTHS = (255, 1023, 4095, 16383, 65535)


@dataclass(frozen=True)
class Door:
    """What a user can type where his images come in; each text finishes a message.

    white : for another value of white, with ``{white}``; clip : for overshoot; white_and_clip : for both;
    halves : for values from -1 to 1; twice : for what may have been divided by 255 twice, likewise;
    sizes : for images of several sizes, with ``{height}`` and ``{width}``.
    """

    white: str
    clip: str
    white_and_clip: str
    halves: str
    twice: str
    sizes: str


FILE = Door(
    white="if white is {white}, save images / {white}",
    clip="save numpy.clip(images, 0, 1)",
    white_and_clip="save numpy.clip(images / {white}, 0, 1)",
    halves="save (images + 1) / 2",
    twice="if they were divided by 255 twice, save images * 255",
    sizes="save all in one size",
)
"""Reconstructions that were made elsewhere: there is nothing to type but how to save them."""


@dataclass(frozen=True)
class Scale:
    """How stored numbers become pixels.

    white : the value of white; None for 255 where numbers are whole and 1 where they are not.
    clip : set overshoot to black and white.
    door : what to type instead.
    """

    white: float | None = None
    clip: bool = False
    door: Door = FILE

    def __post_init__(self) -> None:
        if self.white is not None and not (np.isfinite(self.white) and self.white > 0):
            raise ConfigError(f"image_max is {self.white}; expected the value of white, for example 255")

    def white_of(self, dtype: np.dtype) -> float:
        """The value of white in numbers of `dtype`."""
        if self.white is not None:
            return float(self.white)
        return 255.0 if dtype.kind in "biu" else 1.0

    def pixels(
        self,
        block: np.ndarray,
        *,
        what: str,
        names: Sequence[str] = (),
        sample: Callable[[], np.ndarray] | None = None,
    ) -> np.ndarray:
        """Images (n, ...) of any numbers -> uint8, or float32 in [0, 1].

        True is white.  Whole numbers from 0 to 255 are those of uint8.

        Parameters
        ----------
        names : n, of the images, so that an error tells the first of the wrong ones.
        sample : more images of the same set, from which an error tells the range.

        Raises
        ------
        DataError
            Text or complex numbers, NaN or inf, values beyond black or white.
        """
        if block.dtype.kind not in "biuf":
            raise DataError(f"{what} holds {block.dtype}; expected images, uint8 or float in [0, 1]")
        if block.dtype == bool:
            return block.astype(np.uint8) * np.uint8(255)
        white = self.white_of(block.dtype)
        if not block.size or (block.dtype == np.uint8 and white == 255):
            return block
        low, high = float(block.min()), float(block.max())
        if not (np.isfinite(low) and np.isfinite(high)):
            where = _first(~np.isfinite(block), names)
            raise DataError(f"{what} holds NaN or inf{where}; images must be finite")
        slack = ROUNDING if block.dtype.kind == "f" else 0.0
        slack = max(slack, OVERSHOOT) if self.clip else slack
        if low < -slack * white or high > (1 + slack) * white:
            others = block if sample is None else sample()
            low, high = min(low, float(others.min())), max(high, float(others.max()))
            where = _first((block < -slack * white) | (block > (1 + slack) * white), names)
            raise DataError(self._beyond(block.dtype, low, high, what=what, where=where))
        if block.dtype.kind in "iu" and white == 255:
            return np.clip(block, 0, 255).astype(np.uint8)
        return np.clip(block.astype(np.float64) / white, 0, 1).astype(np.float32)

    def _beyond(self, dtype: np.dtype, low: float, high: float, *, what: str, where: str) -> str:
        """Why values from `low` to `high` are no images on this scale, and what to type."""
        held = f"{what} holds {dtype} images from {low:.4g} to {high:.4g}{where}"
        white = self.white_of(dtype)
        if not self.clip and (dtype.kind == "f" or low < 0) and _overshoots(low, high, white):
            lies = f"beyond 0 to {white:g}, as sharp resize filters leave (overshoot)"
            return f"{held}, {lies}; to cut it off, {self.door.clip}"
        expected = "expected uint8 or float in [0, 1]"
        if self.white is not None:
            expected = f"image_max is {white:g}"
        likely = next((depth for depth in _DEPTHS if high <= depth * (1 + ROUNDING)), None)
        if dtype.kind == "f" and high > 16:
            likely = next((depth for depth in _DEPTHS if high <= depth * (1 + OVERSHOOT / 2)), None)
            if likely and not _inside(low, high, likely) and _overshoots(low, high, likely):
                return f"{held}; {expected}; {self.door.white_and_clip.format(white=likely)}"
        if low >= -1 - ROUNDING and low < -OVERSHOOT and high <= 1 + ROUNDING:
            return f"{held}; rescale them so that black is 0 and white is 1: {self.door.halves}"
        if low < -ROUNDING:
            return f"{held}; rescale them so that black is 0 and white is 1, by the values of black and white"
        if likely is None or high <= 16:  # no depth of a file, so white is whatever the largest is
            likely = float(f"{high:.4g}")
        return f"{held}; {expected}; {self.door.white.format(white=f'{likely:g}')}"


def _first(wrong: np.ndarray, names: Sequence[str]) -> str:
    """Which image is the first with a pixel that is `wrong` (n, ...), where there are names."""
    if not names:
        return ""
    return f" (first: {names[int(np.flatnonzero(wrong.reshape(len(wrong), -1).any(axis=1))[0])]})"


def _inside(low: float, high: float, white: float) -> bool:
    return low >= -ROUNDING * white and high <= (1 + ROUNDING) * white


def _overshoots(low: float, high: float, white: float) -> bool:
    return low >= -OVERSHOOT * white and high <= (1 + OVERSHOOT) * white


def sampled(count: int) -> np.ndarray:
    """Positions (n,) of at most 2,048 of `count` images, spread evenly."""
    return np.unique(np.linspace(0, count - 1, min(count, _SAMPLED)).astype(np.int64))


def checked_hashes(
    ids: Sequence[str],
    read: Callable[[np.ndarray], np.ndarray],
    *,
    what: str,
    scale: Scale,
) -> tuple[str, ...]:
    """Content hash of every image; each is read once, a block at a time, and checked on the way.

    A single black image is an image; a set of which no pixel is brighter than one step of 255 is a
    scale that was mistaken.

    Parameters
    ----------
    read : positions (n,) int -> images (n, H, W, 3) as `scale` gives them.

    Raises
    ------
    DataError
        Images of different sizes or types, or all as good as black.
    """
    hashes: list[str] = []
    first, brightest = None, 0.0
    for start in range(0, len(ids), _BLOCK):
        block = read(np.arange(start, min(start + _BLOCK, len(ids))))
        first = block[0] if first is None else first
        if block.dtype != first.dtype:
            raise DataError(
                f"image '{ids[start]}' is {block.dtype} and '{ids[0]}' is {first.dtype}; all images of a "
                "run need one type"
            )
        require_one_size([(f"image '{ids[0]}'", first), (f"image '{ids[start]}'", block[0])], door=scale.door)
        brightest = max(brightest, float(block.max()) / (255 if block.dtype == np.uint8 else 1))
        hashes += [image_sha(image) for image in block]
    if first is not None and brightest <= BLACK:
        raise DataError(_black(brightest, first.dtype, what=what, scale=scale))
    return tuple(hashes)


def _black(brightest: float, dtype: np.dtype, *, what: str, scale: Scale) -> str:
    """Why images without a pixel above `brightest`, a share of white, are refused, and what to type."""
    white = scale.white if scale.white is not None else (255.0 if dtype == np.uint8 else 1.0)
    largest = brightest * white
    if not largest:
        return f"{what}: every pixel is 0, so all images are black; look for the step that lost them"
    held = f"{what}: the largest pixel is {largest:.4g} of {white:g}, so all images are black"
    if largest > 1 + ROUNDING and largest <= 1 + OVERSHOOT:
        return f"{held}; white is 1 and what lies beyond it overshoot: {scale.door.clip}"
    likely = next((depth for depth in (1, *_DEPTHS) if 0.1 * depth < largest <= depth * (1 + ROUNDING)), None)
    if likely is None:
        # A little more than the largest, so that what is left of it by rounding to 6 digits is not beyond.
        return f"{held}; {scale.door.twice.format(white=f'{largest * (1 + 1e-5):.6g}')}"
    return f"{held}; {scale.door.white.format(white=likely)}"


def require_one_size(images: Sequence[tuple[str, np.ndarray]], *, door: Door) -> None:
    """Raise :class:`DataError` unless all named images (H, W, 3) have one size."""
    first, reference = images[0]
    for name, image in images:
        if image.shape != reference.shape:
            advice = door.sizes.format(height=reference.shape[0], width=reference.shape[1])
            raise DataError(
                f"{name} is {size_of(image)} pixels and {first} is {size_of(reference)}; all images of a run "
                f"need one size; {advice}"
            )


def stacked(images: Sequence[tuple[str, np.ndarray]], *, door: Door) -> np.ndarray:
    """(n, H, W, 3) of named images (H, W, 3), of one size."""
    if not images:
        return np.zeros((0, 1, 1, 3), np.uint8)
    require_one_size(images, door=door)
    return np.stack([image for _, image in images])


def size_of(image: np.ndarray) -> str:
    """``height x width`` of an image (H, W, 3)."""
    return f"{image.shape[0]} x {image.shape[1]}"
