"""Images of any layout, read as (n, H, W, 3): uint8, or float32 in [0, 1] where the source is float."""

from __future__ import annotations

import difflib
import logging
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np

from harness.api import ConfigError, DataError, Stimuli, image_sha
from harness.reading.arrays import ArraySource

logger = logging.getLogger(__name__)

IMAGE_ENDINGS = (".png", ".jpg", ".jpeg", ".bmp", ".tif", ".tiff")
_BLOCK = 64


class Images(Protocol):
    """N images that can be read by position."""

    what: str

    def __len__(self) -> int: ...

    def read(self, positions: np.ndarray) -> np.ndarray:
        """Images (n, H, W, 3) at `positions`."""


@dataclass(frozen=True)
class ImageLayout:
    """How images lie in an array.

    axes : order of the axes as letters, image ``n``, row ``h``, column ``w``, optional colour ``c``
        (``nhw``, ``nhwc``, ``nchw``, ``hwn``, ``hwcn`` ...); ``flat`` is (N, pixels), ``flat-last``
        (pixels, N).
    shape : of one flattened image, (H, W), (H, W, colours) or (colours, H, W).
    order : ``C``, rows first, or ``F``, columns first as MATLAB's ``x(:)`` does.
    maximum : the value of white, where it is not 255 for uint8 and 1 for float.
    """

    axes: str
    shape: tuple[int, ...] = ()
    order: str = "C"
    maximum: float | None = None

    def __post_init__(self) -> None:
        if self.axes not in ("", "flat", "flat-last") and sorted(self.axes) not in (
            list("hnw"),
            list("chnw"),
        ):
            raise ConfigError(
                f"image_layout '{self.axes}' is not known; type the letters n, h, w (and c) in the order of "
                "the axes, for example nhw, nhwc, nchw, hwn, hwcn, or flat or flat-last"
            )
        if self.order not in ("C", "F"):
            raise ConfigError(
                f"image_order is '{self.order}'; type C (row by row) or F (column by column, MATLAB)"
            )
        if self.shape and (len(self.shape) not in (2, 3) or min(self.shape) < 1):
            raise ConfigError(
                f"image_shape is {list(self.shape)}; expected [height, width] or [height, width, 3]"
            )
        if self.axes.startswith("flat") and not self.shape:
            raise ConfigError(f"image_layout {self.axes} needs image_shape: [height, width]")
        if self.maximum is not None and not self.maximum > 0:
            raise ConfigError(f"image_max is {self.maximum}; expected the value of white, for example 255")

    def resolve(self, source: ArraySource) -> ImageLayout:
        """This layout, or ``flat`` where none is given and rows of pixels have an `image_shape`."""
        axes = self.axes
        if not axes and self.shape and len(source.shape) == 2:
            axes = "flat"
        if not axes:
            options = {
                2: "image_layout: flat with image_shape: [height, width]",
                3: "image_layout: nhw, or hwn where the images come last",
                4: "image_layout: nhwc, nchw, or hwcn where the images come last",
            }
            hint = options.get(len(source.shape), "an array of 2 to 4 axes")
            raise ConfigError(f"{source.what} has shape {source.shape} and no image_layout; add {hint}")
        if not axes.startswith("flat") and (self.shape or self.order == "F"):
            raise ConfigError(
                f"image_shape and image_order are for flattened images; leave them out for {source.what} of "
                f"shape {source.shape} with image_layout {axes}"
            )
        return ImageLayout(axes, self.shape, self.order, self.maximum)


