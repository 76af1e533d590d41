"""Images of any layout, read as (n, H, W, 3): uint8, or float32 in [0, 1] where the source is float."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import numpy as np

from harness.api import ConfigError, DataError, Stimuli
from harness.reading.arrays import ArraySource
from harness.reading.pixels import Door, Scale, sampled, size_of
from harness.reading.resizing import Resize

YAML = Door(
    white="if white is {white}, give image_max: {white}",
    clip="add image_clip: true",
    white_and_clip="add image_max: {white} and image_clip: true",
    halves="save (images + 1) / 2",
    twice="if they were divided by 255 twice, give image_max: {white}",
    sizes="add image_resize: [{height}, {width}], image_filter: area and image_fit: center-crop (or stretch)",
)
"""What can be typed about stimuli, in the keys of the YAML file."""


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
    """

    axes: str
    shape: tuple[int, ...] = ()
    order: str = "C"

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
        return ImageLayout(axes, self.shape, self.order)


class ResizeKeys:
    """What parameters with these keys say of the size of images."""

    image_resize: tuple[int, ...]
    image_filter: str
    image_fit: str

    def resize(self) -> Resize:
        """To which size images are brought."""
        return Resize(tuple(self.image_resize), self.image_filter, self.image_fit)


class ImageKeys(ResizeKeys):
    """What parameters with these keys say of images in arrays."""

    image_layout: str
    image_shape: tuple[int, ...]
    image_order: str
    image_max: float | None
    image_clip: bool

    def layout(self) -> ImageLayout:
        """How images lie in their array."""
        return ImageLayout(self.image_layout, tuple(self.image_shape), self.image_order)

    def scale(self) -> Scale:
        """How the images' numbers become pixels."""
        return Scale(self.image_max, self.image_clip, YAML)


class ArrayImages:
    """Images in an array of `layout`, whose numbers are pixels by `scale`."""

    def __init__(self, source: ArraySource, layout: ImageLayout, *, scale: Scale, resize: Resize) -> None:
        self.source, self.layout, self.what = source, layout.resolve(source), source.what
        self.scale, self.resize = scale, resize
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
        block = self._taken(positions)
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
        images = self.scale.pixels(
            block, what=self.what, names=[f"image {k}" for k in positions], sample=self._sample
        )
        return self.resize.all(_colour(images), what=self.what)

    def _taken(self, positions: np.ndarray) -> np.ndarray:
        return self.source.take(np.asarray(positions, np.int64), axis=self._axis)

    def _sample(self) -> np.ndarray:
        return self._taken(sampled(len(self)))

    def _letters(self) -> str:
        return {"flat": "np", "flat-last": "pn"}.get(self.layout.axes, self.layout.axes)

    def _flat_axes(self) -> str:
        shape = self.layout.shape
        if len(shape) == 2:
            return "hw"
        return "chw" if shape[0] in (1, 3) and shape[-1] not in (1, 3) else "hwc"

    def _flat_colours(self) -> int:
        return dict(zip(self._flat_axes(), self.layout.shape)).get("c", 1)


@dataclass(frozen=True)
class ChosenImages:
    """Some of `images`, in another order; `read` is what :class:`Stimuli` calls."""

    images: Images
    positions: np.ndarray

    def read(self, positions: np.ndarray) -> np.ndarray:
        """Images (n, H, W, 3) at `positions` of the chosen ones."""
        return self.images.read(self.positions[positions])


def require_same_kind(train: Stimuli, test: Stimuli, *, door: Door) -> None:
    """Raise :class:`DataError` unless both have images of one size and type."""
    first, second = train.images(train.ids[:1])[0], test.images(test.ids[:1])[0]
    if first.dtype != second.dtype:
        raise DataError(
            f"training images are {size_of(first)} {first.dtype} and test images {size_of(second)} "
            f"{second.dtype}; both need one type: save both as uint8, or both as float in [0, 1]"
        )
    if first.shape != second.shape:
        advice = door.sizes.format(height=first.shape[0], width=first.shape[1])
        raise DataError(
            f"training images are {size_of(first)} pixels and test images {size_of(second)}; both need one "
            f"size; {advice}"
        )


def _colour(block: np.ndarray) -> np.ndarray:
    return np.ascontiguousarray(np.repeat(block, 3, axis=-1) if block.shape[-1] == 1 else block)
