"""Images brought to one size, by a filter and a way that the user names."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ..errors import ConfigError, DataError, suggest
from .pixels import size_of

FILTERS = {"lanczos": "LANCZOS", "bicubic": "BICUBIC", "bilinear": "BILINEAR", "area": "BOX"}
"""Filter -> its name in Pillow.  All widen their support when they make an image smaller (antialiasing)."""

FITS = ("center-crop", "stretch")


@dataclass(frozen=True)
class Resize:
    """To which size, how, and what becomes of an image of another shape.

    size : (height, width); nothing is done when empty.
    filter : ``lanczos``, ``bicubic``, ``bilinear`` or ``area`` (the mean of the pixels covered), as Pillow
        computes them, with antialiasing.
    fit : ``center-crop`` cuts the largest centred part of the wanted shape, ``stretch`` changes the shape.
        Without it, images of another shape are an error: neither is what a participant may have seen.
    """

    size: tuple[int, ...] = ()
    filter: str = ""
    fit: str = ""

    def __post_init__(self) -> None:
        if not self.size:
            if self.filter or self.fit:
                raise ConfigError("image_filter and image_fit need image_resize: [height, width]")
            return
        if len(self.size) != 2 or min(self.size) < 1:
            raise ConfigError(f"image_resize is {list(self.size)}; expected [height, width], at least 1")
        if not self.filter:
            raise ConfigError(f"image_resize needs image_filter: and one of {', '.join(FILTERS)}")
        if self.filter not in FILTERS:
            raise ConfigError(suggest(self.filter, FILTERS, what="image_filter"))
        if self.fit and self.fit not in FITS:
            raise ConfigError(suggest(self.fit, FITS, what="image_fit"))

    def image(self, image: np.ndarray, *, what: str) -> np.ndarray:
        """Image (h, w, 3), uint8 or float32 in [0, 1], at the wanted size; of that size it is left alone.

        Raises
        ------
        DataError
            An image of another shape, and no `fit`.
        """
        if not self.size or image.shape[:2] == tuple(self.size):
            return image
        height, width = image.shape[:2]
        box = (0.0, 0.0, float(width), float(height))
        # Rounded to whole pixels, sizes of one shape differ from it by less than one.
        if abs(height * self.size[1] / self.size[0] - width) >= 1 and not self.fit:
            raise DataError(
                f"{what} is {size_of(image)} pixels, another shape than image_resize {list(self.size)}; add "
                "image_fit: center-crop, which cuts, or image_fit: stretch, which distorts"
            )
        if self.fit == "center-crop":
            share = min(height / self.size[0], width / self.size[1])
            rows, columns = share * self.size[0], share * self.size[1]
            left, top = (width - columns) / 2, (height - rows) / 2
            box = (left, top, left + columns, top + rows)
        return self._resized(image, box)

    def all(self, images: np.ndarray, *, what: str) -> np.ndarray:
        """Images (n, h, w, 3) at the wanted size."""
        if not self.size or not len(images):
            return images
        return np.stack([self.image(image, what=what) for image in images])

    def _resized(self, image: np.ndarray, box: tuple[float, float, float, float]) -> np.ndarray:
        from PIL import Image

        how = {"size": self.size[::-1], "resample": Image.Resampling[FILTERS[self.filter]], "box": box}
        if image.dtype == np.uint8:
            return np.asarray(Image.fromarray(image).resize(**how))
        planes = [Image.fromarray(np.ascontiguousarray(image[..., c])).resize(**how) for c in range(3)]
        return np.clip(np.stack([np.asarray(plane) for plane in planes], axis=-1), 0, 1)