class ArrayImages:
    """Images in an array of `layout`."""

    def __init__(self, source: ArraySource, layout: ImageLayout) -> None:
        self.source, self.layout, self.what = source, layout.resolve(source), source.what
        if source.dtype.kind not in "biuf":
            raise DataError(f"{self.what} holds text; expected images")
        axes = self._letters()
        if len(source.shape) != len(axes):
            raise DataError(
                f"{self.what} has shape {source.shape}; image_layout {self.layout.axes} needs "
                f"{len(axes)} axes"
            )
        self._axis = axes.index("n")
        pixels = source.shape[axes.index("p")] if "p" in axes else 0
        if pixels and pixels != int(np.prod(self.layout.shape)):
            raise DataError(
                f"{self.what} has {pixels} values per image; image_shape {list(self.layout.shape)} "
                f"needs {int(np.prod(self.layout.shape))}"
            )
        shape = dict(zip(axes, source.shape))
        colours = shape.get("c", 1) if not pixels else self._flat_colours()
        if colours not in (1, 3):
            raise DataError(
                f"{self.what} has {colours} colour channels; expected 1 (grey) or 3 (red, green, blue)"
            )

    def __len__(self) -> int:
        return self.source.shape[self._axis]

    def read(self, positions: np.ndarray) -> np.ndarray:
        """Images (n, H, W, 3) at `positions`."""
        block = self.source.take(np.asarray(positions, np.int64), axis=self._axis)
        axes = self._letters()
        if "p" in axes:
            block = np.moveaxis(block, self._axis, 0)
            shape, count = self.layout.shape, len(block)
            if self.layout.order == "F":
                block = block.reshape(count, *shape[::-1]).transpose(0, *range(len(shape), 0, -1))
            else:
                block = block.reshape(count, *shape)
            axes = "n" + self._flat_axes()
        if "c" not in axes:
            block, axes = block[..., None], axes + "c"
        block = block.transpose([axes.index(letter) for letter in "nhwc"])
        return _colour(_scaled(block, self.layout.maximum, what=self.what))

    def _letters(self) -> str:
        return {"flat": "np", "flat-last": "pn"}.get(self.layout.axes, self.layout.axes)

    def _flat_axes(self) -> str:
        shape = self.layout.shape
        if len(shape) == 2:
            return "hw"
        return "chw" if shape[0] in (1, 3) and shape[-1] not in (1, 3) else "hwc"

    def _flat_colours(self) -> int:
        return dict(zip(self._flat_axes(), self.layout.shape)).get("c", 1)


class FolderImages:
    """Image files of one folder, named by the images' ids."""

    def __init__(self, folder: Path, ids: Sequence[str]) -> None:
        self.what = f"folder {folder.name}"
        files = {p.name: p for p in folder.iterdir() if p.suffix.lower() in IMAGE_ENDINGS}
        if not files:
            raise DataError(f"{folder} holds no image file ({', '.join(IMAGE_ENDINGS)})")
        by_id = {path.stem: path for path in files.values()} | files
        stems = Counter(path.stem for path in files.values())
        twice = [name for name in ids if stems[name] > 1]
        if twice:
            raise DataError(
                f"{folder} holds {stems[twice[0]]} files for the id '{twice[0]}'; keep one of them"
            )
        missing = [name for name in ids if name not in by_id]
        if missing:
            near = difflib.get_close_matches(missing[0], [p.stem for p in files.values()], n=1, cutoff=0.5)
            hint = f"; did you mean '{near[0]}'?" if near else ""
            raise DataError(
                f"{folder} holds no image file for {len(missing)} of {len(ids)} ids, "
                f"for example '{missing[0]}'{hint}"
            )
        self.files = tuple(by_id[name] for name in ids)

    def __len__(self) -> int:
        return len(self.files)

    def read(self, positions: np.ndarray) -> np.ndarray:
        """Images (n, H, W, 3) at `positions`; all files must be of one size."""
        images = [_read_file(self.files[k]) for k in positions]
        for k, image in zip(positions, images):
            if image.shape != images[0].shape:
                raise DataError(
                    f"{self.files[k]} is {_size(image)} pixels and {self.files[positions[0]].name} is "
                    f"{_size(images[0])}; all images of a run need one size"
                )
        return np.stack(images) if images else np.zeros((0, 1, 1, 3), np.uint8)


@dataclass(frozen=True)
class ChosenImages:
    """Some of `images`, in another order; `read` is what :class:`Stimuli` calls."""

    images: Images
    positions: np.ndarray

    def read(self, positions: np.ndarray) -> np.ndarray:
        """Images (n, H, W, 3) at `positions` of the chosen ones."""
        return self.images.read(self.positions[positions])


def checked_hashes(ids: Sequence[str], images: ChosenImages, *, scale_given: bool) -> tuple[str, ...]:
    """Content hash of every image; each is read once, a block at a time, and checked on the way.

    Raises :class:`DataError` for images of different sizes or types, out of range, not finite, or
    as good as black because 0/1 was stored where 0..255 is expected.
    """
    hashes: list[str] = []
    first, largest = None, 0.0
    for start in range(0, len(ids), _BLOCK):
        block = images.read(np.arange(start, min(start + _BLOCK, len(ids))))
        first = block[0] if first is None else first
        if block.shape[1:] != first.shape or block.dtype != first.dtype:
            raise DataError(
                f"image '{ids[start]}' is {_size(block[0])} {block.dtype} and '{ids[0]}' is "
                f"{_size(first)} {first.dtype}; all images of a run need one size and type"
            )
        largest = max(largest, float(block.max()))
        hashes += [image_sha(image) for image in block]
    if first is not None and first.dtype == np.uint8 and largest <= 1 and not scale_given:
        raise DataError(
            f"{images.images.what}: the largest pixel is {largest:g} of 255, so all images are black; "
            "if white is 1, add image_max: 1"
        )
    return tuple(hashes)


def require_same_kind(train: Stimuli, test: Stimuli) -> None:
    """Raise :class:`DataError` unless both have images of one size and type."""
    one, other = train.images(train.ids[:1])[0], test.images(test.ids[:1])[0]
    if one.shape != other.shape or one.dtype != other.dtype:
        raise DataError(
            f"training images are {_size(one)} {one.dtype} and test images {_size(other)} {other.dtype}; "
            "both need one size and type"
        )


def _scaled(block: np.ndarray, maximum: float | None, *, what: str) -> np.ndarray:
    """Pixels as uint8, or float32 in [0, 1]."""
    if block.dtype == bool:
        return block.astype(np.uint8) * np.uint8(255)
    if block.dtype == np.uint8 and maximum in (None, 255):
        return block
    low, high = (block.min(), block.max()) if block.size else (0, 0)
    if not (np.isfinite(low) and np.isfinite(high)):
        raise DataError(f"{what} holds NaN or inf; images must be finite")
    white = maximum if maximum is not None else (255 if block.dtype.kind in "iu" else 1)
    if low < 0 or high > white or (maximum is None and block.dtype.kind in "iu"):
        held = f"{what} holds {block.dtype} images from {low:.4g} to {high:.4g}"
        if low < 0:
            raise DataError(f"{held}; rescale them so that black is 0 and white is 1 or 255")
        if maximum is None:
            likely = 255 if high <= 255 else f"{high:.0f}"
            raise DataError(
                f"{held}; expected uint8 or float in [0, 1]; add the value of white, image_max: {likely}"
            )
        raise DataError(f"{held}, above image_max: {maximum:g}; give the value of white")
    if block.dtype.kind in "iu" and white == 255:
        return block.astype(np.uint8)
    return (block.astype(np.float64) / white).astype(np.float32)


def _colour(block: np.ndarray) -> np.ndarray:
    return np.ascontiguousarray(np.repeat(block, 3, axis=-1) if block.shape[-1] == 1 else block)


def _read_file(path: Path) -> np.ndarray:
    from PIL import Image

    try:
        with Image.open(path) as image:
            mode = image.mode
            transparent = "A" in mode and image.getchannel("A").getextrema()[0] < 255
            pixels = np.asarray(image.convert("RGB"))
    except Exception as problem:  # decoders of damaged files raise nearly anything
        reason = " ".join(str(problem).split())[:120]
        raise DataError(f"{path} cannot be read as an image: {type(problem).__name__}: {reason}") from problem
    if transparent or mode not in ("1", "L", "P", "RGB", "LA", "RGBA", "CMYK", "YCbCr"):
        what = "transparent parts" if transparent else f"pixels of type {mode}"
        raise DataError(f"{path} has {what}; save it as 8-bit grey or colour")
    return pixels


def _size(image: np.ndarray) -> str:
    return f"{image.shape[0]} x {image.shape[1]}"
